"""When did a series change its level? CUSUM with binary segmentation, at least `LEAST` values a segment.

    values   . : . .. : . . :' '' : '.' '' ':'
    CUSUM                    ^ the farthest point from a straight line

The largest excursion of the sum of deviations, over its long-run spread, follows Kolmogorov's distribution where nothing changed; the
search over all positions is in that p already. Amounts come as ranks, so that outliers do not count for more than one run. The
long-run spread (Bartlett weights) keeps bursts of alike runs from looking like a change. Source: Ploberger & Kramer 1992; Inclan & Tiao
1994 for segmentation. Cost O(values) a segment; longer series are averaged in blocks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

LEAST = 20
"""values on either side of a change"""
MOST_POINTS = 2_000
MOST_CHANGES = 5
NEAR = 0.9
"""share of the largest excursion from which on a position could be the change as well"""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """`at` is the first value of the new level; it may lie anywhere in [first, last]."""

    at: int
    first: int
    last: int
    p: float
    start: int
    end: int
    """the segment it was found in: values [start, at) are before, [at, end) after"""


def find_changes(
    values: Sequence[float], *, alpha: float = 0.05, least: int = LEAST, most: int = MOST_CHANGES
) -> list[ChangePoint]:
    """Changes of level with p of at most `alpha`, the surest first in the search, returned in order of place.

    `start` and `end` reach to the neighbouring changes, so that before and after are each of one level.
    """
    size = max(1, -(-len(values) // MOST_POINTS))
    blocks = [sum(part) / len(part) for at in range(0, len(values), size) if (part := values[at : at + size])]
    shortest = max(2, -(-least // size))
    found: list[ChangePoint] = []
    pending = [(0, len(blocks))]
    while pending and len(found) < most:
        start, end = pending.pop(0)
        change = _one(blocks, start, end, shortest)
        if change is not None and change.p <= alpha:
            found.append(change)
            pending += [(start, change.at), (change.at, end)]
    found.sort(key=lambda change: change.at)
    edges = [0, *(change.at for change in found), len(blocks)]

    def place(block: int) -> int:
        return min(len(values), block * size)

    return [
        ChangePoint(place(c.at), place(c.first), place(c.last), c.p, place(edges[i]), place(edges[i + 2]))
        for i, c in enumerate(found)
    ]


def _one(values: Sequence[float], start: int, end: int, least: int) -> ChangePoint | None:
    n = end - start
    if n < 2 * least:
        return None
    mean = sum(values[start:end]) / n
    deviations = [value - mean for value in values[start:end]]
    total, sums = 0.0, list[float]()
    for one in deviations:
        total += one
        sums.append(abs(total))
    inside = range(least - 1, n - least)
    at = max(inside, key=lambda place: sums[place], default=None)
    if at is None or not sums[at]:
        return None
    before, after = sum(deviations[: at + 1]) / (at + 1), sum(deviations[at + 1 :]) / (n - at - 1)
    # The spread within both levels, not around the common mean: a large change must not hide itself.
    spread = _long_run([one - (before if place <= at else after) for place, one in enumerate(deviations)])
    if not spread:
        return ChangePoint(start + at + 1, start + at + 1, start + at + 1, 0.0, start, end)
    near = [place for place in inside if sums[place] >= NEAR * sums[at]]
    return ChangePoint(
        start + at + 1, start + near[0] + 1, start + near[-1] + 1, kolmogorov_p(sums[at] / sqrt(spread * n)), start, end
    )


def _long_run(residuals: Sequence[float]) -> float:
    """Long-run variance; at least the plain one."""
    n = len(residuals)
    plain = sum(one * one for one in residuals) / n
    lags = min(20, int(n ** (1 / 3)))
    more = 0.0
    for lag in range(1, lags + 1):
        more += (
            2 * (1 - lag / (lags + 1)) * sum(residuals[place] * residuals[place - lag] for place in range(lag, n)) / n
        )
    # The two levels were fitted to the same values; that takes about this much of the spread away.
    return max(plain, plain + more) * n / max(1, n - 2 * lags)


def kolmogorov_p(x: float) -> float:
    """P(max |Brownian bridge| > x)."""
    if x < 0.2:
        return 1.0
    return max(0.0, min(1.0, 2 * sum((-1) ** (k - 1) * exp(-2 * k * k * x * x) for k in range(1, 50))))
