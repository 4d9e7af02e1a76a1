"""Which work made a run take as long as it did: the chain of spans without a gap from its start to its end.

    run      |=====================================|      path, read backwards from the end:
    planner   |=====|                                     run's own tail <- writer <- gap (run's own) <- slow <- planner
    quick           |====|            slack: 9            quick is not on it: it could take 9 s longer for nothing
    slow            |=============|
    writer                          |=========|

From the end of a span the walk goes to the child that returned last before the cursor; what no child covers is the span's own
time (CRISP, USENIX ATC 2022). Children are clipped to their parent; a child that overlaps a later one is not on the path, nor is
one that its parent did not wait for. Where the path meets a wait for other agents it goes on in what they did meanwhile, and
where a gap ends with a span that a link says was caused elsewhere (a message, a join), in that cause. The pieces tile the run
exactly, whatever the trace looks like. The clocks of two processes differ: a span of one that overlaps the next, of another, by
less than 50 ms came before it. Where a parent never arrived, its children hang from the root of their trace. Nothing is recursive:
traces go deep. O(n log n), with waits O(n log n + waits x peers).

Limits: an unrecorded dependency shows as own time of the parent. Slack assumes that a sibling which started after a span needed it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzers.frames import Frames
from tracer.model import SpanKind

COLUMNS = ["trace_id", "span_id", "parent_span_id", "name", "kind", "agent", "target_agent", "start_ns", "end_ns",
           "wait_for", "reason", "pid"]  # fmt: skip
LEFT_BEHIND_NS = 50_000_000
"""a child that outlives its parent by more than clocks may differ was not waited for"""
OPEN = -1
"""number of the run itself, which stands for several roots and for what no span covers"""


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of the path, [start_ns, end_ns), spent in the own time of one span."""

    start_ns: int
    end_ns: int
    span_id: str | None
    """None where no span of the run covers the time (between the traces of a run that was split)"""
    agent: str | None
    kind: str
    name: str
    waited_by: str | None = None
    """the wait span in which the path was when it went on with this work of another agent"""

    @property
    def length_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Node:
    """A span as the walk needs it; an end that is not known is the end of the run."""

    number: int
    row: Mapping[str, Any]
    start: int
    end: int
    ended: bool


@dataclass(frozen=True)
class RunTree:
    """The spans of one run as a forest with times that never lie outside the run."""

    nodes: Sequence[Node]
    parent: Sequence[int]
    """number of the parent, `OPEN` for a root"""
    children: Mapping[int, Sequence[int]]
    start: int
    end: int
    causes: Mapping[int, Sequence[int]]
    """number of a span -> spans its links point to"""

    @classmethod
    def of(cls, frames: Frames) -> RunTree:
        """The tree of the one run in `frames`.

        With a single root the run lasts as long as that span, else from the first start to the last end.
        """
        rows = frames.spans.select(COLUMNS).sort("start_ns", "span_id").to_dicts()
        return cls.grown(rows, frames.links.select("span_id", "linked_span_id").iter_rows())

    @classmethod
    def grown(cls, rows: Sequence[Mapping[str, Any]], links: Iterable[tuple[str, str]]) -> RunTree:
        """As `of`, from rows of `COLUMNS` in order of start and span id, and links (span, linked span); others' links do no harm."""
        ends = [row["end_ns"] for row in rows if row["end_ns"] is not None]
        last = max([*ends, *(row["start_ns"] for row in rows)], default=0)
        nodes = [
            Node(i, row, row["start_ns"], max(row["start_ns"], last if row["end_ns"] is None else row["end_ns"]),
                 row["end_ns"] is not None)
            for i, row in enumerate(rows)
        ]  # fmt: skip
        place = {(row["trace_id"], row["span_id"]): i for i, row in enumerate(rows)}
        roots = {row["trace_id"]: i for i, row in reversed(list(enumerate(rows))) if not row["parent_span_id"]}
        parent = without_circles(
            [
                place.get((row["trace_id"], row["parent_span_id"]), roots.get(row["trace_id"], OPEN))
                if row["parent_span_id"]
                else OPEN
                for row in rows
            ]
        )
        children: dict[int, list[int]] = defaultdict(list)
        for i, above in enumerate(parent):
            children[above].append(i)
        by_id = {row["span_id"]: i for i, row in enumerate(rows)}
        causes: dict[int, list[int]] = defaultdict(list)
        for span_id, linked in links:
            if span_id in by_id and linked in by_id:
                causes[by_id[span_id]].append(by_id[linked])
        tops = children.get(OPEN, [])
        first = min((node.start for node in nodes), default=0)
        end = max((node.end for node in nodes), default=0)
        if len(tops) == 1:
            first, end = nodes[tops[0]].start, nodes[tops[0]].end
        return cls(nodes, parent, children, first, end, causes)

    def above(self, number: int) -> set[int]:
        """The span and its ancestors; ends also where parents go round in a circle."""
        seen: set[int] = set()
        while number != OPEN and number not in seen:
            seen.add(number)
            number = self.parent[number]
        return seen

    def outermost(self, agent: str) -> list[int]:
        """The spans of an agent that do not lie in another of its spans."""
        return [
            node.number
            for node in self.nodes
            if node.row["agent"] == agent
            and (self.parent[node.number] == OPEN or self.nodes[self.parent[node.number]].row["agent"] != agent)
        ]


def without_circles(parent: Sequence[int]) -> list[int]:
    """The same parents with every circle opened at its first member: no walk downwards may come back to where it was.

    >>> without_circles([1, 0, 1, OPEN, 4])
    [-1, 0, 1, -1, -1]
    """
    opened = list(parent)
    settled: set[int] = set()
    for number in range(len(opened)):
        path: dict[int, None] = {}
        while number != OPEN and number not in settled and number not in path:
            path[number] = None
            number = opened[number]
        if number in path:
            members = list(path)
            opened[min(members[members.index(number) :])] = OPEN
        settled.update(path)
    return opened


def find_critical_path(frames: Frames) -> list[Piece]:
    """The path of the one run in `frames`, in order of time; its pieces tile the run without gap or overlap.

    Empty for a run without spans or without any length.
    """
    return walk(RunTree.of(frames))


def walk(tree: RunTree) -> list[Piece]:
    """As `find_critical_path`, for a tree that is already built."""
    pieces: list[Piece] = []
    work: dict[str, list[int]] = {}
    # Every entry is a stretch of time to be tiled by one span and what it did; stretches never overlap, so order is free.
    pending: list[tuple[int, int, int, int | None, frozenset[int]]] = [(OPEN, tree.start, tree.end, None, frozenset())]
    while pending:
        number, start, end, waiter, waits = pending.pop()
        candidates: Iterable[int] = tree.children.get(number, ())
        if number != OPEN and tree.nodes[number].row["kind"] == SpanKind.WAIT and number not in waits:
            waits = waits | {number}
            peers = _peers(tree, number, start, end, work)
            if peers:
                candidates, waiter = peers, number
        cursor, after = end, None
        for child, begins, ends in _latest_first(tree, number, candidates, start, end):
            if ends > cursor:
                if not _by_clock_only(tree, child, after, begins, ends, cursor):
                    continue
                ends = cursor
            if ends < cursor:
                pending += _gap(tree, pieces, number, after, ends, cursor, waiter, waits)
            pending.append((child, begins, ends, waiter, waits))
            cursor, after = begins, child
        if cursor > start:
            pending += _gap(tree, pieces, number, after, start, cursor, waiter, waits)
    return sorted(pieces, key=lambda piece: piece.start_ns)


def _by_clock_only(tree: RunTree, child: int, after: int | None, begins: int, ends: int, cursor: int) -> bool:
    """Whether `child` overlaps `after`, which the path goes on from, by no more than the clocks of two processes may differ,
    and lay before it for the most part: the one followed on the other."""
    if after is None or ends - cursor > LEFT_BEHIND_NS or 2 * (ends - cursor) >= ends - begins:
        return False
    clocks = {tree.nodes[one].row.get("pid") for one in (child, after)}
    return None not in clocks and len(clocks) == 2


def _latest_first(
    tree: RunTree, number: int, candidates: Iterable[int], start: int, end: int
) -> list[tuple[int, int, int]]:
    """(number, start, end) clipped to the stretch: what returned last first; of equals the one that really ended there."""
    known = None if number == OPEN else tree.nodes[number]
    clipped: list[tuple[int, bool, int, int]] = []
    for one in candidates:
        node = tree.nodes[one]
        begins, ends = max(node.start, start), min(node.end, end)
        apart = known is not None and tree.parent[one] == number and known.ended
        if ends <= begins or (apart and known is not None and node.ended and node.end > known.end + LEFT_BEHIND_NS):
            continue
        clipped.append((ends, node.end <= end, begins, one))
    clipped.sort(key=lambda held: (-held[0], not held[1], held[2], held[3]))
    return [(one, begins, ends) for ends, _, begins, one in clipped]


def _gap(
    tree: RunTree,
    pieces: list[Piece],
    number: int,
    after: int | None,
    start: int,
    end: int,
    waiter: int | None,
    waits: frozenset[int],
) -> list[tuple[int, int, int, int | None, frozenset[int]]]:
    """Tile a stretch that no child of `number` covers: by the cause of the span that starts at its end, where a link
    names one that was at work meanwhile, else as own time. Returns what is left to walk."""
    if after is not None and after in tree.causes and after not in waits:
        barred = tree.above(after) | {number}
        found = [
            (min(tree.nodes[cause].end, end), max(tree.nodes[cause].start, start), cause)
            for cause in tree.causes[after]
            if cause not in barred and min(tree.nodes[cause].end, end) > max(tree.nodes[cause].start, start)
        ]
        if found:
            ends, begins, cause = max(found)
            if ends < end:
                pieces.append(_piece(tree, number, ends, end, waiter))
            if begins > start:
                pieces.append(_piece(tree, number, start, begins, waiter))
            return [(cause, begins, ends, waiter, waits | {after})]
    pieces.append(_piece(tree, number, start, end, waiter))
    return []


def _peers(tree: RunTree, wait: int, start: int, end: int, work: dict[str, list[int]]) -> list[int]:
    """What the agents that are waited for did during the wait; where none is named, those whose message came meanwhile."""
    row = tree.nodes[wait].row
    names: set[str] = set(row["wait_for"] or ())
    if not names and row["agent"]:
        names = {
            node.row["agent"]
            for node in tree.nodes
            if node.row["kind"] == SpanKind.MESSAGE and node.row["target_agent"] == row["agent"]
            and node.row["agent"] and start < node.end <= end
        }  # fmt: skip
    barred = tree.above(wait)
    found: list[int] = []
    for name in sorted(names - {row["agent"] or ""}):
        if name not in work:
            work[name] = tree.outermost(name)
        found += [one for one in work[name] if one not in barred]
    return found


def _piece(tree: RunTree, number: int, start: int, end: int, waiter: int | None) -> Piece:
    waited = None if waiter is None or waiter == number else str(tree.nodes[waiter].row["span_id"])
    if number == OPEN:
        return Piece(start, end, None, None, SpanKind.OTHER, "between spans", waited)
    row = tree.nodes[number].row
    return Piece(start, end, row["span_id"], row["agent"], row["kind"], row["name"], waited)


def find_slack(tree: RunTree, pieces: Sequence[Piece]) -> dict[str, int]:
    """span_id -> ns by which the span could have ended later without the run ending later; 0 on the path.

    A span is needed by the siblings that started after it and by its parent's end; their slack is its own as well.
    """
    on_path = {piece.span_id for piece in pieces}
    depth = [0] * len(tree.nodes)
    order = list(tree.children.get(OPEN, ()))
    for number in order:  # grows while it is read: breadth first
        for child in tree.children.get(number, ()):
            depth[child] = depth[number] + 1
            order.append(child)
    # Backwards in time: a start says by when it was needed at the latest, an end asks for the earliest of these so far.
    # At one moment starts come before ends, spans without length between them, parents before children.
    moments: list[tuple[int, int, int, int]] = []
    for number in order:
        node = tree.nodes[number]
        if node.end == node.start:
            moments.append((-node.end, 1, depth[number], -number))
        else:
            moments += [(-node.start, 0, 0, -number), (-node.end, 2, depth[number], -number)]
    needed: dict[int, int] = defaultdict(lambda: tree.end)
    slack: dict[int, int] = {}
    for _, moment, _, minus in sorted(moments):
        number = -minus
        node, above = tree.nodes[number], tree.parent[number]
        if moment:
            left = 0 if node.row["span_id"] in on_path else max(0, needed[above] - node.end)
            slack[number] = left
            needed[number] = min(needed[number], node.end + left)
        if moment < 2:
            needed[above] = min(needed[above], node.start + slack.get(number, 0))
    return {str(tree.nodes[one].row["span_id"]): left for one, left in slack.items()}


def critical_path_document(frames: Frames, *, shown: int = 10) -> dict[str, Any]:
    """The `critical_path` of one run in the JSON document.

    `pieces` tile the run; `by_agent` and `by_kind` sum to `duration_s`; `waits` tells per reason how long spans waited in
    all, and how much of the path lay in such a wait (what peers did meanwhile included); `slack` names the longest LLM,
    tool and agent spans off the path. A run without times of its own gets `{"skipped": reason}`.
    """
    if frames.timeless.len():
        return {"skipped": "the source has no times"}
    tree = RunTree.of(frames)
    pieces = walk(tree)
    if not pieces:
        return {"skipped": "the run has no length"}
    return {
        "start_ns": tree.start,
        "end_ns": tree.end,
        "duration_s": _seconds(tree.end - tree.start),
        "pieces": [
            {"span_id": p.span_id, "name": p.name, "agent": p.agent, "kind": str(p.kind), "start_ns": p.start_ns,
             "end_ns": p.end_ns, "waited_by": p.waited_by}
            for p in pieces
        ],
        "by_agent": _totals("agent", pieces),
        "by_kind": _totals("kind", pieces),
        "waits": _waits(tree, pieces),
        "slack": _loose(tree, pieces, shown),
        "parallelism": parallelism(frames.spans, tree.end - tree.start),
    }  # fmt: skip


def parallelism(spans: pl.DataFrame, length_ns: int) -> float | None:
    """LLM and tool time over the length of the run: how many calls ran at a time on average. None without such calls."""
    calls = spans.filter(pl.col("kind").is_in([SpanKind.LLM, SpanKind.TOOL]) & pl.col("duplicate_of").is_null())
    worked = int((calls["end_ns"] - calls["start_ns"]).sum() or 0)
    return round(worked / length_ns, 3) if worked and length_ns else None


def _totals(key: str, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    total = sum(piece.length_ns for piece in pieces)
    held: dict[str | None, int] = defaultdict(int)
    for piece in pieces:
        held[piece.agent if key == "agent" else str(piece.kind)] += piece.length_ns
    return [
        {key: name, "ns": ns, "seconds": _seconds(ns), "share": round(ns / total, 4)}
        for name, ns in sorted(held.items(), key=lambda entry: (-entry[1], entry[0] or ""))
    ]


def _waits(tree: RunTree, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    waits = {node.row["span_id"]: node for node in tree.nodes if node.row["kind"] == SpanKind.WAIT}
    whole: dict[str, int] = defaultdict(int)
    on_path: dict[str, int] = defaultdict(int)
    for node in waits.values():
        whole[node.row["reason"] or "unknown"] += node.end - node.start
    for piece in pieces:
        wait = waits.get(piece.span_id or "") or waits.get(piece.waited_by or "")
        if wait is not None:
            on_path[wait.row["reason"] or "unknown"] += piece.length_ns
    return [
        {"reason": reason, "seconds": _seconds(ns), "on_path_s": _seconds(on_path.get(reason, 0))}
        for reason, ns in sorted(whole.items(), key=lambda entry: (-entry[1], entry[0]))
    ]


def _loose(tree: RunTree, pieces: Sequence[Piece], shown: int) -> list[dict[str, Any]]:
    slack = find_slack(tree, pieces)
    on_path = {piece.span_id for piece in pieces}
    nodes = [
        node
        for node in tree.nodes
        if node.row["kind"] in (SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL)
        and node.row["span_id"] not in on_path
        and node.end > node.start
        and node.row["span_id"] in slack
    ]
    nodes.sort(key=lambda node: (node.start - node.end, node.row["span_id"]))
    return [
        {"span_id": node.row["span_id"], "name": node.row["name"], "agent": node.row["agent"],
         "seconds": _seconds(node.end - node.start), "slack_s": _seconds(slack[node.row["span_id"]])}
        for node in nodes[:shown]
    ]  # fmt: skip


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 6)
