"""The pages over many runs as a person sees them, in both themes and two widths; each is complete, fits, and leads on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboard import address as pages
from tests import drawn as drawing
from tests.browser.conftest import OpenPage, keep
from tests.browser.serving import Server, address, caption, click_first_row, drawn, fits, serving
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOOP, MIXED = stores.looping(), stores.mixed()
LOOKS = [("light", 1280), ("dark", 1600)]
DOCUMENT = ".document[aria-label='{}']"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Server]:
    """A dashboard on sixty healthy runs, a loop, and one with a bit of everything; some belong to sessions."""
    runs = [stores.plain(i, at=60.0 * i) for i in range(60)]
    for run in runs[:6]:
        run.summary.update(session_id="conversation-7", user_id="ada")
    store = stores.write(tmp_path_factory.mktemp("pages") / "traces.duckdb", drawing.frames(*runs, LOOP, MIXED))
    with serving(store.path) as served:
        yield served


PAGES = [
    ("workflows", {}, "[data-testid=stPlotlyChart] .main-svg", ["How long runs took"]),
    ("workflows", {"workflow": "market_report"}, DOCUMENT.format("Architecture of market_report"), ["Does it need these agents?"]),
    ("agents", {}, "[data-testid=stPlotlyChart] .main-svg", ["Tokens by agent", "How long an invocation took"]),
    ("agents", {"agent": "Support"}, DOCUMENT.format("Support"), ["Invocations that ended ok"]),
    ("coordination", {}, ".figure[data-ready] svg", ["Who turns to whom", "What went wrong between agents", "What was waited for"]),
    ("cost", {}, DOCUMENT.format("Savings"), ["What it was spent on", "What could be saved", "What bought nothing", "The most expensive runs"]),
    ("sessions", {}, DOCUMENT.format("Sessions"), []),
    ("sessions", {"session": "conversation-7"}, DOCUMENT.format("Runs of session conversation-7"), []),
    ("live", {}, DOCUMENT.format("Ended last"), ["Nothing runs at the moment."]),
    ("health", {}, DOCUMENT.format("Libraries and versions"), ["Store and spool", "What is not known"]),
    ("alerts", {}, "[data-testid=stMetric]", ["Budget burn"]),
    ("backtest", {}, "[data-testid=stMetric]", ["Good runs stopped"]),
    ("compare", {"a": LOOP.run_id, "b": MIXED.run_id}, DOCUMENT.format("Steps of both runs; click one for its texts"), []),
    ("compare", {"what": "Groups of runs", "by": "Queries", "qa": "outcome:failed", "qb": "outcome:completed"}, DOCUMENT.format("What changed from A to B"), []),
]  # fmt: skip


def test_every_page_is_looked_at() -> None:
    """A page that is added must be looked at, too; those of runs have a file of their own, `test_dashboard.py`."""
    assert {name for name, *_ in PAGES} | {"overview", "traces", "trace"} == {path.stem for path, _ in pages.PAGES}


@pytest.mark.parametrize(("theme", "width"), LOOKS)
@pytest.mark.parametrize(("name", "query", "ready", "texts"), PAGES, ids=["-".join((n, *q)) for n, q, _, _ in PAGES])
def test_every_page_is_whole_and_fits(
    server: Server, open_page: OpenPage, name: str, query: dict[str, str], ready: str, texts: list[str], theme: str, width: int
) -> None:  # fmt: skip
    """What the page is for is there, nothing failed, nothing is wider than the window; the picture is kept."""
    page = open_page(server.page(name, **query), theme=theme, width=width)
    drawn(page, ready)
    for text in texts:
        expect(page.get_by_text(text).first).to_be_visible()
    fits(page)
    keep(page, f"page-{'-'.join((name, *query))}-{theme}-{width}")


def test_a_row_is_looked_into_and_left_again(server: Server, open_page: OpenPage) -> None:
    """A click on a workflow stands in the address; its runs are one click away, and so are all workflows."""
    page = open_page(server.page("workflows"))
    click_first_row(page, "answer_ticket")
    page.wait_for_url("**workflow=*")
    name = page.locator(".st-key-name")
    expect(name).to_have_text(address(page)["workflow"])
    page.get_by_role("button", name="All workflows", exact=True).click()
    expect(name).to_have_count(0)
    assert "workflow" not in address(page)


def test_money_leads_to_its_runs_and_calls(server: Server, open_page: OpenPage) -> None:
    """A part of the ledger opens its first call; a kind of waste opens the list of its runs."""
    page = open_page(server.page("cost"))
    drawn(page, DOCUMENT.format("Savings"))
    part = page.locator(DOCUMENT.format("Ledger")).locator("tr.pickable").first
    part.click()
    page.wait_for_url("**/trace?**span=*")
    page.goto(server.page("cost"))
    waste = page.locator(DOCUMENT.format("Waste by kind of finding")).locator("tr.pickable", has_text="loop").first
    waste.click()
    page.wait_for_url("**/traces?**")
    assert address(page)["q"] == "finding:loop"
    caption(page, "Showing 1–1 of 1 run")


def test_an_offered_pair_is_compared(server: Server, open_page: OpenPage) -> None:
    """A click on a line of "Worth comparing" puts both runs into the address and aligns them; the lists then name them."""
    page = open_page(server.page("compare"))
    drawn(page, DOCUMENT.format("Pairs of runs worth comparing") + " tr.pickable")
    page.locator(DOCUMENT.format("Pairs of runs worth comparing")).locator("tr.pickable").first.click()
    page.wait_for_url("**a=*")
    drawn(page, DOCUMENT.format("Steps of both runs; click one for its texts"))
    state = address(page)
    assert state["a"] != state["b"]
    expect(page.locator(DOCUMENT.format("Both runs in numbers"))).to_be_visible()
    page.go_back()
    expect(page.locator(DOCUMENT.format("Pairs of runs worth comparing"))).to_be_visible()


def test_what_a_list_leaves_out_is_a_click_away(tmp_path: Path, open_page: OpenPage) -> None:
    """Sixteen pairs of agents talk; fifteen are shown, the count is said, and the last one appears at a click, in the CSV anyway."""
    talk = [drawing.agent(f"A{i}", i, i + 1, drawing.message(f"A{i}", f"A{i + 1}", i)) for i in range(16)]
    store = stores.write(tmp_path / "t.duckdb", drawing.frames(drawing.run("talk", *talk, id="talk")))
    with serving(store.path) as served:
        page = open_page(served.page("coordination"))
        pairs = page.locator(DOCUMENT.format("Pairs of agents"))
        rows = pairs.locator("tbody tr:visible")
        expect(rows).to_have_count(15)
        expect(pairs).to_contain_text("Showing 15 of 16 pairs.")
        with page.expect_download() as told:
            pairs.get_by_role("button", name="CSV", exact=True).click()
        assert len(Path(told.value.path()).read_text("utf-8").splitlines()) == 17
        pairs.get_by_role("button", name="Show all").click()
        expect(rows).to_have_count(16)
        expect(pairs).not_to_contain_text("Showing")


def test_a_chart_is_a_table_at_a_click(server: Server, open_page: OpenPage) -> None:
    """What a chart draws opens as a grid, which can be saved."""
    page = open_page(server.page("workflows"))
    drawn(page, "[data-testid=stPlotlyChart] .main-svg")
    page.locator(".st-key-head_latency").get_by_role("button", name="Table").click()
    grid = page.locator("[data-testid=stPopoverBody] [data-testid=stDataFrame]")
    expect(grid.locator("[role=gridcell]", has_text="answer_ticket").first).to_be_attached()


def test_work_appears_while_it_goes_on(tmp_path: Path, open_page: OpenPage) -> None:
    """A run appears on the open page after its start, and the end moves it to what ended."""
    path = tmp_path / "traces.duckdb"
    with serving(path) as served, stores.recording(path) as recorder:
        page = open_page(served.page("live"))
        expect(page.get_by_text("No traces yet")).to_be_visible()
        recorder.start("Reviewer", at_s=0)
        running = page.locator(DOCUMENT.format("Running now"))
        expect(running).to_contain_text("Reviewer")
        expect(page.get_by_test_id("stMetric").first).to_contain_text("1")
        recorder.end("Reviewer", at_s=4)
        ended = page.locator(DOCUMENT.format("Ended last"))
        expect(ended).to_contain_text("live_work")
        expect(running).to_have_count(0)
