"""Spans of one run as a forest in depth-first order: a subtree is an index range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from analyzers.frames import Frames


@dataclass(frozen=True)
class Tree:
    """Every list has one entry per span, in depth-first order; siblings stand in order of their start.

    `parent` is -1 for a root, `subtree_end[i]` the first index after the subtree of `i`. `stop` is the end in ns, filled for
    spans that have none: running spans reach to `horizon` (the last thing that happened), interrupted ones to their last child.
    `orphan` marks spans whose parent was named but never arrived.
    """

    frame: pl.DataFrame
    parent: list[int]
    depth: list[int]
    subtree_end: list[int]
    start: list[int]
    stop: list[int]
    orphan: list[bool]
    t0: int
    horizon: int

    def __len__(self) -> int:
        return len(self.parent)

    @cached_property
    def ids(self) -> list[str]:
        return self.frame["span_id"].to_list()

    @cached_property
    def index(self) -> dict[str, int]:
        """span id -> position; where two traces of a run share a span id the first one wins."""
        index: dict[str, int] = {}
        for position, span_id in enumerate(self.ids):
            index.setdefault(span_id, position)
        return index

    def column(self, name: str) -> list[Any]:
        return self.frame[name].to_list()

    def ancestors(self, position: int) -> Iterator[int]:
        """Parents of `position`, nearest first."""
        while (position := self.parent[position]) >= 0:
            yield position

    def children(self, position: int) -> Iterator[int]:
        child = position + 1
        while child < self.subtree_end[position]:
            yield child
            child = self.subtree_end[child]

    @cached_property
    def self_ns(self) -> list[int]:
        """Duration minus the time covered by children (overlaps once, clipped to the parent)."""
        covered = [0] * len(self)
        cursor = list(self.start)
        for i, parent in enumerate(self.parent):
            if parent < 0:
                continue
            # Siblings come in order of start, so one cursor per parent measures the union of their intervals.
            begin, end = max(self.start[i], cursor[parent]), min(self.stop[i], self.stop[parent])
            if end > begin:
                covered[parent] += end - begin
                cursor[parent] = end
        return [max(0, b - a - c) for a, b, c in zip(self.start, self.stop, covered, strict=True)]


def build_tree(frames: Frames) -> Tree:
    """The forest of one run. Parent cycles are cut at their earliest span; nothing is dropped. O(n log n)."""
    frame = frames.spans.sort("start_ns", "span_id", maintain_order=True)
    n = frame.height
    keys = list(zip(frame["trace_id"].to_list(), frame["span_id"].to_list(), strict=True))
    parents: list[str | None] = frame["parent_span_id"].to_list()
    where: dict[tuple[str, str], int] = {}
    for i, key in enumerate(keys):
        where.setdefault(key, i)
    up = [-1] * n
    children: dict[int, list[int]] = {}  # only of those that have any: most spans are leaves
    roots: list[int] = []
    for i, parent in enumerate(parents):
        j = where.get((keys[i][0], parent), -1) if parent else -1
        if j >= 0 and j != i:
            up[i] = j
            children.setdefault(j, []).append(i)
        else:
            roots.append(i)
    order: list[int] = []
    parent_at: list[int] = []
    depth: list[int] = []
    seen = bytearray(n)

    def walk(root: int) -> None:
        stack = [(root, -1, 0)]
        while stack:
            i, above, level = stack.pop()
            if seen[i]:
                continue
            seen[i] = 1
            position = len(order)
            order.append(i)
            parent_at.append(above)
            depth.append(level)
            if i in children:
                stack.extend([(child, position, level + 1) for child in reversed(children[i])])

    # Row order is start order, so a cycle (not reachable from any root) is entered at its earliest span.
    for root in roots:
        walk(root)
    looped = [i for i in range(n) if not seen[i]]
    for i in looped:
        if not seen[i]:
            walk(i)

    subtree_end = list(range(1, n + 1))
    for i in range(n - 1, -1, -1):
        if (parent := parent_at[i]) >= 0:
            subtree_end[parent] = max(subtree_end[parent], subtree_end[i])
    frame = frame[order]
    start: list[int] = frame["start_ns"].to_list()
    ends: list[int | None] = frame["end_ns"].to_list()
    running = [status == "running" for status in frame["status"].to_list()]
    horizon = max((max(a, b or a) for a, b in zip(start, ends, strict=True)), default=0)
    stop = [max(a, b) if b is not None else horizon if r else a for a, b, r in zip(start, ends, running, strict=True)]
    for i in range(n - 1, -1, -1):
        if (parent := parent_at[i]) >= 0 and ends[parent] is None and not running[parent]:
            stop[parent] = max(stop[parent], stop[i])
    named: list[str | None] = frame["parent_span_id"].to_list()
    return Tree(
        frame=frame,
        parent=parent_at,
        depth=depth,
        subtree_end=subtree_end,
        start=start,
        stop=stop,
        orphan=[above < 0 and bool(name) for above, name in zip(parent_at, named, strict=True)],
        t0=min(start, default=0),
        horizon=horizon,
    )
