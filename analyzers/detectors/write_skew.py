"""Question: did agents each check one thing and change another, so that together they broke what both had checked?

    Alice   reads x and y ("one of us must stay on call") ---- writes x: off
    Bob     reads x and y ("one of us must stay on call") ---- writes y: off        nobody is on call

No write was lost and no read was out of date when it was made, so neither `lost_update` nor `stale_read` sees it. A yes is a
strongly connected part of the serialization graph of agent steps (`analyzers/state_graph.py`) that only anti-dependencies
(rw) hold together, over at least two keys: no order of the steps, one after the other, gives what each of them saw. Where
versions are recorded they place the reads, else the values do; confidence falls to "suspected" where a key has writes that
nobody recorded. Source: note on state, section 5; Adya, Elle (arXiv 2003.10554). Known misses: premises that were read in
another step or outside of the store; a step that read again after the other's write. Known false alarm: keys that are read
and never minded; reads that are derived from a
framework's state do not count for that reason. Cost: a set-based search for pairs of steps that read each other's keys; then O(operations) per run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from analyzers.finding import Check, Finding
from analyzers.frames import Frames
from analyzers.state_graph import Dependency, Skew, dependencies, write_skews
from analyzers.state_history import KeyHistory, StateOp, histories
from analyzers.state_losses import gaps
from analyzers.wording import duration, listing, onwards
from tracer.model import CasOutcome, SpanKind

KIND = "write_skew"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSkewThresholds:
    sure: float = 0.9
    """versions were recorded; whether the step minded what it read is not"""
    by_values: float = 0.75
    suspected: float = 0.5
    """writes of a key are missing in the recording"""
    keys: int = 2


def find_write_skew(frames: Frames, thresholds: WriteSkewThresholds = WriteSkewThresholds()) -> list[Finding]:
    """One finding per run and set of steps that skewed each other."""
    suspects = _suspects(frames.spans)
    if suspects.is_empty():
        return []
    runs = suspects["run_id"].unique()
    starts = dict(
        frames.spans.filter(pl.col("run_id").is_in(runs.implode()))
        .group_by("run_id")
        .agg(pl.col("start_ns").min())
        .iter_rows()
    )
    by_run: dict[str, list[KeyHistory]] = defaultdict(list)
    for history in histories(frames, suspects):
        by_run[history.run_id].append(history)
    found: list[Finding] = []
    for run_id, held in by_run.items():
        edges = dependencies(held)
        found += [_finding(run_id, skew, edges, held, starts[run_id], thresholds) for skew in write_skews(edges)]
    return found


def _suspects(spans: pl.DataFrame) -> pl.DataFrame:
    """(run_id, state_key) of runs in which two agents, or steps, read a key that the other one writes."""
    ops = spans.filter(
        pl.col("kind").is_in([SpanKind.STATE_READ, SpanKind.STATE_WRITE])
        & pl.col("state_key").is_not_null()
        & pl.col("duplicate_of").is_null()
        & (pl.col("cas_outcome") != CasOutcome.CONFLICT).fill_null(value=True)
        # A framework that shows a step the whole state does not say what the step looked at.
        & ~pl.col("derived").list.contains("span_id").fill_null(value=False)
    ).select("run_id", "state_key", "kind", step=pl.struct("agent", "parent_span_id").hash())
    many = ops.filter(pl.col("kind") == SpanKind.STATE_WRITE).group_by("run_id").agg(
        keys=pl.col("state_key").n_unique(), steps=pl.col("step").n_unique()
    )  # fmt: skip
    many = many.filter((pl.col("keys") > 1) & (pl.col("steps") > 1))
    if many.is_empty():
        return ops.select("run_id", "state_key").clear()
    ops = ops.join(many, on="run_id", how="semi").unique()
    reads = ops.filter(pl.col("kind") == SpanKind.STATE_READ).select("run_id", "state_key", reader="step")
    writes = ops.filter(pl.col("kind") == SpanKind.STATE_WRITE).select("run_id", "state_key", writer="step")
    rw = reads.join(writes, on=["run_id", "state_key"]).filter(pl.col("reader") != pl.col("writer"))
    # Every step on a cycle of rw edges replaces what another read, and reads what another replaces.
    rw = rw.join(rw.select("run_id", reader="writer").unique(), on=["run_id", "reader"], how="semi")
    keys = rw.group_by("run_id").agg(pl.col("state_key").n_unique()).filter(pl.col("state_key") > 1)
    return ops.join(keys, on="run_id", how="semi").select("run_id", "state_key").unique()


def _finding(
    run_id: str,
    skew: Skew,
    edges: Sequence[Dependency],
    held: Sequence[KeyHistory],
    start_ns: int,
    t: WriteSkewThresholds,
) -> Finding:
    ops = {op.span_id: op for edge in skew.edges for op in (edge.source, edge.target)}
    ordered = sorted(ops.values(), key=lambda op: (op.at_ns, op.span_id))
    reads, writes = [op for op in ordered if not op.write], [op for op in ordered if op.write]
    missing = [reason for history in held if history.key in skew.keys for reason in gaps(history)]
    versions = all(op.version is not None for op in ordered)
    sure = t.suspected if missing else t.sure if versions else t.by_values
    names = _names(ordered)
    agents = tuple(dict.fromkeys(op.agent for op in ordered if op.agent))
    told = [
        f"{names[edge.source.step]} rested on {edge.key!r}{_version(edge.source)}, which {names[edge.target.step]} replaced"
        f" {duration(max(0, edge.target.at_ns - edge.source.at_ns))} later"
        for edge in skew.edges
    ]
    others = sum(
        edge.kind != "rw" for edge in edges if {edge.source.step, edge.target.step} & skew.steps
    )  # with steps outside of the cycle: they do not order the cycle's steps
    return Finding(
        kind=KIND,
        severity="warning",
        confidence=sure,
        title=f"{listing(dict.fromkeys(names.values()))} each changed what the other had checked: {listing([repr(k) for k in skew.keys])}"
        + (" (suspected)" if missing else ""),
        explanation=(
            f"{onwards(ordered[0].at_ns, start_ns).capitalize()}, {listing(told)}. "
            "Each of them wrote a different key, so no write was lost and every store with checks per key lets it pass; but no order in "
            f"which {'they' if len(skew.steps) > 2 else 'the two'} run one after the other gives what they saw. A rule over "
            f"{listing([repr(k) for k in skew.keys])} that each of them checked may be broken now. "
            + (f"Only suspected ({sure:.0%}): not every write was recorded ({missing[0]})." if missing else "")
            + ("" if missing else "Sure about the order, because the versions were recorded; " if versions else "Fairly sure: there are no versions, the values were compared; ")
            + ("" if missing else "whether the steps minded what they read cannot be seen.")
        ),
        suggestion=(
            f"Check and write {listing([repr(k) for k in skew.keys])} in one transaction, keep what the rule is about under one key with compare-and-set, "
            "or let each write name the versions of all keys it rests on, so that the store refuses the second."
        ),
        trace_id=run_id,
        spans=tuple(op.span_id for op in ordered),
        agents=agents,
        start_ns=ordered[0].at_ns,
        end_ns=ordered[-1].at_ns,
        checked=(
            Check(rule="steps in a circle of anti-dependencies", value=len(skew.steps), threshold=2, passed=True),
            Check(rule="keys read by one and replaced by another", value=len(skew.keys), threshold=t.keys, passed=True),
            Check(rule="ruled out: one of them read what another wrote, or replaced the same key", value=0, threshold=0, passed=True),
            Check(rule="other ties of these steps (no part of the circle)", value=others, threshold=None, passed=True),
            Check(rule="versions were recorded", value=versions, threshold=True, passed=versions),
            Check(rule="writes missing in the recording", value=len(missing), threshold=0, passed=not missing),
        ),
        data={
            "key": ",".join(skew.keys),
            "keys": skew.keys,
            "steps": len(skew.steps),
            "reads": [op.span_id for op in reads],
            "writes": [op.span_id for op in writes],
            "gaps": missing[:5],
            "suspected": bool(missing),
            "wasted_spans": [],
        },
    )  # fmt: skip


def _names(ops: Sequence[StateOp]) -> dict[str, str]:
    """Step -> its agent, numbered where one agent has several steps."""
    named: dict[str, str] = {}
    count: dict[str, int] = defaultdict(int)
    for op in ops:
        if op.step not in named:
            agent = op.agent or "an unnamed agent"
            count[agent] += 1
            named[op.step] = agent if count[agent] == 1 else f"{agent} (step {count[agent]})"
    return named


def _version(op: StateOp) -> str:
    return "" if op.version is None else f" version {op.version}"
