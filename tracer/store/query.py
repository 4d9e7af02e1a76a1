"""A person's own query: it reads the store and nothing else, for a limited time and with limited memory.

What stands between a query and the machine, in this order:
    one statement, of a kind that reads       no COPY, ATTACH, SET, PRAGMA, LOAD, INSTALL, EXPORT ...
    table functions on a list                 no read_csv, read_blob, glob, query ...
    a read-only transaction                   no DELETE in a WITH
    an engine of its own (`Lease.hold`)       no file but the database, no network, no extensions, no Python variables, settings locked
    a time, and as much memory and disk       the lease is exclusive: others wait while it runs
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any, cast

import duckdb
import polars as pl
from polars.exceptions import PolarsError

from tracer.errors import BadInput
from tracer.store.lease import MEMORY, SCRATCH, Lease

if TYPE_CHECKING:
    from tracer.store.database import Store

TIMEOUT_S = 20.0
"""less than others wait for the lease, so that a slow query fails and not they"""
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s+", re.IGNORECASE)
_SOURCES = re.compile(r"unnest|range|generate_series|json_each|json_tree|summary|duckdb_\w+|pragma_\w+")
"""table functions that show nothing but values and the catalog"""
MAX_ROWS = 1_000_000
"""more are no answer for a person, and as Python objects take more memory than DuckDB is allowed"""
_PLAIN = (str, int, float, bool, bytes, type(None))


TABLES_HINT = "SHOW TABLES lists what can be read, DESCRIBE spans its columns."


def sql(store: Store, query: str, *, timeout_s: float = TIMEOUT_S) -> pl.DataFrame:
    """The answer to one query of the user's, who can read the store's tables and nothing else.

    Raises:
        BadInput: not exactly one SELECT (or DESCRIBE, SHOW, SUMMARIZE, EXPLAIN), a mistake in it, too slow, or too large.
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`.
    """
    with Lease.of(store.path).hold(fenced=True) as con:
        try:
            statements = con.extract_statements(query)
            kinds = [statement.type for statement in statements]
        except (
            duckdb.Error,
            ValueError,
        ) as error:  # ValueError: a kind of statement that the Python side has no name for
            raise BadInput(f"Cannot read the query: {error}", hint=TABLES_HINT) from error
        if len(kinds) != 1 or kinds[0] not in _READING:
            raise BadInput(
                "Only one reading query at a time: SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.", hint=TABLES_HINT
            )
        _refuse_sources(con, _EXPLAIN.sub("", query, count=1))
        con.execute("BEGIN TRANSACTION READ ONLY").fetchall()
        alarm = threading.Timer(timeout_s, con.interrupt)
        alarm.start()
        try:
            answer = con.execute(query)
            names = [column[0] for column in answer.description or ()]
            rows = answer.fetchmany(MAX_ROWS + 1)
        except duckdb.InterruptException as error:
            raise BadInput(f"The query took longer than {timeout_s:g} s.", hint="add a WHERE or a LIMIT.") from error
        except duckdb.OutOfMemoryException as error:
            raise BadInput(
                f"The query needs more than {MEMORY} of memory or {SCRATCH} of disk.", hint="add a WHERE or a LIMIT."
            ) from error
        except duckdb.Error as error:
            raise BadInput(f"The query failed: {error}", hint=TABLES_HINT) from error
        finally:
            alarm.cancel()
    if len(rows) > MAX_ROWS:
        raise BadInput(f"The answer has more than {MAX_ROWS:,} rows.", hint="add a WHERE, a GROUP BY or a LIMIT.")
    # By rows: a person's query may name a column twice, or give types that polars has not.
    names = [name if name not in names[:at] else f"{name}_{at}" for at, name in enumerate(names)]
    try:
        return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None, strict=False)
    except PolarsError:  # nested values without a common type
        plain = [[cell if isinstance(cell, _PLAIN) else str(cell) for cell in row] for row in rows]
        return pl.DataFrame(plain, schema=names, orient="row", infer_schema_length=None, strict=False)


def _refuse_sources(con: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse table functions that reach outside the tables, even to the files DuckDB itself must reach.

    Reading the database file from within would drop the lock DuckDB holds on it.
    """
    [(text,)] = con.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchall()
    tree: Any = json.loads(text)
    if tree.get("error"):
        raise BadInput(f"Cannot read the query: {tree.get('error_message')}", hint=TABLES_HINT)
    nodes: list[Any] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            node = cast("dict[str, Any]", node)
            if node.get("type") == "TABLE_FUNCTION":
                name = str(node["function"].get("function_name", "")).lower()
                if not _SOURCES.fullmatch(name):
                    raise BadInput(
                        f"The table function {name!r} is not available here: queries read the store and nothing else."
                    )
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(cast("list[Any]", node))
