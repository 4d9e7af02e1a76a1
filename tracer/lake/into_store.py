"""Runs of a lake into a store, row for row: what was analysed there gives the same here."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tracer.lake.read import LakeData
from tracer.model import SpanStatus
from tracer.store.columns import insert, select_with
from tracer.store.database import Store
from tracer.store.lease import Lease
from tracer.store.upkeep import without_folds


@dataclass(frozen=True, slots=True)
class Brought:
    """What came into the store."""

    runs: int
    spans: int
    known: int
    """runs that were there already; they stay as they are"""


def bring_in(store: Store, lake: LakeData) -> Brought:
    """Add whole runs with their texts and marks, in one transaction. Spans that still ran when they were shipped count as interrupted.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`; the store is as it was.
    """
    lease, data = Lease.of(store.path), lake.data
    running = pl.col("status") == SpanStatus.RUNNING
    spans = data.spans.with_columns(
        status=pl.when(running).then(pl.lit(SpanStatus.INTERRUPTED.value)).otherwise("status")
    )
    with without_folds(lease), lease.hold() as con:
        ids = spans.select("trace_id").unique()
        held = select_with(con, ids, "SELECT trace_id FROM run_traces SEMI JOIN incoming USING (trace_id)")["trace_id"]
        known = spans.filter(pl.col("trace_id").is_in(held.implode()))["run_id"].unique()
        new = ~pl.col("run_id").is_in(known.implode())
        spans = spans.filter(new)
        by_trace = pl.col("trace_id").is_in(spans["trace_id"].unique().implode())
        events, links = data.events.filter(by_trace), data.links.filter(by_trace)
        here = select_with(
            con,
            lake.texts.select("content_id"),
            "SELECT content_id FROM contents SEMI JOIN incoming USING (content_id)",
        )
        times = pl.concat(
            [
                spans.select("trace_id", "run_id", at="start_ns"),
                events.join(spans.select("trace_id", "run_id").unique(), on="trace_id").select(
                    "trace_id", "run_id", at="time_ns"
                ),
            ]
        )
        extents = times.group_by("trace_id", "run_id").agg(first_ns=pl.col("at").min(), last_ns=pl.col("at").max())
        con.execute("BEGIN").fetchall()
        insert(con, "contents", lake.texts.join(here, on="content_id", how="anti"))
        insert(con, "spans", spans)
        insert(con, "events", events)
        insert(con, "links", links)
        insert(con, "run_traces", extents.sort("first_ns", "trace_id"))
        insert(con, "traces", data.traces.filter(new))
        insert(con, "marks", lake.marks.filter(new))
        con.execute("COMMIT").fetchall()
    return Brought(data.traces.filter(new).height, spans.height, known.len())
