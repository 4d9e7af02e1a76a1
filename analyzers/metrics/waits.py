"""What runs waited for, per reason and awaited party."""

from __future__ import annotations

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.frames import Frames
from analyzers.metrics.agents import SECOND_NS
from tracer.model import SpanKind, SpanStatus
from tracer.semconv import Tracehound


def wait_metrics(frames: Frames) -> pl.DataFrame:
    """One row per reason and awaited party, the longest total first.

    Columns: reason (null where none was recorded), target (the agents, people or locks waited for, joined by commas; null where unknown), waits, running (not
    over), timed_out, runs, total_s, longest_s (of waits that are over and have real times), agents (who waited, sorted).
    """
    waits = frames.spans.filter((pl.col("kind") == SpanKind.WAIT) & pl.col("duplicate_of").is_null())
    outcomes = [str(attributes_of(text).get(Tracehound.WAIT_OUTCOME) or "") for text in waits["attributes"]]
    over = pl.col("status") != SpanStatus.RUNNING
    timed = over & ~pl.col("run_id").is_in(frames.timeless.implode())
    rows = waits.select(
        "run_id", "agent", "reason",
        target=pl.when(pl.col("wait_for").list.len() > 0).then(pl.col("wait_for").list.sort().list.join(", ")),
        seconds=pl.when(timed).then((pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS),
        running=~over,
    ).with_columns(pl.Series("outcome", outcomes, pl.String))  # fmt: skip
    return (
        rows.group_by("reason", "target")
        .agg(
            waits=pl.len(),
            running=pl.col("running").sum(),
            timed_out=(pl.col("outcome") == "timed_out").sum(),
            runs=pl.col("run_id").n_unique(),
            total_s=pl.col("seconds").sum(),
            longest_s=pl.col("seconds").max(),
            agents=pl.col("agent").drop_nulls().unique().sort(),
        )
        .sort("total_s", "reason", "target", descending=[True, False, False], nulls_last=True)
    )
