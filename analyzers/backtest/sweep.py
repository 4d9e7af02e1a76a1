"""Other thresholds of one guard: what each would save and how many good runs it would stop, and the one worth taking.

A threshold that was chosen because it does well on some runs looks better on them than it is. So one part of the runs chooses, and the
other, held out, judges what was chosen:

    chosen on    among the thresholds that stop no more good runs than is tolerated and save at least 90 % of what the best of
                 them saves, the one that gives runs most room
    held out     what that threshold saves there, and the share of good runs it stops; the upper end of its 95 % interval is how far the
                 sample carries the suggestion: no good run stopped out of 20 is compatible with 16 %, out of 300 with 1.3 %

The curve itself (`points`) is over all runs: nothing was chosen by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any, Final, Literal

from analyzers.backtest.guards import Recording, Stop
from analyzers.backtest.policy import Tally, run_guard, tally
from analyzers.backtest.windows import WINDOWS_NS
from analyzers.wording import amount, duration, usd
from tracer.ids import short_hash
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
    """over all runs"""
    suggested: Point | None
    """the one of `points` that the choosing part takes"""
    held_out: Tally | None
    """what `suggested` does to the runs that had no part in choosing it"""
    confidence: Confidence
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return {
            "guard": self.guard, "suggested": None if self.suggested is None else self.suggested.threshold, "confidence": self.confidence,
            "held_out": None if self.held_out is None else self.held_out.to_json(), "sentence": self.sentence,
            "points": [{"threshold": p.threshold, **p.tally.to_json()} for p in self.points],
        }  # fmt: skip


def sweep(runs: Sequence[Recording], good: frozenset[str], guard: str, grid: Iterable[float] = (), *, tolerated: float = TOLERATED) -> Sweep:  # fmt: skip
    """Try every threshold of `grid`, by default a sensible one for what these runs are like (how large they are, not how they ended)."""
    tried = sorted(set(grid)) or default_grid(runs, good, guard)
    stops = {one: run_guard(runs, guard, one) for one in tried}
    choosing, judging = parted(runs, good, guard, {run_id for found in stops.values() for run_id in found})
    points = tuple(Point(threshold=one, tally=tally(runs, stops[one], good)) for one in tried)
    seen = [Point(threshold=one, tally=_part(choosing, stops[one], good)) for one in tried]
    chosen = _best([point for point in seen if point.tally.wrong_rate <= tolerated])
    if chosen is None:
        return Sweep(
            guard=guard,
            points=points,
            suggested=None,
            held_out=None,
            confidence="low",
            sentence=_none(guard, seen, tolerated),
        )
    judged = _part(judging, stops[chosen.threshold], good)
    confidence: Confidence = "high" if judged.wrong_high <= 0.02 else "medium" if judged.wrong_high <= 0.1 else "low"
    return Sweep(
        guard=guard, points=points, suggested=points[tried.index(chosen.threshold)], held_out=judged, confidence=confidence,
        sentence=_sentence(guard, chosen, judged, confidence),
    )  # fmt: skip


def parted(runs: Sequence[Recording], good: Collection[str], guard: str, stopped: Collection[str] = ()) -> tuple[list[Recording], list[Recording]]:  # fmt: skip
    """(runs that choose, runs held out to judge), whatever the order of `runs`.

    Drawn by a hash of the run id, good runs and others by themselves, so that both parts have of both. Of the others those that some threshold
    stops (`stopped`) are dealt out first, to the choosing part before the other: a single one chooses.
    A window sees runs together and in order: there the earlier half chooses and the later half judges.
    """
    if guard in WINDOWS_NS:
        ordered = sorted(runs, key=lambda run: (run.start_ns, run.run_id))
        half = (len(ordered) + 1) // 2
        return ordered[:half], ordered[half:]
    ordered = sorted(runs, key=lambda run: short_hash(run.run_id))
    fine = [run for run in ordered if run.run_id in good]
    rest = sorted((run for run in ordered if run.run_id not in good), key=lambda run: run.run_id not in stopped)
    return [*fine[1::2], *rest[::2]], [*fine[::2], *rest[1::2]]


def _part(runs: Sequence[Recording], stops: Mapping[str, Stop], good: frozenset[str]) -> Tally:
    """What stops of the whole do to some of the runs."""
    return tally(runs, {run.run_id: stops[run.run_id] for run in runs if run.run_id in stops}, good)


def _best(allowed: Sequence[Point]) -> Point | None:
    """By money; where no price is known by tokens, then by time; of those that save nearly as much as the best, the one that gives most room."""
    measures: tuple[Callable[[Point], float], ...] = (
        lambda p: float(p.tally.usd_saved),
        lambda p: float(p.tally.tokens_saved),
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
    return f"{guard}={threshold:.12g}"


def _none(guard: str, points: Sequence[Point], tolerated: float) -> str:
    if not points:
        return f"{guard}: nothing to measure it by."
    some = any(p.tally.usd_saved > 0 or p.tally.tokens_saved > 0 or p.tally.minutes_saved > 0 for p in points)
    why = f"every threshold that saves something stops more than {tolerated:.0%} of the good runs" if some else "no threshold saves anything"  # fmt: skip
    return f"{guard}: no suggestion; {why}."


def _sentence(guard: str, chosen: Point, judged: Tally, confidence: Confidence) -> str:
    on = chosen.tally
    said = f"{told(guard, chosen.threshold)}, chosen on {amount(on.runs, 'run')} where it saves {_saved(on)}"
    if not judged.good:
        return f"{said}; no good run is left to judge it by ({confidence})."
    bad = judged.runs - judged.good
    would = f"would have saved {_saved(judged)}, and stopped" if bad else "would have stopped"
    return (
        f"{said}; of {amount(judged.runs, 'other')} it {would} {judged.good_stopped} of {amount(judged.good, 'good run')} wrongly, "
        f"at most {judged.wrong_high:.1%} with 95 % confidence ({confidence})."
    )


def _saved(tally: Tally) -> str:
    """Money; tokens where no price is known."""
    saved = usd(tally.usd_saved) if tally.usd_saved or not tally.tokens_saved else f"{tally.tokens_saved:,} tokens"
    return saved + (f" and {duration(round(tally.minutes_saved * 60e9))}" if tally.minutes_saved else "")
