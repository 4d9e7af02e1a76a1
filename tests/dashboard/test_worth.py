"""What a workflow's orchestration was worth, on its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.documents.worth import worth_document
from dashboard.economics import MAX_RUNS, worth_of
from dashboard.population import load_population
from tests.dashboard.opening import Open, said
from tests.dashboard.test_compare_page import texts
from tracer.store.database import Store

pytestmark = pytest.mark.slow


def test_the_chosen_workflow_shows_its_verdict(mixed_store: Path, open_app: Open) -> None:
    """The page of one workflow asks whether its agents pay; that of all of them does not."""
    app = open_app(mixed_store, "workflows", workflow="market_report")
    assert not app.exception
    assert "Does it need these agents?" in said(app)
    assert "Does it need these agents?" not in said(open_app(mixed_store, "workflows"))


def test_how_much_was_read_is_said_and_savings_are_ordered(mixed_store: Path) -> None:
    """Sixty runs are more than are read with their texts; certain <= likely <= upper, and nothing above what was spent."""
    store = Store(mixed_store)
    worth = worth_of(store, load_population(store), "answer_ticket", {})
    assert (worth.runs, worth.total) == (MAX_RUNS, 60)
    assert f"Over the newest {MAX_RUNS} of 60 ended runs." in texts(worth_document(worth))
    assert worth.architecture["pattern"] == "single"
    assert 0 <= worth.savings["certain_usd"] <= worth.savings["likely_usd"] <= worth.savings["upper_usd"]
