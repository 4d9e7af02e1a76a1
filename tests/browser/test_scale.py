"""Large things on the pages: nothing is cut silently, and every page stays in reach."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import drawn as drawing
from tests.browser.conftest import OpenPage, keep
from tests.browser.serving import Server, caption, drawn, fits, serving
from tests.dashboard import stores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AGENTS, MESSAGES, SPANS, RUNS = 60, 3_000, 50_000, 1_000_000
_MORE = """INSERT INTO traces SELECT t.* REPLACE (printf('%032x', r.i) AS trace_id, printf('%032x', r.i) AS run_id,
    t.start_ns - r.i * 1000000000 AS start_ns, t.end_ns - r.i * 1000000000 AS end_ns)
    FROM traces AS t, range(1, ? + 1) AS r(i) WHERE t.run_id = ?"""


def crowd() -> drawing.Drawn:
    """Sixty agents, each of which turns to the next three."""
    turns = [
        drawing.agent(f"Agent {i:02}", i, i + 1, *(drawing.message(f"Agent {i:02}", f"Agent {(i + k) % AGENTS:02}", i + k / 10) for k in (1, 2, 3)))
        for i in range(AGENTS)
    ]  # fmt: skip
    return drawing.run("crowd", *turns, id="crowd", at=0)


def talk() -> drawing.Drawn:
    """Three agents that never say twice in a row the same to the same one."""
    names = ("Ada", "Bob", "Cyd")
    spoken = [drawing.message(names[i % 3], names[(i * i + i // 7 + 1) % 3], i, f"Word {i}") for i in range(MESSAGES)]
    return drawing.run("talk", *spoken, id="talk", at=5_000)


def long() -> drawing.Drawn:
    """One agent with very many short tool calls."""
    calls = [drawing.tool("look", i / 100, i / 100 + 0.005) for i in range(SPANS)]
    return drawing.run("long", drawing.agent("Worker", 0, SPANS / 100 + 1, *calls), id="long", at=10_000)


@dataclass(frozen=True, slots=True)
class Place:
    server: Server
    crowd: str
    talk: str
    long: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, chromium: object) -> Iterator[Place]:
    """A store with a run of each kind, and a million rows in the table of runs."""
    crowded, talked, lasted = crowd(), talk(), long()
    store = stores.write(tmp_path_factory.mktemp("scale") / "traces.duckdb", drawing.frames(crowded, talked, lasted))
    with store.lease() as connection:
        connection.execute(_MORE, [RUNS - 3, crowded.run_id])
    with serving(store.path) as server:
        yield Place(server, crowded.run_id, talked.run_id, lasted.run_id)


def test_a_million_runs_in_the_list(place: Place, open_page: OpenPage) -> None:
    """All are counted, and the last page is there."""
    page = open_page(place.server.page("traces"))
    caption(page, f"Showing 1–50 of {RUNS:,} runs")
    page.goto(place.server.page("traces", page=str(RUNS // 50)))
    caption(page, f"Showing {RUNS - 49:,}–{RUNS:,} of {RUNS:,} runs")


def test_sixty_agents_are_readable(place: Place, open_page: OpenPage) -> None:
    """The matrix comes first and names all of them; every edge can be drawn; the table has them all."""
    page = open_page(place.server.page("trace", trace=place.crowd, view="Graph"), width=1600)
    drawn(page, ".figure[data-ready] .dg")
    figure = page.locator(".figure[data-ready]")
    words = figure.locator("svg").first.text_content() or ""
    assert all(f"Agent {i:02}" in words for i in range(AGENTS))
    fits(page)
    keep(page, "scale-sixty-agents")
    with page.expect_download() as told:
        figure.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(told.value.path()).read_text("utf-8"), newline="")))
    assert len([row for row in rows if row["how"] != "invoke"]) >= AGENTS * 3
    page.goto(place.server.page("trace", trace=place.crowd, view="Graph", dependency_as="Every edge"))
    drawn(page, ".figure[data-ready] .dg-node")
    assert page.locator(".dg-node").count() >= AGENTS


def test_three_thousand_messages_are_paged(place: Place, open_page: OpenPage) -> None:
    """Page by page, each message once, and the last page holds the last one."""
    page = open_page(place.server.page("trace", trace=place.talk, view="Sequence", sequence_as="Every step"))
    drawn(page, ".figure[data-ready] .sq-step")
    figure = page.locator(".figure[data-ready]")
    expect(figure).to_contain_text(f"{MESSAGES:,} steps")
    said: list[str] = []
    for number in range(1, 7):
        page.goto(
            place.server.page(
                "trace", trace=place.talk, view="Sequence", sequence_as="Every step", sequence_unfolded_page=str(number)
            )
        )
        drawn(page, ".figure[data-ready] .sq-step")
        with page.expect_download() as told:
            figure.get_by_role("button", name="CSV", exact=True).click()
        said += [
            row["says"] for row in csv.DictReader(io.StringIO(Path(told.value.path()).read_text("utf-8"), newline=""))
        ]
    assert said == [f"Word {i}" for i in range(MESSAGES)]
    keep(page, "scale-last-page-of-messages")


@pytest.mark.parametrize(("view", "ready"), [("Waterfall", ".tv-r"), ("Flame", ".tv[data-mode=flame]")])
def test_fifty_thousand_spans(place: Place, open_page: OpenPage, view: str, ready: str) -> None:
    """The run is drawn with few elements; what is saved has every span."""
    page = open_page(place.server.page("trace", trace=place.long, view=view))
    drawn(page, ready)
    expect(page.locator(".document[aria-label=Run]")).to_contain_text(f"{SPANS + 2:,} spans")
    assert page.locator(".tv *").count() < 3_000
    with page.expect_download() as told:
        page.locator(".tv").get_by_role("button", name="CSV", exact=True).click()
    assert len(Path(told.value.path()).read_text("utf-8").splitlines()) == SPANS + 3
    fits(page)
    keep(page, f"scale-spans-{view.lower()}")
