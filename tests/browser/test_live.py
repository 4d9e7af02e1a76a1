"""The Live page while a real program records: how soon it shows what happens, and who waits for whom."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, keep
from tests.browser.serving import fits, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROGRAM = """
import sys, threading, time
from contextvars import copy_context
import tracer

def now_ms():
    return time.time_ns() // 1_000_000

def hang(agent, other):
    with tracer.agent(agent), tracer.wait(other, reason="the figures"):
        threading.Event().wait()

tracer.init(sys.argv[1])
for line in sys.stdin:  # "run close": a run, in which each "step A" is an agent until the next line; "hang A B": they wait for each other
    what, *names = line.split()
    told = now_ms()
    with tracer.workflow(names[0]):
        print(told, flush=True)
        for line in sys.stdin:
            what, *names = line.split()
            told = now_ms()
            if what == "end":
                break
            if what == "hang":
                for pair in (names, names[::-1]):
                    threading.Thread(target=copy_context().run, args=(hang, *pair), daemon=True).start()
                print(told, flush=True)
                continue
            with tracer.agent(names[0]):
                print(told, flush=True)
                sys.stdin.readline()
    print(told, flush=True)
"""
RUNNING = ".document[aria-label='Running now']"


class Program:
    """A process that records what it is told to do; every answer is when it did it, in ms since 1970."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout

    def tell(self, what: str) -> int:
        self._to.write(f"{what}\n")
        self._to.flush()
        return int(self._from.readline())

    def go_on(self) -> None:
        """Let the step that is open end."""
        self._to.write("\n")
        self._to.flush()


@contextmanager
def program(store: Path) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.communicate()


def watch(page: Page, text: str) -> None:
    """From here on the browser looks out for `text` by itself, so that what the test asks costs no time."""
    page.evaluate(
        """text => { window.seen = new Promise(resolve => {
            const look = () => { const host = [...document.querySelectorAll('*')].find(e => e.shadowRoot?.querySelector('[aria-label="Running now"]'));
              const shown = (host ? host.shadowRoot.textContent : '') + document.body.innerText;
              if (shown.includes(text)) resolve(Date.now()); else setTimeout(look, 20); };
            look(); }); }""",
        text,
    )


def seen(page: Page) -> int:
    """When what is watched for was on the page, in ms since 1970."""
    return page.evaluate("window.seen")


def test_what_happens_is_on_the_page_at_once(
    tmp_path: Path, open_page: OpenPage, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run and every step of it appear by themselves; how soon is printed, as a busy machine is no fault of the page."""
    path = tmp_path / "traces.duckdb"
    with serving(path) as served, program(path) as doing:
        page = open_page(served.page("live"))
        expect(page.get_by_text("No traces yet")).to_be_visible()
        watch(page, "monthly-close")
        first = -doing.tell("run monthly-close") + seen(page)
        took: list[int] = []
        for number in range(10):
            watch(page, f"Clerk-{number}: at work")
            began = doing.tell(f"step Clerk-{number}")
            took.append(seen(page) - began)
            doing.go_on()
        with capsys.disabled():
            print(f"\nLive page: first run of a new store after {first:,} ms, a step after {median(took):,.0f} ms (median; longest {max(took):,} ms)")  # fmt: skip
    assert median(took) < 5_000


def test_a_hung_run_says_who_waits_for_whom(tmp_path: Path, open_page: OpenPage) -> None:
    """Two agents of a real program that wait for each other are a deadlock while it happens; a third goes on working."""
    path = tmp_path / "traces.duckdb"
    with serving(path) as served, program(path) as doing:
        doing.tell("run monthly-close")
        page = open_page(served.page("live"))
        running = page.locator(RUNNING)
        expect(running).to_contain_text("Between two steps: nothing is open but the run itself.")
        doing.tell("hang Clerk Auditor")
        expect(running).to_contain_text("Clerk: waits for Auditor (the figures)")
        expect(running).to_contain_text("Auditor: waits for Clerk (the figures)")
        expect(running).to_contain_text("deadlock: Auditor, Clerk")
        doing.tell("step Printer")
        expect(running).to_contain_text("Printer: at work")
        expect(page.get_by_test_id("stMetric").filter(has_text="Waiting")).to_contain_text("1 run in a deadlock")
        fits(page)
        keep(page, "page-live-hung")
        running.locator(".pickable").first.click()
        page.wait_for_url("**/trace?**")
        expect(page.locator(".tv-r", has_text="Clerk").first).to_be_visible()
