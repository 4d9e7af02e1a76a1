"""The least that must hold every day: the server starts, a real browser draws the Overview, and a click opens a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import drawn as drawing
from tests.browser.conftest import OpenPage
from tests.browser.serving import address, drawn, serving
from tests.dashboard import stores

pytestmark = pytest.mark.browser


@pytest.mark.slow
def test_from_the_overview_to_a_run(tmp_path: Path, open_page: OpenPage) -> None:
    """One store with a loop in it, two pages, the whole way from the file to the pixels."""
    loop = stores.looping(rounds=6)
    store = stores.write(tmp_path / "traces.duckdb", drawing.frames(loop))
    with serving(store.path) as served:
        page = open_page(served.page())
        worst = page.locator(".document[aria-label='Worst runs'] tr.pickable").first
        worst.click()
        page.wait_for_url("**/trace?**")
        drawn(page, ".tv-r")
        assert address(page)["trace"] == loop.run_id
