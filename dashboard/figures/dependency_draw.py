"""The dependency graph as SVG: pills are agents, rounded boxes tools, square boxes models; the wider an edge, the more contacts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from analyzers.wording import amount
from dashboard.figures import palette, units
from dashboard.figures.dependency import DependencyGraph, Edge, Key, Node, edge_class, edge_text
from dashboard.figures.dependency_layout import NODE_H, NODE_W, place
from dashboard.figures.dependency_matrix import draw_matrix
from dashboard.figures.findings import finding_mark
from dashboard.figures.markup import attrs, clip, esc, tag
from dashboard.figures.roles import CLOSING, holds, roles

MATRIX_ABOVE: Final = 25
"""agents; beyond that a graph is a hairball"""
_RESOURCES_SHOWN: Final = 22
_LABELS: Final = 14
_ROUND_NODES: Final = 40
"""edges up to which those of the workflow and those to tools and models are led around the agents in their way"""

DEPENDENCY_CSS: Final = """
.dg{background:var(--th-bg);overflow-x:auto}.dg text{text-anchor:middle;fill:var(--th-fg)}.dg .dg-name{font-weight:600;font-size:13px}.dg .dg-sub{font-size:11px;fill:var(--th-muted);font-variant-numeric:tabular-nums}
.dg-node,.dg-edge{cursor:pointer;outline:none}.dg-back{fill:var(--th-bg)}.dg-shape{stroke-width:1.6;fill-opacity:.14}.dg-node:hover .dg-shape,.dg-node:focus-visible .dg-shape{fill-opacity:.3;stroke-width:2.6}
.dg-agent .dg-shape{fill:var(--th-k-agent);stroke:var(--th-k-agent)}.dg-tool .dg-shape{fill:var(--th-k-tool);stroke:var(--th-k-tool)}.dg-model .dg-shape{fill:var(--th-k-llm);stroke:var(--th-k-llm)}.dg-lead{fill:none;stroke:var(--th-muted);stroke-dasharray:1 3}.dg-person .dg-shape,.dg-everyone .dg-shape{fill:var(--th-fg);stroke:var(--th-fg);fill-opacity:.06}.dg-workflow .dg-shape{fill:var(--th-k-workflow);stroke:var(--th-k-workflow)}.dg-rest .dg-shape{stroke-dasharray:4 3}
.dg-line{fill:none;stroke:var(--th-k-agent);stroke-opacity:.6}.dg-tip{fill:var(--th-k-agent);stroke:none}.dg-use .dg-line{stroke:var(--th-muted);stroke-opacity:.42;stroke-dasharray:5 3}.dg-use .dg-tip{fill:var(--th-muted);fill-opacity:.7}
.dg-code .dg-line{stroke:var(--th-muted);stroke-opacity:.5}.dg-code .dg-tip{fill:var(--th-muted)}.dg-cycle .dg-line{stroke:var(--th-fg);stroke-opacity:.75}.dg-cycle .dg-tip{fill:var(--th-fg)}.dg-hot .dg-line{stroke:var(--th-error);stroke-opacity:1}.dg-hot .dg-tip{fill:var(--th-error)}.dg-wait .dg-line{stroke-dasharray:7 4}
.dg-edge:hover .dg-line,.dg-edge:focus-visible .dg-line{stroke-opacity:1;stroke-width:5}.dg-wide{fill:none;stroke:transparent;stroke-width:12}
.dg .dg-count{font-size:11px;font-weight:600;paint-order:stroke;stroke:var(--th-bg);stroke-width:4px;stroke-linejoin:round;pointer-events:none}.dg .dg-count.dg-hot{fill:var(--th-error)}
.dg .dg-alarm{fill:var(--th-error)}.dg .dg-alarmtext{fill:var(--th-bg);font-size:10px;font-weight:700}.dg-caption{color:var(--th-muted);padding:4px 10px;display:flex;flex-wrap:wrap;gap:2px 16px}.dg-caption b{font-weight:600}.dg-key-hot{color:var(--th-error)}.dg-key-cycle{color:var(--th-fg)}
.dg-clash{cursor:pointer;outline:none;color:var(--th-error)}.dg-clash.th-warning{color:var(--th-warning)}.dg-clash.th-info{color:var(--th-muted)}.dg-clash path{fill:none;stroke:currentColor;stroke-width:2;stroke-dasharray:2 4}.dg-clash .dg-wide{stroke:transparent;stroke-width:12}.dg-clash:hover path:not(.dg-wide),.dg-clash.in-finding path:not(.dg-wide){stroke-width:3.6}
.dg-badge{cursor:pointer;outline:none;color:var(--th-error)}.dg-badge.th-warning{color:var(--th-warning)}.dg-badge.th-info{color:var(--th-muted)}.dg-badge rect{fill:var(--th-bg);stroke:currentColor;stroke-width:1.4;stroke-dasharray:4 3}.dg .dg-badgetext{fill:currentColor;font-size:10.5px;font-weight:600}.dg-badge.in-finding rect{stroke-width:2.6;stroke-dasharray:none}.dg-edge.in-finding .dg-line,.dg-edge.selected .dg-line{stroke-opacity:1;stroke-width:6}.dg-closing .dg-line{stroke-width:4}.dg-path{fill:var(--th-fg)}
.dm-cell{fill:var(--th-k-agent)}.dm-cell.dg-hot{fill:var(--th-error)}.dm-cell.dg-cycle{fill:var(--th-fg)}.dm-grid{fill:none;stroke:var(--th-line);stroke-width:.6}.dg .dm-row{text-anchor:end;font-size:11px}.dg .dm-col{text-anchor:start;font-size:11px}.dg .dm-num{font-size:10px;font-variant-numeric:tabular-nums}.dg .dm-num.dm-on{fill:var(--th-bg)}.dg .dm-axis{fill:var(--th-muted);font-size:11px}
.dg svg{max-width:100%;height:auto}
@media print{.dg{overflow:visible}}
"""

_FAR: Final = 24
"""pixels from its edge at which a label needs a line to it"""
_GLYPHS: Final = {"person": "☺", "everyone": "◎", "workflow": "◆", "agent": "●", "tool": "⚒", "model": "✦"}


def draw_dependencies(
    graph: DependencyGraph, *, view: Literal["auto", "graph", "matrix"] = "auto", resources: bool = True
) -> str:
    """HTML fragment of class `dg`: caption, SVG, and the edges as a hidden list. `view="auto"` takes the matrix above 25 agents."""
    agents = [key for key in graph.agents if key[0] == "agent"]
    matrix = view == "matrix" or (view == "auto" and len(agents) > MATRIX_ABOVE)
    if not graph.nodes:
        return tag(
            "div", tag("div", "No agent, tool or model was recorded in this run.", class_="dg-caption"), class_="th dg"
        )
    svg = draw_matrix(graph) if matrix else _graph_svg(graph, resources=resources)
    return tag("div", _caption(graph, len(agents), matrix) + svg + _list(graph), class_="th dg")


def _caption(graph: DependencyGraph, agents: int, matrix: bool) -> str:
    tools = sum(key[0] == "tool" for key in graph.nodes)
    models = sum(key[0] == "model" for key in graph.nodes)
    calls = sum(e.count for e in graph.edges)
    counted = [
        amount(number, what) for number, what in ((agents, "agent"), (tools, "tool"), (models, "model")) if number
    ]
    parts = [f"{', '.join(counted)} · {amount(calls, 'contact')} on {amount(len(graph.edges), 'edge')}"]
    if matrix:
        parts.append("rows call columns" + ("; tools and models are left out" if tools or models else ""))
    out = [tag("span", esc(text)) for text in parts]
    if any(e.finding >= 0 for e in graph.edges) or graph.clashes:
        out.append(tag("span", "━ in a finding", class_="dg-key-hot"))
    if not matrix and any(node.path_ns for node in graph.nodes.values()):
        out.append(tag("span", "▂ share of the critical path"))
    if any(e.in_cycle and e.finding < 0 for e in graph.edges):
        out.append(tag("span", "━ cycle, no finding", class_="dg-key-cycle"))
    return tag("div", "".join(out), class_="dg-caption")


def _list(graph: DependencyGraph) -> str:
    items = "".join(tag("li", esc(edge_text(graph, edge))) for edge in sorted(graph.edges, key=lambda e: -e.count))
    return tag("ul", items, class_="hidden", aria_label="All edges of the dependency graph")


# -- graph ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curve:
    """A cubic Bézier from `a` to `b`, arriving in direction `way` (1 right, -1 left)."""

    a: tuple[float, float]
    c1: tuple[float, float]
    c2: tuple[float, float]
    b: tuple[float, float]
    way: int

    def at(self, t: float) -> tuple[float, float]:
        def mix(p: float, q: float, r: float, s: float) -> float:
            return (1 - t) ** 3 * p + 3 * (1 - t) ** 2 * t * q + 3 * (1 - t) * t * t * r + t**3 * s

        return mix(self.a[0], self.c1[0], self.c2[0], self.b[0]), mix(self.a[1], self.c1[1], self.c2[1], self.b[1])

    def path(self) -> str:
        (ax, ay), (px, py), (qx, qy), (bx, by) = self.a, self.c1, self.c2, self.b
        return f"M{ax:.1f} {ay:.1f}C{px:.1f} {py:.1f} {qx:.1f} {qy:.1f} {bx:.1f} {by:.1f}"


def _graph_svg(graph: DependencyGraph, *, resources: bool) -> str:
    shown, rest = _choose_resources(graph) if resources else ([], [])
    where = place(graph, shown)
    edges = [e for e in graph.edges if e.source in where and e.target in where]
    curves = _curves(edges, where)
    badges = _badges(graph, where)
    most = max([10, *(e.count for e in edges)])  # a single contact is never a thick edge
    lines = [
        _edge_svg(graph, edge, curves[id(edge)], 1.2 + 4 * math.log1p(edge.count) / math.log1p(most))
        for edge in sorted(edges, key=lambda e: (e.finding >= 0, e.in_cycle, e.count))
    ]
    slots = palette.agent_slots(key[1] for key in where if key[0] == "agent")
    total = sum(node.path_ns for node in graph.nodes.values())
    bodies = [_node_svg(graph.nodes[key], x, y, slots, total) for key, (x, y) in where.items()]
    bodies += [badge for badge, _ in badges.values()]
    points = [curve.at(t / 12) for curve in curves.values() for t in range(13)]
    xs = [x + side * NODE_W / 2 for x, _ in where.values() for side in (-1, 1)] + [p[0] for p in points]
    ys = [y + side * NODE_H / 2 for _, y in where.values() for side in (-1, 1)] + [p[1] for p in points]
    ys += [low for _, low in badges.values()]
    clashes = _clashes(graph, where)
    labels = _labels(graph, edges, curves, where, badges)
    xs += [x for _, x, _ in clashes] + [x for _, box in labels for x in box[::2]]
    ys += [y for _, _, y in clashes] + [y for _, box in labels for y in box[1::2]]
    left, top = min(xs) - 20, min(ys) - 20
    width, height = max(xs) - left + 20, max(ys) - top + (42 if rest else 20)
    content = (
        "".join(lines) + "".join(one for one, _, _ in clashes) + "".join(bodies) + "".join(label for label, _ in labels)
    )
    if rest:
        x = max(x for x, _ in where.values())
        note = f"and {amount(len(rest), 'more tool or model', 'more tools and models')}, {sum(graph.nodes[k].calls for k in rest):,} calls"
        content += f'<text class="dg-sub" x="{x:.1f}" y="{top + height - 14:.1f}">{esc(note)}</text>'
    label = f"Dependency graph of {len(where)} nodes and {len(edges)} edges; the same as a list follows"
    return tag("svg", content, xmlns="http://www.w3.org/2000/svg", width=f"{width:.0f}", height=f"{height:.0f}",
               viewBox=f"{left:.1f} {top:.1f} {width:.1f} {height:.1f}", role="img", aria_label=label)  # fmt: skip


def _choose_resources(graph: DependencyGraph) -> tuple[list[Key], list[Key]]:
    """The tools and models with most calls, and the others."""
    held = sorted((key for key in graph.nodes if key[0] in ("tool", "model")), key=lambda key: -graph.nodes[key].calls)
    return held[:_RESOURCES_SHOWN], held[_RESOURCES_SHOWN:]


def _curves(edges: Sequence[Edge], where: dict[Key, tuple[float, float]]) -> dict[int, _Curve]:
    """A curve per edge (by its id()), with its ends spread over the sides of the nodes so that no two start at one point."""
    half, ends = NODE_W / 2, defaultdict[tuple[Key, int], list[tuple[float, int, int, int]]](list)
    sides: dict[int, tuple[int, int]] = {}
    for rank, edge in enumerate(edges):
        (xa, ya), (xb, yb) = where[edge.source], where[edge.target]
        if edge.source == edge.target:
            continue
        # Forwards: out at the right, in at the left. Backwards: out at the left, in at the right. Same column: both at the right.
        out, into = (1, -1) if xb - xa > NODE_W else (-1, 1) if xa - xb > NODE_W else (1, 1)
        sides[id(edge)] = (out, into)
        # Both ends use the same rank, so that the two edges of a pair run side by side instead of crossing.
        ends[edge.source, out].append((yb, rank, 0, id(edge)))
        ends[edge.target, into].append((ya, rank, 1, id(edge)))
    port: dict[tuple[int, int], float] = {}
    for held in ends.values():
        for k, (_, _, end, edge_id) in enumerate(sorted(held)):
            port[edge_id, end] = ((k + 0.5) / len(held) - 0.5) * (NODE_H - 10)
    curves: dict[int, _Curve] = {}
    for edge in edges:
        (xa, ya), (xb, yb) = where[edge.source], where[edge.target]
        if edge.source == edge.target:
            x, y = xa + half - 34, ya - NODE_H / 2
            curves[id(edge)] = _Curve((x, y), (x + 4, y - 34), (x + 44, y - 30), (xa + half + 2, ya - 8), -1)
            continue
        out, into = sides[id(edge)]
        a = (xa + out * half, ya + port[id(edge), 0])
        b = (xb + into * (half + 3), yb + port[id(edge), 1])
        bend = max(46.0, abs(b[0] - a[0]) * 0.45) if out != into else min(110.0, 40 + abs(b[1] - a[1]) * 0.2)
        curve = _Curve(a, (a[0] + out * bend, a[1]), (b[0] + into * bend, b[1]), b, -into)
        curves[id(edge)] = (
            curve
            if (edge.source[0] == "workflow" or edge.target[0] in ("tool", "model")) and len(edges) > _ROUND_NODES
            else _around(curve, edge, where)
        )
    return curves


def _around(curve: _Curve, edge: Edge, where: dict[Key, tuple[float, float]]) -> _Curve:
    """The curve bent upwards or downwards until it passes no other node; as it was where that takes too much."""
    others = [at for key, at in where.items() if key not in (edge.source, edge.target)]
    for lift in (0, -50, 50, -90, 90, -140, 140, -190, 190):
        tried = replace(curve, c1=(curve.c1[0], curve.c1[1] + lift), c2=(curve.c2[0], curve.c2[1] + lift))
        spots = [tried.at(t / 16) for t in range(1, 16)]
        if not any(
            abs(px - x) < NODE_W / 2 + 4 and abs(py - y) < NODE_H / 2 + 5 for px, py in spots for x, y in others
        ):
            return tried
    return curve


def _edge_svg(graph: DependencyGraph, edge: Edge, curve: _Curve, width: float) -> str:
    x, y = curve.b
    kinds = [
        "dg-edge",
        edge_class(edge),
        "dg-use" if edge.target[0] in ("tool", "model") else "dg-code" if edge.source[0] == "workflow" else "",
        "dg-wait" if "wait" in edge.ways else "",
        "dg-closing" if _closes(graph, edge) else "",
    ]
    finding = graph.findings[edge.finding].id if edge.finding >= 0 else None
    wing = 3.2 + width * 0.7
    content = (
        tag("title", esc(edge_text(graph, edge)))
        + f'<path class="dg-wide" d="{curve.path()}"/><path class="dg-line" d="{curve.path()}" stroke-width="{width:.1f}"/>'
        + f'<path class="dg-tip" d="M{x + curve.way * 3:.1f} {y:.1f}l{-curve.way * 9} {-wing:.1f}v{2 * wing:.1f}z"/>'
    )
    return tag("g", content, class_=" ".join(k for k in kinds if k), data_spans=" ".join(edge.spans), data_finding=finding,
               data_edge=f"{edge.source[1]}→{edge.target[1]}", data_count=edge.count)  # fmt: skip


def _closes(graph: DependencyGraph, edge: Edge) -> bool:
    """Whether it is the wait that made a circle of the others."""
    told = roles(graph.findings[edge.finding]) if edge.finding >= 0 and "wait" in edge.ways else {}
    return any(told.get(span) == CLOSING for span in edge.spans)


def _badges(graph: DependencyGraph, where: dict[Key, tuple[float, float]]) -> dict[Key, tuple[str, float]]:
    """Under the first agent of every finding that no edge shows its name and cost, and under those of a deadlock what each holds: markup and lower edge."""
    shown = {edge.finding for edge in graph.edges if "wait" not in edge.ways} | {
        clash.finding for clash in graph.clashes
    }
    out: dict[Key, tuple[str, float]] = {}
    for key, (x, y) in where.items():
        if key[0] not in ("agent", "workflow"):
            continue
        own = [(f, holds(f).get(key[1]) or finding_mark(f)) for n, f in enumerate(graph.findings)
               if (key[1] in f.agents and f.kind == "deadlock") or (n not in shown and key[1] in f.agents[:1])]  # fmt: skip
        if not own:
            continue
        finding, text = own[0]
        text = clip(text, 26) + (f" +{len(own) - 1}" if len(own) > 1 else "")
        wide, top = len(text) * 6 + 12, y + NODE_H / 2 + 4
        content = tag("title", esc("; ".join(f.title for f, _ in own)))
        content += f'<rect x="{x - wide / 2:.1f}" y="{top:.1f}" width="{wide:.1f}" height="16" rx="3"/>'
        content += f'<text class="dg-badgetext" x="{x:.1f}" y="{top + 11.8:.1f}">{esc(text)}</text>'
        badge = tag("g", content, class_=f"dg-badge th-{finding.severity}", data_finding=finding.id, tabindex="0", role="button", aria_label=finding.title)  # fmt: skip
        out[key] = (badge, top + 18)
    return out


def _clashes(graph: DependencyGraph, where: dict[Key, tuple[float, float]]) -> list[tuple[str, float, float]]:
    """Dotted arcs without a direction between agents that clashed, named at their bow: markup and the farthest point."""
    out: list[tuple[str, float, float]] = []
    for n, clash in enumerate(graph.clashes):
        if clash.a not in where or clash.b not in where:
            continue
        (xa, ya), (xb, yb) = sorted((where[clash.a], where[clash.b]), key=lambda at: (at[1], at[0]))
        finding, deep = graph.findings[clash.finding], 46 + 20 * (n % 3)
        if abs(ya - yb) < NODE_H:  # side by side: below both
            xa, xb, low = min(xa, xb), max(xa, xb), max(ya, yb) + NODE_H / 2
            line = f"M{xa:.1f} {ya + NODE_H / 2:.1f}C{xa:.1f} {low + deep:.1f} {xb:.1f} {low + deep:.1f} {xb:.1f} {yb + NODE_H / 2:.1f}"
            x, y = (xa + xb) / 2, low + deep * 0.75
        else:  # one above the other: through the left
            edge = min(xa, xb) - NODE_W / 2
            line = f"M{xa - NODE_W / 2:.1f} {ya:.1f}C{edge - deep:.1f} {ya:.1f} {edge - deep:.1f} {yb:.1f} {xb - NODE_W / 2:.1f} {yb:.1f}"
            near = abs(ya - yb) < NODE_H * 2.4  # then there is room between the two
            x, y = (xa if near else edge - deep * 0.6), (ya + yb) / 2
        text = finding_mark(finding)
        wide = len(text) * 6 + 12
        content = tag("title", esc(finding.title)) + f'<path class="dg-wide" d="{line}"/><path d="{line}"/>'
        box = f'<rect x="{x - wide / 2:.1f}" y="{y - 8:.1f}" width="{wide:.1f}" height="16" rx="3"/><text class="dg-badgetext" x="{x:.1f}" y="{y + 3.8:.1f}">{esc(text)}</text>'
        content += tag("g", box, class_=f"dg-badge th-{finding.severity}")
        markup = tag("g", content, class_=f"dg-clash th-{finding.severity}", data_finding=finding.id, tabindex="0", role="button", aria_label=finding.title)  # fmt: skip
        out.append((markup, x - wide / 2, y + 14))
    return out


def _node_svg(node: Node, x: float, y: float, slots: dict[str, int], path_ns: int) -> str:
    radius = {"agent": NODE_H / 2, "person": NODE_H / 2, "everyone": NODE_H / 2, "workflow": 8, "tool": 6, "model": 0}[
        node.kind
    ]
    box = f'x="{x - NODE_W / 2:.1f}" y="{y - NODE_H / 2:.1f}" width="{NODE_W}" height="{NODE_H}" rx="{radius}"'
    name = clip(node.name, 17)
    cost = f" · {units.money(node.cost_usd)}" if node.cost_usd else " · price unknown" if node.unpriced else ""
    sub = (
        f"{amount(node.calls, 'call')}{cost}"
        if node.calls
        else "all who are there"
        if node.kind == "everyone"
        else node.kind
    )
    trouble = f", {amount(node.errors, 'error')}" if node.errors else ""
    share = node.path_ns / path_ns if path_ns else 0.0
    path = f", {share:.0%} of the critical path" if share else ""
    full = f"{node.name} ({node.kind}): {amount(node.calls, 'call')}{cost}{trouble}{path}"
    content = (
        tag("title", esc(full))
        + f'<rect class="dg-back" {box}/><rect class="dg-shape" {box}/>'
        + f'<text class="dg-name" x="{x:.1f}" y="{y - 2:.1f}">{_GLYPHS[node.kind]} {esc(name)}</text>'
        + f'<text class="dg-sub" x="{x:.1f}" y="{y + 12:.1f}">{esc(sub)}</text>'
    )
    if node.kind == "agent":
        ink = f"var(--th-a{slots[node.name] % len(palette.AGENT_INKS)})"
        content += f'<rect x="{x - NODE_W / 2 + 22:.1f}" y="{y + NODE_H / 2 - 3:.1f}" width="{NODE_W - 44}" height="3" rx="1.5"{attrs(fill=ink)}/>'
    if share:
        content += f'<rect class="dg-path" x="{x - NODE_W / 2 + 22:.1f}" y="{y + NODE_H / 2 + 1.4:.1f}" width="{max(2.0, share * (NODE_W - 44)):.1f}" height="2.6"/>'
    if node.errors:
        content += f'<circle class="dg-alarm" cx="{x + NODE_W / 2 - 10:.1f}" cy="{y - NODE_H / 2:.1f}" r="8"/>'
        content += f'<text class="dg-alarmtext" x="{x + NODE_W / 2 - 10:.1f}" y="{y - NODE_H / 2 + 3.6:.1f}">{node.errors if node.errors < 100 else "✕"}</text>'
    return tag(
        "g",
        content,
        class_=f"dg-node dg-{node.kind}",
        data_node=node.name,
        data_kind=node.kind,
        tabindex="0",
        role="img",
        aria_label=full,
    )


def _labels(
    graph: DependencyGraph, edges: Sequence[Edge], curves: dict[int, _Curve], where: dict[Key, tuple[float, float]],
    badges: dict[Key, tuple[str, float]],
) -> list[tuple[str, tuple[float, float, float, float]]]:  # fmt: skip
    """Counts on the busiest edges and on every edge of a cycle, where there is room; a finding's name and cost on its busiest edge: markup and box."""
    boxes = [(x - NODE_W / 2, y - NODE_H / 2, x + NODE_W / 2, y + NODE_H / 2) for x, y in where.values()]
    boxes += [(x - NODE_W / 2, y, x + NODE_W / 2, badges[key][1]) for key, (x, y) in where.items() if key in badges]
    named: set[int] = set()
    urgent: Callable[[Edge], tuple[bool, bool, int]] = lambda e: (e.finding < 0, not e.in_cycle, -e.count)  # noqa: E731
    ranked = sorted((e for e in edges if e.count > 1 or e.finding >= 0), key=urgent)
    out: list[tuple[str, tuple[float, float, float, float]]] = []
    for k, edge in enumerate(ranked):
        if k >= _LABELS and edge.finding < 0 and not edge.in_cycle:
            break
        wait = "wait" in edge.ways
        text = "closes the circle" if _closes(graph, edge) else "waits" if wait else f"{edge.count:,}×"
        if edge.finding >= 0 and edge.finding not in named:
            named.add(edge.finding)
            text = (
                finding_mark(graph.findings[edge.finding])
                if not wait
                else f"{text} · {finding_mark(graph.findings[edge.finding])}"
            )
        half = len(text) * 3.6 + 3
        for t, lift in (
            (t, lift) for lift in (0, -13, 13, -24, 24, -34, 54, -46, 68) for t in (0.5, 0.38, 0.62, 0.28, 0.72)
        ):
            x, y = curves[id(edge)].at(t)
            meets, y = y, y + lift
            box = (x - half, y - 8, x + half, y + 8)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes):
                boxes.append(box)
                # A label that found no room at its edge is led back to it.
                lead = f'<path class="dg-lead" d="M{x:.1f} {y - 8 if lift > 0 else y + 8:.1f}V{meets:.1f}"/>' if abs(lift) > _FAR else ""  # fmt: skip
                out.append(
                    (
                        f'{lead}<text class="dg-count {edge_class(edge)}" x="{x:.1f}" y="{y + 4:.1f}">{esc(text)}</text>',
                        box,
                    )
                )
                break
    return out
