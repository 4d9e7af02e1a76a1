"""Compaction: the same rows in a smaller file, each run in one place.

    .traces.duckdb.compact      grows run by run from short leases; readers have their turns, folds wait, recording goes on
    rename                      under one lease, when the counts of all tables agree

Removed rows leave holes that DuckDB keeps for later, and rows that arrived in turns lie mixed; sorted by run they also
compress better. A kill before the rename leaves the store as it was and a hidden file that the next compaction removes;
after it, everything is in the new file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from tracer.errors import StoreError
from tracer.store import schema
from tracer.store.arrow import fetched
from tracer.store.columns import insert, select_with
from tracer.store.database import Store
from tracer.store.lease import CATALOG, Lease
from tracer.store.upkeep import give_way, without_folds

AT_ONCE_SPANS = 15_000
"""spans read under one lease: about a tenth of a second"""
AT_ONCE_TEXTS = 50_000
WRITTEN_AT_ONCE = 122_880
"""rows put into the new file at once: DuckDB's row group; smaller pieces compress worse and take longer"""
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
            with duckdb.connect(str(target), config=schema.CONFIG) as new:
                _copy(lease, new, progress)
                new.execute("CHECKPOINT").fetchall()  # now, so that there is little to do under the last lease
                with lease.hold(alone=True) as con:
                    _copy_rest(con, new)
                    _compare(con, new, lease.path)
                    con.execute("CHECKPOINT").fetchall()
                    new.execute("CHECKPOINT").fetchall()
                    new.close()
                    if Path(f"{lease.path}.wal").exists() or Path(f"{target}.wal").exists():
                        raise OSError("DuckDB did not empty its write-ahead log")
                    # The old file keeps its lock until the lease ends; of the new one no descriptor is open.
                    take_place(target, lease.path)
        except (duckdb.Error, OSError) as error:
            raise StoreError(
                f"Cannot compact {str(lease.path)!r}: {str(error).splitlines()[0]}",
                hint="is the disk full? The store is as it was.",
            ) from error
        finally:
            _forget(target)
        return Compacted(before, lease.path.stat().st_size)


def compacted_path(path: Path) -> Path:
    """Where the compacted database grows before it takes the place of the one at `path`."""
    return path.with_name(f".{path.name}.compact")


def _copy(lease: Lease, new: duckdb.DuckDBPyConnection, progress: Callable[[int], None]) -> None:
    """The tables that grow without end: read piece by piece under the lease, written without it."""
    with lease.hold() as con:
        runs = _runs(con)
        [(texts,)] = con.execute("SELECT coalesce(max(rowid), -1) FROM contents").fetchall()
    pieces = _Pieces(new)
    chunk = (runs["spans"].cum_sum() - runs["spans"]) // AT_ONCE_SPANS
    for part in runs.with_columns(chunk=chunk).partition_by("chunk", maintain_order=True):
        with lease.hold() as con:
            rows = _rows_of(con, part)
        for table, frame in rows.items():
            pieces.add(table, frame)
        progress(int(part["spans"].sum()))
        give_way()
    for first in range(0, texts + 1, AT_ONCE_TEXTS):
        with lease.hold() as con:
            window = f"rowid BETWEEN {first} AND {first + AT_ONCE_TEXTS - 1}"
            bodies = fetched(con.sql(f"SELECT * FROM contents WHERE {window} ORDER BY rowid"))
        pieces.add("contents", bodies)
        give_way()
    pieces.write()


class _Pieces:
    """Rows on their way into the new file."""

    def __init__(self, new: duckdb.DuckDBPyConnection) -> None:
        self._new = new
        self._waiting: dict[str, list[pl.DataFrame]] = {}

    def add(self, table: str, frame: pl.DataFrame) -> None:
        waiting = self._waiting.setdefault(table, [])
        waiting.append(frame)
        if sum(each.height for each in waiting) >= WRITTEN_AT_ONCE:
            self.write(table)

    def write(self, *tables: str) -> None:
        """Write what waits for `tables`, for all of them where none is named."""
        for table in tables or list(self._waiting):
            insert(self._new, table, pl.concat(self._waiting.pop(table)))


def _runs(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Runs in order of start: run_id, place, spans, first_ns, last_ns."""
    return fetched(
        con.sql(
            """
            SELECT run_id, row_number() OVER (ORDER BY first_ns, run_id) AS place, spans, first_ns, last_ns FROM (
                SELECT run_id, coalesce(any_value(t.spans), 1) AS spans, min(r.first_ns) AS first_ns, max(r.last_ns) AS last_ns
                FROM run_traces r LEFT JOIN traces t USING (run_id) GROUP BY run_id
            ) ORDER BY place
            """
        )
    )


def _rows_of(con: duckdb.DuckDBPyConnection, runs: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of `runs` in the tables of `_BY_RUN`, each run in one place."""
    window = f"BETWEEN {runs['first_ns'].min()} AND {runs['last_ns'].max()}"
    traces = select_with(con, runs, "SELECT trace_id, place FROM run_traces JOIN incoming USING (run_id)")
    return {
        table: select_with(
            con,
            given,
            f"SELECT rows.* FROM {table} rows JOIN (SELECT {key}, place FROM incoming) AS places USING ({key}) "
            f"WHERE {where} ORDER BY place, {order}",
        )
        for table, key, given, where, order in (
            ("spans", "run_id", runs, f"rows.start_ns {window}", "rows.start_ns, rows.span_id"),
            ("events", "trace_id", traces, f"rows.time_ns {window}", "rows.time_ns, rows.span_id"),
            ("links", "trace_id", traces, "TRUE", "rows.span_id"),
        )
    }


def _copy_rest(con: duckdb.DuckDBPyConnection, new: duckdb.DuckDBPyConnection) -> None:
    """The other tables, and what belongs to no run we know, such as log records outside of any trace."""
    for table in _tables(con):
        if table == "contents":
            continue
        if table in _BY_RUN:
            key = "run_id" if table == "spans" else "trace_id"
            source = f"{table} WHERE {key} NOT IN (SELECT {key} FROM run_traces)"
        else:
            new.execute(f'DELETE FROM "{table}"').fetchall()
            source = f'"{table}" ORDER BY rowid'
        insert(new, table, fetched(con.sql(f"SELECT * FROM {source}")))


def _compare(con: duckdb.DuckDBPyConnection, new: duckdb.DuckDBPyConnection, path: Path) -> None:
    for table in _tables(con):
        count = f'SELECT count(*) FROM "{table}"'
        [(here,)], [(there,)] = con.execute(count).fetchall(), new.execute(count).fetchall()
        if here != there:
            raise StoreError(
                f"Compacting {str(path)!r} would turn {here:,} rows of {table} into {there:,}; it was left as it is.",
                hint="please report this; `tracehound doctor` may say more.",
            )


def _tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $name ORDER BY 1"
    return [name for (name,) in con.execute(query, {"name": CATALOG}).fetchall()]


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
