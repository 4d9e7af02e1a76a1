"""Whatever was recorded is text: on every page in a real browser no script of it runs, no link of it stands, nothing is fetched."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Page, expect

from dashboard import address
from dashboard.report import render_html, render_markdown
from dashboard.report.case import Case
from dashboard.report.index import entry_of, index_html
from tests import drawn as drawing
from tests.browser import hostile
from tests.browser.conftest import OpenPage
from tests.browser.hostile import EVERYTHING, IMAGE, PAYLOADS
from tests.browser.serving import Server, drawn, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_LOOK = """() => {
  const found = [];
  const roots = [document];
  for (const root of roots) {
    for (const node of root.querySelectorAll('*')) {
      if (node.shadowRoot) roots.push(node.shadowRoot);
      for (const {name, value} of node.attributes) {
        if (/^on/i.test(name)) found.push(`${node.tagName} ${name}`);
        if (/^(href|src|xlink:href|srcset|action|data|poster)$/i.test(name) && /^\\s*(javascript|https?:\\/\\/(?!127\\.0\\.0\\.1))|tracker\\.example/i.test(value))
          found.push(`${node.tagName} ${name}=${value.slice(0, 80)}`);
      }
      if (/^(IFRAME|OBJECT|EMBED)$/.test(node.tagName)) found.push(node.tagName);
    }
  }
  if (window.pwned) found.push(`ran: ${window.pwned}`);
  return found;
}"""
"""Handlers, links and frames that no page of ours has, in the page and in every shadow root; and what ran."""


@dataclass(frozen=True, slots=True)
class Place:
    server: Server
    together: str
    long: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A dashboard on the hostile store."""
    path = tmp_path_factory.mktemp("hostile") / "traces.duckdb"
    together, long = hostile.write(path)
    with serving(path) as server:
        yield Place(server, together, long)


def nothing_acts(page: Page, where: str) -> None:
    """No script ran, no handler, foreign link or frame stands anywhere."""
    assert page.evaluate(_LOOK) == [], where
    assert "pwned" not in page.title()


DOCUMENT, GRID = ".document", "[data-testid=stDataFrame]"
ANYTHING = "[data-testid=stMain] :is(.document, [data-testid=stText], [data-testid=stAlert])"
"""a run is found by the beginning of its name, so what an address names may exist"""
READY = {
    "overview": ".document[aria-label='Worst runs'] tr.pickable",
    "traces": GRID,
    "workflows": GRID,
    "agents": GRID,
    "coordination": ".figure[data-ready]",
    "cost": GRID,
}
"""what stands on a page when it is drawn, where that is more than a document"""
FORMS: dict[str, list[dict[str, str]]] = {
    "cost": [{"by": by} for by in ("Agent", "Model", "User", "Environment")],
    "compare": [{"what": "Groups of runs", "by": by} for by in ("Version", "Model")],
    "backtest": [{"guard": guard} for guard in ("Budget", "Time")],
}
"""further forms of a page, by address"""
PLACES = [
    (path.stem, query, ("[data-testid=stText]" if query and path.stem in ("compare", "backtest") else READY.get(path.stem, DOCUMENT)))
    for path, _ in address.PAGES
    for query in ({}, *FORMS.get(path.stem, ()))
]  # fmt: skip
"""every page there is: one that is added is looked at without being named here"""


@pytest.mark.parametrize(
    ("name", "query", "ready"), PLACES, ids=["-".join((name, *query.values())) for name, query, _ in PLACES]
)
def test_every_page(place: Place, open_page: OpenPage, name: str, query: dict[str, str], ready: str) -> None:
    """Names, models, keys, reasons and errors in tables, charts, matrices and figures."""
    page = open_page(place.server.page("" if name == "overview" else name, **query))
    drawn(page, ready)
    nothing_acts(page, name)


@pytest.mark.parametrize("text", [EVERYTHING, IMAGE], ids=["everything", "image"])
def test_what_is_chosen_by_address(place: Place, open_page: OpenPage, text: str) -> None:
    """A recorded name as a heading, and anything at all in an address, from whoever sends the link."""
    page = open_page(place.server.page("agents", agent=text))
    drawn(page, ".st-key-name [data-testid=stText]")
    nothing_acts(page, "agents")
    for name, query, ready in (
        ("workflows", {"workflow": text}, ".st-key-name [data-testid=stText]"),
        ("sessions", {"session": text}, ".st-key-name [data-testid=stText]"),
        ("traces", {"q": f"{text}:1"}, "[data-testid=stTextInput]"),
        ("traces", {"q": f'agnt:"{text}"'}, ".st-key-said"),
        ("trace", {"trace": text}, ANYTHING),
        ("compare", {"a": text, "b": text}, ANYTHING),
        (
            "compare",
            {"what": "Groups of runs", "by": "Queries", "qa": f"nofield:{text}", "qb": text},
            "[data-testid=stTextInput]",
        ),
        ("coordination", {"workflow": text}, ".figure[data-ready]"),
    ):
        page.goto(place.server.page(name, **query))
        drawn(page, ready)
        nothing_acts(page, f"{name} {query}")


VIEWS = (
    ("Waterfall", ".tv-r"), ("Flame", ".tv[data-mode=flame]"), ("Sequence", ".figure[data-ready] .sq"), ("Graph", ".figure[data-ready] .dg"),
    ("Path", ".document[aria-label='Critical path']"), ("Conversation", ".document[aria-label=Conversation]"), ("State", ".document[aria-label='Shared state']"),
    ("Ledger", ".document[aria-label=Ledger]"), ("Findings", ".document[aria-label=Findings]"),
)  # fmt: skip


def test_the_views_are_all_there_are() -> None:
    """A view that is added must be looked at, too."""
    tree = ast.parse((address.VIEWS / "trace.py").read_text(encoding="utf-8"))
    told = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VIEWS"
    )
    assert {view for view, _ in VIEWS} == set(ast.literal_eval(told))


@pytest.mark.parametrize(("view", "ready"), VIEWS, ids=[view for view, _ in VIEWS])
def test_every_view_of_a_run(place: Place, open_page: OpenPage, view: str, ready: str) -> None:
    """The run in which every agent is a payload."""
    page = open_page(place.server.page("trace", trace=place.together, view=view))
    drawn(page, ready)
    nothing_acts(page, view)


def test_texts_of_five_million_characters(place: Place, open_page: OpenPage) -> None:
    """They are folded, not cut off silently, and the page stays usable."""
    page = open_page(place.server.page("trace", trace=place.long, span="long-call", view="Conversation"))
    drawn(page, ".document[aria-label=Conversation]")
    details = page.locator(".document[aria-label='Details']")
    expect(details).to_contain_text("more characters")
    nothing_acts(page, "long")


def test_texts_of_five_million_characters_everywhere(place: Place, open_page: OpenPage, tmp_path: Path) -> None:
    """Every view of that run, and its report, are drawn; nothing of it acts."""
    page = open_page(place.server.page("trace", trace=place.long))
    for view, ready in VIEWS:
        page.goto(place.server.page("trace", trace=place.long, view=view))
        drawn(page, ready if view != "Graph" else ".figure[data-ready]")
        nothing_acts(page, f"long {view}")
    long = drawing.run(
        hostile.LONG[:200_000],
        drawing.agent(hostile.LONG, 0, 3, drawing.llm(0, 1, prompt=hostile.LONG, answer=hostile.LONG),
                      drawing.tool("fetch", 1, 2, result=hostile.LONG, status="error", error_message=hostile.LONG)),
        id="long", outcome="failed", outcome_reason=hostile.LONG,
    )  # fmt: skip
    target = tmp_path / "long.html"
    target.write_text(render_html(drawing.frames(long)), encoding="utf-8")
    page.goto(target.as_uri())
    page.wait_for_selector("html[data-ready='1']")
    assert page.evaluate(_LOOK) == []


def test_the_index_and_the_markdown(open_page: OpenPage, tmp_path: Path) -> None:
    """An index over the hostile runs, and their Markdown made HTML by a renderer that lets HTML through, as careless ones do."""
    frames = [drawing.frames(hostile.poisoned(number, text)) for number, text in enumerate((*PAYLOADS, EVERYTHING))]
    index = tmp_path / "index.html"
    index.write_text(index_html([entry_of(Case.of(one), every=True) for one in frames], EVERYTHING), encoding="utf-8")
    page = open_page(index.as_uri())
    assert page.evaluate(_LOOK) == []
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for number, one in enumerate(frames):
        target = tmp_path / f"{number}.md.html"
        target.write_text(f"<!doctype html><meta charset=utf-8>{reader.render(render_markdown(one))}", encoding="utf-8")
        page.goto(target.as_uri())
        assert page.evaluate(_LOOK) == [], number


def test_the_report(open_page: OpenPage, tmp_path: Path) -> None:
    """The same runs as a file."""
    for number, text in enumerate(PAYLOADS):
        target = tmp_path / f"{number}.html"
        target.write_text(render_html(drawing.frames(hostile.poisoned(number, text))), encoding="utf-8")
        page = open_page(target.as_uri())
        page.wait_for_selector("html[data-ready='1']")
        assert page.evaluate(_LOOK) == [], text
        page.close()
