"""What a workflow's orchestration was worth, on its page."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dashboard.documents.spending import ledger_blocks, savings_blocks
from dashboard.documents.worth import worth_document
from dashboard.economics import DEAREST_RUNS, MAX_RUNS, economy_of, worth_of
from dashboard.population import load_population
from tests import drawn
from tests.dashboard import stores
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


def test_the_cost_page_reads_the_dearest_runs(mixed_store: Path) -> None:
    """The ledger closes over them, says what share of the cost they are, and leads from every call to its run."""
    store = Store(mixed_store)
    shown = load_population(store)
    economy = economy_of(store, shown, {})
    assert economy is not None
    ended = shown.frames.traces.filter(pl.col("outcome") != "running").height
    assert (economy.runs, economy.total) == (DEAREST_RUNS, ended)
    costs = sorted(shown.frames.traces["cost_usd"].drop_nulls().to_list(), reverse=True)
    assert economy.ledger["total"]["usd"] == pytest.approx(float(sum(costs[:DEAREST_RUNS])))
    assert economy.share == pytest.approx(float(sum(costs[:DEAREST_RUNS]) / sum(costs)))
    assert sum(part["usd"] for part in economy.ledger["parts"]) == pytest.approx(economy.ledger["total"]["usd"])
    assert set(economy.run_of.values()) <= set(shown.frames.run_ids)
    said = f"Over the {DEAREST_RUNS} dearest of {ended} ended runs, {economy.share:.0%} of the cost."
    assert any(text.startswith(said) for text in texts(ledger_blocks(economy)))


def test_savings_name_the_calls(tmp_path: Path) -> None:
    """Equal questions with equal answers: a cache would have saved the later ones, which are listed and open their run."""
    again = drawn.llm(
        1,
        2,
        id="again",
        prompt="What is a transformer?",
        answer="A model.",
        input_tokens=900,
        output_tokens=20,
        cost="0.02",
    )
    asked = drawn.llm(
        1,
        2,
        id="asked",
        prompt="What is a transformer?",
        answer="A model.",
        input_tokens=900,
        output_tokens=20,
        cost="0.02",
    )
    runs = [
        drawn.run("desk", drawn.agent("A", 0, 3, call), id=f"r{n}", at=10.0 * n)
        for n, call in enumerate((asked, again))
    ]
    store = stores.write(tmp_path / "t.duckdb", drawn.frames(*runs))
    economy = economy_of(store, load_population(store), {})
    assert economy is not None
    [call] = economy.calls.to_dicts()
    assert (call["strategy"], call["span_id"], call["run_id"]) == ("caching", "again", runs[1].run_id)
    assert (call["certain"], call["likely"], call["upper"]) == (0.02, 0.02, 0.02)
    [row] = savings_blocks(economy)[-1]["blocks"][0]["rows"]
    assert row["pick"] == {"run": runs[1].run_id, "span": "again"}


def test_where_nothing_has_ended_there_is_no_ledger(tmp_path: Path) -> None:
    """A run that goes on is not judged."""
    running = drawn.run("desk", drawn.agent("A", 0, None), id="now", outcome="running")
    store = stores.write(tmp_path / "t.duckdb", drawn.frames(running))
    assert economy_of(store, load_population(store), {}) is None
