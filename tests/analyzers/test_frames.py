"""The shape of the analysis input."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl

import tracer
from analyzers.frames import EVENT_SCHEMA, LINK_SCHEMA, SPAN_SCHEMA, TRACE_SCHEMA, Frames
from tests.drawn import agent, frames, llm, run


def test_schemas_are_those_of_the_database() -> None:
    """A frame has the columns, order and types of its table."""
    connection = duckdb.connect()
    for script in sorted((Path(tracer.__file__).parent / "store" / "sql").glob("*.sql")):
        connection.execute(re.sub(r"(?m)^--.*$", "", script.read_text()))

    for table, schema in {
        "spans": SPAN_SCHEMA,
        "events": EVENT_SCHEMA,
        "links": LINK_SCHEMA,
        "traces": TRACE_SCHEMA,
    }.items():
        stored = pl.DataFrame(connection.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table()).schema
        assert schema == stored, table


def test_llm_calls_leaves_out_duplicates() -> None:
    """A call seen by two instrumentors is billed once."""
    drawn = frames(run("w", agent("a", 0, 5, llm(1, 2, id="one"), llm(1, 2, id="two", duplicate_of="one"))))

    assert drawn.llm_calls["span_id"].to_list() == ["one"]


def test_only_keeps_one_run_and_its_events() -> None:
    """Cutting down to one run drops the rows of the others."""
    one = run("w", agent("a", 0, 5, events=[("note", 1, {})]), id="1")
    two = run("w", agent("a", 0, 5, events=[("note", 1, {})]), id="2")

    cut = frames(one, two).only(two.run_id)

    assert {two.run_id} == set(cut.spans["run_id"])
    assert cut.events.height == 1
    assert [two.run_id] == cut.run_ids


def test_empty_frames_have_all_columns() -> None:
    """No rows is a legal input with the full schema."""
    empty = Frames.of([])

    assert empty.spans.schema == SPAN_SCHEMA
    assert empty.llm_calls.is_empty()
    assert empty.run_ids == []
    assert isinstance(empty.events, pl.DataFrame)
