"""A click is never lost, however late the answers are, and the address is right: real server, real Chromium, slow wire."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import drawn as drawing
from tests.browser.conftest import OpenPage
from tests.browser.serving import Server, address, drawn, serving
from tests.browser.wire import Wire
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LARGE = drawing.run(
    "bulk", *(drawing.agent(f"Worker {n % 7}", n, n + 1, drawing.llm(n, n + 0.9, prompt=f"Part {n}", answer="Done.")) for n in range(2_200)),
    id="large", outcome="completed",
)  # fmt: skip
LOOP = stores.looping()
DETAILS = ".document[aria-label='Details']"


def is_analysis(process: int) -> bool:
    """Not yet, while it is still the server's fork; no more, when it has ended."""
    try:
        command = Path("/proc", str(process), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return bool({b"dashboard.analyst", b"dashboard.run_analysis"} & set(command))


@contextmanager
def no_analysis(server: int) -> Iterator[None]:
    """Whoever analyses for this server stands still while the block lasts: the run is on the page, its findings are not."""
    ended, stopped = threading.Event(), set[int]()

    def watch() -> None:
        while not ended.wait(0.02):
            for task in Path("/proc", str(server), "task").glob("*/children"):
                for child in map(int, task.read_text().split()):
                    if child not in stopped and is_analysis(child):
                        os.kill(child, signal.SIGSTOP)
                        stopped.add(child)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        assert stopped, "nobody analysed"
        for child in stopped:
            os.kill(child, signal.SIGCONT)


def open_late(open_page: OpenPage, url: str) -> tuple[Page, Wire]:
    page = open_page("about:blank")
    wire = Wire(page)
    page.goto(url)
    drawn(page, ".tv-r")
    return page, wire


def click(page: Page, row: int) -> str:
    """Click a row of the waterfall; the id of its span."""
    found = page.locator(".tv-r:visible").nth(row)
    span = found.get_attribute("data-span")
    assert span is not None
    found.click()
    return span


def selected(page: Page, span: str) -> None:
    """Viewer, details and address agree on one span."""
    expect(page.locator(f"{DETAILS}[data-subject^='{span} ']")).to_have_count(1)
    expect(page.locator(f".tv-r[data-span='{span}']")).to_have_attribute("aria-selected", "true")
    assert address(page)["span"] == span


def test_a_click_while_findings_arrive(tmp_path: Path, open_page: OpenPage) -> None:
    """The page's own timer asks with the address from before the click, and is answered with the whole page."""
    store = stores.write(tmp_path / "traces.duckdb", drawing.frames(LARGE))
    with serving(store.path) as served:
        with no_analysis(served.pid):
            page, wire = open_late(open_page, served.page("trace", trace=LARGE.run_id))
            expect(page.get_by_text("This run is large")).to_be_visible()
            wire.hold()
            span, timers, whole = click(page, 3), wire.timers(), wire.whole_pages()
            wire.wait(lambda: wire.timers() > timers)
        wire.wait(lambda: wire.whole_pages() > whole)
        wire.release()
        expect(page.get_by_text("This run is large")).to_have_count(0)
        drawn(page, ".tv-r")
        selected(page, span)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Server]:
    """A dashboard on a run with a loop."""
    store = stores.write(tmp_path_factory.mktemp("selection") / "traces.duckdb", drawing.frames(LOOP))
    with serving(store.path) as served:
        yield served


def test_back_and_forward_walk_through_selections(server: Server, open_page: OpenPage) -> None:
    """Every click is one step; going back at once is no late message; a selection that was left comes back with Forward."""
    page, wire = open_late(open_page, server.page("trace", trace=LOOP.run_id))
    wire.hold()
    first = click(page, 2)
    second = click(page, 3)  # before the first is answered
    sent = len(wire.sent)
    wire.wait(lambda: len(wire.sent) >= sent)
    wire.release()
    selected(page, second)
    third = click(page, 4)
    selected(page, third)
    page.go_back()
    selected(page, second)
    page.go_forward()
    selected(page, third)
    page.go_back()
    page.go_back()
    if address(page).get("span") == first:  # a step of its own where the server had answered in time
        page.go_back()
    expect(page.locator(DETAILS)).to_contain_text("Nothing selected")
    assert "span" not in address(page)
    fourth = click(page, 5)
    selected(page, fourth)
    page.reload()
    selected(page, fourth)


def test_a_finding_and_its_span_are_one_step(server: Server, open_page: OpenPage) -> None:
    """Back from a finding leads to where one was, not to half of it."""
    page, _ = open_late(open_page, server.page("trace", trace=LOOP.run_id))
    page.locator(".document[aria-label=Run] .chip.tone-critical[data-finding]").first.click()
    page.wait_for_url("**span=*")
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(1)
    page.go_back()
    expect(page.locator(".document[aria-label=Run] .chip.on")).to_have_count(0)
    assert set(address(page)) == {"trace"}


def test_a_view_chosen_by_key_stays(tmp_path: Path, open_page: OpenPage) -> None:
    """While a run goes on its page asks every second; what it asks with a moment after the key says the new view, too."""
    path = tmp_path / "traces.duckdb"
    with serving(path) as served, stores.recording(path) as recorder:
        recorder.start("Reviewer", at_s=0)
        page, wire = open_late(open_page, served.page("trace", trace=recorder.trace_id))
        page.locator(".tv-scroll").press("v")
        page.keyboard.press("6")
        wire.wait(lambda: wire.sent[-1].rerun_script.query_string.endswith("view=Conversation"))
        sent, timers = len(wire.sent), wire.timers()
        wire.wait(lambda: wire.timers() > timers + 1)
        assert all("view=Conversation" in message.rerun_script.query_string for message in wire.sent[sent:])
        expect(page.locator(".document[aria-label=Conversation]")).to_be_visible()
        assert address(page)["view"] == "Conversation"
