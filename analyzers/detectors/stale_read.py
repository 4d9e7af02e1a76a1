"""Question: did an agent act on a value that was already out of date when it read it?

    A    write v2 ----------
    B                 read v1 ------ decides, calls a tool, writes       v2 was there before B's read began

A read is stale when a newer version had been committed before the read began (beyond the clock error). Most stale
reads do no harm, so they are ranked by *stale use*: what the reading step did afterwards without reading the key again.
Acting on it (a tool call, a write, a decision) is a warning, a decision that was carried out or a message to a person
is critical, no use at all a remark; where spans of the run were lost and nothing of the step is recorded after the read, what it did was lost. Needs versions or values. Source: note on state, section 5 (after Elle, arXiv
2003.10554). Not stale: a value that changed while or after it was read (see `lost_update` for what that can do), equal
values. Known misses: caches that answer without a recorded read. Cost: keys with two versions and a read only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.causality import SKEW_NS, HappensBefore, clock_errors
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.lost_spans import lossy_runs
from analyzers.state_history import MISSING, KeyHistory, StateOp, agent_steps, histories, same
from analyzers.state_losses import gaps
from analyzers.wording import amount, duration, listing, since
from tracer.model import SpanKind
from tracer.semconv import Tracehound

KIND = "stale_read"
Row = Mapping[str, Any]
_ACT_COLUMNS = (
    "trace_id",
    "span_id",
    "kind",
    "name",
    "agent",
    "start_ns",
    "end_ns",
    "target_agent",
    "user_visible",
    "attributes",
)
_USES = (SpanKind.DECISION, SpanKind.TOOL, SpanKind.STATE_WRITE, SpanKind.MESSAGE, SpanKind.HANDOFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleReadThresholds:
    grace_ns: int = SKEW_NS
    """a newer version must have been there for this long: the clock error allowed between two processes, more where the run shows more"""

    hosts_ns: int = 2_000_000_000
    """clocks of two hosts may differ by this much; what only they say is suspected, unless a message or another cause lies between"""
    suspected: float = 0.5


@dataclass(frozen=True, slots=True)
class _Stale:
    read: StateOp
    newer: StateOp
    """the first version that was missed"""
    missed: int
    uses: tuple[Row, ...]
    use_lost: bool = False
    """nothing of the step is recorded after the read, in a run known to lack spans: nobody reads in order to do nothing"""


def find_stale_reads(frames: Frames, thresholds: StaleReadThresholds = StaleReadThresholds()) -> list[Finding]:
    """One finding per run and key that was read out of date."""
    keys = _suspects(frames.spans)
    if keys.is_empty():
        return []
    uses = _uses(frames, keys)
    starts = dict(
        frames.spans.select("run_id", "start_ns")
        .filter(pl.col("run_id").is_in(keys["run_id"].implode()))
        .group_by("run_id")
        .agg(pl.col("start_ns").min())
        .iter_rows()
    )
    reads = frames.spans.select("run_id", "state_key", "kind", "span_id", "start_ns")
    reads = reads.filter(pl.col("kind") == SpanKind.STATE_READ).join(keys, on=["run_id", "state_key"], how="semi")
    began = dict(reads.select("span_id", "start_ns").iter_rows())
    errors = clock_errors(frames, keys["run_id"])
    ended = _last_seen(frames, keys)
    found: list[Finding] = []
    for history in histories(frames, keys):
        skew = max(thresholds.grace_ns, errors[history.run_id])
        stale = [
            replace(x, use_lost=not x.uses and ended.get(x.read.step, x.read.at_ns + 1) <= x.read.at_ns)
            for op in history.ops
            if not op.write and (x := _stale(history, op, began, uses, thresholds, skew))
        ]
        if stale:
            worst = max(stale, key=lambda s: (_rank(s), s.missed, -s.read.at_ns, s.read.span_id))
            certain = _certain(worst, frames, history.run_id, thresholds)
            found.append(_finding(history, worst, stale, starts[history.run_id], certain, thresholds))
    return found


def _suspects(spans: pl.DataFrame) -> pl.DataFrame:
    """(run_id, state_key) with a read, and a write that ended before the read began."""
    held = spans.filter(pl.col("state_key").is_not_null() & pl.col("duplicate_of").is_null())
    writes = held.filter(pl.col("kind") == SpanKind.STATE_WRITE).group_by("run_id", "state_key").agg(
        first=pl.col("end_ns").min(), newest=pl.col("version_written").max(), writes=pl.len()
    )  # fmt: skip
    reads = held.filter(pl.col("kind") == SpanKind.STATE_READ)
    late = reads.join(writes, on=["run_id", "state_key"]).filter(pl.col("start_ns") > pl.col("first"))
    # Where versions are recorded, a read of the newest version cannot be stale.
    behind = (pl.col("version_read") < pl.col("newest")).fill_null(value=True)
    return late.filter(behind).select("run_id", "state_key").unique()


def _uses(frames: Frames, keys: pl.DataFrame) -> dict[str, list[Row]]:
    """Step (span id of the agent invocation) -> what it did that could rest on a read, in order."""
    acts = (
        frames.spans.select("run_id", "duplicate_of", *_ACT_COLUMNS)
        .filter(
            pl.col("run_id").is_in(keys["run_id"].unique().implode())
            & pl.col("kind").is_in([str(k) for k in _USES])
            & pl.col("duplicate_of").is_null()
        )
        .sort("start_ns", "span_id")
    )
    steps = agent_steps(frames, acts)
    uses: dict[str, list[Row]] = {}
    for row in acts.select(_ACT_COLUMNS).iter_rows(named=True):
        uses.setdefault(steps[row["trace_id"], row["span_id"]], []).append(row)
    return uses


def _last_seen(frames: Frames, keys: pl.DataFrame) -> dict[str, int]:
    """Step -> start of the last span recorded of it, for the steps of runs that lack spans."""
    around = frames.spans.select("run_id", "trace_id", "span_id", "parent_span_id", "start_ns")
    around = around.filter(pl.col("run_id").is_in(keys["run_id"].unique().implode()))
    lossy = around.filter(pl.col("run_id").is_in(lossy_runs(around).implode()))
    seen: dict[str, int] = {}
    steps = agent_steps(frames, lossy)
    for trace, span, start in lossy.select("trace_id", "span_id", "start_ns").iter_rows():
        step = steps[trace, span]
        seen[step] = max(start, seen.get(step, start))
    return seen


def _stale(
    history: KeyHistory,
    read: StateOp,
    began: Mapping[str, int],
    uses: Mapping[str, Sequence[Row]],
    t: StaleReadThresholds,
    skew_ns: int,
) -> _Stale | None:
    if read.version is None and read.value is MISSING:
        return None
    seen = history.locate(read.version, read.value, read.at_ns)
    if seen is None:
        return None
    start = began.get(read.span_id, read.at_ns)
    missed = [
        op for op in history.chain[seen + 1 :] if op.at_ns + (t.grace_ns if op.pid == read.pid else skew_ns) <= start
    ]
    missed = [op for op in missed if op.value is MISSING or read.value is MISSING or not same(op.value, read.value)]
    if not missed or (read.version is None and _current(history, read, start)):
        return None
    again = [op.at_ns for op in history.ops if not op.write and op.step == read.step and op.at_ns > read.at_ns]
    until = min(again, default=2**63)
    used = tuple(row for row in uses.get(read.step, ()) if read.at_ns <= row["start_ns"] < until)
    return _Stale(read, missed[0], len(missed), used)


def _current(history: KeyHistory, read: StateOp, start: int) -> bool:
    """Without versions: the value read is the newest one (the same content may have come twice)."""
    done = [op for op in history.chain if op.at_ns <= start]
    return bool(done) and (done[-1].value is MISSING or same(done[-1].value, read.value))


def _certain(stale: _Stale, frames: Frames, run_id: str, t: StaleReadThresholds) -> bool:
    """False where only two processes' clocks say that the newer version was there first, and they may differ by as much."""
    if stale.read.pid == stale.newer.pid or stale.read.at_ns - stale.newer.at_ns > t.hosts_ns:
        return True
    relation = HappensBefore(frames.spans_of(run_id), frames.links)
    return relation.before(stale.newer.span_id, stale.read.span_id)


def _finding(
    history: KeyHistory,
    worst: _Stale,
    stale: Sequence[_Stale],
    start_ns: int,
    certain: bool,
    t: StaleReadThresholds,
) -> Finding:
    """`worst` is the read with the worst use: the finding is told by it."""
    rank = _rank(worst)
    severity: Severity = ("info", "warning", "critical")[rank]
    reader = worst.read.agent or "An unnamed agent"
    writer = worst.newer.agent or "another writer"
    age = worst.read.at_ns - worst.newer.at_ns
    use = _described(worst.uses)
    named = {s.read.span_id for s in stale} | {s.newer.span_id for s in stale} | {row["span_id"] for row in worst.uses}
    order = {op.span_id: op.at_ns for op in history.ops} | {row["span_id"]: row["start_ns"] for row in worst.uses}
    versions = worst.read.version is not None
    missing = gaps(history)
    doubt = not certain or bool(missing) or worst.use_lost
    sure = t.suspected if doubt else 0.95 if versions else 0.75
    if doubt and severity == "critical":
        severity = "warning"
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=sure,
        title=f"{reader} read {history.key!r} {duration(age)} after {writer} had changed it"
        + (
            f", and {use}"
            if use
            else "; what it did with it was not recorded"
            if worst.use_lost
            else ", without using it"
        ),
        explanation=(
            f"{reader} read {history.key!r} {since(worst.read.at_ns, start_ns)} and was given "
            + (f"version {worst.read.version}" if versions else "an older value")
            + f", although {writer} had written {f'version {worst.newer.version}' if worst.newer.version is not None else 'a newer one'} "
            f"{duration(age)} earlier ({amount(worst.missed, 'version')} missed). "
            + (
                f"Without reading it again it {use}. "
                if use
                else "Nothing that this step did after the read is recorded, and spans of this run were lost: what it did with the value is among them. "
                if worst.use_lost
                else "Nothing was done with it in that step. "
            )
            + (f"{len(stale)} reads of this key were out of date. " if len(stale) > 1 else "")
            + (
                f"Only suspected ({sure:.0%}): reader and writer are two processes, whose clocks may differ by as much."
                if not certain
                else f"Only suspected ({sure:.0%}): not every write was recorded ({missing[0]})."
                if missing
                else f"Only suspected ({sure:.0%}): that it was used is concluded from the gap, not seen."
                if worst.use_lost
                else "Sure because the versions were recorded."
                if versions
                else "Fairly sure: there are no versions, the values were compared."
            )
        ),
        suggestion=(
            f"Read {history.key!r} from the primary (or wait for the version you were told of) before acting on it, "
            f"and let writes and bookings based on it name the version they rest on, so that the store refuses them."
        ),
        trace_id=history.run_id,
        spans=tuple(sorted(named, key=lambda span: (order[span], span))),
        agents=tuple(dict.fromkeys(a for a in (worst.read.agent, worst.newer.agent) if a)),
        start_ns=worst.newer.at_ns,
        end_ns=max([worst.read.at_ns, *(row["end_ns"] or row["start_ns"] for row in worst.uses)]),
        checked=(
            Check(rule="versions missed by the read", value=worst.missed, threshold=1, passed=True),
            Check(
                rule="age of the newer version when it was read, seconds",
                value=round(age / 1e9, 6),
                threshold=t.grace_ns / 1e9,
                passed=True,
            ),
            Check(
                rule="uses of the value before it was read again",
                value=len(worst.uses),
                threshold=1,
                passed=bool(worst.uses),
            ),
            Check(
                rule="ruled out: what the step did after the read was lost",
                value=worst.use_lost,
                threshold=True,
                passed=not worst.use_lost,
            ),
            Check(rule="versions were recorded", value=versions, threshold=True, passed=versions),
            Check(rule="writes missing in the recording", value=len(missing), threshold=0, passed=not missing),
            Check(
                rule="ruled out: the clocks of two processes differ by as much",
                value=not certain,
                threshold=True,
                passed=certain,
            ),
        ),
        data={
            "key": history.key,
            "reads": [s.read.span_id for s in stale],
            "missed_versions": worst.missed,
            "version_read": worst.read.version,
            "newer_version": worst.newer.version,
            "uses": [row["span_id"] for row in worst.uses],
            "age_s": round(age / 1e9, 6),
        },
    )


def _rank(stale: _Stale) -> int:
    """0 no use, 1 acted on or what was done is lost, 2 carried out or told to a person."""
    uses = stale.uses
    if any(row["user_visible"] or attributes_of(row["attributes"]).get(Tracehound.ACTED_ON) is True for row in uses):
        return 2
    return int(bool(uses) or stale.use_lost)


def _described(uses: Sequence[Row]) -> str:
    verbs = {
        "decision": "decided",
        "tool": "called",
        "state_write": "wrote",
        "message": "sent a message",
        "handoff": "handed over",
    }
    names = [f"{verbs[row['kind']]} ({row['name']})" for row in uses]
    return listing(dict.fromkeys(names), 3)
