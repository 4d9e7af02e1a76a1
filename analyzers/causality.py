"""Who could have known what: the happens-before relation of one run, from recorded order rather than clocks alone.

    parent     |==========================================|
    planner      |=====x=====|            x ~> y: planner ended before writer began under the same parent
    writer                      |====y====|
    critic       |========z=========|     x and z: concurrent, neither could have read the other

Every span is two events, its start and its end. Edges:
    parent start -> child start, child end -> parent end (the parent waits for what it started, where the times say so)
    end -> start of the next span of the same parent, or of the same agent (program order)
    message or handoff -> the next span of the agent it goes to; linked span -> span (span links); write of a version -> read of it
A later start in another process counts as ordered only beyond the clock error `skew_ns`.
Build O(n log n); a question is one search over the edges, answered for a handful of pairs per run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import polars as pl

from analyzers.frames import Frames
from tracer.model import SpanKind

SKEW_NS = 50_000_000
"""clock error allowed between two processes, unless the run itself shows a larger one"""
FAR_NS = 2**62

Row = dict[str, Any]


def clock_error_ns(spans: pl.DataFrame, links: pl.DataFrame | None = None) -> int:
    """By how much the clocks of the processes in `spans` (one run or several) may differ: `SKEW_NS`, or what the recording proves.

    An effect that stands before its cause in another process is a clock that is wrong by at least that much: a child that
    started before its parent, a span before what it is linked to, a read before the write of the version it saw. A set-based
    look at such pairs; one process alone has one clock, and the answer is `SKEW_NS` at once.
    """
    if spans["pid"].n_unique() < 2:
        return SKEW_NS
    cause = spans.select("trace_id", cause_id="span_id", cause_ns="start_ns", cause_pid="pid")
    pairs = [
        spans.select("trace_id", "pid", "start_ns", cause_id="parent_span_id").join(cause, on=["trace_id", "cause_id"])
    ]
    if links is not None and not links.is_empty():
        linked = links.select("trace_id", "span_id", cause_trace="linked_trace_id", cause_id="linked_span_id")
        effect = linked.join(spans.select("trace_id", "span_id", "pid", "start_ns"), on=["trace_id", "span_id"])
        pairs.append(effect.join(cause.rename({"trace_id": "cause_trace"}), on=["cause_trace", "cause_id"]))
    wrote = spans.filter(pl.col("kind") == SpanKind.STATE_WRITE).select(
        "run_id", "state_key", version_read="version_written", cause_ns="start_ns", cause_pid="pid"
    )
    reads = spans.filter(pl.col("kind") == SpanKind.STATE_READ).select(
        "run_id", "state_key", "version_read", "pid", start_ns=pl.coalesce("end_ns", "start_ns")
    )
    pairs.append(reads.join(wrote, on=["run_id", "state_key", "version_read"]))
    worst = SKEW_NS
    for pair in pairs:
        early = (
            pair.filter(pl.col("pid") != pl.col("cause_pid"))
            .select((pl.col("cause_ns") - pl.col("start_ns")).max())
            .item()
        )
        worst = max(worst, early or 0)
    return worst


def clock_errors(frames: Frames, run_ids: pl.Series) -> dict[str, int]:
    """`clock_error_ns` of each of these runs."""
    held = frames.spans.lazy().filter(pl.col("run_id").is_in(run_ids.unique().implode()))
    pids = held.group_by("run_id").agg(pl.col("pid").n_unique()).collect()
    return {
        run_id: clock_error_ns(frames.spans_of(run_id), frames.links) if count > 1 else SKEW_NS
        for run_id, count in pids.iter_rows()
    }


class HappensBefore:
    """The relation of one run. `spans`: rows of that run (any order); `links`: rows of table `links`, more may be given.

    `skew_ns`: by how much clocks of two processes may differ; by default what `clock_error_ns` says.
    """

    def __init__(self, spans: pl.DataFrame, links: pl.DataFrame | None = None, *, skew_ns: int | None = None) -> None:
        columns = ["trace_id", "span_id", "parent_span_id", "kind", "agent", "agent_id", "target_agent", "start_ns", "end_ns", "pid",
                   "state_key", "version_read", "version_written"]  # fmt: skip
        rows = spans.select(columns).sort("start_ns", "span_id").to_dicts()
        self._skew_ns = clock_error_ns(spans, links) if skew_ns is None else skew_ns
        self._node: dict[str, int] = {row["span_id"]: number for number, row in enumerate(rows)}
        self._edges: dict[int, list[int]] = defaultdict(list)
        self._next = 2 * len(rows)
        self._reached: dict[int, set[int]] = {}
        self._nest(rows)
        self._sequence(
            rows, lambda row: ("parent", row["trace_id"], row["parent_span_id"]) if row["parent_span_id"] else None
        )
        self._sequence(rows, lambda row: ("agent", row["agent_id"] or row["agent"]) if row["agent"] else None)
        self._deliver(rows)
        self._read_versions(rows)
        for span_id, linked in () if links is None else links.select("span_id", "linked_span_id").iter_rows():
            if span_id in self._node and linked in self._node:
                self._edges[self._end(linked)].append(self._start(span_id))

    def before(self, one: str, other: str) -> bool:
        """True where what `one` came to could be known when `other` came to its result (its end)."""
        if one == other:
            return False
        origin = self._end(one)
        if origin not in self._reached:
            self._reached[origin] = self._search(origin)
        return self._end(other) in self._reached[origin]

    def concurrent(self, one: str, other: str) -> bool:
        """True where neither could have known the other's result."""
        return not self.before(one, other) and not self.before(other, one)

    def _start(self, span_id: str) -> int:
        return 2 * self._node[span_id]

    def _end(self, span_id: str) -> int:
        return 2 * self._node[span_id] + 1

    def _search(self, origin: int) -> set[int]:
        seen = {origin}
        pending = [origin]
        while pending:
            for follower in self._edges.get(pending.pop(), ()):
                if follower not in seen:
                    seen.add(follower)
                    pending.append(follower)
        return seen

    def _nest(self, rows: Sequence[Row]) -> None:
        spans = {row["span_id"]: row for row in rows}
        for row in rows:
            own = row["span_id"]
            self._edges[self._start(own)].append(self._end(own))
            parent = spans.get(row["parent_span_id"])
            if parent is None or parent["span_id"] == own:
                continue
            self._edges[self._start(parent["span_id"])].append(self._start(own))
            if row["end_ns"] is not None and row["end_ns"] <= _end_ns(parent):
                self._edges[self._end(own)].append(self._end(parent["span_id"]))

    def _sequence(self, rows: Sequence[Row], lane_of: Callable[[Row], Hashable | None]) -> None:
        """End -> later start within a lane, between two processes only beyond the clock error. One join node per end keeps the
        number of edges linear: ends are sorted, join k is reached from ends 1..k, and a start follows the last join before it."""
        lanes: dict[Hashable, list[Row]] = defaultdict(list)
        for row in rows:
            lane = lane_of(row)
            if lane is not None:
                lanes[lane].append(row)
        for members in lanes.values():
            by_process: dict[int | None, list[Row]] = defaultdict(list)
            for row in members:
                by_process[row["pid"]].append(row)
            for own in by_process.values():  # one clock
                self._follow(own, 0)
            if len(by_process) > 1:
                self._follow(members, self._skew_ns)

    def _follow(self, members: Sequence[Row], margin_ns: int) -> None:
        if len(members) < 2:
            return
        ended = sorted(
            (row for row in members if row["end_ns"] is not None), key=lambda row: (row["end_ns"], row["span_id"])
        )
        joins: list[int] = []
        for row in ended:
            join, self._next = self._next, self._next + 1
            if joins:
                self._edges[joins[-1]].append(join)
            self._edges[self._end(row["span_id"])].append(join)
            joins.append(join)
        stamps = [row["end_ns"] for row in ended]
        for row in members:
            place = bisect_right(stamps, row["start_ns"] - margin_ns)
            # A span of no length ends when it starts; it must not follow itself, nor its equals in time.
            while place and stamps[place - 1] >= row["start_ns"] and row["end_ns"] == row["start_ns"]:
                place -= 1
            if place:
                self._edges[joins[place - 1]].append(self._start(row["span_id"]))

    def _deliver(self, rows: Sequence[Row]) -> None:
        """A message or handoff reaches the next span that its receiver starts."""
        starts: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for row in rows:
            if row["agent"] and row["kind"] != SpanKind.MESSAGE:
                starts[row["agent"]].append((row["start_ns"], row["span_id"]))
        for row in rows:
            if (
                row["kind"] not in (SpanKind.MESSAGE, SpanKind.HANDOFF)
                or not row["target_agent"]
                or row["end_ns"] is None
            ):
                continue
            waiting = starts.get(row["target_agent"], [])
            place = bisect_right(waiting, (row["end_ns"], ""))
            if place < len(waiting) and waiting[place][1] != row["span_id"]:
                self._edges[self._end(row["span_id"])].append(self._start(waiting[place][1]))

    def _read_versions(self, rows: Iterable[Row]) -> None:
        held = list(rows)
        made = {
            (row["state_key"], row["version_written"]): row["span_id"]
            for row in held
            if row["kind"] == SpanKind.STATE_WRITE and row["version_written"] is not None
        }
        for row in held:
            if row["kind"] == SpanKind.STATE_READ and row["version_read"] is not None:
                writer = made.get((row["state_key"], row["version_read"]))
                if writer is not None and writer != row["span_id"]:
                    self._edges[self._start(writer)].append(self._end(row["span_id"]))


def _end_ns(row: Row) -> int:
    return FAR_NS if row["end_ns"] is None else row["end_ns"]
