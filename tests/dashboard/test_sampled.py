"""A run that a sampler kept is told from others wherever it is counted: on its page, in the list, in figures over many, in the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import chrome
from dashboard.cli import main
from dashboard.documents.run import header_document
from dashboard.report import render_html, render_markdown
from dashboard.run_view import RunView
from tests import drawn
from tests.dashboard import stores
from tests.dashboard.opening import Open, said

STATE = {"otel.trace_state": "ot=th:e6666666666668"}


def kept(number: int) -> drawn.Drawn:
    """A run of which a tenth was recorded."""
    return drawn.run("desk", drawn.agent("A", 0, 3, drawn.llm(0, 2, cost="0.01"), attributes=STATE), id=f"s{number}", at=60.0 * number)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sampled") / "t.duckdb"
    stores.write(path, drawn.frames(kept(1), kept(2), stores.plain(3, at=300.0), stores.plain(4, at=360.0)))
    return path


def test_the_run_says_so_itself() -> None:
    """A chip and a sentence in its head; a run that nobody sampled has neither."""
    for run, there in ((kept(1), True), (stores.plain(3, at=0.0), False)):
        frames = drawn.frames(run)
        row = frames.traces.row(0, named=True)
        view = RunView(run_id=run.run_id, frames=frames, row=row, findings=(), skipped=(), failures=(), mark=None)
        told = str(header_document(row, (), None, kept=view.kept))
        assert ("A sampler kept one run in 10." in told, "stands for about 10 runs" in told) == (there, there)
        for report in (render_html(frames), render_markdown(frames)):
            assert ("kept by a sampler" in report) is there


@pytest.mark.parametrize(
    ("probabilities", "runs", "words"),
    [
        ({}, 5, ""),
        ({"a": 0.1}, 5, "≈ 1 of these 5 runs was kept by a sampler, one run in 10: counts and sums are of what was kept, about 10 took place."),
        ({"a": 0.1, "b": 0.5}, 2, "≈ These runs were kept by a sampler: counts and sums are of what was kept, about 12 took place."),
    ],
)  # fmt: skip
def test_the_remark_over_many(probabilities: dict[str, float], runs: int, words: str) -> None:
    """How many, how rare, and how many there were."""
    assert chrome.sampled_remark(probabilities, runs).startswith(words)
    assert bool(chrome.sampled_remark(probabilities, runs)) is bool(words)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["overview", "traces", "workflows", "agents", "cost", "coordination"])
def test_pages_over_many_runs(store: Path, open_app: Open, page: str) -> None:
    """Totals say of how many runs they are; the list marks them."""
    app = open_app(store, page)
    assert not app.exception
    assert "2 of these 4 runs were kept by a sampler, one run in 10" in said(app)
    if page == "traces":
        assert app.dataframe[0].value["outcome"].str.contains("≈").sum() == 2


@pytest.mark.slow
def test_the_trace_page_and_the_terminal(store: Path, open_app: Open, capsys: pytest.CaptureFixture[str]) -> None:
    """The page opens; `tracehound traces` adds a note."""
    assert not open_app(store, "trace", trace=kept(1).run_id).exception
    assert main(["traces", "--store", str(store)]) == 0
    assert "2 runs of these were kept by a sampler; about 20 took place." in capsys.readouterr().err
