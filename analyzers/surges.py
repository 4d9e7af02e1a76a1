"""Stretches of time in which a quantity runs far above what it was before. Knows nothing of money or runs.

    bins     1 0 2 1 1 0 2 | 1 9 8 9 7 | 1 0
    windows  [   sum of `length` bins   ], each compared with earlier windows of the same length that do not overlap it
    surge                      =======      windows that stick out, joined where they touch

A window sticks out when it is above `ratio` x the median of the earlier windows with anything in them, *and* its logarithm lies more than
`z` robust standard deviations above theirs. Windows that stuck out are no baseline for the next `SETTLED` windows, so a long surge stays one;
after that a new level is what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log
from statistics import median

SETTLED = 14
"""windows after which a raised level counts as usual (two weeks of days)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """A surge over the bins [first, last]."""

    first: int
    last: int
    peak: float
    """the largest window sum"""
    usual: float
    """median of the windows before"""
    z: float
    """of the largest window"""
    windows: int
    """windows it was compared with"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one window compares with those before it."""

    usual: float
    z: float
    windows: int


def find_surges(
    bins: Sequence[float],
    length: int,
    *,
    ratio: float,
    z: float,
    spread_floor: float,
    enough: int,
    memory: int,
    least: float,
) -> list[Surge]:
    """The surges of `bins` seen through windows of `length` bins. `enough`: earlier windows needed; `memory`: at most so many are looked at;
    `least`: sums below it never stick out."""
    total = [0.0, *accumulate(bins)]
    sums = [total[at + length] - total[at] for at in range(max(0, len(bins) - length + 1))]
    struck: list[tuple[int, Verdict]] = []
    raised = [False] * len(bins)
    for at, value in enumerate(sums):
        if value < least:
            continue
        verdict = _compare(sums, raised, at, length, spread_floor, enough, memory)
        if verdict and value > ratio * verdict.usual and verdict.z > z:
            struck.append((at, verdict))
            raised[at : at + length] = [True] * length
    return _join(bins, sums, struck, length, ratio)


def _compare(
    sums: Sequence[float], raised: Sequence[bool], at: int, length: int, spread_floor: float, enough: int, memory: int
) -> Verdict | None:
    before: list[float] = []
    for earlier in range(at - length, -1, -length):
        fresh = at - earlier <= SETTLED * length
        if sums[earlier] > 0 and not (fresh and any(raised[earlier : earlier + length])):
            before.append(sums[earlier])
        if len(before) >= memory:
            break
    if len(before) < enough:
        return None
    logs = [log(value) for value in before]
    centre = median(logs)
    spread = max(1.4826 * median(abs(value - centre) for value in logs), spread_floor)
    return Verdict(median(before), (log(sums[at]) - centre) / spread, len(before))


def _join(
    bins: Sequence[float], sums: Sequence[float], struck: Sequence[tuple[int, Verdict]], length: int, ratio: float
) -> list[Surge]:
    """Windows that touch are one surge."""
    surges: list[Surge] = []
    group: list[tuple[int, Verdict]] = []
    for at, verdict in [*struck, (len(bins) + length + 1, Verdict(0, 0, 0))]:
        if group and at > group[-1][0] + length:
            top, best = max(group, key=lambda item: (sums[item[0]], -item[0]))
            first, last = _densest(bins, group[0][0], group[-1][0] + length - 1, ratio * best.usual / length)
            surges.append(
                Surge(first=first, last=last, peak=sums[top], usual=best.usual, z=best.z, windows=best.windows)
            )
            group = []
        group.append((at, verdict))
    return surges


def _densest(bins: Sequence[float], first: int, last: int, usual: float) -> tuple[int, int]:
    """The stretch of [first, last] with the largest sum above `usual` a bin: windows reach over the edges of a surge, this does not."""
    best, span = float("-inf"), (first, last)
    running, start = 0.0, first
    for index in range(first, last + 1):
        if running <= 0:
            running, start = 0.0, index
        running += bins[index] - usual
        if running > best:
            best, span = running, (start, index)
    return span
