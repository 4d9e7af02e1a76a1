"""The Health page says what `tracehound doctor` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.documents.health import missing_document, problems_document, store_document
from dashboard.health import examine
from tests import drawn
from tests.dashboard import stores
from tests.dashboard.opening import Open, said
from tests.dashboard.test_compare_page import texts

pytestmark = pytest.mark.slow


def test_the_page_counts_the_problems_and_offers_the_mending_command(mixed_store: Path, open_app: Open) -> None:
    """A store with calls that lack a price has a problem, and the page says so without an exception."""
    app = open_app(mixed_store, "health")
    assert not app.exception
    assert "problem" in said(app)
    assert "tracehound doctor" in said(app)


def test_every_problem_is_drawn_with_its_hint_the_gravest_first(mixed_store: Path) -> None:
    """Nothing the command prints is missing on the page; unknown prices are named by model."""
    found = examine(mixed_store)
    shown = texts(problems_document(found.problems))
    assert all(any(problem.message in text for text in shown) for problem in found.problems)
    assert all(f"Do: {problem.hint}" in shown for problem in found.problems if problem.hint)
    assert "house-model" in texts(missing_document(found.document))
    assert "63 runs" in " ".join(texts(store_document(found.document)))


def test_a_sound_store_says_so(tmp_path: Path) -> None:
    """No card of a warning where nothing is wrong."""
    found = examine(stores.write(tmp_path / "t.duckdb", drawn.frames(stores.plain(1, at=0))).path)
    assert "Nothing is wrong." in texts(problems_document(found.problems))


def test_looking_changes_nothing_and_a_missing_store_is_said(tmp_path: Path) -> None:
    """Examining a path without a store creates none."""
    found = examine(tmp_path / "none.duckdb")
    assert found.problems[0].severity == "info"
    assert "no store" in found.problems[0].message
    assert not list(tmp_path.iterdir())
