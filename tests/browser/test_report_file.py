"""The post-mortem opened from disk in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboard.report import render_html
from dashboard.report.case import Case
from dashboard.report.html import case_html
from dashboard.report.index import entry_of, index_html
from tests.browser.conftest import OpenPage, keep
from tests.drawn import agent, frames, run, tool
from tests.figures.scenes import hostile, looping, lost

pytestmark = [pytest.mark.browser, pytest.mark.slow]
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


def test_report_without_javascript_and_on_paper(open_page: OpenPage, tmp_path: Path) -> None:
    """Everything but the zoomable viewer is there; a still timeline takes its place, on paper too."""
    drawn, findings = lost()
    target = tmp_path / "report.html"
    target.write_text(render_html(frames(drawn), findings), encoding="utf-8")
    page = open_page(target.as_uri(), javascript=False)

    expect(page.locator(".still svg")).to_be_visible()
    expect(page.locator("#state .diff-line.added").first).to_be_visible()
    for name in ("moments", "findings", "suspects", "stops", "ledger", "path", "sequence", "graph", "reproduce"):
        assert page.locator(f"#{name}").inner_text().count("\n") >= 1, f"section {name} is empty"
    live = open_page(target.as_uri())
    live.wait_for_selector(READY)
    live.emulate_media(media="print")
    expect(live.locator(".still svg")).to_be_visible()
    expect(live.locator("#viewer")).to_be_hidden()
    assert len(live.pdf(format="A4", prefer_css_page_size=True)) > 20_000


def test_ten_thousand_spans_stay_below_a_megabyte(open_page: OpenPage, tmp_path: Path) -> None:
    """A run of 10,000 spans: a file under 1 MB that says what it leaves out, opens, and has nothing wider than the window or the paper."""
    drawn = run(
        "big",
        *(
            agent(f"a{k % 12}", k, k + 1, *(tool(f"t{n % 5}", k + n / 30, k + (n + 1) / 30) for n in range(24)))
            for k in range(400)
        ),
    )
    target = tmp_path / "report.html"
    target.write_text(render_html(frames(drawn)), encoding="utf-8")
    page = open_page(target.as_uri())
    page.wait_for_selector(READY, timeout=60_000)

    assert len(drawn.spans) >= 10_000
    assert target.stat().st_size < 1_000_000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator(".tl-caption")).to_contain_text("longest of 10,001 spans")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 695, "height": 1000})  # A4 within its margins
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "[...document.querySelectorAll('.sq-again')].every((head) => head.getBoundingClientRect().height > 0)"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_index_leads_to_reports(open_page: OpenPage, tmp_path: Path, theme: str) -> None:
    """Links are relative files beside the index, hostile runs included; nothing wider than the window."""
    cases = [Case.of(frames(drawn), found) for drawn, found in (hostile(), looping(6), lost())]
    entries = [entry_of(case, every=False) for case in cases]
    for case, entry in zip(cases, entries, strict=True):
        assert entry.file is not None
        (tmp_path / entry.file).write_text(case_html(case), encoding="utf-8")
    (tmp_path / "index.html").write_text(index_html(entries, "7d"), encoding="utf-8")
    page = open_page((tmp_path / "index.html").as_uri(), theme=theme)

    expect(page.locator("#runs tbody tr")).to_have_count(3)
    assert page.locator("script, img, [onclick], [onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    keep(page, f"report-index-{theme}")
    page.locator("#runs a").first.click()
    page.wait_for_selector(READY)
    assert page.title() == "Post-mortem: market_brief " + entries[1].row["run_id"][:8]


@pytest.mark.parametrize("javascript", [True, False])
def test_every_section_holds_hostile_text_as_text(open_page: OpenPage, tmp_path: Path, javascript: bool) -> None:
    """With everything unfolded, the payload stands on the page as text many times and acts nowhere, on paper too."""
    drawn, findings = hostile()
    target = tmp_path / "report.html"
    target.write_text(render_html(frames(drawn), findings), encoding="utf-8")
    page = open_page(target.as_uri(), javascript=javascript)
    if javascript:
        page.wait_for_selector(READY)
        page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    text = page.locator("body").inner_text()

    for name in ("moments", "findings", "ledger", "path", "graph", "conversation", "state", "reproduce"):
        assert page.locator(f"#{name} :is(img, b[onclick], iframe, object, form, a)").count() == 0, name
    assert text.count("onerror=") > 10
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert page.title().startswith("Post-mortem: flow </script>")
    page.emulate_media(media="print")
    assert len(page.pdf(format="A4", prefer_css_page_size=True)) > 20_000


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
