"""The database's layout: numbered SQL steps, a fresh file made whole before it is seen, older files brought up."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from glob import escape
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import duckdb

from tracer.errors import SchemaTooNew, StoreError
from tracer.store.arrow import fetched

UNFINISHED_SUFFIX = ".new"
_STEP = re.compile(r"(\d{4})_\w+\.sql")

# For every connection: queries can reach neither other files, network nor Python variables, and cannot change that.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}


_EMPTY: list[bytes] = []
"""An empty database as this process made it first: the layout takes 0.15 s to make, and tests of traced programs need many."""


@cache
def schema_steps() -> tuple[tuple[int, str], ...]:
    """The layout's steps, (number, SQL text), in order of number."""
    folder = resources.files("tracer.store") / "sql"
    steps = [
        (int(match[1]), item.read_text("utf-8")) for item in folder.iterdir() if (match := _STEP.fullmatch(item.name))
    ]
    return tuple(sorted(steps))


def layout() -> int:
    """Number of the newest step this program knows."""
    return schema_steps()[-1][0]


def table_schema(table: str) -> dict[str, Any]:
    """Column name -> polars type of a table, as the SQL steps define it."""
    return _table_schemas()[table]


@cache
def _table_schemas() -> dict[str, dict[str, Any]]:
    """All tables at once: making the layout costs far more than looking at it."""
    with duckdb.connect(":memory:", config=CONFIG) as con:
        for _, sql in schema_steps():
            con.execute(sql)
        names = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: dict(fetched(con.sql(f'SELECT * FROM "{name}" LIMIT 0')).schema) for name in names}


def prepare(path: Path) -> None:
    """Create the database file where there is none. The caller holds the lease's lock.

    A file that is being created when its process is killed can be unreadable, so it is made under a hidden name,
    checkpointed, closed, and renamed when it is whole.

    Raises:
        StoreError: the file cannot be made.
    """
    if path.exists() and path.stat().st_size > 0:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_unfinished(path)
        fresh = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED_SUFFIX}")
        if _EMPTY:
            fresh.write_bytes(_EMPTY[0])
        else:
            with duckdb.connect(str(fresh), config=CONFIG) as con:
                _apply(con, since=0)
                con.execute("CHECKPOINT").fetchall()
            _EMPTY.append(fresh.read_bytes())
        os.chmod(fresh, 0o600)  # it holds prompts and answers
        os.rename(fresh, path)
    except (duckdb.Error, OSError) as error:
        with suppress(OSError):
            _forget_unfinished(path)
        raise StoreError(
            f"Cannot create {str(path)!r}: {str(error).splitlines()[0]}",
            hint="is the disk full, or the directory not ours to write? Recorded spans stay in the spool.",
        ) from error


def _forget_unfinished(path: Path) -> None:
    """Remove what a process left that did not come to the end of `prepare`."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*{UNFINISHED_SUFFIX}*"):
        leftover.unlink(missing_ok=True)


def check(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Bring an older layout up to date.

    Raises:
        SchemaTooNew: a newer tracehound wrote the file; it is left as it is.
        StoreError: a DuckDB database, but none of ours.
    """
    try:
        found = con.execute("SELECT value FROM meta WHERE key = 'layout'").fetchall()
    except duckdb.CatalogException as error:
        raise StoreError(
            f"{str(path)!r} is a DuckDB database, but not a tracehound store.", hint="give another path with --store."
        ) from error
    present = int(found[0][0]) if found else 0
    if present > layout():
        raise SchemaTooNew(
            f"{str(path)!r} has layout {present}; this tracehound knows layouts up to {layout()}.",
            hint="update tracehound: uv tool upgrade tracehound, or python3 -m pip install -U tracehound",
        )
    if present < layout():
        _apply(con, since=present)


def _apply(con: duckdb.DuckDBPyConnection, *, since: int) -> None:
    """Run the steps after number `since` in one transaction and record the layout."""
    con.execute("BEGIN")
    try:
        for number, sql in schema_steps():
            if number > since:
                con.execute(sql)
        con.execute("DELETE FROM meta WHERE key = 'layout'")
        con.execute("INSERT INTO meta VALUES ('layout', $layout)", {"layout": str(layout())})
        if since == 0:
            con.execute("INSERT INTO meta VALUES ('created_by', $name)", {"name": f"tracehound {_version()}"})
        commit(con)
    except BaseException:
        con.execute("ROLLBACK")
        raise


def commit(con: duckdb.DuckDBPyConnection) -> None:
    """The moment the layout is the new one."""
    con.execute("COMMIT")


def _version() -> str:
    try:
        return version("tracehound")
    except PackageNotFoundError:
        return "(not installed)"
