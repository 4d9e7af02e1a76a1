"""A policy (guards with thresholds) over many runs: which it stops where, what that saves, and which good runs it would have stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from analyzers.attribution.verdicts import verdicts
from analyzers.backtest.guards import GUARDS, LOOP_LEVELS, Recording, Stop
from analyzers.backtest.windows import WINDOWS_NS, replay_windows
from analyzers.comparison.statistics import wilson
from analyzers.finding import Finding
from analyzers.frames import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one policy or threshold does. A run is good if it did not fail and has no critical finding (a person's mark decides first)."""

    runs: int
    good: int
    stopped: int
    good_stopped: int
    usd_saved: Decimal
    """by stopping runs that are not good"""
    minutes_saved: float
    tokens_saved: int
    usd_lost: Decimal
    tokens_lost: int
    """what good runs would not have done"""
    wrong_rate: float
    """good runs stopped, over good runs"""
    wrong_low: float
    wrong_high: float
    """Wilson's 95 % interval of it"""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "usd_saved": float(self.usd_saved), "usd_lost": float(self.usd_lost)}


def good_runs(frames: Frames, findings: Iterable[Finding]) -> frozenset[str]:
    """Run ids that nobody would want to be stopped."""
    bad = {finding.trace_id for finding in findings if finding.severity == "critical"}
    judged = verdicts(frames)
    return frozenset(
        run_id
        for run_id in frames.run_ids
        if judged[run_id].failed is False and (judged[run_id].by == "mark" or run_id not in bad)
    )


def run_policy(runs: Sequence[Recording], thresholds: Mapping[str, float | str]) -> dict[str, Stop]:
    """Run id -> the stop of the guard that speaks first. `thresholds`: names and values as `tracer.guard` takes them."""
    limits = {guard: LOOP_LEVELS[value] if isinstance(value, str) else float(value) for guard, value in thresholds.items()}  # fmt: skip
    earliest: dict[str, Stop] = {}
    for guard in [name for name in limits if name not in WINDOWS_NS]:
        for stop in run_guard(runs, guard, limits[guard]).values():
            before = earliest.get(stop.run_id)
            if before is None or (stop.at_ns, stop.guard) < (before.at_ns, before.guard):
                earliest[stop.run_id] = stop
    windows = {guard: limits[guard] for guard in WINDOWS_NS if guard in limits}
    ended = {run_id: stop.at_ns for run_id, stop in earliest.items()}
    return {**earliest, **replay_windows(runs, windows, ended)} if windows else earliest


def run_guard(runs: Sequence[Recording], guard: str, threshold: float) -> dict[str, Stop]:
    """Run id -> stop, of one guard alone."""
    if guard in WINDOWS_NS:
        return replay_windows(runs, {guard: threshold})
    replay = GUARDS[guard]
    return {run.run_id: stop for run in runs if (stop := replay(run, threshold)) is not None}


def tally(runs: Sequence[Recording], stops: Mapping[str, Stop], good: frozenset[str]) -> Tally:
    """Add up what `stops` do to `runs`."""
    held = [run.run_id for run in runs]
    known = [run_id for run_id in held if run_id in good]
    wrong = [run_id for run_id in known if run_id in stops]
    right = [stops[run_id] for run_id in held if run_id in stops and run_id not in good]
    low, high = wilson(len(wrong), len(known))
    return Tally(
        runs=len(held), good=len(known), stopped=len(stops), good_stopped=len(wrong),
        usd_saved=sum((stop.usd_saved for stop in right), Decimal(0)), minutes_saved=sum((stop.ns_saved or 0) for stop in right) / 60e9,
        tokens_saved=sum(stop.tokens_saved for stop in right),
        usd_lost=sum((stops[run_id].usd_saved for run_id in wrong), Decimal(0)), tokens_lost=sum(stops[run_id].tokens_saved for run_id in wrong),
        wrong_rate=len(wrong) / len(known) if known else 0.0, wrong_low=low, wrong_high=high,
    )  # fmt: skip
