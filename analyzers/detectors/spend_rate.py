"""Question, over many runs: did a workflow spend far more in a stretch of time than it used to, although no single run is dear?

    weekdays    $6 a day   .  .  .. .   . ..  .      4 conversations a day, $1.50 each
    weekend   $150 a day   ::::::::::::::::::::      100 conversations a day, $1.50 each: five at once, the same six questions

A yes is a window of 24 hours (or of one hour, for a store that is younger than a week) whose spend is more than 3 times the median of
the earlier windows *and* lies more than 3.5 robust standard deviations of log spend above them. The excess is split into runs x calls per
run x tokens per call x price per token. How many runs went on at once, and how many of their queries an earlier run had already asked in
other words, is evidence and decides nothing, with one exception: a store without earlier windows is judged by them, at low confidence.

Known misses: slow growth over weeks (that is drift), a surge in the first days of a store. Known false alarm: a planned campaign.
Cost: one binning of runs per workflow; texts are compared only inside a surge and in the runs before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from analyzers.detectors.cost_anomaly import FACTORS, decompose, per_run, totals
from analyzers.finding import Check, Finding, Skipped
from analyzers.frames import Frames
from analyzers.repeated_queries import Asking, repeated_queries
from analyzers.similarity import flat
from analyzers.surges import Surge, find_surges
from analyzers.wording import amount, duration, listing, share, times, usd

HOUR_NS = 3_600 * 10**9
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendThresholds:
    """Sources: ratio, z and floor as for single runs (note on algorithms, section 4); the others keep small stores quiet."""

    ratio: float = 3.0
    z: float = 3.5
    spread_floor: float = 0.15
    enough: int = 8
    """earlier windows with any spend needed for a baseline"""
    memory: int = 60
    """earlier windows looked at"""
    least_usd: float = 10.0
    """windows below it are never reported"""
    least_runs: int = 10
    critical_excess_usd: float = 100.0
    burst_runs: int = 100
    """without a baseline: so many runs in a window ..."""
    burst_repeats: float = 0.5
    """... with such a share of their queries asked before ..."""
    burst_at_once: int = 3
    """... and so many at once"""
    queries: int = 20_000
    """queries compared per window"""
    shown: int = 20
    """runs whose root span a finding names"""


def find_spend_rate(frames: Frames, thresholds: SpendThresholds = SpendThresholds()) -> list[Finding | Skipped]:
    """One finding per workflow and surge of spending; one Skipped per workflow whose past is too short to say."""
    timed = frames.traces.filter(pl.col("workflow").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode()))
    timed = timed.with_columns(usd=pl.col("cost_usd").cast(pl.Float64).fill_null(0.0)).sort(
        "workflow", "start_ns", "run_id"
    )
    answers: list[Finding | Skipped] = []
    for (workflow,), runs in timed.group_by("workflow", maintain_order=True):
        if runs.height >= thresholds.least_runs and runs["usd"].sum() >= thresholds.least_usd:
            answers.extend(_of_workflow(frames, str(workflow), runs, thresholds))
    return answers


def _of_workflow(
    frames: Frames, workflow: str, runs: pl.DataFrame, thresholds: SpendThresholds
) -> list[Finding | Skipped]:
    origin = int(runs["start_ns"][0]) // HOUR_NS * HOUR_NS
    hours = runs.with_columns(hour=(pl.col("start_ns") - origin) // HOUR_NS)
    size = int(hours["hour"][-1]) + 1
    bins = [0.0] * size
    for hour, spent in hours.group_by("hour").agg(pl.col("usd").sum()).iter_rows():
        bins[hour] = spent
    judged = False
    for length in (24, 1):
        if sum(any(bins[at : at + length]) for at in range(0, size, length)) <= thresholds.enough:
            continue
        judged = True
        surges = find_surges(
            bins, length, ratio=thresholds.ratio, z=thresholds.z, spread_floor=thresholds.spread_floor,
            enough=thresholds.enough, memory=thresholds.memory, least=thresholds.least_usd,
        )  # fmt: skip
        found = [_surge(frames, workflow, hours, surge, length, origin, thresholds) for surge in surges]
        kept = [finding for finding in found if finding is not None]
        if kept:
            return list(kept)
        if length == 24:
            break
    if judged:
        return []
    return [_burst(frames, workflow, runs, thresholds)]


def _surge(
    frames: Frames,
    workflow: str,
    hours: pl.DataFrame,
    surge: Surge,
    length: int,
    origin: int,
    thresholds: SpendThresholds,
) -> Finding | None:
    inside = hours.filter(pl.col("hour").is_between(surge.first, surge.last))
    before = hours.filter(pl.col("hour") < surge.first)
    if inside.height < thresholds.least_runs:
        return None
    span_hours = surge.last - surge.first + 1
    spent = float(inside["usd"].sum())
    usual_usd = surge.usual * span_hours / length
    usual_runs = before.height / max(1, surge.first) * span_hours
    factors = _factors(frames, inside, before, spent / usual_usd if usual_usd else None)
    asking = repeated_queries(frames, inside, thresholds.queries)
    asked_before = repeated_queries(frames, before.tail(inside.height), thresholds.queries)
    at_once, usually_at_once = _at_once(inside), _at_once(before)
    start_ns, end_ns = int(inside.select(pl.col("start_ns").min()).item()), _end(inside)
    excess = spent - usual_usd
    ratio = surge.peak / surge.usual
    causes = (
        listing(
            [f"{times(value)} the {RATE_FACTORS[name]}" for name, value in factors.items() if value and value >= 1.25]
        )
        or "no single factor"
    )
    per_run = float(inside.select(pl.col("usd").median()).item())
    window = "24 hours" if length == 24 else "one hour"
    return Finding(
        kind="spend_rate",
        severity="critical" if excess >= thresholds.critical_excess_usd or ratio >= 10 else "warning",
        confidence=0.95,
        title=f"{workflow!r} spent {usd(spent)} in {duration(end_ns - start_ns)}: {times(ratio)} its usual rate, {amount(inside.height, 'run')}",
        explanation=(
            f"From {_date(start_ns)} to {_date(end_ns)}, {amount(inside.height, 'run')} of {workflow!r} cost {usd(spent)}; at the rate of the "
            f"{surge.windows} windows of {window} before, it would have been {usd(usual_usd)}. No single run stands out: the median run cost "
            f"{usd(per_run)}. What grew is {causes}. Up to {amount(at_once, 'run')} went on at once (before: {usually_at_once}). "
            + _say_asking(asking, asked_before)
            + f"Sure: the dearest window lies {surge.z:.1f} robust standard deviations above the earlier ones (limit {thresholds.z})."
        ),
        suggestion=(
            f"Limit {workflow!r} over all its processes: a window budget of about {usd(thresholds.ratio * surge.usual)} per {window} and at most "
            f"{max(2, usually_at_once)} runs at once. A budget per run cannot see this. "
            + ("Answer repeated questions from a cache, and find out what starts these runs." if asking.share >= 0.3 else "Find out what starts these runs.")
        ),
        trace_id=None,
        spans=_roots(frames, inside, thresholds) + asking.spans,
        agents=_agents(frames, inside),
        start_ns=start_ns,
        end_ns=end_ns,
        wasted_usd=_waste(inside, asking),
        checked=(
            Check(rule=f"spend in {window} over the median of the windows before", value=round(ratio, 2), threshold=thresholds.ratio, passed=True),
            Check(rule="robust z of log spend", value=round(surge.z, 2), threshold=thresholds.z, passed=True),
            Check(rule="earlier windows to compare with", value=surge.windows, threshold=thresholds.enough, passed=True),
            Check(rule="median run cost over the one before", value=_over(per_run, before), threshold=thresholds.ratio,
                  passed=(_over(per_run, before) or 0) < thresholds.ratio),
            Check(rule="runs at once, over those before", value=at_once, threshold=usually_at_once, passed=at_once > usually_at_once),
            Check(rule="share of queries an earlier run had asked", value=round(asking.share, 3), threshold=round(asked_before.share, 3),
                  passed=asking.share > asked_before.share),
        ),
        data=_data(workflow, start_ns, end_ns, inside, spent, usual_usd, usual_runs, ratio, factors, at_once, usually_at_once, asking, asked_before),
    )  # fmt: skip


def _burst(frames: Frames, workflow: str, runs: pl.DataFrame, thresholds: SpendThresholds) -> Finding | Skipped:
    """A store without a past: many runs at once that repeat each other are suspicious all the same."""
    refused = Skipped(
        detector="spend_rate", reason=f"the runs of {workflow!r} cover too few hours to say what is usual"
    )
    start_ns, end_ns = int(runs.select(pl.col("start_ns").min()).item()), _end(runs)
    at_once = _at_once(runs)
    if runs.height < thresholds.burst_runs or at_once < thresholds.burst_at_once:
        return refused
    asking = repeated_queries(frames, runs, thresholds.queries)
    if asking.share < thresholds.burst_repeats:
        return refused
    spent = float(runs["usd"].sum())
    nothing = Asking(0, 0, (), (), ())
    return Finding(
        kind="spend_rate",
        severity="warning",
        confidence=0.6,
        title=f"{workflow!r} spent {usd(spent)} in {duration(end_ns - start_ns)} on {amount(runs.height, 'run')} that repeat each other",
        explanation=(
            f"From {_date(start_ns)} to {_date(end_ns)}, {amount(runs.height, 'run')} of {workflow!r} cost {usd(spent)}, up to {at_once} at once. "
            + _say_asking(asking, nothing)
            + "Only likely: there are no earlier runs to compare with, so what is usual here is not known."
        ),
        suggestion=f"Check what starts these runs, answer repeated questions from a cache, and set a window budget for {workflow!r} over all its processes.",
        trace_id=None,
        spans=_roots(frames, runs, thresholds) + asking.spans,
        agents=_agents(frames, runs),
        start_ns=start_ns,
        end_ns=end_ns,
        wasted_usd=_waste(runs, asking),
        checked=(
            Check(rule="earlier windows to compare with", value=0, threshold=thresholds.enough, passed=False),
            Check(rule="runs", value=runs.height, threshold=thresholds.burst_runs, passed=True),
            Check(rule="runs at once", value=at_once, threshold=thresholds.burst_at_once, passed=True),
            Check(
                rule="share of queries an earlier run had asked",
                value=round(asking.share, 3),
                threshold=thresholds.burst_repeats,
                passed=True,
            ),
        ),
        data=_data(workflow, start_ns, end_ns, runs, spent, None, None, None, {}, at_once, None, asking, nothing),
    )


def _data(
    workflow: str, start_ns: int, end_ns: int, runs: pl.DataFrame, spent: float, usual_usd: float | None, usual_runs: float | None,
    ratio: float | None, factors: dict[str, float | None], at_once: int, usually_at_once: int | None, asking: Asking, before: Asking,
) -> dict[str, Any]:  # fmt: skip
    hours = max((end_ns - start_ns) / HOUR_NS, 1e-9)
    return {
        "key": f"{workflow}:{start_ns}",
        "workflow": workflow,
        "window_start_ns": start_ns,
        "window_end_ns": end_ns,
        "runs": runs.height,
        "usual_runs": usual_runs,
        "spent_usd": spent,
        "usual_usd": usual_usd,
        "excess_usd": None if usual_usd is None else spent - usual_usd,
        "usd_per_hour": spent / hours,
        "runs_per_hour": runs.height / hours,
        "ratio": ratio,
        "factors": factors,
        "at_once": at_once,
        "usually_at_once": usually_at_once,
        "queries": asking.queries,
        "repeated_queries": asking.repeated,
        "repeated_share": asking.share,
        "repeated_share_before": before.share,
        "repeated_runs": len(asking.runs),
        "examples": list(asking.examples),
        "run_ids": runs["run_id"].head(200).to_list(),
    }


RATE_FACTORS = {
    "runs": "runs",
    "calls": "LLM calls per run",
    **{name: text for name, text in FACTORS.items() if name != "calls"},
}
"""the factors whose product is the spend"""


def _factors(
    frames: Frames, inside: pl.DataFrame, before: pl.DataFrame, ratio: float | None
) -> dict[str, float | None]:
    """Spend over usual spend as runs x calls per run x tokens per call x price per token."""

    def spent(runs: pl.DataFrame) -> Row:
        calls = frames.llm_calls.filter(pl.col("run_id").is_in(runs["run_id"].implode()))
        return per_run(calls.select(totals()), runs.height)

    parts = decompose(spent(inside), spent(before))
    others = 1.0
    for value in parts.values():
        others *= value if value is not None else 1.0
    return {"runs": ratio / others if ratio is not None and others else None, **parts}


def _say_asking(asking: Asking, before: Asking) -> str:
    if not asking.queries:
        return "Their queries were not recorded, so repetition cannot be judged. "
    told = f"{share(asking.share)} of their {asking.queries:,} queries had been asked by an earlier run in the same or other words"
    if before.queries:
        told += f" (in the runs before: {share(before.share)})"
    return told + (f", most often {flat(asking.examples[0])[:120]!r}. " if asking.examples else ". ")


def _waste(runs: pl.DataFrame, asking: Asking) -> Decimal | None:
    """What the runs cost that mostly asked again what another had asked."""
    if not asking.runs:
        return None
    known = runs.filter(pl.col("run_id").is_in(list(asking.runs)))["cost_usd"].drop_nulls()
    return sum(known.to_list(), Decimal(0)) if len(known) else None


def _at_once(runs: pl.DataFrame) -> int:
    """The largest number of runs that went on at one time."""
    if runs.is_empty():
        return 0
    ended = pl.coalesce("end_ns", "start_ns")
    marks = pl.concat([runs.select(at="start_ns", step=pl.lit(1)), runs.select(at=ended, step=pl.lit(-1))])
    peak = marks.sort("at", "step")["step"].cum_sum().max()
    return max(1, peak) if isinstance(peak, int) else 1


def _over(value: float, before: pl.DataFrame) -> float | None:
    usual = before["usd"].median()
    return round(value / usual, 3) if isinstance(usual, float) and usual else None


def _end(runs: pl.DataFrame) -> int:
    last = runs.select(pl.coalesce("end_ns", "start_ns").max()).item()
    return int(last)


def _roots(frames: Frames, runs: pl.DataFrame, thresholds: SpendThresholds) -> tuple[str, ...]:
    """The first span of the first runs of the window."""
    first = frames.spans.filter(pl.col("run_id").is_in(runs["run_id"].head(thresholds.shown).to_list()))
    return tuple(
        first.sort("start_ns", "run_id", "span_id").unique("run_id", keep="first", maintain_order=True)["span_id"]
    )


def _agents(frames: Frames, runs: pl.DataFrame) -> tuple[str, ...]:
    """The agents that spent the money, the dearest first."""
    calls = frames.llm_calls.filter(pl.col("run_id").is_in(runs["run_id"].implode()) & pl.col("agent").is_not_null())
    spent: Sequence[str] = (
        calls.group_by("agent")
        .agg(pl.col("cost_usd").sum())
        .sort("cost_usd", "agent", descending=[True, False])["agent"]
        .to_list()
    )
    return tuple(spent[:5])


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%a %Y-%m-%d %H:%M UTC")
