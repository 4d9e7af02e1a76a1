"""The tables in words, from their comments: the reference part of docs/store.md (`python -m tracer.store.explain`)."""

from __future__ import annotations

import sys

import duckdb

from tracer.store.schema import CONFIG, schema_steps

_COLUMNS_OF_SPANS = "Columns as in spans"
"""how the comment of a table or view says that its columns need no second explanation"""


def unexplained(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Tables, views and columns (`table.column`) that no comment explains."""
    found = con.execute(
        """
        WITH things AS (
            SELECT database_name, table_name, comment FROM duckdb_tables() WHERE NOT internal
            UNION ALL SELECT database_name, view_name, comment FROM duckdb_views() WHERE NOT internal
        ), spans AS (SELECT database_name, column_name FROM duckdb_columns() WHERE table_name = 'spans')
        SELECT table_name FROM things WHERE comment IS NULL
        UNION ALL
        SELECT table_name || '.' || column_name
        FROM duckdb_columns() columns JOIN things USING (database_name, table_name)
        WHERE columns.comment IS NULL
            AND NOT (contains(things.comment, $same) AND (database_name, column_name) IN (FROM spans))
        ORDER BY 1
        """,
        {"same": _COLUMNS_OF_SPANS},
    ).fetchall()
    return [name for (name,) in found]


def reference() -> str:
    """One Markdown section per table and view: what a row is, then its columns with type and meaning."""
    with duckdb.connect(":memory:", config=CONFIG) as con:
        for _, sql in schema_steps():
            con.execute(sql).fetchall()
        things = con.execute(
            """
            SELECT table_name, comment FROM duckdb_tables()
            UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1
            """
        ).fetchall()
        columns = con.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
        ).fetchall()
    parts: list[str] = []
    for table, comment in things:
        rows = [
            f"| `{name}` | {kind} | {_cell(said)} |"
            for of, name, kind, said in columns
            if of == table and said is not None
        ]
        head = ["", "| column | type | meaning |", "|---|---|---|"] if rows else []
        parts.append("\n".join([f"### `{table}`", "", comment, *head, *rows]))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
