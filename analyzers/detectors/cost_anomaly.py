"""Question: did a run cost far more than runs of its workflow usually do, and what made it dearer?

A yes needs both rules at once, because each alone is often wrong (simulated log-normal costs: "3x the median" alone raises 14-17 % false
alarms on widely spread costs, mean + 3 sigma up to 9 %; both together 0.01-0.3 %):
    cost > 3 x median of the other runs      and      z of log cost > 3.5, with z from the median absolute deviation, floor 0.15
With 3 to 9 other runs: > 3 x median and > 1.5 x the dearest of them, at low confidence. With fewer: Skipped.

The excess is split into calls x tokens per call x price per token, and by agent. Known misses: workflows whose costs spread over
orders of magnitude (their input should be taken into account), several dear runs among few. Cost: one grouping over runs and one
over the LLM calls of workflows with a suspect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import log
from statistics import median
from typing import Any

import polars as pl

from analyzers.finding import Check, Finding, Skipped
from analyzers.frames import Frames
from analyzers.wording import amount, listing, times, usd
from tracer.model import RunOutcome

Row = dict[str, Any]
COLUMNS = ["run_id", "span_id", "agent", "start_ns", "cost_usd", "input_tokens", "output_tokens"]
CONSISTENT_MAD = 1.4826
"""makes the median absolute deviation an estimate of sigma for normal data"""
MANY = 200
"""runs from which on leaving the run in question out of its own baseline changes nothing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostThresholds:
    """Sources: simulations of log-normal costs with both rules, alone and together."""

    ratio: float = 3.0
    z: float = 3.5
    spread_floor: float = 0.15
    """smallest spread of log cost believed; without it, runs that all cost the same make every cent an outlier"""
    enough: int = 10
    """other runs from which on the z rule is used"""
    few: int = 3
    """other runs below which nothing is said"""
    above_dearest: float = 1.5
    """with few runs: how far above the dearest other run"""
    critical_ratio: float = 10.0
    shown: int = 10
    """LLM calls a finding names"""


@dataclass(frozen=True, slots=True)
class Usual:
    """What runs of a workflow cost."""

    runs: int
    median_usd: float
    dearest_usd: float
    centre: float
    """median of log cost"""
    spread: float
    """robust standard deviation of log cost"""

    @classmethod
    def of(cls, costs: Sequence[float], thresholds: CostThresholds) -> Usual:
        if not costs:
            return cls(0, 0.0, 0.0, 0.0, thresholds.spread_floor)
        logs = [log(cost) for cost in costs]
        centre = median(logs)
        spread = max(CONSISTENT_MAD * median(abs(value - centre) for value in logs), thresholds.spread_floor)
        return cls(len(costs), median(costs), max(costs), centre, spread)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the other runs of a workflow cost."""

    runs: int
    median_usd: float
    dearest_usd: float
    z: float
    """of the run in question, in robust standard deviations of log cost"""


def find_cost_anomaly(frames: Frames, thresholds: CostThresholds = CostThresholds()) -> list[Finding | Skipped]:
    """One finding per run that is far too dear; one Skipped per workflow that has too few runs to say."""
    priced = frames.traces.filter(
        pl.col("cost_usd").is_not_null() & (pl.col("cost_usd") > 0) & pl.col("workflow").is_not_null()
    )
    priced = priced.with_columns(usd=pl.col("cost_usd").cast(pl.Float64)).sort("run_id")
    ended = pl.col("outcome") != RunOutcome.RUNNING
    answers = _unpriced(frames, set(priced["workflow"]))
    made = frames.llm_calls.select(COLUMNS)
    for (workflow,), runs in priced.sort("workflow", "run_id").group_by("workflow", maintain_order=True):
        known = runs.filter(ended)
        if runs.height - 1 < thresholds.few:
            reason = f"{amount(runs.height, 'run')} of {workflow!r} with a known cost; {thresholds.few + 1} are needed to say what is usual"
            answers.append(Skipped(detector="cost_anomaly", reason=reason))
            continue
        middle = known["usd"].median()
        if not isinstance(middle, float):
            continue
        # The median of the others is at most a little lower than that of all, so 1.5 keeps every candidate for 3.
        suspects = (
            runs.filter(pl.col("usd") > thresholds.ratio / 2 * middle) if runs.height > thresholds.enough else runs
        )
        costs = dict(known.select("run_id", "usd").iter_rows())
        usual = Usual.of(list(costs.values()), thresholds)
        found = [
            (row, base) for row in suspects.iter_rows(named=True) if (base := _dear(row, costs, usual, thresholds))
        ]
        if found:
            calls = made.filter(pl.col("run_id").is_in(runs["run_id"].implode()))
            spent = _spent(calls)
            together: dict[str | None, Sums] = defaultdict(lambda: NOTHING)
            for run, held in spent.items():
                for agent, sums in held.items() if run in costs else ():
                    together[agent] = _plus(together[agent], sums)
            judged = calls.filter(pl.col("run_id").is_in([row["run_id"] for row, _ in found]))
            mine = judged.partition_by("run_id", as_dict=True)
            counted = len(spent.keys() & costs.keys())
            for row, base in found:
                now = spent.get(row["run_id"], {})
                own = now if row["run_id"] in costs else {}
                usual = {agent: _less(sums, own.get(agent, NOTHING)) for agent, sums in together.items()}
                others = counted - bool(own)
                answers.append(
                    _finding(row, base, mine.get((row["run_id"],), calls.clear()), now, usual, others, thresholds)
                )
    return answers


def _unpriced(frames: Frames, priced: set[str]) -> list[Finding | Skipped]:
    """One Skipped for each workflow that called LLMs and has no run with a known cost."""
    calling = frames.traces.filter((pl.col("llm_calls") > 0) & pl.col("workflow").is_not_null())
    return [
        Skipped(detector="cost_anomaly", reason=f"no run of {workflow!r} has a known cost")
        for workflow in sorted(set(calling["workflow"]) - priced)
    ]


def _dear(run: Row, costs: dict[str, float], usual: Usual, thresholds: CostThresholds) -> Baseline | None:
    if len(costs) <= MANY:
        usual = Usual.of([cost for name, cost in costs.items() if name != run["run_id"]], thresholds)
    if usual.runs < thresholds.few:
        return None
    base = Baseline(usual.runs, usual.median_usd, usual.dearest_usd, (log(run["usd"]) - usual.centre) / usual.spread)
    if run["usd"] <= thresholds.ratio * usual.median_usd:
        return None
    if base.runs >= thresholds.enough:
        return base if base.z > thresholds.z else None
    return base if run["usd"] > thresholds.above_dearest * usual.dearest_usd else None


def _finding(
    run: Row,
    base: Baseline,
    mine: pl.DataFrame,
    now: Mapping[str | None, Sums],
    usual: Mapping[str | None, Sums],
    others: int,
    thresholds: CostThresholds,
) -> Finding:
    """`mine`: the LLM calls of the run, `now`: their sums by agent, `usual`: those of so many `others` together."""
    sure = base.runs >= thresholds.enough
    ratio = run["usd"] / base.median_usd
    whole = decompose(_each(_plus(*now.values()), 1), _each(_plus(*usual.values()), others))
    agents = _by_agent(now, usual, others)
    guilty = [row for row in agents if row["excess_usd"] > 0][:3]
    blamed = guilty[0]["agent"] if guilty else None
    dearest = mine.filter(pl.col("agent").eq_missing(pl.lit(blamed))).sort(
        "cost_usd", "span_id", descending=[True, False], nulls_last=True
    )
    names = set(dearest["span_id"].head(thresholds.shown))
    spans = tuple(span for span in mine.sort("start_ns", "span_id")["span_id"] if span in names)
    excess = run["usd"] - base.median_usd
    known = [(whole[name] or 0.0, text) for name, text in FACTORS.items()]
    causes = [f"{times(value)} the {text}" for value, text in known if value >= 1.25]
    return Finding(
        kind="cost_anomaly",
        severity="critical" if sure and ratio >= thresholds.critical_ratio else "warning",
        confidence=0.95 if sure else 0.5,
        title=f"{usd(run['usd'])}, {times(ratio)} the usual cost of {run['workflow']!r}",
        explanation=(
            f"This run cost {usd(run['usd'])}; the median of {amount(base.runs, 'other run')} of {run['workflow']!r} is {usd(base.median_usd)}, "
            f"the dearest of them {usd(base.dearest_usd)}. The excess of {usd(excess)} comes from {listing(causes) or 'no single factor'}"
            + (f"; most of it is {blamed or 'unattributed'}'s: {usd(guilty[0]['cost_usd'])} instead of {usd(guilty[0]['usual_usd'])}" if guilty else "")
            + ". "
            + (
                f"Sure: it lies {base.z:.1f} robust standard deviations above the usual (limit {thresholds.z})."
                if sure
                else f"Low confidence: only {amount(base.runs, 'other run')} to compare with; from {thresholds.enough} on the spread is known."
            )
        ),
        suggestion=(
            f"Set a budget of about {usd(max(thresholds.ratio * base.median_usd, base.dearest_usd))} for {run['workflow']!r} "
            f"(it warns at 75 % and stops at 100 %), and look at why {blamed or 'this run'} needed {_first_cause(whole)}."
        ),
        trace_id=run["run_id"],
        spans=spans,
        agents=tuple(row["agent"] for row in guilty if row["agent"] is not None),
        start_ns=run["start_ns"],
        end_ns=run["end_ns"],
        checked=(
            Check(rule="cost over the median of the other runs", value=round(ratio, 3), threshold=thresholds.ratio, passed=True),
            Check(rule="robust z of log cost", value=round(base.z, 2), threshold=thresholds.z, passed=base.z > thresholds.z),
            Check(rule="other runs to compare with", value=base.runs, threshold=thresholds.enough, passed=sure),
            Check(rule="cost over the dearest other run", value=round(run["usd"] / base.dearest_usd, 3), threshold=thresholds.above_dearest,
                  passed=run["usd"] > thresholds.above_dearest * base.dearest_usd),
            Check(rule="LLM calls of this run without a price", value=run["unpriced_calls"], threshold=0, passed=run["unpriced_calls"] == 0),
        ),
        data={
            "cost_usd": run["usd"],
            "median_usd": base.median_usd,
            "ratio": ratio,
            "z": base.z,
            "runs": base.runs,
            "excess_usd": excess,
            "factors": whole,
            "by_agent": agents,
            "wasted_spans": [],
        },
    )  # fmt: skip


FACTORS = {"calls": "LLM calls", "tokens_per_call": "tokens per call", "usd_per_token": "price per token"}
"""the factors whose product is cost; the order of an explanation"""


def decompose(now: Row, usual: Row) -> dict[str, float | None]:
    """The cost ratio as a product: calls x tokens per call x price per token, each as now / usual; None where a side has none."""

    def ratio(over: float | None, under: float | None) -> float | None:
        return over / under if over is not None and under else None

    def per(row: Row, top: str, bottom: str) -> float | None:
        return row[top] / row[bottom] if row[bottom] else None

    return {
        "calls": ratio(now["calls"], usual["calls"]),
        "tokens_per_call": ratio(per(now, "tokens", "calls"), per(usual, "tokens", "calls")),
        "usd_per_token": ratio(per(now, "usd", "tokens"), per(usual, "usd", "tokens")),
    }


Sums = tuple[int, int, Decimal]
"""calls, tokens and USD of LLM calls; exact, so that the order of rows does not show in the last digit"""
NOTHING: Sums = (0, 0, Decimal(0))


def totals() -> list[pl.Expr]:
    """calls, tokens and usd of a group of LLM calls, as `Sums` has them."""
    return [
        pl.len().cast(pl.Int64).alias("calls"),
        (pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)).sum().alias("tokens"),
        pl.col("cost_usd").sum().alias("usd"),
    ]


def per_run(spent: pl.DataFrame, runs: int) -> Row:
    """The sums of rows of `totals`, for each of so many runs."""
    return _each(_plus(*spent.select("calls", "tokens", "usd").iter_rows()), runs)


def _spent(calls: pl.DataFrame) -> dict[str, dict[str | None, Sums]]:
    """Run -> agent -> sums."""
    held: dict[str, dict[str | None, Sums]] = defaultdict(dict)
    for run, agent, *sums in calls.group_by("run_id", "agent").agg(totals()).iter_rows():
        held[run][agent] = (sums[0], sums[1], sums[2])
    return held


def _plus(*many: Sums) -> Sums:
    return sum(one[0] for one in many), sum(one[1] for one in many), sum((one[2] for one in many), Decimal(0))


def _less(whole: Sums, part: Sums) -> Sums:
    return whole[0] - part[0], whole[1] - part[1], whole[2] - part[2]


def _each(sums: Sums, runs: int) -> Row:
    """`sums` for each of so many runs."""
    return {name: float(value) / max(runs, 1) for name, value in zip(("calls", "tokens", "usd"), sums, strict=True)}


def _by_agent(now: Mapping[str | None, Sums], usual: Mapping[str | None, Sums], others: int) -> list[Row]:
    """One entry per agent of either side: cost now and usually, the excess, and its factors; the largest excess first."""
    rows: list[Row] = []
    for agent in {*now, *(agent for agent, sums in usual.items() if sums[0])}:
        here, there = _each(now.get(agent, NOTHING), 1), _each(usual.get(agent, NOTHING), others)
        rows.append(
            {
                "agent": agent,
                "cost_usd": here["usd"],
                "usual_usd": there["usd"],
                "excess_usd": here["usd"] - there["usd"],
                **decompose(here, there),
            }
        )
    return sorted(rows, key=lambda row: (-row["excess_usd"], row["agent"] or ""))


def _first_cause(factors: dict[str, float | None]) -> str:
    known: Sequence[tuple[float, str]] = [
        (value, FACTORS[name]) for name, value in factors.items() if value is not None
    ]
    if not known:
        return "that much"
    value, name = max(known)
    return f"{times(value)} the {name}"
