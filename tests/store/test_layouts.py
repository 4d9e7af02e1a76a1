"""Stores that earlier layouts wrote are brought up; tables explain themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.store.build import span, span_id, trace_id
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.explain import reference, unexplained
from tracer.store.schema import CONFIG, layout, schema_steps
from tracer.store.segment import SegmentWriter

LAYOUTS = Path(__file__).parent / "layouts"
EARLIER = [number for number, _ in schema_steps()[:-1]]
PUBLISHED = {1: "2e2b58a828d9551abd505885866a8e4092cf80a2572169d44b4715e71aa0720b"}
"""step -> SHA-256 of its text: stores in the field were made by it, so it is never edited"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "store.md"


def written_by(number: int, path: Path) -> dict[str, list[dict[str, Any]]]:
    """Make a store as layout `number` left it: its steps, and the rows a program of that time wrote."""
    tables = json.loads((LAYOUTS / f"{number:04}.json").read_text())
    with duckdb.connect(str(path), config=CONFIG) as con:
        for step, sql in schema_steps():
            if step <= number:
                con.execute(sql)
        for table, rows in tables.items():
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                con.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', list(row.values()))
    return tables


@pytest.mark.slow
@pytest.mark.parametrize("number", EARLIER)
def test_a_store_of_every_earlier_layout_is_brought_up(number: int, tmp_path: Path) -> None:
    """All that was in it is still there and readable; new spans join the old runs."""
    path = tmp_path / "traces.duckdb"
    tables = written_by(number, path)
    store = Store(path)
    found = reads.load(store)
    assert sorted(found.spans["span_id"]) == sorted(
        row["span_id"] for row in [*tables["spans"], *tables["running_spans"]]
    )
    texts = {row["content_id"]: row["body"] for row in tables["contents"]}
    assert reads.bodies(store, texts) == texts
    assert reads.marks(store)["note"].to_list() == [row["note"] for row in tables["marks"]]
    assert reads.counters(store).items() >= {row["name"]: row["value"] for row in tables["counters"]}.items()
    writer = SegmentWriter(path)
    writer.write_spans([span(9, parent=1)])
    writer.close()
    assert store.fold().spans >= 1
    assert span_id(9) in reads.load(store, [trace_id(1)]).spans["span_id"].to_list()
    with store.lease() as con:
        assert con.execute("SELECT value FROM meta WHERE key = 'layout'").fetchall() == [(str(layout()),)]


def test_a_published_step_is_never_edited() -> None:
    """A change of the layout is a new step; every step but the newest has its sum and its old store here."""
    sums = {number: hashlib.sha256(sql.encode()).hexdigest() for number, sql in schema_steps()}
    assert {number: sums[number] for number in EARLIER} == PUBLISHED
    assert sorted(int(path.stem) for path in LAYOUTS.glob("*.json")) == EARLIER


@pytest.mark.slow
def test_an_upgraded_store_has_the_tables_of_a_new_one(tmp_path: Path, empty_store: Store) -> None:
    """Tables, columns, types and comments are the same, however a store came to the newest layout."""
    (tmp_path / "old").mkdir()
    written_by(EARLIER[0], tmp_path / "old" / "traces.duckdb")
    seen: list[list[tuple[Any, ...]]] = []
    for store in (empty_store, Store(tmp_path / "old" / "traces.duckdb")):
        with store.lease() as con:
            seen.append(
                con.execute(
                    "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
                    "WHERE database_name = 'store' AND NOT internal ORDER BY ALL"
                ).fetchall()
            )
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_every_table_and_column_explains_itself(empty_store: Store) -> None:
    """A person in the DuckDB shell can understand the tables from their comments."""
    with empty_store.lease() as con:
        assert unexplained(con) == []
        con.execute("CREATE TABLE mystery (x INTEGER)").fetchall()
        assert unexplained(con) == ["mystery", "mystery.x"]


def test_the_document_has_the_comments() -> None:
    """docs/store.md ends with what `python -m tracer.store.explain` prints."""
    assert DOCUMENT.read_text("utf-8").partition("## The tables\n\n")[2] == reference()
