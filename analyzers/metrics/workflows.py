"""How each kind of run does: one row per workflow."""

from __future__ import annotations

import polars as pl

from analyzers.frames import Frames
from analyzers.metrics.agents import SECOND_NS
from tracer.model import RunOutcome, SpanKind


def workflow_metrics(frames: Frames) -> pl.DataFrame:
    """One row per workflow, ordered by name; runs whose workflow is not known stand in the row without a name.

    Columns: workflow, runs, running, unknown, completed, completion_rate and escalation_rate (over ended runs: neither running nor
    unknown), latency_mean_s, latency_p50_s, latency_p95_s (runs that are over and have real times, however they ended; waits included), wait_mean_s (waits per such run),
    cost_mean_usd (over runs with any known price), cost_total_usd, coverage (share of billed calls with a known price).
    """
    ended = ~pl.col("outcome").is_in([RunOutcome.RUNNING, RunOutcome.UNKNOWN])
    over = pl.col("outcome") != RunOutcome.RUNNING
    timed = over & pl.col("end_ns").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode())
    seconds = ((pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS).filter(timed)
    waits = (
        frames.spans.filter(
            (pl.col("kind") == SpanKind.WAIT) & pl.col("duplicate_of").is_null() & pl.col("end_ns").is_not_null()
        )
        .group_by("run_id")
        .agg(wait_s=((pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS).sum())
    )
    billed = frames.billed.group_by("run_id").agg(billed=pl.len(), priced=pl.col("cost_usd").is_not_null().sum())
    runs = frames.traces.join(waits, on="run_id", how="left").join(billed, on="run_id", how="left")
    return (
        runs.group_by("workflow")
        .agg(
            runs=pl.len(),
            running=(pl.col("outcome") == RunOutcome.RUNNING).sum(),
            unknown=(pl.col("outcome") == RunOutcome.UNKNOWN).sum(),
            completed=(pl.col("outcome") == RunOutcome.COMPLETED).sum(),
            completion_rate=(pl.col("outcome") == RunOutcome.COMPLETED).filter(ended).mean(),
            escalation_rate=(pl.col("escalations") > 0).filter(ended).mean(),
            latency_mean_s=seconds.mean(),
            latency_p50_s=seconds.quantile(0.5, interpolation="linear"),
            latency_p95_s=seconds.quantile(0.95, interpolation="linear"),
            wait_mean_s=pl.col("wait_s").fill_null(0.0).filter(timed).mean(),
            cost_mean_usd=pl.col("cost_usd").cast(pl.Float64).mean(),
            cost_total_usd=pl.when(pl.col("cost_usd").is_not_null().any()).then(pl.col("cost_usd").sum()),
            coverage=pl.when(pl.col("billed").sum() > 0).then(pl.col("priced").sum() / pl.col("billed").sum()),
        )
        .sort("workflow", nulls_last=True)
    )
