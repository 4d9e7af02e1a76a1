"""A running dashboard for browser tests, and what a test says about its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Page, expect

from dashboard import launch
from dashboard.sign_in import SignIn
from tests.browser.conftest import ARTIFACTS


@dataclass(frozen=True, slots=True)
class Server:
    """A dashboard on a store."""

    url: str
    pid: int = field(default=0, kw_only=True)

    def page(self, name: str = "", **query: str) -> str:
        return f"{self.url}/{name}" + (f"?{urlencode(query)}" if query else "")


@contextmanager
def serving(store: Path, *, port: int | None = None, sign_in: SignIn | None = None) -> Iterator[Server]:
    """Serve `store` while the block lasts; the server's log is kept among the artefacts."""
    port = port or launch.free_port()
    log = store.with_name("server.log")
    process = launch.start(store, port=port, log=log, sign_in=sign_in)
    url = launch.base_url(launch.LOOPBACK, port)
    try:
        launch.wait_until_ready(process, url, timeout_s=180)
        yield Server(url, pid=process.pid)
    finally:
        launch.stop(process)
        ARTIFACTS.mkdir(exist_ok=True)
        (ARTIFACTS / f"server-{store.parent.name}.log").write_bytes(log.read_bytes())


def drawn(page: Page, ready: str) -> None:
    """Wait until `ready` is there and the script that draws the page has run to its end, without an error of its own."""
    page.locator(ready).first.wait_for(state="attached")
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text("This app has encountered an error")).to_have_count(0)


def address(page: Page) -> dict[str, str]:
    """The state in the page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def caption(page: Page, text: str) -> None:
    """Wait for a caption that begins with `text`."""
    expect(page.get_by_test_id("stCaptionContainer").filter(has_text=re.compile(f"^{re.escape(text)}"))).to_be_visible()  # fmt: skip


def click_first_row(page: Page, of: str) -> None:
    """Click the first row of the grid once it shows `of`: inside the canvas is a table for screen readers, which says what is drawn."""
    grid = page.get_by_test_id("stDataFrame").first
    grid.locator("[role=gridcell]", has_text=of).first.wait_for(state="attached")
    box = grid.locator("canvas").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 60, box["y"] + 52)


def fits(page: Page) -> None:
    """The page itself never scrolls sideways; tables and diagrams may, inside their frames."""
    sizes = page.evaluate(
        "[document.documentElement, document.querySelector('[data-testid=stMain]')].map(e => e.scrollWidth - e.clientWidth)"
    )
    assert max(sizes) <= 0
