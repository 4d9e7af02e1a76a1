"""How long runs are kept: for ever, unless the store or the caller sets a limit; pinned and judged runs always stay.

    limits -> plan: which runs go, and why (nothing is changed) -> remove: rows in small transactions -> release of texts

A kill in the middle leaves whole runs, some of them removed, and at worst texts that nothing refers to, which the next
`prune` that removes something leaves alone and `doctor --repair` takes away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from tracer.errors import BadInput, UnknownName
from tracer.store import references
from tracer.store.columns import select_with, with_frame
from tracer.store.database import Store
from tracer.store.lease import CATALOG, Lease
from tracer.store.upkeep import give_way, without_folds

DAY_NS = 86_400 * 1_000_000_000
REMOVED_AT_ONCE_SPANS = 20_000
_SPAN_BYTES = 300
"""what a span takes beside its attributes and texts, before compression; only proportions matter"""
LIMITS = ("retention_days", "max_bytes")
"""names of the limits in `meta`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a store may hold; None is without limit."""

    retention_days: float | None = None
    """days after the start of its last span that a run is kept"""
    max_bytes: int | None = None
    """size of the database file"""


@dataclass(frozen=True, slots=True)
class Removal:
    """One run that goes."""

    run_id: str
    workflow: str | None
    start_ns: int
    last_ns: int
    """when its last span started"""
    spans: int
    bytes: int
    """about how much of the file it takes"""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be removed, oldest first, and what a limit would remove if it were not pinned or running."""

    removals: tuple[Removal, ...]
    pinned: int
    """runs over a limit that stay because they are pinned or marked"""
    running: int
    """runs over a limit that stay because they still run"""


@dataclass(slots=True)
class Removed:
    """What `remove` did."""

    runs: int = 0
    spans: int = 0
    texts: int = 0
    text_bytes: int = 0


def read_limits(store: Store) -> Limits:
    """The limits kept in the store."""
    with store.lease() as con:
        kept = dict(con.execute("SELECT key, value FROM meta").fetchall())
    days, size = (kept.get(name) for name in LIMITS)
    return Limits(retention_days=None if days is None else float(days), max_bytes=None if size is None else int(size))


def keep_limits(store: Store, limits: Limits) -> None:
    """Make `limits` those of the store; None removes one."""
    values = {"retention_days": limits.retention_days, "max_bytes": limits.max_bytes}
    with store.lease() as con:
        con.execute("BEGIN").fetchall()
        for name, value in values.items():
            con.execute("DELETE FROM meta WHERE key = $name", {"name": name}).fetchall()
            if value is not None:
                con.execute("INSERT INTO meta VALUES ($name, $value)", {"name": name, "value": f"{value!r}"}).fetchall()
        con.execute("COMMIT").fetchall()


def pin(store: Store, run_ids: Iterable[str], *, pinned: bool = True) -> None:
    """Keep runs whatever the limits say, or no longer.

    Raises:
        UnknownName: there is no such run.
    """
    with store.lease() as con:
        con.execute("BEGIN").fetchall()
        for run_id in run_ids:
            values = {"run": run_id}
            if not con.execute("SELECT 1 FROM run_traces WHERE run_id = $run", values).fetchall():
                known = con.execute("SELECT run_id FROM traces ORDER BY start_ns DESC LIMIT 1000").fetchall()
                raise UnknownName.among(
                    "trace", run_id, (name for (name,) in known), listed="`tracehound traces` lists them."
                )
            con.execute("DELETE FROM pins WHERE run_id = $run", values).fetchall()
            if pinned:
                con.execute("INSERT INTO pins VALUES ($run, $now)", {**values, "now": time.time_ns()}).fetchall()
        con.execute("COMMIT").fetchall()


def used_bytes(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Bytes of the database file, and how many of them hold something."""
    [(block, total, used)] = con.execute(
        "SELECT block_size, total_blocks, used_blocks FROM pragma_database_size() WHERE database_name = $name",
        {"name": CATALOG},
    ).fetchall()
    return block * total, block * used


def plan(
    store: Store, limits: Limits, *, run_ids: Sequence[str] = (), now_ns: int | None = None, weighed: bool = True
) -> Plan:
    """Which runs `limits` remove, and `run_ids` whatever the limits are. Changes nothing.

    What a run takes of the file is judged by its attributes and texts, or by its spans alone unless `weighed`: that reads
    one row a run and not one a span.

    Raises:
        BadInput: one of `run_ids` is still running.
        UnknownName: one of `run_ids` is not there.
    """
    now = time.time_ns() if now_ns is None else now_ns
    with store.lease() as con:
        runs = _runs(con, weighed=weighed and limits.max_bytes is not None)
        _, used = used_bytes(con)
    weight = max(int(runs["weight"].sum()), 1)
    asked, cutoff = set(run_ids), None if limits.retention_days is None else now - int(limits.retention_days * DAY_NS)
    if missing := asked - set(runs["run_id"]):
        raise UnknownName.among("trace", min(missing), runs["run_id"], listed="`tracehound traces` lists them.")
    removals: list[Removal] = []
    pinned = running = 0
    left = used
    # Those asked for come first: what they free need not be freed again.
    rows = runs.with_columns(asked=pl.col("run_id").is_in(list(asked))).sort(~pl.col("asked"), "last_ns", "run_id")
    for row in rows.iter_rows(named=True):
        size = used * row["weight"] // weight
        if row["asked"]:
            if row["running"]:
                raise BadInput(
                    f"The run {row['run_id']} is still running.", hint="stop it, or wait until it has ended."
                )
            reason = "asked for"
        elif cutoff is not None and row["last_ns"] < cutoff:
            reason = f"older than {limits.retention_days:g} days"
        elif limits.max_bytes is not None and left > limits.max_bytes:
            reason = f"over {limits.max_bytes:,} bytes"
        else:
            continue
        if not row["asked"] and (row["pinned"] or row["running"]):
            pinned, running = pinned + row["pinned"], running + (row["running"] and not row["pinned"])
            continue
        left -= size
        removals.append(
            Removal(row["run_id"], row["workflow"], row["start_ns"], row["last_ns"], row["spans"], size, reason)
        )
    return Plan(tuple(removals), pinned, running)


def remove(store: Store, run_ids: Sequence[str], *, progress: Callable[[int], None] = lambda runs: None) -> Removed:
    """Remove whole runs: rows, marks, pins, and the texts that nobody else uses. Reading and recording go on.

    Spans that arrive afterwards make the run anew. Log records outside of any trace go with the runs of their time.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`; what was removed before stays removed.
    """
    lease, done = Lease.of(store.path), Removed()
    candidates: list[pl.Series] = []
    with without_folds(lease):
        with lease.hold() as con:
            wanted = pl.DataFrame({"run_id": list(run_ids)}, schema={"run_id": pl.String})
            extents = select_with(
                con,
                wanted,
                """
                SELECT run_id, coalesce(any_value(t.spans), 1) AS spans, min(r.first_ns) AS first_ns, max(r.last_ns) AS last_ns
                FROM run_traces r SEMI JOIN incoming USING (run_id) LEFT JOIN traces t USING (run_id)
                GROUP BY run_id ORDER BY 3, 1
                """,
            )
        chunk = (extents["spans"].cum_sum() - extents["spans"]) // REMOVED_AT_ONCE_SPANS
        for part in extents.with_columns(chunk=chunk).partition_by("chunk", maintain_order=True):
            with lease.hold() as con:
                candidates.append(_remove_chunk(con, part, done))
            progress(part.height)
            give_way()
        if candidates:
            done.texts, done.text_bytes = references.release(lease, pl.concat(candidates))
    return done


def commit(con: duckdb.DuckDBPyConnection) -> None:
    """The moment some runs are gone."""
    con.execute("COMMIT").fetchall()


def _remove_chunk(con: duckdb.DuckDBPyConnection, runs: pl.DataFrame, done: Removed) -> pl.Series:
    """Remove `runs` in one transaction; the texts they referred to."""
    window = f"BETWEEN {runs['first_ns'].min()} AND {runs['last_ns'].max()}"
    traces = select_with(con, runs, "SELECT trace_id, run_id FROM run_traces SEMI JOIN incoming USING (run_id)")
    by_run = f"run_id IN (SELECT run_id FROM incoming) AND start_ns {window}"
    by_trace = "trace_id IN (SELECT trace_id FROM incoming)"
    used = [
        references.used_in(f"SELECT * FROM spans WHERE {by_run}", "input_refs", "output_refs"),
        references.used_in(f"SELECT * FROM running_spans WHERE {by_run}", "input_refs", "output_refs"),
        references.used_in(f"SELECT * FROM events WHERE {by_trace} AND time_ns {window}", "refs"),
        references.used_in(f"SELECT * FROM links WHERE {by_trace}"),
    ]
    texts = select_with(
        con, traces, f"SELECT DISTINCT content_id FROM ({' UNION ALL '.join(f'FROM ({query})' for query in used)})"
    )
    tables = con.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() JOIN duckdb_tables() USING (table_oid, database_name, table_name) "
        "WHERE database_name = $name AND column_name IN ('run_id', 'trace_id', 'start_ns', 'time_ns') GROUP BY 1",
        {"name": CATALOG},
    ).fetchall()
    con.execute("BEGIN").fetchall()
    for table, columns in tables:
        if "run_id" in columns:
            where = "run_id IN (SELECT run_id FROM incoming)" + (f" AND start_ns {window}" if table == "spans" else "")
        elif "trace_id" in columns:
            where = by_trace + (f" AND time_ns {window}" if table == "events" else "")
        else:
            continue
        [(rows,)] = with_frame(con, traces, f'DELETE FROM "{table}" WHERE {where}')
        done.spans += rows if table in ("spans", "running_spans") else 0
    con.execute(f"DELETE FROM events WHERE trace_id = '' AND time_ns {window}").fetchall()
    commit(con)
    done.runs += runs.height
    return texts["content_id"]


def _runs(con: duckdb.DuckDBPyConnection, *, weighed: bool) -> pl.DataFrame:
    """One row per run: run_id, workflow, start_ns, last_ns, spans, pinned, running, and its part of the file (weight)."""
    weights = (
        f"""SELECT run_id, sum({_SPAN_BYTES} + strlen(attributes) + {_SPAN_BYTES} * coalesce(len(output_refs), 0))::BIGINT AS weight
        FROM spans GROUP BY run_id"""
        if weighed
        else f"SELECT run_id, {_SPAN_BYTES} * spans AS weight FROM traces"
    )
    return select_with(
        con,
        pl.DataFrame(schema={"run_id": pl.String}),
        f"""
        WITH known AS (
            SELECT run_id, min(first_ns) AS first_ns, max(last_ns) AS last_ns FROM run_traces GROUP BY run_id
        ), weights AS ({weights})
        SELECT run_id, workflow, coalesce(start_ns, first_ns) AS start_ns, last_ns, coalesce(spans, 1) AS spans,
            run_id IN (SELECT run_id FROM pins UNION ALL SELECT run_id FROM marks) AS pinned,
            run_id IN (SELECT run_id FROM running_spans) AS running,
            coalesce(weight, {_SPAN_BYTES})::BIGINT AS weight
        FROM known LEFT JOIN traces USING (run_id) LEFT JOIN weights USING (run_id)
        """,
    )
