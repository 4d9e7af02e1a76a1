"""Question: did two agents decide on different versions of the same thing, at a time when the newer one was there?

    Stock      v1 ------------ v2
    Sales      reads v1 ------------------ decides (rests on v1)      both decide after v2 was written,
    Dispatch                     reads v2 --- decides (rests on v2)   and each believes in another world

No read was out of date when it was made (that is `stale_read`); the world moved on before the decision. What a decision rests
on is what it says (`inputs`: key -> version), else what its step last read or wrote of each key. A yes is two decisions of
different agents that rest on different versions of one key, the older one taken after the newer version had been committed,
beyond the clock error. Appends and merges, and versions that differ in book-keeping fields or not at all, do not count.
Source: note on state, section 5. Known misses: views that are carried from one invocation to the next without a read;
decisions that are no decision spans. Known false alarm: a key that the decision did not need. Cost: runs with two deciding
agents and a key with two versions only; then O(decisions x keys).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.causality import SKEW_NS, clock_errors
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.state_history import MISSING, KeyHistory, StateOp, agent_steps, differing, histories
from analyzers.state_losses import gaps
from analyzers.wording import duration, listing, since
from tracer.model import CasOutcome, SpanKind, SpanStatus
from tracer.semconv import Tracehound

KIND = "divergent_views"
Row = Mapping[str, Any]
BOOK_KEEPING = frozenset({"updated_at", "ts", "timestamp", "step", "last_agent", "last_updated", "modified_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergentViewsThresholds:
    grace_ns: int = SKEW_NS
    """how long the newer version must have been there when the older one was decided on"""
    sure: float = 0.9
    """the decision names the versions it rests on"""
    by_reads: float = 0.8
    """what the step had read last"""
    by_values: float = 0.65
    """no versions, the values were compared"""
    suspected: float = 0.45
    """writes of the key are missing in the recording"""


@dataclass(frozen=True, slots=True)
class _View:
    """What one decision believed about one key."""

    decision: Row
    index: int
    """place of the version in the chain, -1 for the value before the first write"""
    seen: StateOp | None
    """the read or write that showed it; None where the decision itself says so"""
    said: int | None = None
    """the version that the decision names"""


@dataclass(frozen=True, slots=True)
class _Split:
    history: KeyHistory
    old: _View
    new: _View
    newer: StateOp
    """the first write that the older view missed"""
    pairs: int


def find_divergent_views(
    frames: Frames, thresholds: DivergentViewsThresholds = DivergentViewsThresholds()
) -> list[Finding]:
    """One finding per run and key on which deciding agents had split views."""
    decisions, keys = _suspects(frames.spans)
    if keys.is_empty():
        return []
    steps = agent_steps(frames, decisions)
    by_run: dict[str, list[Row]] = defaultdict(list)
    for row in decisions.iter_rows(named=True):
        by_run[row["run_id"]].append(
            {**row, "step": steps[row["trace_id"], row["span_id"]], "inputs": _inputs(row, frames)}
        )
    starts = dict(
        frames.spans.select("run_id", "start_ns")
        .filter(pl.col("run_id").is_in(keys["run_id"].unique().implode()))
        .group_by("run_id")
        .agg(pl.col("start_ns").min())
        .iter_rows()
    )
    errors = clock_errors(frames, keys["run_id"])
    found: list[Finding] = []
    for history in histories(frames, keys):
        skew = max(thresholds.grace_ns, errors[history.run_id])
        split = _split(history, by_run[history.run_id], thresholds, skew)
        if split is not None:
            found.append(_finding(split, starts[history.run_id], thresholds))
    return found


def _suspects(spans: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(decisions, keys) of runs in which two agents decide, and a key is written before the last of these decisions."""
    held = spans.filter(
        pl.col("kind").is_in([SpanKind.DECISION, SpanKind.STATE_WRITE]) & pl.col("duplicate_of").is_null()
    )
    decisions = held.filter(
        (pl.col("kind") == SpanKind.DECISION) & pl.col("agent").is_not_null() & (pl.col("status") != SpanStatus.ERROR)
    )
    runs = decisions.group_by("run_id").agg(agents=pl.col("agent").n_unique(), last=pl.col("start_ns").max())
    runs = runs.filter(pl.col("agents") > 1)
    writes = held.filter(
        (pl.col("kind") == SpanKind.STATE_WRITE)
        & pl.col("state_key").is_not_null()
        & (pl.col("cas_outcome") != CasOutcome.CONFLICT).fill_null(value=True)
    ).join(runs, on="run_id")
    keys = writes.filter(pl.col("end_ns") < pl.col("last")).select("run_id", "state_key").unique()
    columns = ["run_id", "trace_id", "span_id", "agent", "name", "scope_key", "choice", "start_ns", "end_ns", "input_refs", "pid", "attributes",
               "user_visible"]  # fmt: skip
    decisions = decisions.join(keys.select("run_id").unique(), on="run_id", how="semi")
    return decisions.select(columns).sort("run_id", "start_ns", "span_id"), keys


def _inputs(row: Row, frames: Frames) -> dict[str, int]:
    """State key -> version that a decision says it rests on; empty where it says nothing of the kind."""
    try:
        said: Any = json.loads(frames.text(row["input_refs"]) or "null")
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    return {
        str(key): version
        for key, version in cast("dict[Any, Any]", said).items()
        if isinstance(version, int) and not isinstance(version, bool)
    }


def _split(history: KeyHistory, decisions: Sequence[Row], t: DivergentViewsThresholds, skew_ns: int) -> _Split | None:
    """The widest split on this key: the view that had missed most versions, against the newest view of another agent."""
    views = [view for row in decisions if (view := _view(history, row)) is not None]
    best: tuple[tuple[int, int, str], _Split] | None = None
    pairs = 0
    for old in views:
        later = [
            op
            for op in history.chain[old.index + 1 :]
            if op.step != old.decision["step"]
            and op.merge not in ("append", "crdt")
            and op.at_ns + (t.grace_ns if op.pid == old.decision["pid"] else skew_ns) <= old.decision["start_ns"]
            and _minds(history, old, op)
        ]
        if not later:
            continue
        place = history.position[later[0].span_id]
        rivals = [v for v in views if v.index >= place and v.decision["agent"] != old.decision["agent"]]
        if not rivals:
            continue
        pairs += len(rivals)
        new = max(rivals, key=lambda v: (v.index, -v.decision["start_ns"], v.decision["span_id"]))
        rank = (new.index - old.index, -old.decision["start_ns"], old.decision["span_id"])
        if best is None or rank > best[0]:
            best = rank, _Split(history, old, new, later[0], 0)
    if best is None:
        return None
    split = best[1]
    return _Split(split.history, split.old, split.new, split.newer, pairs)


def _view(history: KeyHistory, row: Row) -> _View | None:
    said: dict[str, int] = row["inputs"]
    if said:
        if history.key not in said:
            return None  # it names what it rests on, and this is not among it
        index = history.locate(said[history.key], MISSING, row["start_ns"])
        return None if index is None else _View(row, index, None, said[history.key])
    own = [op for op in history.ops if op.applied and op.step == row["step"] and op.at_ns <= row["start_ns"]]
    if not own:
        return None
    newest = own[-1]
    index = (
        history.position[newest.span_id] if newest.write else history.locate(newest.version, newest.value, newest.at_ns)
    )
    return None if index is None else _View(row, index, newest)


def _minds(history: KeyHistory, old: _View, newer: StateOp) -> bool:
    """True unless the values are known and differ in nothing but book-keeping."""
    before = history.chain[old.index].value if old.index >= 0 else old.seen.value if old.seen else MISSING
    if before is MISSING and old.index < 0:
        before = history.value_before(0)
    if before is MISSING or newer.value is MISSING:
        return True
    return any(path.rsplit(".", 1)[-1] not in BOOK_KEEPING for path in differing(before, newer.value))


def _finding(split: _Split, start_ns: int, t: DivergentViewsThresholds) -> Finding:
    history, old, new = split.history, split.old, split.new
    missing = gaps(history)
    said = old.seen is None and new.seen is None
    versions = said or all(v.seen is None or v.seen.version is not None for v in (old, new))
    sure = t.suspected if missing else t.sure if said else t.by_reads if versions else t.by_values
    acted = [_carried_out(view.decision) for view in (old, new)]
    severity: Severity = "critical" if all(acted) and not missing else "warning"
    one, other = old.decision["agent"], new.decision["agent"]
    late = old.decision["start_ns"] - split.newer.at_ns
    writer = split.newer.agent or "another writer"
    evidence = {
        op.span_id: op.at_ns for op in (old.seen, new.seen, split.newer) if op is not None
    } | {view.decision["span_id"]: view.decision["start_ns"] for view in (old, new)}  # fmt: skip
    lag = new.index - old.index
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=sure,
        title=f"{one} and {other} decided on different versions of {history.key!r}, {lag} apart"
        + (" (suspected)" if missing else ""),
        explanation=(
            f"{one} decided {_decided(old.decision)} {since(old.decision['start_ns'], start_ns)} on {_named(history, old)} of {history.key!r}, "
            f"{duration(late)} after {writer} had written {_version(split.newer)}; {other} decided {_decided(new.decision)} "
            f"{since(new.decision['start_ns'], start_ns)} on {_named(history, new)}. What {one} had read was current when it read it, "
            "but it did not look again before it decided, so the two decisions rest on different worlds. "
            + ("Both were carried out. " if all(acted) else f"{listing([a for a, done in zip((one, other), acted, strict=True) if done])} acted on it. " if any(acted) else "")
            + (f"Only suspected ({sure:.0%}): not every write was recorded ({missing[0]})." if missing
               else "Sure: both decisions name the versions they rest on." if said
               else "Fairly sure: the views are what each step had read last; whether the decision minded this key cannot be seen.")
        ),
        suggestion=(
            f"Read {history.key!r} right before deciding, or let the decision name the version it rests on and check it when it is carried out "
            "(compare-and-set); where agents must agree, pass the version along with the task."
        ),
        trace_id=history.run_id,
        spans=tuple(sorted(evidence, key=lambda span: (evidence[span], span))),
        agents=tuple(dict.fromkeys((one, other, *((split.newer.agent,) if split.newer.agent else ())))),
        start_ns=split.newer.at_ns,
        end_ns=max(view.decision["end_ns"] or view.decision["start_ns"] for view in (old, new)),
        checked=(
            Check(rule="versions between the two views", value=lag, threshold=1, passed=True),
            Check(rule="the newer version was there before the older view was decided on, seconds", value=round(late / 1e9, 6), threshold=t.grace_ns / 1e9, passed=True),
            Check(rule="pairs of decisions with split views", value=split.pairs, threshold=1, passed=True),
            Check(rule="decisions name the versions they rest on", value=said, threshold=True, passed=said),
            Check(rule="both were carried out", value=all(acted), threshold=True, passed=all(acted)),
            Check(rule="writes missing in the recording", value=len(missing), threshold=0, passed=not missing),
        ),
        data={
            "key": history.key,
            "views": [_told(history, view) for view in (old, new)],
            "versions_apart": lag,
            "late_s": round(late / 1e9, 6),
            "newer_write": split.newer.span_id,
            "gaps": missing[:5],
            "suspected": bool(missing),
            "wasted_spans": [],
        },
    )  # fmt: skip


def _told(history: KeyHistory, view: _View) -> dict[str, Any]:
    made = history.chain[view.index].version if view.index >= 0 else None
    seen = view.seen.version if view.seen is not None else view.said
    return {
        "agent": view.decision["agent"],
        "decision": view.decision["span_id"],
        "choice": view.decision["choice"],
        "version": made if made is not None else seen,
        "read": view.seen.span_id if view.seen else None,
    }


def _named(history: KeyHistory, view: _View) -> str:
    version = _told(history, view)["version"]
    if version is not None:
        return f"version {version}"
    return "the first value" if view.index < 0 else f"the value of write {view.index + 1}"


def _version(op: StateOp) -> str:
    return "a newer value" if op.version is None else f"version {op.version}"


def _decided(row: Row) -> str:
    return f"{row['scope_key'] or row['name']!r}" + (f" = {row['choice']!r}" if row["choice"] else "")


def _carried_out(row: Row) -> bool:
    return bool(row["user_visible"]) or attributes_of(row["attributes"]).get(Tracehound.ACTED_ON) is True
