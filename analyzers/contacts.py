"""Who turned to whom, over any number of runs: handoffs, messages, and invocations of one agent inside another's span."""

from __future__ import annotations

import polars as pl

from analyzers.frames import Frames
from tracer.model import SpanKind, SpanStatus

SECOND_NS = 1_000_000_000
_COLUMNS = ["source", "target", "way", "run_id", "failed", "seconds"]


def find_contacts(frames: Frames) -> pl.DataFrame:
    """One row per pair of agents and way, the most frequent first.

    Columns: source, target, way ("handoff", "message", "invoke"), contacts, runs, failed (spans with an error),
    mean_s (time of an ended invocation; null for the other ways). An invocation is an agent span directly below work of
    another agent; where a handoff names the same pair in the same run, the invocation it caused is not counted again.
    """
    spans = frames.spans.filter(pl.col("duplicate_of").is_null())
    named = (
        pl.col("agent").is_not_null()
        & pl.col("target_agent").is_not_null()
        & (pl.col("agent") != pl.col("target_agent"))
    )
    passed = spans.filter(pl.col("kind").is_in([SpanKind.HANDOFF, SpanKind.MESSAGE]) & named).select(
        source="agent", target="target_agent", way="kind", run_id="run_id", failed=pl.col("status") == SpanStatus.ERROR,
        seconds=pl.lit(None, pl.Float64),
    )  # fmt: skip
    parents = spans.select("trace_id", parent_span_id="span_id", source="agent")
    failed = (pl.col("status") == SpanStatus.ERROR).alias("failed")
    seconds = ((pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS).alias("seconds")
    invoked = (
        spans.filter((pl.col("kind") == SpanKind.AGENT) & pl.col("agent").is_not_null())
        .join(parents, on=["trace_id", "parent_span_id"])
        .filter(pl.col("source").is_not_null() & (pl.col("source") != pl.col("agent")))
        .select("source", "run_id", failed, seconds, target="agent", way=pl.lit("invoke"))
        .join(passed.filter(pl.col("way") == SpanKind.HANDOFF), on=["run_id", "source", "target"], how="anti")
    )
    together = pl.concat([passed.select(_COLUMNS), invoked.select(_COLUMNS)])
    return (
        together.group_by("source", "target", "way")
        .agg(
            contacts=pl.len(), runs=pl.col("run_id").n_unique(), failed=pl.col("failed").sum(), mean_s=pl.col("seconds").mean()
        )
        .sort("contacts", "source", "target", "way", descending=[True, False, False, False])
    )  # fmt: skip
