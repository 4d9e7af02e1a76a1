"""How an agent does in each of its versions: the numbers a release is judged by."""

from __future__ import annotations

import polars as pl

from analyzers.metrics.agents import SECOND_NS
from tracer.model import SpanKind, SpanStatus


def version_metrics(spans: pl.DataFrame) -> pl.DataFrame:
    """One row per version found in `spans` (of one agent, duplicates left out), the newest first.

    A version is the pair of the service's version and the prompt's, as far as they were recorded; spans with neither form
    the row with two nulls. Columns: service_version, prompt_version, first_ns, last_ns, runs, llm_calls, error_rate (over
    agent, LLM and tool spans), latency_p50_s (LLM calls), cost_per_run_usd (null where no price is known).
    """
    worked = pl.col("kind").is_in([SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL])
    llm = pl.col("kind") == SpanKind.LLM
    seconds = (pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS
    return (
        spans.filter(worked)
        .group_by("service_version", "prompt_version")
        .agg(
            first_ns=pl.col("start_ns").min(),
            last_ns=pl.col("start_ns").max(),
            runs=pl.col("run_id").n_unique(),
            llm_calls=llm.sum(),
            error_rate=(pl.col("status") == SpanStatus.ERROR).mean(),
            latency_p50_s=seconds.filter(llm).median(),
            cost_per_run_usd=pl.when(pl.col("cost_usd").is_not_null().any()).then(
                pl.col("cost_usd").cast(pl.Float64).sum() / pl.col("run_id").n_unique()
            ),
        )
        .sort("last_ns", "service_version", "prompt_version", descending=[True, False, False], nulls_last=True)
    )
