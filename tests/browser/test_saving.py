"""What is seen can be saved: every view of a run and every table of a page, with the values that stand there; texts stay texts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Locator, Page, expect

from dashboard.exports import FORMATS
from dashboard.figures import units
from tests import drawn as drawing
from tests.browser.conftest import OpenPage
from tests.browser.serving import Server, drawn, serving
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOOP, MIXED = stores.looping(), stores.mixed()
FORMULA = "=HYPERLINK(\"http://tracker.example\")</text><script>window.pwned='svg'</script>"
BAD = drawing.run(
    FORMULA,
    drawing.agent(FORMULA, 0, 3, drawing.llm(0, 2, id="bad-call", model=FORMULA, prompt=FORMULA, answer=FORMULA),
                  drawing.tool(FORMULA, 2, 3, args={"a": FORMULA}, result=FORMULA), drawing.state_write(FORMULA, 2.2, value={"k": FORMULA}),
                  drawing.message(FORMULA, "user", 2.5, FORMULA)),
    id="bad", at=-600, outcome="failed",
)  # fmt: skip
DOCUMENT = ".document[aria-label='{}']"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Server]:
    """A loop, a run with a bit of everything, and one whose texts want to be formulas and scripts."""
    runs = [stores.plain(i, at=60.0 * i) for i in range(20)]
    store = stores.write(tmp_path_factory.mktemp("saving") / "traces.duckdb", drawing.frames(*runs, LOOP, MIXED, BAD))
    with serving(store.path) as served:
        yield served


def saved(page: Page, button: Locator) -> str:
    """What a click on `button` downloads."""
    with page.expect_download() as told:
        button.click()
    return Path(told.value.path()).read_text(encoding="utf-8-sig")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def view(page: Page, server: Server, run_id: str, name: str, ready: str) -> None:
    page.goto(server.page("trace", trace=run_id, view=name))
    drawn(page, ready)


def buttons(page: Page, name: str) -> tuple[str, Any]:
    """The CSV of a view and the rows of its JSON."""
    bar = page.locator(".st-key-save_view")
    told = json.loads(saved(page, bar.get_by_role("button", name="JSON", exact=True)))
    return saved(page, bar.get_by_role("button", name="CSV", exact=True)), told[name]


def test_views_of_a_run(server: Server, open_page: OpenPage) -> None:
    """Path, conversation, state, ledger and findings: as many rows as on the screen, in its order, with exact values."""
    page = open_page(server.page("trace", trace=MIXED.run_id, view="Path"))
    drawn(page, DOCUMENT.format("Critical path") + " table")
    text, rows = buttons(page, "path")
    took = page.locator(DOCUMENT.format("Critical path") + " table").first.locator("tbody tr td:nth-child(2)").all_inner_texts()  # fmt: skip
    assert [units.duration(int(row["length_ns"])) for row in table(text)] == took
    assert [row["span_id"] for row in rows] == [row["span_id"] or None for row in table(text)]

    view(page, server, MIXED.run_id, "Conversation", ".document[aria-label=Conversation] .message")
    text, rows = buttons(page, "conversation")
    shown = page.locator(".document[aria-label=Conversation] .message")
    assert [row["from"] for row in rows] == [one.split("→")[0].strip() for one in shown.locator(".role:first-of-type, .time + .role").all_inner_texts()][: len(rows)]  # fmt: skip
    assert shown.count() == len(rows) == len(table(text))
    for row, entry in zip(rows, shown.all_inner_texts(), strict=True):
        assert row["text"][:60] in entry

    view(page, server, MIXED.run_id, "State", ".document[aria-label='Shared state'] .heading")
    text, rows = buttons(page, "state")
    touched = page.locator(".document[aria-label='Shared state']").locator(".card, .line")
    assert touched.count() == len(rows) == len(table(text)) > 0
    assert page.locator(".document[aria-label='Shared state'] .heading.level1").first.inner_text().find(rows[0]["state_key"]) >= 0  # fmt: skip

    view(page, server, MIXED.run_id, "Ledger", ".document[aria-label=Ledger] table")
    text, rows = buttons(page, "ledger")
    calls = page.locator(".document[aria-label=Ledger] table").first.locator("tbody tr:not(:last-child) td:nth-child(5)").all_inner_texts()  # fmt: skip
    assert [str(row["calls"]) for row in rows if row["calls"] or row["tokens"] or row["usd"] or row["ns"]] == calls
    assert len(table(text)) == len(rows)

    view(page, server, LOOP.run_id, "Findings", ".document[aria-label=Findings] .card")
    text, rows = buttons(page, "findings")
    told = page.locator(".document[aria-label=Findings]").inner_text()
    assert rows[0]["kind"] == table(text)[0]["kind"]
    assert all(row["title"] in told for row in rows)


def test_sequence(server: Server, open_page: OpenPage) -> None:
    """A row of the CSV per arrow of the unfolded diagram, with who, to whom and the exact moment; the picture is complete SVG."""
    page = open_page(server.page("trace", trace=LOOP.run_id, view="Sequence", sequence_as="Every step"))
    drawn(page, ".figure[data-ready] .sq-step")
    figure = page.locator(".figure[data-ready]")
    steps = figure.locator(".sq-step:not(.sq-again *)")
    rows = table(saved(page, figure.get_by_role("button", name="CSV", exact=True)))
    assert [row["span_id"] for row in rows] == [one.get_attribute("data-span") for one in steps.all()]
    assert all(row["from"] and row["to"] and int(row["at (ns)"]) >= 0 for row in rows)
    picture = ElementTree.fromstring(saved(page, figure.get_by_role("button", name="SVG", exact=True)))
    words = "".join(picture.itertext())
    assert all(head in words for head in ("Researcher", "Analyst"))
    assert "var(" not in ElementTree.tostring(picture, encoding="unicode")


def test_whole_runs(server: Server, open_page: OpenPage) -> None:
    """Every format of the menu downloads and holds the spans of this run."""
    page = open_page(server.page("trace", trace=LOOP.run_id))
    drawn(page, ".tv-r")
    page.get_by_role("button", name="Export").click()
    for kind in FORMATS.values():
        if not kind.texts:
            text = saved(page, page.get_by_role("button", name=kind.title, exact=True))
            assert LOOP.spans[1].name in text or str(LOOP.spans[1].agent) in text, kind.title


@pytest.mark.parametrize(
    ("name", "query", "label"),
    [
        ("", {}, "Worst runs"),
        ("coordination", {}, "Pairs of agents"),
        ("cost", {}, "Most expensive runs"),
        ("health", {}, "Libraries and versions"),
        ("compare", {"a": LOOP.run_id, "b": MIXED.run_id}, "Both runs in numbers"),
    ],
)
def test_tables_of_pages(server: Server, open_page: OpenPage, name: str, query: dict[str, str], label: str) -> None:
    """A table is saved as it stands there, heads and rows."""
    page = open_page(server.page(name, **query))
    drawn(page, DOCUMENT.format(label) + " table")
    document = page.locator(DOCUMENT.format(label)).first
    rows = list(csv.reader(io.StringIO(saved(page, document.locator("button.save").first), newline="")))
    shown = document.locator("table").first
    heads = shown.locator("th").all_inner_texts()
    assert [head for head in rows[0] if not head.endswith(" (note)")] == heads
    assert len(rows) - 1 == shown.locator("tbody tr").count() > 0
    for row, line in zip(rows[1:], shown.locator("tbody tr").all_inner_texts(), strict=True):
        assert all(cell.removeprefix("'") in line for cell in row if cell)


def test_saved_texts_stay_texts(server: Server, open_page: OpenPage) -> None:
    """No cell of a CSV is a formula, no element of an SVG a script, whatever was recorded."""
    page = open_page(server.page("trace", trace=BAD.run_id, view="Sequence"))
    files: dict[str, str] = {}
    for name, ready in (
        ("Sequence", ".sq"),
        ("Graph", ".dg"),
        ("Waterfall", ".tv-r"),
        ("Flame", ".tv[data-mode=flame]"),
    ):
        view(page, server, BAD.run_id, name, ready)
        frame = page.locator(".figure[data-ready], .tv").first
        for kind in ("CSV", "SVG"):
            files[f"{name} {kind}"] = saved(page, frame.get_by_role("button", name=kind, exact=True))
    for name in ("Path", "Conversation", "State", "Ledger", "Findings"):
        view(page, server, BAD.run_id, name, ".st-key-save_view")
        files[f"{name} CSV"] = buttons(page, name.lower())[0]
    page.goto(server.page("coordination"))
    drawn(page, DOCUMENT.format("Pairs of agents") + " table")
    files["pairs CSV"] = saved(page, page.locator(DOCUMENT.format("Pairs of agents")).locator("button.save"))
    for name, text in files.items():
        if name.endswith("CSV"):
            cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
            assert [cell for cell in cells if cell.startswith(("=", "+H", "@"))] == [], name
        else:
            tags = {node.tag.rpartition("}")[2].lower() for node in ElementTree.fromstring(text).iter()}
            assert tags.isdisjoint({"script", "foreignobject", "iframe", "image", "a"}), name
    expect(page.locator("body")).not_to_contain_text("pwned=1")
    assert page.evaluate("window.pwned") is None
