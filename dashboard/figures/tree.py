"""Spans of one run as a forest in depth-first order: a subtree is an index range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import lt
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

    spans: pl.DataFrame
    """the rows as they came"""
    order: pl.Series
    """for each position its row in `spans`"""
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
    def frame(self) -> pl.DataFrame:
        """All columns of the spans; whoever needs few of many spans asks for them with `select` or `column`."""
        return self.spans[self.order]

    @cached_property
    def ids(self) -> list[str]:
        return self.column("span_id")

    @cached_property
    def index(self) -> dict[str, int]:
        """span id -> position; where two traces of a run share a span id the first one wins."""
        index: dict[str, int] = {}
        for position, span_id in enumerate(self.ids):
            index.setdefault(span_id, position)
        return index

    def select(self, *names: str, **values: pl.Expr) -> pl.DataFrame:
        """Columns and values made of one row each."""
        return self.spans.select(*names, **values)[self.order]

    def column(self, name: str) -> list[Any]:
        return self.spans[name].gather(self.order).to_list()

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
    # Few columns until the order is known: to move all of a large run's costs more than everything else.
    keys = (
        frames.spans.select("trace_id", "span_id", "parent_span_id", "start_ns", "end_ns", "status")
        .with_row_index("row")
        .sort("start_ns", "span_id", maintain_order=True)
    )
    n = keys.height
    up = _parents(keys)
    downwards: Sequence[int] = range(n) if all(map(lt, up, range(n))) else _parents_first(up)
    size, place, depth = [1] * n, [0] * n, [0] * n
    for i in reversed(downwards):
        if (above := up[i]) >= 0:
            size[above] += size[i]
    free, free_below = 0, [0] * n  # the next position for a root, and for a child
    for i in downwards:
        if (above := up[i]) >= 0:
            at = free_below[above]
            free_below[above] = at + size[i]
            depth[i] = depth[above] + 1
        else:
            at = free
            free += size[i]
        place[i] = at
        free_below[i] = at + 1
    placed = keys.with_columns(
        place=pl.Series(place, dtype=pl.Int64),
        depth=pl.Series(depth, dtype=pl.Int64),
        size=pl.Series(size, dtype=pl.Int64),
    )
    above_row = pl.Series(up, dtype=pl.Int64)
    parent = placed["place"].gather(above_row.set(above_row < 0, None)).fill_null(-1)
    placed = placed.with_columns(parent=parent).sort("place")
    horizon: int = max(keys["start_ns"].max() or 0, keys["end_ns"].max() or 0) if n else 0  # pyright: ignore
    ended = pl.col("end_ns").is_not_null()
    running = pl.col("status") == "running"
    columns = placed.select(
        subtree_end=pl.col("place") + pl.col("size"),
        stop=pl.when(ended | ~running)
        .then(pl.max_horizontal("start_ns", "end_ns"))
        .otherwise(pl.max_horizontal("start_ns", pl.lit(horizon))),
        open=~ended & ~running,
        orphan=(pl.col("parent") < 0) & (pl.col("parent_span_id").fill_null("") != ""),
    )
    parents: list[int] = placed["parent"].to_list()
    stop: list[int] = columns["stop"].to_list()
    if columns["open"].any():
        interrupted: list[bool] = columns["open"].to_list()
        for i in range(n - 1, -1, -1):
            if (above := parents[i]) >= 0 and interrupted[above]:
                stop[above] = max(stop[above], stop[i])
    return Tree(
        spans=frames.spans,
        order=placed["row"],
        parent=parents,
        depth=placed["depth"].to_list(),
        subtree_end=columns["subtree_end"].to_list(),
        start=placed["start_ns"].to_list(),
        stop=stop,
        orphan=columns["orphan"].to_list(),
        t0=placed["start_ns"].min() or 0,  # pyright: ignore
        horizon=horizon,
    )


def _parents(keys: pl.DataFrame) -> list[int]:
    """For each row the row of its parent in the same trace, -1 where there is none."""
    known = (
        keys.select("trace_id", parent_span_id="span_id")
        .with_row_index("up")
        .filter(pl.col("parent_span_id") != "")
        .unique(["trace_id", "parent_span_id"], keep="first")
    )
    named = keys.select("trace_id", "parent_span_id")
    joined = named.join(known, on=["trace_id", "parent_span_id"], how="left", maintain_order="left")
    up = joined["up"].cast(pl.Int64).fill_null(-1).to_list()
    return [-1 if above == i else above for i, above in enumerate(up)]


def _parents_first(up: list[int]) -> list[int]:
    """All rows, parents before their children, siblings in their order. Cuts cycles in `up`."""
    children: dict[int, list[int]] = {}
    for i, above in enumerate(up):
        children.setdefault(above, []).append(i)
    order = children.get(-1, [])
    seen = bytearray(len(up))

    def descend(begin: int) -> None:
        while begin < len(order):
            i = order[begin]
            seen[i] = 1
            order.extend(children.get(i, ()))
            begin += 1

    descend(0)
    # Rows are in order of start, so a cycle (not reachable from any root) is entered at its earliest span.
    for i in range(len(up)):
        if not seen[i]:
            children[up[i]].remove(i)
            up[i] = -1
            order.append(i)
            descend(len(order) - 1)
    return order
