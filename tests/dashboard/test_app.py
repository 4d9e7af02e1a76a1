"""Every page in Streamlit's own test runner: on no store, an empty one, a mixed one and a larger one."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit as st

from dashboard import address, launch
from tests import drawn
from tests.dashboard import stores
from tests.dashboard.opening import Open, said
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.database import Store

PAGES = tuple(path.stem for path, _ in address.PAGES)
VIEWS = ("Waterfall", "Flame", "Sequence", "Graph", "Conversation", "State", "Findings")


@pytest.mark.parametrize(
    "page", [page if page in ("overview", "trace") else pytest.param(page, marks=pytest.mark.slow) for page in PAGES]
)
def test_without_a_store_every_page_says_how_to_get_one(tmp_path: Path, open_app: Open, page: str) -> None:
    """No traceback, no empty frame: the commands that record something."""
    app = open_app(tmp_path / "none.duckdb", page)
    assert not app.exception
    assert "No traces yet" in said(app)
    assert any("tracehound demo" in code.value for code in app.code)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_an_empty_store_is_no_error(tmp_path: Path, open_app: Open, page: str) -> None:
    """A store without runs says so."""
    app = open_app(stores.write(tmp_path / "empty.duckdb", drawn.frames()).path, page)
    assert not app.exception
    assert "no run has been recorded" in said(app)


def test_every_page_file_is_in_the_navigation() -> None:
    """A page is a file and a line in the table; one without the other is a mistake."""
    assert sorted(PAGES) == sorted(file.stem for file in address.VIEWS.glob("*.py") if file.stem != "__init__")


@pytest.mark.slow
def test_the_workflows_page_counts_runs_and_names_what_was_found(mixed_store: Path, open_app: Open) -> None:
    """One row per workflow; the chosen one lists its kinds of findings, and opens its runs."""
    open_app(mixed_store, "traces", q="finding:any")  # waits for the analysis, which the page does not
    app = open_app(mixed_store, "workflows", workflow="market_report")
    assert not app.exception
    rows = app.dataframe[0].value
    assert rows["runs"].sum() == 63
    chosen = rows[rows["workflow"] == "market_report"].iloc[0]
    assert chosen["loops"] == 1
    assert "market_report" in said(app)


@pytest.mark.slow
def test_the_agents_page_names_findings_and_opens_one_agent(mixed_store: Path, open_app: Open) -> None:
    """One row per agent with the findings that name it; the row without an agent keeps the bill complete."""
    open_app(mixed_store, "traces", q="finding:any")  # waits for the analysis, which the page does not
    app = open_app(mixed_store, "agents", agent="Researcher")
    assert not app.exception
    rows = app.dataframe[0].value.set_index("agent")
    assert rows.loc["Researcher", "findings"] >= 1
    assert rows["cost_usd"].sum() == pytest.approx(float(app_cost(mixed_store)))
    assert "Researcher" in said(app)


@pytest.mark.slow
def test_the_coordination_page_shows_contacts_waits_and_what_went_wrong(mixed_store: Path, open_app: Open) -> None:
    """Five figures; one workflow alone by address; a workflow that is not there is all of them."""
    open_app(mixed_store, "traces", q="finding:any")
    app = open_app(mixed_store, "coordination", workflow="market_report")
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}["Loops"] == "1"
    assert "Who turns to whom" in said(app)
    assert "What went wrong between agents" in said(app)
    assert open_app(mixed_store, "coordination", workflow="no such").metric[0].delta.endswith("in 63 runs")


@pytest.mark.slow
def test_the_cost_page_sums_to_what_the_runs_cost(mixed_store: Path, open_app: Open) -> None:
    """However it is cut, the parts sum to the whole; unknown prices are said."""
    for by in ("Workflow", "Agent", "Model", "User"):
        app = open_app(mixed_store, "cost", by=by)
        assert not app.exception
        [parts] = [table.value for table in app.dataframe if "cost_usd" in table.value]
        assert parts["cost_usd"].sum() == pytest.approx(app_cost(mixed_store))
    assert "without a price" in app.metric[0].delta


def app_cost(store: Path) -> float:
    """What all runs of the store cost."""
    return float(reads.runs(Store(store))["cost_usd"].sum())


def test_the_overview_shows_numbers_trends_and_what_to_look_at(mixed_store: Path, open_app: Open) -> None:
    """Six figures, at most four charts, the worst runs; money with its coverage."""
    app = open_app(mixed_store)
    assert not app.exception
    labels = [metric.label for metric in app.metric]
    assert labels == ["Runs", "Completed", "Latency, p95", "Cost", "Runs with findings", "Escalated"]
    assert app.metric[0].value == "63"
    assert app.metric[3].value.startswith("$")
    assert len(app.get("plotly_chart")) <= 4
    assert "Look at these first" in said(app)
    assert "Findings over all 63 runs" in said(app)


@pytest.mark.slow
def test_a_window_without_runs_says_so(mixed_store: Path, open_app: Open) -> None:
    """The drawn runs are years old."""
    assert "No run started within the last 1 hour" in said(open_app(mixed_store, window="1 hour"))


@pytest.mark.slow
def test_the_list_is_paged_and_says_how_much_it_shows(mixed_store: Path, open_app: Open) -> None:
    """63 runs are two pages; the second is reached by address."""
    first = open_app(mixed_store, "traces")
    assert not first.exception
    assert "Showing 1–50 of 63 runs" in said(first)
    assert "Showing 51–63 of 63 runs" in said(open_app(mixed_store, "traces", page="2"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("agent:analyst", "of 1 run"),
        ("finding:loop", "of 1 run"),
        ("outcome:interrupted", "of 1 run"),
        ("cost>100", "No run matches"),
        ("agnt:x", "No field 'agnt'. Did you mean 'agent'"),
        ("finding:lop", "Did you mean 'loop'"),
    ],
)
def test_the_query_box_filters_or_explains(mixed_store: Path, open_app: Open, query: str, expected: str) -> None:
    """Filters work through the address; a slip of the pen gets the near name."""
    app = open_app(mixed_store, "traces", q=query)
    assert not app.exception
    assert expected in said(app)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "run",
    [
        pytest.param(stores.looping(), id="loop"),
        pytest.param(stores.mixed(), id="mixed", marks=pytest.mark.slow),
        pytest.param(stores.abandoned(), id="abandoned", marks=pytest.mark.slow),
    ],
)
def test_every_view_of_every_kind_of_run_draws(mixed_store: Path, open_app: Open, run: drawn.Drawn, view: str) -> None:
    """A deep link with a view and a span opens without an exception."""
    app = open_app(mixed_store, "trace", trace=run.run_id, view=view, span=run.spans[-1].span_id)
    assert not app.exception
    assert next(control.value for control in app.segmented_control if control.label == "View") == view


@pytest.mark.slow
def test_a_running_run_is_visible_and_gets_its_end(tmp_path: Path, open_app: Open) -> None:
    """Work in progress is on the page before it ended; the next look shows the end."""
    path = tmp_path / "live.duckdb"
    with stores.recording(path) as recorder:
        recorder.start("review", at_s=0)
        app = open_app(path, "trace", trace=recorder.trace_id)
        assert not app.exception
        [row] = reads.runs(Store(path)).to_dicts()
        assert row["outcome"] == "running"
        assert "1 running" in [metric.delta for metric in open_app(path).metric]
        recorder.end("review", at_s=5)
        st.cache_data.clear()
        assert not app.run().exception
        [row] = reads.runs(Store(path)).to_dicts()
        assert row["outcome"] != "running"


@pytest.mark.slow
def test_a_run_nobody_knows_is_explained(mixed_store: Path, open_app: Open) -> None:
    """A stale link gives a sentence and near names instead of a traceback."""
    app = open_app(mixed_store, "trace", trace="zzzz")
    assert not app.exception
    assert "No trace 'zzzz'." in said(app)


def test_the_trace_page_without_a_run_offers_the_newest(mixed_store: Path, open_app: Open) -> None:
    """Nobody lands on an empty page from the navigation."""
    app = open_app(mixed_store, "trace")
    assert not app.exception
    assert "These are the newest" in said(app)


def test_a_person_marks_a_run(tmp_path: Path, open_app: Open) -> None:
    """The verdict and its note are stored; the newest counts."""
    run = stores.mixed()
    path = stores.write(tmp_path / "t.duckdb", drawn.frames(run)).path
    app = open_app(path, "trace", trace=run.run_id)
    verdict = next(control for control in app.segmented_control if control.label == "Verdict")
    verdict.set_value("failed")
    app.text_input[0].set_value("published the wrong page")
    next(button for button in app.button if button.label == "Save verdict").click().run()
    assert not app.exception
    [row] = reads.marks(Store(path)).to_dicts()
    assert (row["run_id"], row["verdict"], row["note"]) == (run.run_id, "failed", "published the wrong page")


def test_the_server_is_started_with_every_safety_option_as_a_flag() -> None:
    """A config file in the user's folder must not be able to open the server or show exceptions."""
    command = launch.server_command(port=8765)
    for flag in (
        "--server.address=127.0.0.1",
        "--server.port=8765",
        "--server.headless=true",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
        "--server.enableXsrfProtection=true",
        "--server.enableCORS=true",
    ):
        assert flag in command
    assert "-P" in command


def test_a_taken_port_is_bad_input(tmp_path: Path) -> None:
    """The message names the port and a way out."""
    with socket.socket() as taken:
        taken.bind((launch.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=str(port)):
            launch.start(tmp_path / "t.duckdb", port=port)


@pytest.mark.slow
def test_ending_the_command_ends_the_server(tmp_path: Path) -> None:
    """`tracehound dashboard` that is told to end leaves no server behind on its port."""
    port = launch.free_port()
    script = f"from dashboard.launch import serve; serve({str(tmp_path / 't.duckdb')!r}, port={port})"
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        assert f"Dashboard: http://127.0.0.1:{port}/" in command.stderr.readline()
        command.terminate()
        assert command.wait(20) == 143
    with socket.socket() as probe:
        assert probe.connect_ex((launch.LOOPBACK, port)) != 0
