"""Other thresholds of one guard: what each would save and how many good runs it would stop, and the one worth taking.

Suggested is, among the thresholds that stop no more good runs than is tolerated and save at least 90 % of what the best of them
saves, the one that gives runs most room. How far the sample carries it is the upper end of the 95 % interval of the share of good runs it stops: no good run
stopped out of 20 is compatible with 16 %, out of 300 with 1.3 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any, Final, Literal

from analyzers.backtest.guards import Recording
from analyzers.backtest.policy import Tally, run_guard, tally
from analyzers.wording import usd
from tracer.online.tariff import ASSUMED_OUTPUT

TOLERATED = 0.01
"""share of good runs that may be stopped"""
NEARLY = 0.9
"""share of the best saving that is as good"""
LOOP_ROUNDS: Final = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)
STEPS = 10
SWEPT: Final = ("loop", "budget_usd", "tokens", "seconds", "iterations", "per_day_usd")
"""guards that are swept where no policy names others"""
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    threshold: float
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The trade-off curve of one guard, by rising threshold; `suggested` is None where no threshold saves anything tolerably."""

    guard: str
    points: tuple[Point, ...]
    suggested: Point | None
    confidence: Confidence
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return {
            "guard": self.guard, "suggested": None if self.suggested is None else self.suggested.threshold, "confidence": self.confidence,
            "sentence": self.sentence, "points": [{"threshold": p.threshold, **p.tally.to_json()} for p in self.points],
        }  # fmt: skip


def sweep(runs: Sequence[Recording], good: frozenset[str], guard: str, grid: Iterable[float] = (), *, tolerated: float = TOLERATED) -> Sweep:  # fmt: skip
    """Try every threshold of `grid`, by default a sensible one for what these runs are like."""
    tried = sorted(set(grid)) or default_grid(runs, good, guard)
    points = tuple(Point(threshold=one, tally=tally(runs, run_guard(runs, guard, one), good)) for one in tried)
    best = _best([p for p in points if p.tally.wrong_rate <= tolerated])
    high = best.tally.wrong_high if best else 1.0
    confidence: Confidence = "high" if high <= 0.02 else "medium" if high <= 0.1 else "low"
    return Sweep(guard=guard, points=points, suggested=best, confidence=confidence, sentence=_sentence(guard, points, best, confidence, tolerated))  # fmt: skip


def _best(allowed: Sequence[Point]) -> Point | None:
    """By money, by time where no price is known; of those that save nearly as much as the best, the one that gives most room."""
    measures: tuple[Callable[[Point], float], ...] = (
        lambda p: float(p.tally.usd_saved),
        lambda p: p.tally.minutes_saved,
    )
    for saved in measures:
        most = max((saved(p) for p in allowed), default=0.0)
        if most > 0:
            return max((p for p in allowed if saved(p) >= NEARLY * most), key=lambda p: p.threshold)
    return None


def default_grid(runs: Sequence[Recording], good: frozenset[str], guard: str) -> list[float]:
    """Rounds for loops; else round numbers from half the median good run to above the largest of all."""
    if guard == "loop":
        return list(LOOP_ROUNDS)
    if guard in ("deadlock",):
        return [1.0]
    sizes = {run.run_id: _size(run, guard) for run in runs}
    usual = sorted(sizes[run_id] for run_id in sizes if run_id in good and sizes[run_id] > 0) or sorted(s for s in sizes.values() if s > 0)  # fmt: skip
    if not usual:
        return []
    whole = guard not in ("budget_usd", "per_day_usd", "per_hour_usd", "seconds")
    low, high = usual[len(usual) // 2] / 2, max(sizes.values()) * 1.05
    if guard in ("per_day_usd", "per_hour_usd"):
        low, high = usual[len(usual) // 2] * 2, sum(sizes.values())
    ratio = max(high / low, 1.01) ** (1 / (STEPS - 1))
    grid = {_round(low * ratio**step) for step in range(STEPS)}
    return sorted({max(1.0, float(ceil(one))) for one in grid}) if whole else sorted(grid)


def _size(run: Recording, guard: str) -> float:
    if guard in ("budget_usd", "per_day_usd", "per_hour_usd"):
        return float(sum(call.cost_usd for call in run.calls))
    if guard == "tokens":
        return float(sum(call.tokens for call in run.calls)) + ASSUMED_OUTPUT  # what is reserved for the last answer
    if guard == "seconds":
        return 0.0 if run.timeless else (run.end_ns - run.start_ns) / 1e9
    return float(len(run.calls))


def _round(value: float) -> float:
    """Two significant digits."""
    digits = 1 - floor(log10(value))
    return round(value, digits)


def told(guard: str, threshold: float) -> str:
    """A threshold as people and `tracer.guard` write it."""
    return f"{guard}={threshold:g}"


def _sentence(guard: str, points: Sequence[Point], best: Point | None, confidence: Confidence, tolerated: float) -> str:
    if not points:
        return f"{guard}: nothing to measure it by."
    if best is None:
        some = any(p.tally.usd_saved > 0 or p.tally.minutes_saved > 0 for p in points)
        why = f"every threshold that saves something stops more than {tolerated:.0%} of the good runs" if some else "no threshold saves anything"  # fmt: skip
        return f"{guard}: no suggestion; {why}."
    t = best.tally
    time = f" and {t.minutes_saved:,.1f} minutes" if t.minutes_saved else ""
    wrong = f"{t.good_stopped} of {t.good} good runs stopped wrongly"
    return f"{told(guard, best.threshold)} would have saved {usd(t.usd_saved)}{time}; {wrong}, at most {t.wrong_high:.1%} with 95 % confidence ({confidence})."  # fmt: skip
