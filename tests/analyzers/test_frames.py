"""The shape of the analysis input."""

from __future__ import annotations

import polars as pl

from analyzers.frames import Frames
from tests.drawn import agent, frames, llm, run
from tracer.store.schema import table_schema


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

    assert dict(empty.spans.schema) == table_schema("spans")
    assert empty.llm_calls.is_empty()
    assert empty.run_ids == []
    assert isinstance(empty.events, pl.DataFrame)
