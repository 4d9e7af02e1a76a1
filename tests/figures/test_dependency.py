"""The dependency graph and its matrix."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from dashboard.figures.dependency import build_dependencies
from dashboard.figures.dependency_draw import draw_dependencies
from dashboard.figures.dependency_layout import NODE_H, NODE_W, place
from tests.drawn import Drawn, agent, frames, handoff, llm, message, run, tool
from tests.figures.scenes import deadlocked, hostile, looping, three_way


def drawing(markup: str) -> ElementTree.Element:
    """The SVG of a fragment, parsed."""
    found = re.search(r"<svg.*</svg>", markup, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


def team(size: int) -> Drawn:
    """Agents in a tree, with a hand-back that closes cycles and a tool each."""
    items = [agent("n0", 0, 1, tool("t0", 0, 1))]
    for k in range(1, size):
        items += [
            handoff(f"n{(k - 1) // 2}", f"n{k}", k),
            agent(f"n{k}", k + 0.1, k + 0.5, tool(f"t{k % 4}", k + 0.2, k + 0.3)),
        ]
        if k % 3 == 0:
            items.append(handoff(f"n{k}", f"n{(k - 1) // 2}", k + 0.6))
    return run("team", *items)


def test_edges_come_from_what_the_spans_say() -> None:
    """Invocations, tool and model use with their counts, errors and unknown prices."""
    graph = build_dependencies(frames(three_way()))
    edges = {(e.source[1], e.target[1]): e for e in graph.edges}

    assert edges["user", "supervisor"].ways == {"message": 1}
    assert edges["supervisor", "hotels"].ways == {"invoke": 1}
    assert (edges["hotels", "search_hotels"].count, edges["hotels", "search_hotels"].errors) == (3, 1)
    assert graph.nodes["model", "local"].unpriced == 1
    assert sum(graph.nodes[k].cost_usd for k in graph.nodes if k[0] == "model") == pytest.approx(0.036)


def test_repeated_spans_are_not_counted() -> None:
    """A call that two instrumentors recorded is one call."""
    drawn = run("w", agent("a", 0, 5, llm(1, 2, cost="0.5"), llm(1, 2, cost="0.5", duplicate_of="x")))
    graph = build_dependencies(frames(drawn))

    assert graph.nodes["model", "gpt-4o"].calls == 1


def test_cycles_stand_out_and_those_of_a_finding_are_red() -> None:
    """A hand-back alone is a cycle to see; a found loop is an alarm."""
    calm = run("w", agent("a", 0, 1), handoff("a", "b", 2), handoff("b", "a", 3))
    drawn, findings = looping(6)

    assert [
        (e.in_cycle, e.finding) for e in build_dependencies(frames(calm)).between_agents() if e.source[0] == "agent"
    ] == [(True, -1)] * 2
    hot = [e for e in build_dependencies(frames(drawn), findings).edges if e.finding == 0]
    assert {(e.source[1], e.target[1]) for e in hot} == {("researcher", "analyst"), ("analyst", "researcher")}
    assert draw_dependencies(build_dependencies(frames(drawn), findings)).count('class="dg-edge dg-hot') == 2


def test_a_deadlock_is_drawn_as_waits() -> None:
    """Each agent points at the one it waits for."""
    drawn, findings = deadlocked()
    graph = build_dependencies(frames(drawn), findings)

    waits = {(e.source[1], e.target[1]) for e in graph.edges if "wait" in e.ways}
    assert waits == {("billing", "inventory"), ("inventory", "shipping"), ("shipping", "billing")}


@pytest.mark.parametrize("size", [1, 2, 5, 12, 20, 25])
def test_nodes_never_overlap_and_the_view_box_holds_everything(size: int) -> None:
    """Whatever the size, boxes are apart and all curves lie inside the picture."""
    graph = build_dependencies(frames(team(size)))
    where = list(place(graph, [k for k in graph.nodes if k[0] in ("tool", "model")]).values())

    for n, (x, y) in enumerate(where):
        assert not any(abs(x - u) < NODE_W and abs(y - v) < NODE_H for u, v in where[n + 1 :])
    svg = drawing(draw_dependencies(graph, view="graph"))
    left, top, width, height = (float(part) for part in svg.attrib["viewBox"].split())
    for path in svg.iter("{http://www.w3.org/2000/svg}path"):
        if path.attrib.get("class") == "dg-line":
            numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path.attrib["d"])]
            for x, y in list(zip(numbers[::2], numbers[1::2], strict=True))[::3]:
                assert left <= x <= left + width
                assert top <= y <= top + height


def test_above_25_agents_a_matrix_takes_over() -> None:
    """60 agents are drawn as cells, one an edge, and the caption says what is left out."""
    graph = build_dependencies(frames(team(60)))
    markup = draw_dependencies(graph)

    assert markup.count('class="dm-cell') == len(graph.between_agents())
    assert "tools and models are left out" in markup


def test_the_list_for_screen_readers_names_every_edge() -> None:
    """As many items as edges, busiest first."""
    graph = build_dependencies(frames(team(12)))
    items = re.findall(r"<li>(.*?)</li>", draw_dependencies(graph))

    assert len(items) == len(graph.edges)
    assert all(" → " in item for item in items)


def test_the_same_run_gives_the_same_picture() -> None:
    """Order of arrival does not move a node."""
    drawn = team(14)
    first = draw_dependencies(build_dependencies(frames(drawn)))
    drawn.spans.reverse()

    assert draw_dependencies(build_dependencies(frames(drawn))) == first


def test_forward_and_backward_edges_of_a_pair_do_not_cross() -> None:
    """The two arrows between neighbours run side by side."""
    drawn = run("w", agent("a", 0, 1), message("a", "b", 2), message("b", "a", 3))
    svg = drawing(draw_dependencies(build_dependencies(frames(drawn))))
    lines = {
        g.attrib["data-edge"]: next(p for p in g if p.attrib.get("class") == "dg-line").attrib["d"]
        for g in svg.iter("{http://www.w3.org/2000/svg}g")
        if "data-edge" in g.attrib
    }
    ends = {name: [float(n) for n in re.findall(r"-?\d+\.?\d*", d)] for name, d in lines.items()}
    there, back = ends["a→b"], ends["b→a"]

    assert (there[1] < back[-1]) == (there[-1] < back[1])


def test_hostile_names_stay_text() -> None:
    """The drawing is well-formed and holds only shapes and texts."""
    drawn, findings = hostile()
    svg = drawing(draw_dependencies(build_dependencies(frames(drawn), findings)))

    assert {e.tag.split("}")[-1] for e in svg.iter()} <= {"svg", "g", "path", "text", "rect", "title", "circle"}
    assert not any(name.startswith("on") for e in svg.iter() for name in e.attrib)


def test_a_long_chain_stays_on_the_page() -> None:
    """Thirty agents in a row are broken into few layers, not thirty columns."""
    names = [f"c{k}" for k in range(20)]
    drawn = run("w", agent("c0", 0, 1), *(handoff(a, b, k) for k, (a, b) in enumerate(pairwise(names), 1)))
    graph = build_dependencies(frames(drawn))

    assert len({round(x) for x, _ in place(graph, []).values()}) <= 7
