"""Conversations over runs: listed by last activity, opened in order, with the pauses between."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from dashboard import session_reads
from dashboard.documents.session import session_document, sessions_document
from tests import drawn
from tests.dashboard import stores
from tracer.store.database import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Session `old` has two runs of one user, `new` one that failed; a third run belongs to no session."""

    sessions = {"a": "old", "b": "old", "c": "new", "d": None}
    outcomes = {"c": "failed"}
    runs = [
        drawn.run(
            "desk",
            drawn.agent("A", 0, 3, drawn.llm(0, 2, cost="0.01")),
            id=name,
            at=at,
            outcome=outcomes.get(name, "completed"),
        )
        for name, at in (("a", 0.0), ("b", 60.0), ("c", 600.0), ("d", 700.0))
    ]
    frames = drawn.frames(*runs)
    names = {run.run_id: name for name, run in zip(sessions, runs, strict=True)}
    named = [sessions[names[run_id]] for run_id in frames.traces["run_id"]]
    traces = frames.traces.with_columns(
        session_id=pl.Series(named, dtype=pl.String),
        user_id=pl.Series([name and "ann" for name in named], dtype=pl.String),
    )
    return stores.write(tmp_path_factory.mktemp("sessions") / "t.duckdb", replace(frames, traces=traces))


def test_the_session_active_last_comes_first(store: Store) -> None:
    """Runs, failures and money are summed; runs without a session are no session."""
    shown = session_reads.sessions(store)
    assert shown.total == 2
    assert [(row["session_id"], row["runs"], row["failed"]) for row in shown.rows.iter_rows(named=True)] == [
        ("new", 1, 1),
        ("old", 2, 0),
    ]
    assert float(shown.rows["cost_usd"].sum()) == pytest.approx(0.03)
    assert "ann" in str(sessions_document(shown.rows))


@pytest.mark.parametrize(("text", "found"), [("OLD", ["old"]), ("ann", ["new", "old"]), ("nobody", []), ("%", [])])
def test_text_finds_ids_and_users_in_any_case_and_literally(store: Store, text: str, found: list[str]) -> None:
    """A percent sign is a percent sign."""
    assert session_reads.sessions(store, text=text).rows["session_id"].to_list() == found


def test_pages_do_not_overlap(store: Store) -> None:
    """The second page goes on where the first ended."""
    assert session_reads.sessions(store, limit=1, offset=1).rows["session_id"].to_list() == ["old"]


def test_the_runs_of_a_session_stand_in_order_with_their_pauses(store: Store) -> None:
    """57 seconds lie between the end of the first run and the start of the second."""
    runs = session_reads.runs_of(store, "old")
    assert runs.height == 2
    said = str(session_document(runs, {}))
    assert "57.00 s" in said
    assert "$0.0200" in said
