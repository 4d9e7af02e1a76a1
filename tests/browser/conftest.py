"""A real Chromium for the tests of what a reader sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
"""Screenshots are kept here (git-ignored); CI uploads the folder."""

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--disable-default-apps", "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip
PATIENCE_MS = 120_000
"""how long anything may take on a busy machine; what is there sooner is not waited for"""
expect.set_options(timeout=PATIENCE_MS)
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")

OpenPage = Callable[..., Page]


def find_chromium() -> str | None:
    """The browser to drive: $CHROMIUM, else Chromium or Chrome on the path."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser a file: while Playwright's is open, no other test of the process could run an event loop of its own.

    Absent: the tests skip with a hint, but on CI they fail.
    """
    path = find_chromium()
    if path is None:
        message = "no Chromium found: apt-get install -y chromium, or set CHROMIUM to its path"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """`open_page(url, theme="light", width=1280, height=900)` -> Page.

    At the end of the test no page may have raised an error or asked for anything but a local file or a loopback host,
    and every page that is still open is kept as a screenshot.
    """
    errors: list[str] = []
    strangers: list[str] = []
    pages: list[Page] = []

    def watch(asked: Request) -> None:
        parts = urlsplit(asked.url)
        if parts.scheme not in ("file", "data", "blob", "about") and parts.hostname not in _LOCAL_HOSTS:
            strangers.append(asked.url)

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            errors.append(message.text)

    def open_(url: str, *, theme: str = "light", width: int = 1280, height: int = 900, javascript: bool = True) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
            java_script_enabled=javascript,
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", listen)
        page.on("request", watch)
        pages.append(page)
        page.goto(url)
        return page

    yield open_
    for number, page in enumerate(pages):
        if not page.is_closed():
            keep(page, f"{request.node.name}-{number}")
            page.context.close()
    assert errors == [], f"errors on the page: {errors}"
    assert strangers == [], f"requests left the machine: {strangers}"


def keep(page: Page, name: str, *, whole: bool = False) -> Path:
    """Keep a screenshot among the artefacts, of the window or of the whole page."""
    ARTIFACTS.mkdir(exist_ok=True)
    target = ARTIFACTS / f"{''.join(c if c.isalnum() or c in '-_.' else '-' for c in name)}.png"
    page.screenshot(path=target, full_page=whole, animations="disabled")
    return target
