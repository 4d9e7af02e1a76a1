"""Single sign-on with a provider that is a process of its own, in a real browser."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard import launch
from dashboard.sign_in import read_sign_in
from tests import drawn as drawing
from tests.browser.conftest import OpenPage
from tests.browser.serving import address, drawn, serving
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]
REPOSITORY = Path(__file__).parents[2]


@contextmanager
def provider() -> Iterator[str]:
    """The provider's address while the block lasts."""
    port = launch.free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.browser.provider", str(port)], cwd=REPOSITORY)
    url = f"http://127.0.0.1:{port}/.well-known/openid-configuration"
    try:
        for _ in range(600):
            assert process.poll() is None, "the provider ended"
            try:
                with urllib.request.urlopen(url, timeout=2):
                    break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def sign_in_as(page: Page, who: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Who are you?").wait_for()
    page.get_by_role("link", name=who, exact=True).click()


def test_a_sign_in_leads_back_to_the_page_and_only_for_those_named(tmp_path: Path, open_page: OpenPage) -> None:
    """Nothing is shown before; Ada lands on the run that was asked for; Eve, and Mallory who only claims Ada's address, do not."""
    loop = stores.looping(rounds=6)
    store = stores.write(tmp_path / "traces.duckdb", drawing.frames(loop))
    port = launch.free_port()
    with provider() as metadata:
        file = tmp_path / "secrets.toml"
        file.write_text(f"""
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{"0123456789abcdef" * 2}"
client_id = "tracehound"
client_secret = "the client's secret"
server_metadata_url = "{metadata}"
[tracehound]
allow = ["ada@example.com"]
""")
        with serving(store.path, port=port, sign_in=read_sign_in(file)) as served:
            wanted = served.page("trace", trace=loop.run_id, view="Sequence")
            page = open_page(wanted)
            expect(page.get_by_text("Traces hold prompts and answers.")).to_be_visible()
            assert page.locator(".document, .figure, [data-testid=stDataFrame]").count() == 0
            assert loop.run_id not in page.content()

            sign_in_as(page, "ada")
            drawn(page, ".figure[data-ready] .sq")
            assert address(page) == {"trace": loop.run_id, "view": "Sequence"}
            page.reload()  # the cookie stands for the sign-in from here on
            drawn(page, ".figure[data-ready] .sq")
            page.goto(served.page("health"))
            expect(page.get_by_text("Signed in as Ada@example.com.")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()

            for who in ("eve", "mallory"):
                page = open_page(wanted)
                sign_in_as(page, who)
                expect(page.get_by_text("who may not look at this dashboard")).to_be_visible()
                assert page.locator(".document, .figure, [data-testid=stDataFrame]").count() == 0
