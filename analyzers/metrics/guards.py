"""Which guards acted, on whom, and how often."""

from __future__ import annotations

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.frames import Frames
from tracer.model import SpanKind
from tracer.semconv import Tracehound


def guard_metrics(frames: Frames) -> pl.DataFrame:
    """One row per guard, those that stopped most first.

    Columns: guard (null where none was named), stopped, warned (times), runs, agents (on whom it acted, sorted), last_ns.
    """
    trips = frames.spans.filter((pl.col("kind") == SpanKind.GUARD_TRIP) & pl.col("duplicate_of").is_null())
    warned = [attributes_of(text).get(Tracehound.GUARD_LEVEL) == "warn" for text in trips["attributes"]]
    return (
        trips.select("guard", "run_id", "agent", "start_ns")
        .with_columns(pl.Series("warned", warned, pl.Boolean))
        .group_by("guard")
        .agg(
            stopped=(~pl.col("warned")).sum(),
            warned=pl.col("warned").sum(),
            runs=pl.col("run_id").n_unique(),
            agents=pl.col("agent").drop_nulls().unique().sort(),
            last_ns=pl.col("start_ns").max(),
        )
        .sort("stopped", "warned", "guard", descending=[True, True, False], nulls_last=True)
    )
