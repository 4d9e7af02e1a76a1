"""How the metrics of each workflow went over time: one row per workflow and period, and the slope over all periods."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import polars as pl

from analyzers.frames import Frames
from tracer.model import RunOutcome

DAY_NS = 86_400 * 10**9
PERIODS_NS = {"hour": DAY_NS // 24, "day": DAY_NS, "week": 7 * DAY_NS}
MONDAY_NS = 4 * DAY_NS
"""the first Monday after the Unix epoch, where weeks begin"""
LEAST_PERIODS = 5
"""periods a slope needs"""
TRENDED = ("completion_rate", "escalation_rate", "cost_mean_usd", "latency_p50_s", "tokens_mean", "runs")


def metric_trends(frames: Frames, period: str = "day") -> pl.DataFrame:
    """One row per workflow and period with runs, ordered by these.

    Columns: workflow, start_ns (of the period, UTC), runs, completion_rate and escalation_rate (over ended runs), cost_mean_usd,
    cost_total_usd (known prices), latency_p50_s, latency_p95_s (runs that are over and have real times), tokens_mean, llm_calls_mean.
    """
    length = PERIODS_NS[period]
    offset = MONDAY_NS if period == "week" else 0
    ended = ~pl.col("outcome").is_in([RunOutcome.RUNNING, RunOutcome.UNKNOWN])
    over = pl.col("outcome") != RunOutcome.RUNNING
    timed = over & pl.col("end_ns").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode())
    seconds = ((pl.col("end_ns") - pl.col("start_ns")) / 1e9).filter(timed)
    start = (pl.col("start_ns") - offset) // length * length + offset
    return (
        frames.traces.group_by("workflow", start.alias("period_ns"))
        .agg(
            runs=pl.len().cast(pl.Int64),
            completion_rate=(pl.col("outcome") == RunOutcome.COMPLETED).filter(ended).mean(),
            escalation_rate=(pl.col("escalations") > 0).filter(ended).mean(),
            cost_mean_usd=pl.col("cost_usd").cast(pl.Float64).mean(),
            cost_total_usd=pl.when(pl.col("cost_usd").is_not_null().any()).then(pl.col("cost_usd").sum()),
            latency_p50_s=seconds.quantile(0.5, interpolation="linear"),
            latency_p95_s=seconds.quantile(0.95, interpolation="linear"),
            tokens_mean=(pl.col("input_tokens") + pl.col("output_tokens")).mean(),
            llm_calls_mean=pl.col("llm_calls").mean(),
        )
        .rename({"period_ns": "start_ns"})
        .sort("workflow", "start_ns", nulls_last=True)
    )


def trend_slopes(trends: pl.DataFrame) -> list[dict[str, Any]]:
    """Per workflow and metric of `TRENDED` the change per period (Theil-Sen: the median slope over all pairs of periods) and its share
    of the median level; metrics with fewer than `LEAST_PERIODS` known periods are left out."""
    told: list[dict[str, Any]] = []
    for (workflow,), rows in trends.group_by("workflow", maintain_order=True):
        for metric in TRENDED:
            known = rows.drop_nulls(metric).select("start_ns", metric).rows()
            if len(known) < LEAST_PERIODS:
                continue
            step = min(b[0] - a[0] for a, b in pairwise(known))
            slope = theil_sen([(start / step, float(value)) for start, value in known])
            level = median(float(value) for _, value in known)
            told.append(
                {
                    "workflow": workflow,
                    "metric": metric,
                    "per_period": slope,
                    "share_per_period": slope / level if level else None,
                    "periods": len(known),
                }
            )
    return told


def theil_sen(points: Sequence[tuple[float, float]], most: int = 400) -> float:
    """Median slope over all pairs of points with different x; of more than `most` points every k-th counts. 0 for fewer than two."""
    held = points if len(points) <= most else points[:: -(-len(points) // most)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for place, a in enumerate(held) for b in held[place + 1 :] if b[0] != a[0]]
    return median(slopes) if slopes else 0.0
