"""Runs of a store into a lake: one part per partition and at most `PART_SPANS` spans a part."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tracer.lake.layout import TABLES, Lake, Part, day_of, new_part
from tracer.store import references
from tracer.store.columns import select_with
from tracer.store.database import Store
from tracer.store.schema import table_schema

PART_SPANS = 200_000
"""spans read at once, and so at most in a part: some hundred megabytes"""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What was written."""

    runs: int
    spans: int
    bytes: int
    files: int


def ship(
    store: Store,
    lake: Lake,
    run_ids: Sequence[str],
    *,
    days: Mapping[str, str] | None = None,
    gone: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda runs: None,
) -> Shipped:
    """Write whole runs, with their texts and marks, to the partitions they belong to. Reads the store in short leases.

    Args:
        days: run id -> the day it was shipped to before, which it keeps although its start may have moved.
        gone: run id -> day of runs that are no more, because their spans turned out to belong to other runs.

    Raises:
        StoreError: the lake cannot be written; parts that were written before stay.
    """
    known, total = days or {}, Shipped(0, 0, 0, 0)
    with store.lease() as con:
        wanted = pl.DataFrame({"run_id": list(run_ids)}, schema={"run_id": pl.String})
        rows = select_with(con, wanted, "SELECT run_id, start_ns, spans FROM traces SEMI JOIN incoming USING (run_id)")
    for chosen in _chunks(rows.sort("start_ns", "run_id").select("run_id", "spans").rows()):
        tables = read_tables(store, chosen)
        placed = tables["traces"].select(
            "run_id",
            day=pl.Series([known.get(run) or day_of(at) for run, at in tables["traces"].select("run_id", "start_ns").iter_rows()]),
            bucket=pl.Series([lake.bucket_of(run) for run in tables["traces"]["run_id"]]),
        )  # fmt: skip
        for (day, bucket), runs in placed.sort("day", "bucket").group_by("day", "bucket", maintain_order=True):
            total = _plus(total, _write(lake, new_part(str(day), int(str(bucket))), _of(tables, runs)))
        progress(len(chosen))
    for run_id, day in (gone or {}).items():
        empty = pl.DataFrame({"run_id": [run_id], "spans": [0]})
        _write(lake, new_part(day, lake.bucket_of(run_id)), {"traces": empty})
    return total


def read_tables(store: Store, run_ids: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Every row of the store that belongs to these runs, by table of the lake."""
    with store.lease() as con:
        wanted = pl.DataFrame({"run_id": list(run_ids)}, schema={"run_id": pl.String})
        extents = select_with(con, wanted, "SELECT * FROM run_traces SEMI JOIN incoming USING (run_id)")
        first, last = extents["first_ns"].min() or 0, extents["last_ns"].max() or 0
        by_run, window = "SEMI JOIN incoming USING (run_id)", f"BETWEEN {first} AND {last}"
        columns = ", ".join(f'"{name}"' for name in table_schema("spans"))
        spans = f"SELECT {columns} FROM spans {by_run} WHERE start_ns {window} UNION ALL SELECT {columns} FROM running_spans {by_run}"
        tables = {
            "spans": select_with(con, wanted, f"{spans} ORDER BY run_id, start_ns, span_id"),
            "marks": select_with(con, wanted, f"SELECT * FROM marks {by_run} ORDER BY run_id, time_ns"),
            "traces": select_with(con, wanted, f"SELECT * FROM traces {by_run} ORDER BY start_ns, run_id"),
        }
        ids, by_trace = extents.select("trace_id"), "SEMI JOIN incoming USING (trace_id)"
        tables["events"] = select_with(
            con,
            ids,
            f"SELECT * FROM events {by_trace} WHERE time_ns {window} ORDER BY trace_id, time_ns, span_id, name",
        )
        tables["links"] = select_with(con, ids, f"SELECT * FROM links {by_trace} ORDER BY ALL")
        used = [
            select_with(con, tables["spans"].select("input_refs", "output_refs", "attributes"), _ids("input_refs", "output_refs")),
            select_with(con, tables["events"].select("refs", "attributes"), _ids("refs")),
            select_with(con, tables["links"].select("attributes"), _ids()),
        ]  # fmt: skip
        texts = pl.concat(used).unique()
        # By row id, or DuckDB would inflate every text of the store to throw most of them away.
        rows = "SELECT rowid FROM contents SEMI JOIN incoming USING (content_id)"
        tables["contents"] = select_with(
            con, texts, f"SELECT * FROM contents WHERE rowid IN ({rows}) ORDER BY content_id"
        )
    return tables


def _of(tables: Mapping[str, pl.DataFrame], runs: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of some of the runs in `tables`."""
    found = {name: tables[name].join(runs, on="run_id", how="semi") for name in ("spans", "marks", "traces")}
    ids = found["spans"].select("trace_id").unique()
    found |= {name: tables[name].join(ids, on="trace_id", how="semi") for name in ("events", "links")}
    found["contents"] = tables["contents"].filter(pl.col("content_id").is_in(texts_of(found).implode()))
    return found


def texts_of(tables: Mapping[str, pl.DataFrame]) -> pl.Series:
    """The ids of texts that rows may refer to; any number in attributes that refer to texts is taken for one."""
    lists = [tables["spans"]["input_refs"], tables["spans"]["output_refs"], tables["events"]["refs"]]
    ids = [column.drop_nulls().explode().drop_nulls() for column in lists]
    for name in ("spans", "events", "links"):
        referring = tables[name]["attributes"].filter(tables[name]["attributes"].str.contains('"$', literal=True))
        ids.append(referring.str.extract_all(r"-?\d{4,}").explode().cast(pl.Int64, strict=False).drop_nulls())
    return pl.concat(ids).unique()


def _ids(*columns: str) -> str:
    return f"SELECT DISTINCT content_id FROM ({references.used_in('SELECT * FROM incoming', *columns)}) WHERE content_id IS NOT NULL"


def _write(lake: Lake, part: Part, tables: Mapping[str, pl.DataFrame]) -> Shipped:
    size = files = 0
    for table in TABLES:
        frame = tables.get(table)
        if frame is None or frame.is_empty():
            continue
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd")
        lake.write(part.path(table), buffer.getvalue())
        size, files = size + buffer.tell(), files + 1
    spans = tables["spans"].height if "spans" in tables else 0
    return Shipped(tables["traces"].height, spans, size, files)


def _chunks(members: Sequence[tuple[str, int]]) -> list[list[str]]:
    """Runs to read at once; a run larger than a part is read alone."""
    chunks: list[list[str]] = [[]]
    held = 0
    for run_id, spans in members:
        if chunks[-1] and held + spans > PART_SPANS:
            chunks.append([])
            held = 0
        chunks[-1].append(run_id)
        held += spans
    return chunks


def _plus(a: Shipped, b: Shipped) -> Shipped:
    return Shipped(a.runs + b.runs, a.spans + b.spans, a.bytes + b.bytes, a.files + b.files)
