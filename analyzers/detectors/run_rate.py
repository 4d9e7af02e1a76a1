"""Question, over many runs: were far more runs of a workflow started, or under way at once, than used to be?

    runs an hour      4 4 5 4 3 4 4 | 90 | 4          a job that starts itself again, a retry of whole runs, a wild cron
    runs at once      1 1 2 1 1 1 1 | 26 | 1          or the same number of runs, none of which comes to an end

A yes is a window of 24 hours or of one hour with more than 3 times the median of the earlier windows *and* more than 3.5 robust
standard deviations of their logarithms above them; for runs at once, an hour compared with earlier hours. Money decides nothing here:
cheap runs pile up unseen by a budget. Known false alarm: a planned campaign. Known miss: the first days of a store, slow growth.
Source: note on algorithms, section 4, and its rules for single costs. Cost: one binning of runs per workflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

import polars as pl

from analyzers.finding import Check, Finding, Skipped
from analyzers.frames import Frames
from analyzers.surges import Surge, find_surges
from analyzers.wording import amount, duration, times

KIND = "run_rate"
HOUR_NS = 3_600 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRateThresholds:
    ratio: float = 3.0
    z: float = 3.5
    spread_floor: float = 0.15
    enough: int = 8
    """earlier windows with any run needed for a baseline"""
    memory: int = 60
    least_runs: int = 30
    """windows with fewer runs are never reported"""
    least_at_once: int = 20
    """nor hours with fewer runs at once"""
    critical_ratio: float = 10.0
    critical_runs: int = 100
    shown: int = 20
    """runs whose root span a finding names"""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A surge, and through which window it was seen."""

    surge: Surge
    hours: int
    what: str
    """runs, or runs at once"""


def find_run_rate(frames: Frames, thresholds: RunRateThresholds = RunRateThresholds()) -> list[Finding | Skipped]:
    """One finding per workflow and surge of runs; one Skipped per workflow with many runs and no past."""
    timed = frames.traces.filter(pl.col("workflow").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode()))
    answers: list[Finding | Skipped] = []
    for (workflow,), runs in timed.sort("workflow", "start_ns", "run_id").group_by("workflow", maintain_order=True):
        if runs.height >= min(thresholds.least_runs, thresholds.least_at_once):
            answers += _of_workflow(frames, str(workflow), runs, thresholds)
    return answers


def _of_workflow(frames: Frames, workflow: str, runs: pl.DataFrame, t: RunRateThresholds) -> list[Finding | Skipped]:
    origin = int(runs["start_ns"][0]) // HOUR_NS * HOUR_NS
    starts = ((runs["start_ns"] - origin) // HOUR_NS).to_list()
    started = [0.0] * (int(starts[-1]) + 1)
    for hour in starts:
        started[hour] += 1
    together = at_once(runs, origin, len(started))
    seen: list[_Seen] = []
    judged = False
    for what, bins, hours, least in (
        ("runs", started, 24, t.least_runs),
        ("runs", started, 1, t.least_runs),
        ("runs at once", together, 1, t.least_at_once),
    ):
        if sum(any(bins[at : at + hours]) for at in range(0, len(bins), hours)) <= t.enough:
            continue
        judged = True
        surges = find_surges(
            bins, hours, ratio=t.ratio, z=t.z, spread_floor=t.spread_floor, enough=t.enough, memory=t.memory, least=least
        )  # fmt: skip
        for surge in surges:
            # Looked at through several windows, a surge is told once: by the first that saw it.
            if not any(surge.first <= other.surge.last and other.surge.first <= surge.last for other in seen):
                seen.append(_Seen(surge, hours, what))
    if not judged and runs.height >= t.least_runs:
        return [Skipped(detector=KIND, reason=f"the runs of {workflow!r} cover too few hours to say what is usual")]
    with_hours = runs.with_columns(hour=(pl.col("start_ns") - origin) // HOUR_NS)
    return [_finding(frames, workflow, with_hours, one, together, t) for one in seen]


def at_once(runs: pl.DataFrame, origin: int, hours: int) -> list[float]:
    """For each hour since `origin` the largest number of runs under way at one time."""
    spans: list[tuple[int, int]] = runs.select(
        "start_ns", end_ns=pl.max_horizontal(pl.coalesce("end_ns", "start_ns"), "start_ns")
    ).rows()
    marks = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    going = accumulate(step for _, step in marks)
    peak = [0.0] * hours
    for (moment, step), number in zip(marks, going, strict=True):
        hour = (moment - origin) // HOUR_NS
        if step > 0 and 0 <= hour < hours:
            peak[hour] = max(peak[hour], float(number))
    return peak


def _finding(
    frames: Frames, workflow: str, runs: pl.DataFrame, seen: _Seen, together: Sequence[float], t: RunRateThresholds
) -> Finding:
    surge = seen.surge
    inside = runs.filter(pl.col("hour").is_between(surge.first, surge.last))
    start_ns = int(inside["start_ns"][0])
    end_ns = int(inside.select(pl.coalesce("end_ns", "start_ns").max()).item())
    ratio = surge.peak / surge.usual
    most, before = int(max(together[surge.first : surge.last + 1])), int(max(together[: surge.first], default=0))
    window = "24 hours" if seen.hours == 24 else "one hour"
    money = inside["cost_usd"].drop_nulls()
    cost = f" They cost ${float(money.sum()):,.2f} together." if len(money) else ""
    return Finding(
        kind=KIND,
        severity="critical" if ratio >= t.critical_ratio and inside.height >= t.critical_runs else "warning",
        confidence=0.9,
        title=f"{workflow!r} ran {amount(inside.height, 'time')} in {duration(end_ns - start_ns)}: {times(ratio)} its usual {seen.what}",
        explanation=(
            f"From {_date(start_ns)} to {_date(end_ns)}, {amount(inside.height, 'run')} of {workflow!r} were started, up to {most} at once "
            f"(before: {before}). The densest {window} had {surge.peak:.0f} {seen.what}; the median of the {surge.windows} before it is "
            f"{surge.usual:.0f}.{cost} Sure: it lies {surge.z:.1f} robust standard deviations above them (limit {t.z}). "
            "Whether somebody wanted these runs cannot be told from the traces."
        ),
        suggestion=(
            f"Find out what starts {workflow!r}: a schedule, a queue that delivers twice, a run that starts itself again. Limit it over all its "
            f"processes to {max(2, before)} runs at once and about {t.ratio * surge.usual:.0f} runs per {window}."
        ),
        trace_id=None,
        spans=_roots(frames, inside, t),
        start_ns=start_ns,
        end_ns=end_ns,
        checked=(
            Check(rule=f"{seen.what} in {window} over the median of the windows before", value=round(ratio, 2), threshold=t.ratio, passed=True),
            Check(rule="robust z of its logarithm", value=round(surge.z, 2), threshold=t.z, passed=True),
            Check(rule="earlier windows to compare with", value=surge.windows, threshold=t.enough, passed=True),
            Check(rule="runs at once, over those before", value=most, threshold=before, passed=most > before),
        ),
        data={
            "key": f"{workflow}:{start_ns}",
            "workflow": workflow,
            "window_start_ns": start_ns,
            "window_end_ns": end_ns,
            "measure": seen.what,
            "window_hours": seen.hours,
            "runs": inside.height,
            "peak": surge.peak,
            "usual": surge.usual,
            "ratio": ratio,
            "at_once": most,
            "usually_at_once": before,
            "run_ids": inside["run_id"].head(200).to_list(),
        },
    )  # fmt: skip


def _roots(frames: Frames, runs: pl.DataFrame, t: RunRateThresholds) -> tuple[str, ...]:
    first = frames.spans.filter(pl.col("run_id").is_in(runs["run_id"].head(t.shown).implode()))
    ordered = first.sort("start_ns", "run_id", "span_id").unique("run_id", keep="first", maintain_order=True)
    return tuple(ordered["span_id"])


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%a %Y-%m-%d %H:%M UTC")
