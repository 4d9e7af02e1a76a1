"""Where the money goes: calls, tokens and cost by workflow, agent, model, purpose, user, or anything else a span carries."""

from __future__ import annotations

from typing import Literal

import polars as pl

from analyzers.frames import Frames
from analyzers.metrics.agents import usage

By = Literal["workflow", "agent", "model", "purpose", "user_id", "service", "environment"]


def spending(frames: Frames, by: By) -> pl.DataFrame:
    """One row per value of `by`, the most expensive first; the row with a null name holds calls that carry none.

    Columns: name, runs, llm_calls, input_tokens, output_tokens, cached_tokens, cost_usd (null where no price is known),
    coverage (share of calls with tokens and a price). The rows sum to all billed calls of `frames`.
    """
    return (
        frames.billed.group_by(pl.col(by).alias("name"))
        .agg(pl.col("run_id").n_unique().alias("runs"), *usage())
        .sort("cost_usd", "llm_calls", "name", descending=[True, True, False], nulls_last=True)
    )


def spending_over_time(frames: Frames, by: By, *, bucket_ns: int, top: int = 6) -> pl.DataFrame:
    """Known cost per bucket of time and value of `by`: start_ns, name, cost_usd (float); beyond `top` values "other"."""
    ranked = spending(frames, by).filter(pl.col("cost_usd").is_not_null()).head(top)["name"]
    named = pl.col(by).fill_null("none")
    return (
        frames.billed.filter(pl.col("cost_usd").is_not_null())
        .group_by(
            start_ns=pl.col("start_ns") // bucket_ns * bucket_ns,
            name=pl.when(named.is_in(ranked.fill_null("none").implode())).then(named).otherwise(pl.lit("other")),
        )
        .agg(pl.col("cost_usd").cast(pl.Float64).sum())
        .sort("start_ns", "name")
    )
