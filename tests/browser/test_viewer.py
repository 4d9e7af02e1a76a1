"""`viewer.js` in a real browser, on a plain page from disk."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.mounting import viewer_page
from tests.drawn import agent, llm, run, wait
from tests.figures.scenes import deadlocked, hostile, looping, three_way

pytestmark = pytest.mark.browser
READY = ".tv[data-ready='1']"


def overlaps(rects: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of rectangles that share more than a hair."""
    return [
        (a["id"], b["id"]) for n, a in enumerate(rects) for b in rects[n + 1 :]
        if a["x"] + 0.01 < b["x"] + b["w"] and b["x"] + 0.01 < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    ]  # fmt: skip


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.locator(".tv-scroll").press(key)


def selected(page: Page) -> str:
    page.wait_for_function(
        "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))"
    )
    return page.locator(".tv").get_attribute("data-selected") or ""


@pytest.mark.parametrize("theme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_concurrent_siblings_never_overlap(open_page: OpenPage, tmp_path: Path, theme: str) -> None:
    """The flame graph of a 3-way parallel run: by time in lanes, by cost and tokens side by side; children under their parents."""
    page = open_page(viewer_page(tmp_path / "page.html", three_way(), mode="flame"), theme=theme)
    page.wait_for_selector(READY)

    for weight, fewest, rows in (("time", 18, 2), ("cost", 8, 1), ("tokens", 8, 1)):
        page.evaluate("(weight) => viewer.update(null, {weight})", weight)
        drawn = page.evaluate("viewer.layout()")
        rects = drawn["rects"]
        assert drawn["weight"] == weight
        assert len(rects) >= fewest
        assert overlaps(rects) == []
        where = {rect["id"]: rect for rect in rects}
        assert len({where[name]["y"] for name in ("flights", "hotels")}) == rows
        assert max(r["x"] + r["w"] for r in rects) == pytest.approx(drawn["width"], abs=1)


def test_the_canvas_shows_what_the_layout_says(open_page: OpenPage, tmp_path: Path) -> None:
    """Pixels: a failed tool is red in its rectangle, a leaf is solid, and no bar stands where nothing ran."""
    page = open_page(viewer_page(tmp_path / "page.html", three_way(), mode="flame"))
    page.wait_for_selector(READY)

    colour = """(id) => { const r = viewer.layout().rects.find((x) => x.id === id), c = document.querySelector('.tv-rows canvas'), d = devicePixelRatio;
        return [...c.getContext('2d').getImageData((r.x + r.w - 3) * d, (r.y + 13) * d, 1, 1).data].slice(0, 3); }"""
    assert page.evaluate(colour, "failed") == [193, 18, 31]


@pytest.mark.slow
def test_keys_walk_fold_zoom_and_jump(open_page: OpenPage, tmp_path: Path) -> None:
    """j k arrows, w and 0, e for errors; every selection is reported once."""
    page = open_page(viewer_page(tmp_path / "page.html", three_way()))
    page.wait_for_selector(READY)
    rows = page.locator(".tv-r:visible")
    before = rows.count()

    press(page, "j", "j", "j")
    third = selected(page)
    assert page.evaluate("picked.length") == 3
    press(page, "ArrowLeft")
    expect(page.locator(f'[data-span="{third}"]')).to_have_attribute("aria-expanded", "false")
    assert rows.count() < before
    press(page, "ArrowRight", "e")
    assert selected(page) == "failed"
    press(page, "w")
    assert page.evaluate("states.at(-1).range") is not None
    press(page, "0")
    assert page.evaluate("states.at(-1).range") is None
    press(page, "v")
    expect(page.locator(".tv")).to_have_attribute("data-mode", "flame")
    press(page, "?")
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.slow
def test_findings_are_tagged_and_one_key_away(open_page: OpenPage, tmp_path: Path) -> None:
    """Rows of a loop carry `loop ×47`; l goes to the next of them."""
    drawn, findings = looping()
    page = open_page(viewer_page(tmp_path / "page.html", drawn, findings))
    page.wait_for_selector(READY)

    expect(page.locator(".tv-tag:visible", has_text="loop ×47").first).to_be_visible()
    press(page, "l")
    assert selected(page) in findings[0].spans


@pytest.mark.slow
def test_a_loop_folds_to_its_first_round_with_count_time_and_cost(open_page: OpenPage, tmp_path: Path) -> None:
    """46 of 47 rounds are one row; opened they are all there, and a span inside opens them by itself."""
    drawn, findings = looping()
    page = open_page(viewer_page(tmp_path / "page.html", drawn, findings))
    page.wait_for_selector(READY)

    folded = page.locator(".tv-sum")
    expect(folded).to_have_count(1)
    expect(folded).to_contain_text("46 more rounds · 276 spans")
    expect(folded).to_contain_text("$4.60")
    grid = page.get_by_role("treegrid")
    before = int(grid.get_attribute("aria-rowcount") or 0)
    page.evaluate("(span) => viewer.select(span)", findings[0].spans[-1])
    assert selected(page) == findings[0].spans[-1]
    expect(folded).to_have_count(0)
    assert int(grid.get_attribute("aria-rowcount") or 0) == before + 275


@pytest.mark.slow
def test_the_spans_of_a_finding_stand_out(open_page: OpenPage, tmp_path: Path) -> None:
    """The others turn pale until Escape; the tag reports the finding."""
    drawn, findings = deadlocked()
    page = open_page(viewer_page(tmp_path / "page.html", drawn, findings, finding=findings[0].id))
    page.wait_for_selector(READY)

    rows = page.locator(".tv-r:visible")
    assert rows.count() - page.locator(".tv-r.tv-dim:visible").count() == len(findings[0].spans)
    press(page, "n")
    assert selected(page) in findings[0].spans
    press(page, "Escape")
    expect(page.locator(".tv-dim")).to_have_count(0)
    page.locator(".tv-tag.tv-act:visible", has_text="deadlock").first.click()
    expect(page.locator(".tv-bar")).to_contain_text("3 spans of deadlock")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["waterfall", "flame"])
def test_a_long_wait_does_not_squash_the_work(open_page: OpenPage, tmp_path: Path, mode: str) -> None:
    """Two calls of two seconds around a wait of hours are wide; to scale they are slivers; g switches."""
    asked = run("refund", agent("clerk", 0, 12_004, llm(0, 2, id="before"), wait("lead", 2, 12_002, id="rest"), llm(12_002, 12_004, id="after")))  # fmt: skip
    page = open_page(viewer_page(tmp_path / "page.html", asked, mode=mode))
    page.wait_for_selector(READY)

    def shares() -> dict[str, float]:
        drawn = page.evaluate("viewer.layout()")
        return {r["id"]: r["w"] / drawn["width"] for r in drawn["rects"]}

    folded = shares()
    assert folded["before"] == pytest.approx(folded["after"])
    assert folded["before"] > 0.4
    assert 0.05 < folded["rest"] < 0.2
    press(page, "g")
    assert shares()["before"] < 0.001
    assert shares()["rest"] > 0.99


@pytest.mark.slow
def test_what_is_seen_is_saved(open_page: OpenPage, tmp_path: Path) -> None:
    """The table holds exact values of the spans in the zoom, formulas defused; the picture is a document."""
    shown = run("w", agent("=cmd()", 0, 2, llm(0, 1, id="first", cost="0.25"), llm(1, 2, id="second", cost=None)))
    page = open_page(viewer_page(tmp_path / "page.html", shown))
    page.wait_for_selector(READY)

    with page.expect_download() as table:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(Path(table.value.path()).read_text(encoding="utf-8").splitlines()))
    by_id = {row["span_id"]: row for row in rows}
    assert len(rows) == 4
    assert by_id["first"]["duration_ns"] == "1000000000"
    assert (by_id["first"]["cost_usd"], by_id["second"]["cost_usd"]) == ("0.25", "")
    assert by_id["first"]["agent"] == "'=cmd()"
    with page.expect_download() as picture:
        page.get_by_role("button", name="SVG", exact=True).click()
    root = ElementTree.fromstring(Path(picture.value.path()).read_text(encoding="utf-8"))
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == 4


@pytest.mark.slow
def test_search_says_how_many_and_where(open_page: OpenPage, tmp_path: Path) -> None:
    """Matches are counted, those out of sight are pointed at, Enter goes to the next."""
    drawn, findings = looping()
    page = open_page(viewer_page(tmp_path / "page.html", drawn, findings), height=600)
    page.wait_for_selector(READY)

    press(page, "/")
    page.keyboard.type("gpt-4o")
    expect(page.locator(".tv-bar")).to_contain_text("94 matches")
    expect(page.locator(".tv-bar")).to_contain_text("92 in folded rounds")
    page.locator(".tv-sum").click()
    expect(page.locator(".tv-bar")).to_contain_text("below ↓")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator('.tv-r[aria-selected="true"]')).to_contain_text("gpt-4o")


@pytest.mark.slow
def test_rows_are_a_tree_for_screen_readers(open_page: OpenPage, tmp_path: Path) -> None:
    """Level, position and expansion stand on every row, and the active row is named."""
    page = open_page(viewer_page(tmp_path / "page.html", three_way()))
    page.wait_for_selector(READY)

    grid = page.get_by_role("treegrid")
    expect(grid).to_have_attribute("aria-rowcount", "18")
    assert page.locator(".tv-r:visible").first.get_attribute("aria-level") == "1"
    press(page, "j")
    assert selected(page)
    assert page.locator(f"#{grid.get_attribute('aria-activedescendant')}").count() == 1


@pytest.mark.slow
def test_running_work_and_new_data(open_page: OpenPage, tmp_path: Path) -> None:
    """A live run keeps selection and zoom when more spans arrive."""
    drawn, findings = deadlocked()
    page = open_page(viewer_page(tmp_path / "page.html", drawn, findings, selected="w1"))
    page.wait_for_selector(READY)

    expect(page.locator('.tv-r[data-span="w1"]')).to_contain_text("running")
    assert selected(page) == "w1"
    page.evaluate("""() => { const p = structuredClone(payload_of()); for (const [k, c] of Object.entries(p.columns)) c.push(k === 'id' ? 'new1' : k === 'parent' ? 0 : k === 'depth' ? 1 : c.at(-1)); viewer.update(p); }
        """.replace("payload_of()", "window.viewer.payload()"))  # fmt: skip
    assert selected(page) == "w1"
    assert page.evaluate("viewer.layout().rects.some((r) => r.id === 'new1')")


@pytest.mark.slow
def test_hostile_names_do_nothing(open_page: OpenPage, tmp_path: Path) -> None:
    """Markup in names, tools and models is shown as text; nothing runs and nothing is asked for."""
    drawn, findings = hostile()
    page = open_page(viewer_page(tmp_path / "page.html", drawn, findings))
    page.wait_for_selector(READY)

    page.locator(".tv-r:visible").nth(1).hover()
    assert page.title() == ""
    assert page.locator(".tv img, .tv b[onclick]").count() == 0
    expect(page.locator(".tv-r:visible").first).to_contain_text("</script>")


@pytest.mark.slow
def test_an_empty_run_says_so(open_page: OpenPage, tmp_path: Path) -> None:
    """Nothing recorded yet is a sentence, not a blank."""
    drawn = run("w", agent("a", 0, 1, llm(0, 1)))
    drawn.spans.clear()
    page = open_page(viewer_page(tmp_path / "page.html", drawn))
    page.wait_for_selector(READY)

    expect(page.locator(".tv-empty")).to_be_visible()


@pytest.mark.slow
def test_destroy_leaves_nothing(open_page: OpenPage, tmp_path: Path) -> None:
    """Elements, listeners and style sheet go with the viewer."""
    page = open_page(viewer_page(tmp_path / "page.html", three_way()))
    page.wait_for_selector(READY)

    page.evaluate("viewer.destroy()")
    assert page.evaluate("[document.querySelectorAll('.tv').length, document.adoptedStyleSheets.length]") == [0, 0]
