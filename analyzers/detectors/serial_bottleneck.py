"""Question: does everybody wait for one agent?

    Chief     |plan|=====review A=====|=====review B=====|=====review C=====|      on the critical path nearly all the time
    WorkerA         |work|. . waits . |next|
    WorkerB         |work|. . . . . . . waits . . . . . |next|                     idle, though there is work
    WorkerC         |work|. . . . . . . . . . . waits . . . . . . . . . |next|

A yes needs an agent that at least two others report to (it starts them, sends them messages or tasks, or they wait for it), whose own
work is 30 % or more of the critical path, and idle workers: at least two that wait for it, or whose invocation is open without any
work of theirs, for as long together as 30 % of the run. Without such a queue there is a hub at best: three workers or more that are called one at a time, five times or more, while the
hub's own work alone is half of the path; that is told with less confidence. Source: note on the critical path, section 6. Not a
bottleneck: pipelines, one slow worker that all wait for, a lead that plans once. Known misses: a hub whose own work is not
recorded. Cost: sums of work per agent; only runs in which one agent's work fills 30 % of the time are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import polars as pl

from analyzers.critical_path import COLUMNS, Piece, RunTree, walk
from analyzers.finding import Check, Finding
from analyzers.frames import Frames
from analyzers.intervals import Interval, common_windows, covered, intersection, union
from analyzers.lost_spans import with_lost_parents
from analyzers.wording import amount, duration, listing, share, since
from tracer.model import SpanKind

KIND = "serial_bottleneck"
Row = Mapping[str, Any]
_WORK = (SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.EMBEDDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleneckThresholds:
    path: float = 0.3
    """share of the critical path that is the agent's own work"""
    queue: float = 0.3
    """idle time of all workers together while it worked, as a share of the run"""
    idle_workers: int = 2
    calls: int = 4
    """pieces of work of the agent; below, it plans and sums up, as a lead should"""
    shortest_ns: int = 2_000_000_000
    """runs that last less than two seconds have no queue worth telling"""
    hub_path: float = 0.5
    hub_workers: int = 3
    hub_rounds: int = 5
    """times that a worker's work came between two pieces of the hub's"""
    hub_alone: float = 0.9
    """share of the working time with exactly one agent at work"""


@dataclass(frozen=True, slots=True)
class _Load:
    """One candidate in one run."""

    agent: str
    workers: Mapping[str, int]
    """worker -> ns it was idle while the agent worked"""
    waited: bool
    """waits for the agent are recorded; else open invocations without work were taken"""
    path_share: float
    alone_share: float
    rounds: int
    start_ns: int
    length_ns: int
    spans: Sequence[Row]
    """the agent's pieces of work while somebody was idle, in order"""
    waits: Sequence[str]

    @property
    def idle_share(self) -> float:
        return sum(self.workers.values()) / self.length_ns


def find_serial_bottleneck(frames: Frames, thresholds: BottleneckThresholds = BottleneckThresholds()) -> list[Finding]:
    """At most one finding per run, about the agent that the others wait for longest."""
    suspects = _suspects(frames, thresholds)
    if not suspects:
        return []
    spans = frames.spans.select("run_id", *COLUMNS, "duplicate_of").filter(
        pl.col("run_id").is_in(list(suspects)) & pl.col("duplicate_of").is_null()
    )
    links = _links(frames, spans)
    found: list[Finding] = []
    whole = with_lost_parents(spans.select("run_id", *COLUMNS))
    ordered = whole.sort("run_id", "start_ns", "span_id").iter_rows(named=True)
    for run, part in groupby(ordered, key=itemgetter("run_id")):
        rows = list(part)
        tree = RunTree.grown(rows, links.get(run, ()))
        path = cache(partial(walk, tree))
        active = _active(rows)
        loads = [
            load for agent in suspects[run] if (load := _load(agent, rows, tree, active, path, thresholds)) is not None
        ]
        if loads:
            worst = max(loads, key=lambda load: (load.idle_share, load.path_share, load.agent))
            found.append(_finding(run, worst, thresholds))
    return found


def _links(frames: Frames, spans: pl.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """Run -> its links as (span, linked span)."""
    held: dict[str, list[tuple[str, str]]] = defaultdict(list)
    linked = frames.links.select("trace_id", "span_id", "linked_span_id")
    for run, one, other in linked.join(spans.select("run_id", "trace_id", "span_id"), on=["trace_id", "span_id"]).select(
        "run_id", "span_id", "linked_span_id"
    ).iter_rows():  # fmt: skip
        held[run].append((one, other))
    return held


def _suspects(frames: Frames, t: BottleneckThresholds) -> dict[str, list[str]]:
    """Run -> agents whose work fills enough of it, where at least two others work too."""
    work = frames.spans.lazy().filter(
        pl.col("kind").is_in([str(kind) for kind in _WORK])
        & pl.col("duplicate_of").is_null()
        & pl.col("end_ns").is_not_null()
        & pl.col("agent").is_not_null()
        & ~pl.col("run_id").is_in(frames.timeless.implode())
    )
    each = work.group_by("run_id", "agent").agg(
        calls=pl.len(),
        busy=(pl.col("end_ns") - pl.col("start_ns")).sum(),
        first=pl.col("start_ns").min(),
        last=pl.col("end_ns").max(),
    )
    runs = each.group_by("run_id").agg(agents=pl.len(), whole=pl.col("last").max() - pl.col("first").min())
    runs = runs.filter((pl.col("agents") > t.idle_workers) & (pl.col("whole") >= t.shortest_ns))
    filling = (pl.col("calls") >= t.calls) & (pl.col("busy") >= t.path * pl.col("whole"))
    loaded = each.join(runs, on="run_id").filter(filling).collect()
    suspects: dict[str, list[str]] = defaultdict(list)
    asked = _hubs(frames, loaded, t)
    for run_id, agent in asked.sort("run_id", "agent").iter_rows():
        suspects[run_id].append(agent)
    return dict(suspects)


def _hubs(frames: Frames, loaded: pl.DataFrame, t: BottleneckThresholds) -> pl.DataFrame:
    """(run_id, agent) of `loaded` that enough agents with work of their own report to, as `_reports` has it."""
    wanted = (
        "run_id",
        "trace_id",
        "span_id",
        "parent_span_id",
        "kind",
        "agent",
        "start_ns",
        "end_ns",
        "target_agent",
        "wait_for",
    )
    spans = with_lost_parents(
        frames.spans.select(*wanted, "duplicate_of").filter(
            pl.col("run_id").is_in(loaded["run_id"].unique().implode()) & pl.col("duplicate_of").is_null()
        )
    )
    pair = ["run_id", "agent", "worker"]
    working = spans.filter(pl.col("kind").is_in([str(kind) for kind in _WORK])).select("run_id", worker="agent")
    sent = spans.select("run_id", "agent", worker="target_agent")
    above = spans.select("run_id", "trace_id", parent_span_id="span_id", by="agent")
    invoked = spans.filter(pl.col("kind") == SpanKind.AGENT).select(
        "run_id", "trace_id", "parent_span_id", worker="agent"
    )
    started = invoked.join(above, on=["run_id", "trace_id", "parent_span_id"]).select("run_id", "worker", agent="by")
    waiting = spans.filter(pl.col("kind") == SpanKind.WAIT).select("run_id", worker="agent", agent="wait_for")
    told = pl.concat([part.select(pair) for part in (sent, started, waiting.explode("agent"))]).drop_nulls()
    return (
        told.filter(pl.col("agent") != pl.col("worker"))
        .unique()
        .join(working, on=["run_id", "worker"], how="semi")
        .join(loaded, on=["run_id", "agent"], how="semi")
        .group_by("run_id", "agent")
        .len()
        .filter(pl.col("len") >= t.idle_workers)
        .select("run_id", "agent")
    )


def _load(
    agent: str,
    rows: Sequence[Row],
    tree: RunTree,
    active: Mapping[str, list[Interval]],
    path: Callable[[], Sequence[Piece]],
    t: BottleneckThresholds,
) -> _Load | None:
    """What the agent holds up, None where nothing is; the path, the dearest question, is asked for last."""
    workers = _reports(agent, rows)
    if len(workers) < t.idle_workers:
        return None
    own = active.get(agent, [])
    length = tree.end - tree.start
    if not own or length <= 0:
        return None
    idle: dict[str, int] = {}
    waits: list[str] = []
    recorded = False
    for worker in sorted(workers):
        held = [
            row
            for row in rows
            if row["kind"] == SpanKind.WAIT and row["agent"] == worker and agent in (row["wait_for"] or ())
        ]
        open_ = [(row["start_ns"], row["end_ns"]) for row in held] or _open(worker, agent, rows, tree)
        free = _without(_clipped(open_, tree), active.get(worker, []))
        time = covered(_common(free, own))
        if time > 0:
            idle[worker] = time
            waits += [row["span_id"] for row in held]
            recorded = recorded or bool(held)
    everyone = [one for held in active.values() for one in held]
    anybody, several = covered(everyone), covered(common_windows(everyone, 2))
    alone = (anybody - several) / anybody if anybody else 0.0
    rounds, pieces = _rounds(agent, workers, rows)
    queue = len(idle) >= t.idle_workers and sum(idle.values()) >= t.queue * length
    hub = len(workers) >= t.hub_workers and rounds >= t.hub_rounds and alone >= t.hub_alone
    if not queue and not hub:
        return None
    on_path = _share_on_path(agent, own, idle, path())
    if queue and on_path >= t.path:
        return _Load(agent, idle, recorded, on_path, alone, rounds, tree.start, length, pieces, waits)
    if hub and on_path >= t.hub_path:
        return _Load(
            agent, dict.fromkeys(sorted(workers), 0), False, on_path, alone, rounds, tree.start, length, pieces, ()
        )
    return None


def _share_on_path(agent: str, own: Sequence[Interval], idle: Collection[str], path: Sequence[Piece]) -> float:
    on_path = sum(piece.length_ns for piece in path if piece.agent == agent and piece.kind != SpanKind.WAIT)
    # A worker's invocation without work while the agent works: the path is really the agent's, only nobody recorded the wait.
    stalled = [(p.start_ns, p.end_ns) for p in path if p.kind == SpanKind.AGENT and p.agent in idle]
    on_path += covered(_common(union(stalled), own))
    total = sum(piece.length_ns for piece in path)
    return on_path / total if total else 0.0


def _reports(agent: str, rows: Sequence[Row]) -> set[str]:
    """Who works for, or waits for, the agent: those it starts, writes or hands to, and those that wait for it; only agents that work themselves."""
    held = {row["span_id"]: row for row in rows}
    working = {row["agent"] for row in rows if row["kind"] in _WORK and row["agent"]}
    found: set[str] = set()
    for row in rows:
        if row["agent"] == agent and row["target_agent"]:
            found.add(row["target_agent"])
        elif row["kind"] == SpanKind.AGENT and row["agent"]:
            parent = held.get(row["parent_span_id"] or "")
            if parent is not None and parent["agent"] == agent:
                found.add(row["agent"])
        elif row["kind"] == SpanKind.WAIT and agent in (row["wait_for"] or ()) and row["agent"]:
            found.add(row["agent"])
    return (found & working) - {agent}


def _active(rows: Sequence[Row]) -> dict[str, list[Interval]]:
    """Agent -> when it was at work: its calls that hold no other span (a tool that is another agent is that agent's work)."""
    parents = {row["parent_span_id"] for row in rows}
    held: dict[str, list[Interval]] = defaultdict(list)
    for row in rows:
        leaf = row["kind"] == SpanKind.LLM or row["span_id"] not in parents
        if row["kind"] in _WORK and row["agent"] and row["end_ns"] is not None and leaf:
            held[row["agent"]].append((row["start_ns"], row["end_ns"]))
    return {agent: union(intervals) for agent, intervals in held.items()}


def _open(worker: str, agent: str, rows: Sequence[Row], tree: RunTree) -> list[Interval]:
    """Invocations of a worker that hold no work of the agent: what happens inside them the worker waits for by itself."""
    around = {
        number
        for node in tree.nodes
        if node.row["agent"] == agent
        for number in tree.above(node.number)
    }  # fmt: skip
    return [
        (node.start, node.end)
        for node in tree.nodes
        if node.row["kind"] == SpanKind.AGENT and node.row["agent"] == worker and node.number not in around
    ]


def _clipped(intervals: Sequence[Interval], tree: RunTree) -> list[Interval]:
    bounds: Interval = (tree.start, tree.end)
    return union([common for one in intervals if (common := intersection([one, bounds])) is not None])


def _common(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    """Where both lists of disjoint intervals have points."""
    return common_windows([*one, *other], 2)


def _without(whole: Sequence[Interval], part: Sequence[Interval]) -> list[Interval]:
    """`whole` without the points of `part`; both disjoint and in order."""
    left: list[Interval] = []
    for start, end in whole:
        cursor = start
        for first, last in part:
            if end is None or last is None or last <= cursor or first >= end:
                continue
            if first > cursor:
                left.append((cursor, first))
            cursor = max(cursor, last)
        if end is not None and cursor < end:
            left.append((cursor, end))
    return left


def _rounds(agent: str, workers: set[str], rows: Sequence[Row]) -> tuple[int, list[Row]]:
    """(times that a worker's call or work lay between two pieces of the agent's work, these pieces).

    It lies where its middle lies, since the clocks of the two may differ.
    """
    pieces = [row for row in rows if row["kind"] in _WORK and row["agent"] == agent and row["end_ns"] is not None]
    middles = sorted(
        (row["start_ns"] + row["end_ns"]) // 2
        for row in rows
        if row["kind"] in (*_WORK, SpanKind.AGENT) and row["agent"] in workers and row["end_ns"] is not None
    )
    rounds = sum(
        bisect_left(middles, after["start_ns"]) > bisect_left(middles, before["end_ns"])
        for before, after in pairwise(pieces)
    )
    return rounds, pieces


def _finding(run_id: str, load: _Load, t: BottleneckThresholds) -> Finding:
    queue = load.idle_share >= t.queue and sum(time > 0 for time in load.workers.values()) >= t.idle_workers
    idle = sum(load.workers.values())
    workers = sorted(load.workers, key=lambda name: (-load.workers[name], name))
    start = load.spans[0]["start_ns"]
    sure = 0.85 if queue and load.waited else 0.65 if queue else 0.55
    return Finding(
        kind=KIND,
        severity="warning",
        confidence=sure,
        title=f"{load.agent} holds up {listing(workers, 4)}: {share(load.path_share)} of the critical path is its own work"
        + (f", {duration(idle)} of waiting" if queue else ", one worker at a time"),
        explanation=(
            f"Of the {duration(load.length_ns)} that this run took, {share(load.path_share)} of the critical path is {load.agent}'s own work, in "
            f"{amount(len(load.spans), 'piece')}, the first {since(start, load.start_ns)}. "
            + (
                f"While it worked, {listing(workers)} stood idle for {duration(idle)} together, {share(load.idle_share)} of the run"
                f" ({listing(f'{name} {duration(load.workers[name])}' for name in workers[:4])}). "
                if queue
                else f"It took turns with {amount(len(workers), 'worker')} {load.rounds} times, and never were two of them at work for long: "
                f"{share(load.alone_share)} of the working time exactly one agent worked. "
            )
            + f"Making a worker faster hardly shortens such a run; making {load.agent} faster, or going around it, does. "
            + (
                "Sure because the waits for it were recorded."
                if queue and load.waited
                else "Fairly sure: no waits are recorded, open invocations without any work were taken for waiting."
                if queue
                else "Only likely: whether the workers' parts depend on each other cannot be seen."
            )
        ),
        suggestion=(
            f"Let workers hand results to each other directly, or have {load.agent} check several in one call (or with a cheaper, faster model); "
            "give independent parts to workers side by side, and ask the lead only where a decision is needed."
        ),
        trace_id=run_id,
        spans=tuple(dict.fromkeys([*(row["span_id"] for row in load.spans), *load.waits])),
        agents=(load.agent, *workers),
        start_ns=start,
        end_ns=load.spans[-1]["end_ns"],
        checked=(
            Check(rule="share of the critical path that is the agent's own work", value=round(load.path_share, 4), threshold=t.path if queue else t.hub_path, passed=True),
            Check(rule="workers idle while it worked", value=sum(time > 0 for time in load.workers.values()), threshold=t.idle_workers, passed=queue),
            Check(rule="their idle time as a share of the run", value=round(load.idle_share, 4), threshold=t.queue, passed=queue),
            Check(rule="waits for it were recorded", value=load.waited, threshold=True, passed=load.waited),
            Check(rule="share of the working time with one agent at work", value=round(load.alone_share, 4), threshold=t.hub_alone, passed=load.alone_share >= t.hub_alone),
            Check(rule="rounds between it and a worker", value=load.rounds, threshold=t.hub_rounds, passed=load.rounds >= t.hub_rounds),
        ),
        data={
            "bottleneck": load.agent,
            "path_share": round(load.path_share, 4),
            "alone_share": round(load.alone_share, 4),
            "idle_s": {name: round(load.workers[name] / 1e9, 3) for name in workers},
            "lost_s": round(idle / 1e9, 3),
            "rounds": load.rounds,
            "shape": "queue" if queue else "hub",
            "wasted_spans": [],
        },
    )  # fmt: skip
