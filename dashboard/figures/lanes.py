"""Rows for nested intervals: every subtree gets a block of its own below its parent, so nothing concurrent ever overlaps.

parent  |----------------------------|        row 0
a       |--------|                            row 1   a and c do not overlap in time: same row
  a1      |---|                               row 2
b            |----------|                     row 3   b starts while a runs: below the whole block of a
c                          |-----|            row 1
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import islice
from operator import le


def assign_lanes(parent: Sequence[int], start: Sequence[int], stop: Sequence[int]) -> list[int]:
    """Lane (0 at the top) of every interval of a forest in depth-first order; a parent's lane is above its children's.

    Two intervals of one lane never overlap, nor does a subtree's block with a concurrent sibling's. An empty interval counts
    as one unit long. O(n log n) for flat fan-outs; first fit, so lanes stay few.
    """
    n = len(parent)
    children: dict[int, list[int]] = {}
    for i, above in enumerate(parent):
        children.setdefault(above, []).append(i)
    roots = children.pop(-1, [])
    first, height, offset = list(start), [1] * n, [0] * n
    last = [end if end > begin else begin + 1 for begin, end in zip(start, stop, strict=True)]
    for i in sorted(children, reverse=True):  # children before parents
        kids = children[i]
        height[i] += _place(kids, first, last, height, offset)
        first[i] = min(first[i], min(map(first.__getitem__, kids)))
        last[i] = max(last[i], max(map(last.__getitem__, kids)))
    _place(roots, first, last, height, offset)
    lane = offset  # of the block below its parent, and from here on of all
    for i, above in enumerate(parent):
        if above >= 0:
            lane[i] += lane[above] + 1
    return lane


def _place(blocks: list[int], first: list[int], last: list[int], height: list[int], offset: list[int]) -> int:
    """First-fit the `blocks` (by extent start) into rows, write `offset`, return the number of rows used."""
    blocks = sorted(blocks, key=first.__getitem__)
    if all(map(le, map(last.__getitem__, blocks), map(first.__getitem__, islice(blocks, 1, None)))):
        return max(map(height.__getitem__, blocks), default=0)  # one after the other: all at the top
    rows = 0
    idle: list[int] = []  # sorted rows nobody uses now
    busy: list[tuple[int, int]] = []  # (free again at, row)
    for block in blocks:
        now, tall = first[block], height[block]
        while busy and busy[0][0] <= now:
            insort(idle, heappop(busy)[1])
        at = _gap(idle, tall, rows)
        taken = range(at, at + tall)
        # idle rows between `at` and the bottom are a contiguous slice of `idle`
        if at < rows:
            begin = idle.index(at)
            del idle[begin : begin + min(tall, rows - at)]
        rows = max(rows, at + tall)
        for row in taken:
            heappush(busy, (last[block], row))
        offset[block] = at
    return rows


def _gap(idle: list[int], tall: int, rows: int) -> int:
    """Top of the first run of `tall` idle rows; a run at the bottom may be extended by new rows."""
    if not idle:
        return rows
    if tall == 1:
        return idle[0]
    begin, length = idle[0], 1
    for row in idle[1:]:
        if length >= tall:
            return begin
        begin, length = (begin, length + 1) if row == begin + length else (row, 1)
    return begin if length >= tall or begin + length == rows else rows
