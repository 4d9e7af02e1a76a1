"""The dashboard as a person sees it: a real server on a real store, driven through a real Chromium."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import drawn
from tests.browser.conftest import OpenPage, keep
from tests.browser.serving import Server, address, caption, click_first_row, fits, serving
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>[click](javascript:alert(1)) **bold**"
LOOP, MIXED = stores.looping(), stores.mixed()
HOSTILE_RUN = drawn.run(
    HOSTILE,
    drawn.agent(HOSTILE, 0, 3, drawn.llm(0, 2, id="hostile-call", prompt=HOSTILE, answer=HOSTILE, system=HOSTILE),
                drawn.tool(HOSTILE, 2, 3, args={HOSTILE: HOSTILE}, result=HOSTILE), drawn.message(HOSTILE, "user", 2.5, HOSTILE)),
    id="hostile", at=-600, outcome="failed", outcome_reason=HOSTILE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Started(Server):
    """A running dashboard; `first` is what the very first request to it showed."""

    first: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Started]:
    """One server for all tests, on drawn runs; its very first request is a deep link into a trace."""
    frames = drawn.frames(*(stores.plain(i, at=60.0 * i) for i in range(60)), LOOP, MIXED, HOSTILE_RUN)
    store = stores.write(tmp_path_factory.mktemp("dashboard") / "traces.duckdb", frames)
    with serving(store.path) as served:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(served.page("trace", trace=LOOP.run_id, view="Sequence"))
        page.locator(".figure[data-ready] .sq").wait_for()
        first = page.locator(".document[aria-label=Run]").inner_text()
        page.close()
        yield Started(served.url, first)


def show(page: Page, view: str) -> None:
    """Choose a view of the trace page."""
    page.get_by_role("radiogroup", name="View").get_by_role("radio", name=view, exact=True).click()


def test_a_deep_link_works_as_the_very_first_request(server: Started) -> None:
    """A link pasted to a colleague opens the right view although the server has just started."""
    assert "market_report" in server.first
    assert "timed out" in server.first


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1600)])
def test_overview(server: Started, open_page: OpenPage, theme: str, width: int) -> None:
    """Figures, trends and the worst runs fit; a click on a run opens it."""
    page = open_page(server.page(), theme=theme, width=width)
    worst = page.locator(".document[aria-label='Worst runs'] tr.pickable").first
    expect(worst).to_contain_text("market_report")
    metrics = page.get_by_test_id("stMetric")
    expect(metrics).to_have_count(6)
    tops = {round(box["y"]) for i in range(6) if (box := metrics.nth(i).bounding_box())}
    assert len(tops) == 1
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    expect(page.get_by_text("Deploy", exact=True)).to_have_count(0)
    fits(page)
    keep(page, f"dashboard-overview-{theme}-{width}")
    worst.click()
    page.wait_for_url("**/trace?**")
    assert address(page)["trace"] == LOOP.run_id


@pytest.mark.slow
def test_traces_filter_page_and_open(server: Started, open_page: OpenPage) -> None:
    """The query narrows the list and stands in the address; a click on a row opens the run."""
    page = open_page(server.page("traces"), theme="light")
    caption(page, "Showing 1–50 of 63 runs")
    fits(page)
    keep(page, "dashboard-traces-light-1280")
    page.get_by_label("Query", exact=True).fill("agent:analyst")
    page.get_by_label("Query", exact=True).press("Enter")
    caption(page, "Showing 1–1 of 1 run.")
    assert address(page)["q"] == "agent:analyst"
    click_first_row(page, "market_report")
    page.wait_for_url("**/trace?**")
    assert address(page)["trace"] == LOOP.run_id
    page.go_back()
    caption(page, "Showing 1–1 of 1 run.")


@pytest.mark.parametrize(("theme", "width"), [pytest.param("light", 1280, marks=pytest.mark.slow), ("dark", 1600)])
def test_one_selection_through_all_views(server: Started, open_page: OpenPage, theme: str, width: int) -> None:
    """A click in the waterfall shows details and stands in the address; the other views keep the selection."""
    page = open_page(server.page("trace", trace=LOOP.run_id), theme=theme, width=width)
    row = page.locator(".tv-r").nth(2)
    row.click()
    details = page.locator(".document[aria-label='Details']")
    expect(details).to_contain_text("gpt-4o")
    expect(details).to_contain_text("$0.0031")
    expect(details).to_contain_text("what does the market say?")
    page.wait_for_url("**span=*")
    span = address(page)["span"]
    fits(page)
    keep(page, f"dashboard-waterfall-{theme}-{width}")
    main, side = page.locator(".tv").bounding_box(), details.bounding_box()
    assert main is not None
    assert side is not None
    assert main["x"] + main["width"] <= side["x"]
    for view, ready in (
        ("Flame", ".tv[data-mode=flame]"),
        ("Sequence", ".figure .sq"),
        ("Graph", ".figure .dg"),
        ("Conversation", ".document[aria-label=Conversation] .message.selected"),
        ("State", ".document[aria-label='Shared state']"),
        ("Findings", ".document[aria-label=Findings] .card"),
    ):
        show(page, view)
        page.locator(ready).first.wait_for()
        page.wait_for_url(f"**view={view}*")
        assert address(page)["span"] == span
        fits(page)
        keep(page, f"dashboard-{view.lower()}-{theme}-{width}")


@pytest.mark.slow
def test_a_finding_leads_to_its_spans_and_an_arrow_to_its_message(server: Started, open_page: OpenPage) -> None:
    """Clicking the loop's chip selects a span of the loop and explains it; diagrams are clickable and mark the selection."""
    page = open_page(server.page("trace", trace=LOOP.run_id))
    chip = page.locator(".document[aria-label=Run] .chip.tone-critical[data-finding]").first
    chip.click()
    page.wait_for_url("**span=*")
    state = address(page)
    assert "finding" in state
    assert state["span"] in {span.span_id for span in LOOP.spans}
    expect(page.locator(".document[aria-label='Details'] .card")).to_contain_text("loop")
    expect(page.locator(f".tv-r[data-span='{state['span']}']")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(1)
    show(page, "Sequence")
    arrow = page.locator(".sq-step").nth(1)
    arrow.click()
    span = arrow.get_attribute("data-span")
    page.wait_for_url(f"**span={span}*")
    expect(page.locator(".sq-step.selected")).to_have_count(1)
    around = page.locator(".document[aria-label='Details'] dd .pickable")
    around.filter(has_text="Researcher").or_(around.filter(has_text="Analyst")).click()  # still part of the loop
    around.filter(has_text="market_report").click()  # the run itself is not
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(0)
    assert "finding" not in address(page)


@pytest.mark.slow
def test_keys_choose_views_and_findings(server: Started, open_page: OpenPage) -> None:
    """Without a mouse: ? lists the keys, a number opens a view, ] selects the finding, x lets go of it; typing is left alone."""
    page = open_page(server.page("trace", trace=LOOP.run_id))
    expect(page.locator(".tv-r").first).to_be_visible()
    page.locator("body").press("?")
    sheet = page.get_by_role("dialog", name="Keyboard of this page")
    expect(sheet).to_contain_text("Conversation")
    page.locator("body").press("Escape")
    expect(sheet).to_be_hidden()
    page.get_by_role("searchbox").press("3")
    page.get_by_role("searchbox").press("Escape")  # back to the rows
    page.keyboard.press("]")
    page.wait_for_url("**finding=*")
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(1)
    assert "view" not in address(page)
    page.keyboard.press("3")
    expect(page.locator(".figure[data-ready] .sq")).to_be_visible()
    expect(page.locator(".figure .in-finding").first).to_be_attached()
    page.keyboard.press("x")
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(0)


@pytest.mark.slow
def test_a_figure_is_also_a_table_and_a_file(server: Started, open_page: OpenPage) -> None:
    """The graph as it ran holds a box per turn; its table has the same rows with exact values; both can be saved; keys walk them."""
    page = open_page(server.page("trace", trace=LOOP.run_id, view="Graph", dependency_as="As it ran"), theme="dark")
    figure = page.locator(".figure[data-ready]")
    turns = figure.locator(".tn-turn")
    expect(turns.first).to_be_visible()
    count = turns.count()
    assert count > 5
    fits(page)
    with page.expect_download() as picture:
        figure.get_by_role("button", name="SVG", exact=True).click()
    drawn = ElementTree.fromstring(Path(picture.value.path()).read_text(encoding="utf-8"))
    assert "var(" not in ElementTree.tostring(drawn, encoding="unicode")
    figure.get_by_role("button", name="Table", exact=True).click()
    rows = figure.locator(".figure-table tbody tr")
    expect(rows).to_have_count(count)
    with page.expect_download() as table:
        figure.get_by_role("button", name="CSV", exact=True).click()
    held = list(csv.DictReader(Path(table.value.path()).read_text(encoding="utf-8").splitlines()))
    assert len(held) == count
    assert all(int(row["took (ns)"]) > 0 for row in held)
    rows.first.press("j")
    rows.nth(1).press("Enter")
    page.wait_for_url(f"**span={held[1]['span_id']}*")
    expect(rows.nth(1)).to_have_class(re.compile("selected"))
    rows.first.press("?")
    expect(figure.get_by_role("dialog")).to_be_visible()


@pytest.mark.slow
def test_recorded_text_is_never_markup(server: Started, open_page: OpenPage) -> None:
    """Scripts, handlers, links and emphasis in names, prompts and answers are shown as the characters they are."""
    page = open_page(server.page("trace", trace=HOSTILE_RUN.run_id, span="hostile-call"))
    details = page.locator(".document[aria-label='Details']")
    expect(details).to_contain_text("onerror=document.title='pwned'")
    expect(details).to_contain_text("**bold**")
    for view, ready in (("Sequence", ".sq"), ("Graph", ".dg"), ("Conversation", ".document[aria-label=Conversation]")):
        show(page, view)
        page.locator(ready).first.wait_for()
    page.goto(server.page("traces", q="outcome:failed"))
    caption(page, "Showing 1–")
    assert page.title() != "pwned"
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("a[href^='javascript']").count() == 0
