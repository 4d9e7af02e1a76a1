"""Compaction: the same rows in a smaller file, each run in one place.

    .traces.duckdb.compact      grows run by run under short leases; readers have their turns, folds wait, recording goes on
    rename                      under one lease, when the counts of all tables agree

Removed rows leave holes that DuckDB keeps for later, and rows that arrived in turns lie mixed; sorted by run they also
compress better. A kill before the rename leaves the store as it was and a hidden file that the next compaction removes;
after it, everything is in the new file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from tracer.errors import StoreError
from tracer.store import schema
from tracer.store.columns import select_with, with_frame
from tracer.store.database import Store
from tracer.store.lease import CATALOG, Lease, compacted_path, quoted
from tracer.store.upkeep import give_way, without_folds

AT_ONCE_SPANS = 60_000
"""spans copied under one lease: a few tenths of a second"""
AT_ONCE_TEXTS = 100_000
_TARGET = "compacted"
_BY_RUN = ("spans", "events", "links")
"""tables that are copied run by run; the others have a row a run at most, or are small"""


@dataclass(frozen=True, slots=True)
class Compacted:
    """Size of the database file before and after."""

    bytes_before: int
    bytes_after: int


def compact(store: Store, *, progress: Callable[[int], None] = lambda spans: None) -> Compacted:
    """Rewrite the database file, sorted by run; marks and pins that are set meanwhile are in it, too.

    Needs as much free disk as the result takes. `progress` is told how many spans were copied.

    Raises:
        StoreError: the disk is full, or the copy is not equal; the store is as it was.
        StoreLocked, SchemaTooNew: as `Store.lease`.
    """
    lease = Lease.of(store.path)
    target = compacted_path(lease.path)
    with without_folds(lease):
        with lease.hold():
            pass  # the file is there, and of the newest layout
        before = lease.path.stat().st_size
        _forget(target)
        try:
            schema.prepare(target)
            _copy(lease, target, progress)
            _take_place(lease, target)
        except (duckdb.Error, OSError) as error:
            raise StoreError(
                f"Cannot compact {str(lease.path)!r}: {str(error).splitlines()[0]}",
                hint="is the disk full? The store is as it was.",
            ) from error
        finally:
            _forget(target)
        return Compacted(before, lease.path.stat().st_size)


def _copy(lease: Lease, target: Path, progress: Callable[[int], None]) -> None:
    with lease.hold() as con:
        runs = _runs(con)
        [(texts,)] = con.execute("SELECT coalesce(max(rowid), -1) FROM contents").fetchall()
    chunk = (runs["spans"].cum_sum() - runs["spans"]) // AT_ONCE_SPANS
    for part in runs.with_columns(chunk=chunk).partition_by("chunk", maintain_order=True):
        with _both(lease, target) as con:
            _copy_runs(con, part)
        progress(int(part["spans"].sum()))
        give_way()
    for first in range(0, texts + 1, AT_ONCE_TEXTS):
        window = f"rowid BETWEEN {first} AND {first + AT_ONCE_TEXTS - 1}"
        with _both(lease, target) as con:
            con.execute(
                f"INSERT INTO {_TARGET}.contents SELECT * FROM contents WHERE {window} ORDER BY rowid"
            ).fetchall()
        give_way()


@contextmanager
def _both(lease: Lease, target: Path, *, alone: bool = False) -> Generator[duckdb.DuckDBPyConnection]:
    """The lease, with the new file attached as `compacted` until it ends or the block detaches it."""
    with lease.hold(alone=alone) as con:
        con.execute(f"ATTACH {quoted(str(target))} AS {_TARGET}").fetchall()
        try:
            yield con
        finally:
            con.execute(f"DETACH DATABASE IF EXISTS {_TARGET}").fetchall()


def _runs(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Runs in order of start: run_id, place, spans, first_ns, last_ns."""
    return select_with(
        con,
        pl.DataFrame(schema={"run_id": pl.String}),
        """
        SELECT run_id, row_number() OVER (ORDER BY first_ns, run_id) AS place, spans, first_ns, last_ns FROM (
            SELECT run_id, coalesce(any_value(t.spans), 1) AS spans, min(r.first_ns) AS first_ns, max(r.last_ns) AS last_ns
            FROM run_traces r LEFT JOIN traces t USING (run_id) GROUP BY run_id
        ) ORDER BY place
        """,
    )


def _copy_runs(con: duckdb.DuckDBPyConnection, runs: pl.DataFrame) -> None:
    window = f"BETWEEN {runs['first_ns'].min()} AND {runs['last_ns'].max()}"
    traces = select_with(con, runs, "SELECT trace_id, place FROM run_traces JOIN incoming USING (run_id)")
    for table, key, given, where, order in (
        ("spans", "run_id", runs, f"WHERE rows.start_ns {window}", "rows.start_ns, rows.span_id"),
        ("events", "trace_id", traces, f"WHERE rows.time_ns {window}", "rows.time_ns, rows.span_id"),
        ("links", "trace_id", traces, "", "rows.span_id"),
    ):
        with_frame(
            con,
            given,
            f"INSERT INTO {_TARGET}.{table} BY NAME SELECT rows.* FROM {table} rows "
            f"JOIN (SELECT {key}, place FROM incoming) AS places USING ({key}) {where} ORDER BY place, {order}",
        )


def _take_place(lease: Lease, target: Path) -> None:
    """The rest of the rows, a last look, and the rename, under one lease."""
    with _both(lease, target, alone=True) as con:
        names = [
            name
            for (name,) in con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = $name", {"name": CATALOG}
            ).fetchall()
        ]
        for table in names:
            if table == "contents":
                continue
            if table in _BY_RUN:
                # What belongs to no run we know, such as log records outside of any trace.
                key = "run_id" if table == "spans" else "trace_id"
                source = f"{table} WHERE {key} NOT IN (SELECT {key} FROM run_traces)"
            else:
                con.execute(f'DELETE FROM {_TARGET}."{table}"').fetchall()
                source = f'"{table}"'
            con.execute(f'INSERT INTO {_TARGET}."{table}" BY NAME SELECT * FROM {source}').fetchall()
        for table in names:
            [(here, there)] = con.execute(
                f'SELECT (SELECT count(*) FROM "{table}"), (SELECT count(*) FROM {_TARGET}."{table}")'
            ).fetchall()
            if here != there:
                raise StoreError(
                    f"Compacting {str(lease.path)!r} would turn {here:,} rows of {table} into {there:,}; it was left as it is.",
                    hint="please report this; `tracehound doctor` may say more.",
                )
        con.execute(f"CHECKPOINT {_TARGET}").fetchall()
        con.execute(f"DETACH {_TARGET}").fetchall()
        con.execute(f"CHECKPOINT {CATALOG}").fetchall()
        if Path(f"{lease.path}.wal").exists() or Path(f"{target}.wal").exists():
            raise OSError("DuckDB did not empty its write-ahead log")
        # DuckDB has no descriptor of the new file any more, and the old one keeps its lock until the lease ends.
        take_place(target, lease.path)


def take_place(target: Path, path: Path) -> None:
    """Durably put the file `target` in the place of `path`."""
    _sync(target)
    os.rename(target, path)
    _sync(path.parent)


def _forget(target: Path) -> None:
    for suffix in ("", ".wal"):
        with suppress(FileNotFoundError):
            os.unlink(f"{target}{suffix}")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
