"""How agents get along: handoffs, loops, clashes over state and tripped guards, one row per workflow."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.finding import Finding
from analyzers.frames import Frames
from tracer.model import CasOutcome, SpanKind
from tracer.semconv import Tracehound


def coordination_metrics(frames: Frames, findings: Iterable[Finding] | None) -> pl.DataFrame:
    """One row per workflow, ordered by name.

    Columns: workflow, runs, handoffs_per_run, loops (findings of that kind; null when `findings` is None, that is not looked for),
    state_conflicts (writes refused because the version had moved, plus lost updates found), breaker_trips (guards that stopped
    something; warnings are not trips).
    """
    named = frames.traces.select("run_id", "workflow")
    spans = frames.spans.filter(pl.col("duplicate_of").is_null())
    trips = spans.filter(pl.col("kind") == SpanKind.GUARD_TRIP).select("run_id", "attributes")
    stopped = [attributes_of(text).get(Tracehound.GUARD_LEVEL) != "warn" for text in trips["attributes"]]
    counted = (
        named.join(_per_run(spans.filter(pl.col("kind") == SpanKind.HANDOFF), "handoffs"), on="run_id", how="left")
        .join(_per_run(spans.filter(pl.col("cas_outcome") == CasOutcome.CONFLICT), "refused"), on="run_id", how="left")
        .join(_per_run(trips.filter(pl.Series(stopped, dtype=pl.Boolean)), "trips"), on="run_id", how="left")
        .join(_found(findings or (), "loop", "loops"), on="run_id", how="left")
        .join(_found(findings or (), "lost_update", "lost"), on="run_id", how="left")
        .fill_null(0)
    )
    rows = counted.group_by(pl.col("workflow")).agg(
        runs=pl.len(),
        handoffs_per_run=pl.col("handoffs").sum() / pl.len(),
        loops=pl.col("loops").sum(),
        state_conflicts=pl.col("refused").sum() + pl.col("lost").sum(),
        breaker_trips=pl.col("trips").sum(),
    )
    if findings is None:
        rows = rows.with_columns(loops=pl.lit(None, dtype=pl.Int64))
    return rows.sort("workflow", nulls_last=True)


def _per_run(spans: pl.DataFrame, name: str) -> pl.DataFrame:
    return spans.group_by("run_id").agg(pl.len().cast(pl.Int64).alias(name))


def _found(findings: Iterable[Finding], kind: str, name: str) -> pl.DataFrame:
    runs = [f.trace_id for f in findings if f.kind == kind and f.trace_id is not None]
    return _per_run(pl.DataFrame({"run_id": runs}, schema={"run_id": pl.String}), name)
