"""The post-mortem opened from disk in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboard.report import render_html
from tests.browser.conftest import OpenPage, keep
from tests.drawn import frames
from tests.figures.scenes import hostile, looping, lost

pytestmark = pytest.mark.browser
READY = "html[data-ready='1']"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_report_opens_from_disk(open_page: OpenPage, tmp_path: Path, theme: str) -> None:
    """One file, one request, no error: verdict, figures and the live viewer; nothing wider than the window."""
    drawn, findings = looping(12)
    target = tmp_path / "report.html"
    target.write_text(render_html(frames(drawn), findings), encoding="utf-8")
    page = open_page(target.as_uri(), theme=theme)
    page.wait_for_selector(READY)

    expect(page.locator("ol.verdict li")).to_have_count(5)
    expect(page.locator(".sq-fold.sq-critical").first).to_contain_text("loop ×12")
    expect(page.locator(".tv[data-mode=flame]")).to_be_visible()
    expect(page.locator(".still")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(f'.chip[data-span="{findings[0].spans[3]}"]').click()
    expect(page.locator(".tv")).to_have_attribute("data-selected", findings[0].spans[3])
    if theme == "light":
        keep(page, "report-whole", whole=True)


@pytest.mark.slow
def test_report_without_javascript_and_on_paper(open_page: OpenPage, tmp_path: Path) -> None:
    """Everything but the zoomable viewer is there; a still timeline takes its place, on paper too."""
    drawn, findings = lost()
    target = tmp_path / "report.html"
    target.write_text(render_html(frames(drawn), findings), encoding="utf-8")
    page = open_page(target.as_uri(), javascript=False)

    expect(page.locator(".still svg")).to_be_visible()
    expect(page.locator("#state .diff-line.added").first).to_be_visible()
    live = open_page(target.as_uri())
    live.wait_for_selector(READY)
    live.emulate_media(media="print")
    expect(live.locator(".still svg")).to_be_visible()
    expect(live.locator("#viewer")).to_be_hidden()
    assert len(live.pdf(format="A4", prefer_css_page_size=True)) > 20_000


def test_hostile_run_is_harmless(open_page: OpenPage, tmp_path: Path) -> None:
    """Script tags, handlers, direction tricks, NULs and a 5 MB line: no script runs, no request leaves, the file stays small."""
    drawn, findings = hostile()
    text = render_html(frames(drawn), findings)
    target = tmp_path / "report.html"
    target.write_text(text, encoding="utf-8")
    page = open_page(target.as_uri())
    page.wait_for_selector(READY)

    assert page.title().startswith("Post-mortem: flow </script>")
    assert page.locator("img, [onclick], [onerror], a:not(nav a)").count() == 0
    assert page.locator("script").count() == 2
    assert len(text) < 500_000
