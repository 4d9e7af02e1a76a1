"""Manners of every page: what is chosen stands in the address and comes back with it; everything can be done with keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from dashboard import address as pages
from tests import drawn as drawing
from tests.browser.conftest import OpenPage
from tests.browser.serving import Server, address, drawn, serving
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOOP, MIXED = stores.looping(), stores.mixed()
LONG = drawing.run(
    "long", *(drawing.agent("Clerk", n, n + 1, drawing.llm(n, n + 0.5, prompt=f"Part {n}", answer=f"Part {n} is done.")) for n in range(300)),
    id="long", outcome="completed",
)  # fmt: skip
RUN = {"trace": LOOP.run_id}
READY = "[data-testid=stHeading], .document"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Server]:
    """A dashboard on sixty sessions of healthy runs, a loop, one with a bit of everything, and one of many calls."""
    runs = [stores.plain(i, at=60.0 * i) for i in range(60)]
    for number, run in enumerate(runs):
        run.summary.update(session_id=f"conversation-{number}", user_id="ada")
    store = stores.write(tmp_path_factory.mktemp("manners") / "traces.duckdb", drawing.frames(*runs, LOOP, MIXED, LONG))
    with serving(store.path) as served:
        yield served


def radio(page: Page, group: str, name: str) -> Locator:
    return page.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", name=name, exact=True)


CHOICES = [
    ("", {}, "Window", "All", "7 days", "window"),
    ("traces", {}, "Order", "Newest", "Slowest", "order"),
    ("cost", {}, "Cut by", "Workflow", "Agent", "by"),
    ("compare", {"a": LOOP.run_id, "b": MIXED.run_id}, "What to compare", "Two runs", "Groups of runs", "what"),
    ("compare", {"what": "Groups of runs"}, "Grouped by", "Version", "Queries", "by"),
    ("backtest", {}, "Guard", "Loop", "Tokens", "guard"),
    ("trace", RUN, "View", "Waterfall", "State", "view"),
    ("trace", {**RUN, "view": "Sequence"}, "Sequence diagram", "Repeats folded", "Every step", "sequence_as"),
    ("trace", {**RUN, "view": "Graph"}, "Dependency graph", "Summed up", "Matrix", "dependency_as"),
]


@pytest.mark.parametrize(
    ("name", "query", "group", "first", "other", "parameter"),
    CHOICES,
    ids=[f"{c[0] or 'overview'}-{c[5]}" for c in CHOICES],
)
def test_what_is_chosen_survives_reload_and_back(
    server: Server, open_page: OpenPage, name: str, query: dict[str, str], group: str, first: str, other: str, parameter: str
) -> None:  # fmt: skip
    """It stands in the address; a reload shows it again, Back what was chosen before, Forward what was left.

    Views of a run are no steps of their own: Back leads from them to where one came from.
    """
    page = open_page(server.page(name, **query))
    expect(radio(page, group, first)).to_be_checked()
    radio(page, group, other).click()
    page.wait_for_url(lambda url: parse_qs(urlsplit(url).query).get(parameter) == [other])
    page.reload()
    expect(radio(page, group, other)).to_be_checked()
    if name == "trace":
        return
    page.go_back()
    expect(radio(page, group, first)).to_be_checked()
    assert parameter not in address(page)
    page.go_forward()
    expect(radio(page, group, other)).to_be_checked()


@pytest.mark.parametrize(
    ("name", "query", "parameter", "first", "second"),
    [
        pytest.param("trace", {"trace": LONG.run_id, "view": "Conversation"}, "conversation_page", "Part 0 is done.", "Part 299 is done.", id="conversation"),
        pytest.param("traces", {}, "page", "Showing 1–50 of 63 runs", "Showing 51–63 of 63 runs", id="traces"),
    ],
)  # fmt: skip
def test_pages_of_lists_survive_reload_and_back(
    server: Server, open_page: OpenPage, name: str, query: dict[str, str], parameter: str, first: str, second: str
) -> None:
    """The page one was on is in the address, and Back leads to the one before."""
    page = open_page(server.page(name, **query))
    expect(page.get_by_text(first).first).to_be_visible()
    pager = page.get_by_test_id("stPagination")
    pager.get_by_role("button", name="Next page" if name == "traces" else re.compile(r"\d+")).last.click()
    expect(page.get_by_text(second).first).to_be_visible()
    page.wait_for_url(f"**{parameter}=*")
    page.reload()
    expect(page.get_by_text(second).first).to_be_visible()
    page.go_back()
    expect(page.get_by_text(first).first).to_be_visible()
    assert parameter not in address(page)


@pytest.mark.parametrize(("name", "label"), [("traces", "Query"), ("sessions", "Session or user")])
def test_what_was_typed_survives_reload_and_back(server: Server, open_page: OpenPage, name: str, label: str) -> None:
    """A key goes to the box; the text is in the address, and Back empties the box with the list."""
    page = open_page(server.page(name))
    drawn(page, "[data-testid=stTextInput]")
    page.locator("body").press("/")
    box = page.get_by_label(
        label, exact=True
    ).last  # after Back it is a new one; the old one goes when the page is drawn
    expect(box).to_be_focused()
    box.fill("plain")
    box.press("Enter")
    page.wait_for_url("**q=plain*")
    page.reload()
    expect(box).to_have_value("plain")
    page.go_back()
    expect(box).to_have_value("")
    assert "q" not in address(page)


@pytest.mark.parametrize("title", [title for _, title in pages.PAGES])
def test_every_page_has_a_sheet_of_its_keys(server: Server, open_page: OpenPage, title: str) -> None:
    """? shows it wherever one is, Escape puts it away."""
    path = next(path for path, known in pages.PAGES if known == title)
    page = open_page(server.page("" if path == pages.OVERVIEW else path.stem, **(RUN if path == pages.TRACE else {})))
    drawn(page, READY)
    sheet = page.get_by_role("dialog", name="Keyboard of this page")
    expect(page.locator(".keys-sheet")).to_be_attached()  # hidden it has no role
    page.locator("body").press("?")
    expect(sheet).to_be_visible()
    page.locator("body").press("Escape")
    expect(sheet).to_be_hidden()


def focused(page: Page) -> str:
    """What has the focus, through all shadow roots: its tag, classes and role, and whether it is marked."""
    return page.evaluate(
        """() => { let at = document.activeElement; while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
          return `${at.tagName} ${at.className.baseVal ?? at.className} ${at.getAttribute('role') ?? ''} ${getComputedStyle(at).outlineStyle}` }"""
    )


def test_a_diagram_is_one_stop_of_tab_and_arrows_go_through_it(server: Server, open_page: OpenPage) -> None:
    """Whoever has no mouse gets past a diagram with one key, through it with arrows, and sees where they are."""
    page = open_page(server.page("trace", **RUN, view="Sequence"))
    page.locator(".figure[data-ready] .sq").first.wait_for()
    page.locator(".figure-bar button").last.focus()
    page.keyboard.press("Tab")
    assert "figure-body" in focused(page)
    page.keyboard.press("ArrowDown")
    assert "sq-step" in focused(page)
    assert not focused(page).endswith("none")
    page.keyboard.press("Enter")
    page.wait_for_url("**span=*")
    expect(page.locator(".sq-step.selected")).to_have_count(1)
    page.keyboard.press("Tab")
    assert "sq-step" not in focused(page)


def test_lists_are_walked_with_arrows(server: Server, open_page: OpenPage) -> None:
    """Entry after entry of the conversation; Enter selects, and the focus is to be seen."""
    page = open_page(server.page("trace", **RUN, view="Conversation"))
    entries = page.locator(".document[aria-label=Conversation] .pickable")
    entries.first.focus()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(entries.nth(2)).to_be_focused()
    page.keyboard.press("k")
    expect(entries.nth(1)).to_be_focused()
    assert not focused(page).endswith("none")
    page.keyboard.press("Enter")
    page.wait_for_url("**span=*")


def test_escape_in_the_viewer_lets_go_of_the_finding_everywhere(server: Server, open_page: OpenPage) -> None:
    """It is out of the address, too, so that a reload does not bring it back."""
    page = open_page(server.page("trace", **RUN))
    drawn(page, ".tv-r")
    page.locator(".tv-scroll").press("]")
    page.wait_for_url("**finding=*")
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(1)
    page.locator(".tv-scroll").press("Escape")
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(0)
    assert "finding" not in address(page)


def test_every_key_on_the_viewer_sheet_works(server: Server, open_page: OpenPage) -> None:
    """Each key of the sheet is taken by the viewer, and none that it takes is missing there."""
    page = open_page(server.page("trace", **RUN))
    drawn(page, ".tv-r")
    page.locator(".tv-scroll").press("?")
    said = set(" ".join(page.locator(".tv-help dt").all_inner_texts()).replace(" or ", " ").split())
    names = {"↓": "ArrowDown", "↑": "ArrowUp", "←": "ArrowLeft", "→": "ArrowRight", "Esc": "Escape", "Space": " "}
    page.locator(".tv-scroll").press("?")
    taken: set[str] = set()
    page.evaluate("window.addEventListener('keydown', e => { window.passed = true; })")
    for key in [
        *"abcdefghijklmnopqrstuvwxyz0/? ",
        "ArrowDown",
        "ArrowUp",
        "ArrowLeft",
        "ArrowRight",
        "Home",
        "End",
        "Escape",
    ]:
        if key in {"x"}:
            continue  # of the page
        page.evaluate("window.passed = false")
        page.locator(".tv-scroll").focus()
        page.keyboard.press("Space" if key == " " else key)
        if not page.evaluate("window.passed"):
            taken.add(key)
    assert taken == {names.get(key, key) for key in said}
