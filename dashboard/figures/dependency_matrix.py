"""Contacts between agents as a heat map, for runs with too many agents to draw as a graph."""

from __future__ import annotations

import math

from dashboard.figures import units
from dashboard.figures.dependency import DependencyGraph, Key, edge_class, edge_text
from dashboard.figures.markup import clip, esc, tag

_NAME = 22
"""characters of a name that are drawn"""
_FEW, _WIDEST = 12, 40
"""so few agents get cells of this many pixels"""


def draw_matrix(graph: DependencyGraph) -> str:
    """SVG: rows contact columns; the stronger the colour the more contacts (logarithmic), red in a finding, ink in a cycle."""
    contacts: dict[Key, int] = dict.fromkeys(graph.agents, 0)
    for edge in graph.between_agents():
        contacts[edge.source] += edge.count
        contacts[edge.target] += edge.count
    keys = sorted(contacts, key=lambda key: (-contacts[key], key[1]))
    cell = max(13, min(_WIDEST if len(keys) <= _FEW else 26, 980 // max(1, len(keys))))
    longest = max((len(clip(key[1], _NAME)) for key in keys), default=0)
    left, top = 96 + round(5.6 * longest), 34 + round(5.4 * longest)
    spot = {key: n for n, key in enumerate(keys)}
    side = cell * len(keys)
    most = max((edge.count for edge in graph.between_agents()), default=1)
    out = [f'<text class="dm-axis" x="{left - 70}" y="{top - 14}">from ↓  to →</text>']
    for n, key in enumerate(keys):
        at = n * cell
        name = clip(key[1], _NAME)
        out.append(
            f'<text class="dm-row" x="{left - 8}" y="{top + at + cell * 0.68:.1f}">{tag("title", esc(key[1]))}{esc(name)}</text>'
        )
        x, y = left + at + cell * 0.62, top - 8
        out.append(
            f'<text class="dm-col" transform="translate({x:.1f} {y}) rotate(-55)">{tag("title", esc(key[1]))}{esc(name)}</text>'
        )
        out.append(f'<path class="dm-grid" d="M{left} {top + at}h{side}M{left + at} {top}v{side}"/>')
    out.append(f'<path class="dm-grid" d="M{left} {top + side}h{side}v{-side}"/>')
    for edge in graph.between_agents():
        x, y = left + spot[edge.target] * cell, top + spot[edge.source] * cell
        strength = 0.15 + 0.85 * math.log1p(edge.count) / math.log1p(most)
        content = tag("title", esc(edge_text(graph, edge)))
        content += f'<rect class="dm-cell {edge_class(edge)}" x="{x + 0.5}" y="{y + 0.5}" width="{cell - 1}" height="{cell - 1}" fill-opacity="{strength:.2f}"/>'
        if cell >= 18:
            bright = " dm-on" if strength > 0.6 else ""
            content += f'<text class="dm-num{bright}" x="{x + cell / 2:.1f}" y="{y + cell * 0.66:.1f}">{units.short_count(edge.count)}</text>'
        finding = graph.findings[edge.finding].id if edge.finding >= 0 else None
        out.append(tag("g", content, class_="dg-edge", data_spans=" ".join(edge.spans), data_finding=finding,
                       data_edge=f"{edge.source[1]}→{edge.target[1]}", data_count=edge.count))  # fmt: skip
    width, height = left + side + 24 + round(3.4 * longest), top + side + 14
    label = f"Matrix of contacts between {len(keys)} agents; the same as a list follows"
    return tag("svg", "".join(out), xmlns="http://www.w3.org/2000/svg", width=width, height=height,
               viewBox=f"0 0 {width} {height}", role="img", aria_label=label, class_="dm")  # fmt: skip
