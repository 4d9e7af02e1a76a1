"""Pure interval arithmetic: half-open [start, end) pairs of integers. No domain words, no I/O.

An end of None means "still open" and is read as infinity. Empty intervals (end <= start) hold no point.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

Interval = tuple[int, int | None]


def closed_end(interval: Interval) -> float:
    """The end as a number; infinity where the interval is open."""
    return inf if interval[1] is None else interval[1]


def intersection(intervals: Iterable[Interval]) -> Interval | None:
    """The points that lie in all intervals, or None where there are none (or no intervals). O(n)."""
    start: int | None = None
    end = inf
    for one in intervals:
        start = one[0] if start is None else max(start, one[0])
        end = min(end, closed_end(one))
    if start is None or end <= start:
        return None
    return start, None if end == inf else int(end)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same points as disjoint intervals in order; touching ones are joined. O(n log n)."""
    joined: list[tuple[int, float]] = []
    for start, end in sorted((one[0], closed_end(one)) for one in intervals):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return [(start, None if end == inf else int(end)) for start, end in joined]


def covered(intervals: Iterable[Interval]) -> int:
    """How many points lie in at least one interval; all must be closed.

    Raises:
        ValueError: an interval is open, so that its length is infinite.
    """
    total = 0
    for start, end in union(intervals):
        if end is None:
            raise ValueError(f"the interval from {start} has no end")
        total += end - start
    return total


def common_windows(intervals: Iterable[Interval], at_least: int) -> list[Interval]:
    """Where `at_least` intervals lie on top of each other, as disjoint intervals in order. O(n log n)."""
    edges: list[tuple[float, int]] = []
    for one in intervals:
        if closed_end(one) > one[0]:
            edges += [(one[0], 1), (closed_end(one), -1)]
    windows: list[Interval] = []
    depth, opened = 0, 0.0
    for point, step in sorted(edges):  # an end sorts before a start at the same point: half-open intervals only touch
        before, depth = depth, depth + step
        if before < at_least <= depth:
            opened = point
        elif depth < at_least <= before and point > opened:
            windows.append((int(opened), None if point == inf else int(point)))
    return union(windows)
