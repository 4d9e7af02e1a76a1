"""The dependency graph as a table: who called, asked or handed to whom, how often, for how much."""

from __future__ import annotations

from typing import Final

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import units
from dashboard.figures.dependency import DependencyGraph

SHOWN: Final = 40


def contacts_document(graph: DependencyGraph) -> list[b.Block]:
    """The edges, most frequent first; what a cycle is part of is said in words."""
    edges = sorted(graph.edges, key=lambda edge: (-edge.count, edge.source, edge.target))
    circular = any(edge.in_cycle for edge in edges[:SHOWN])
    rows = [
        b.row(
            [
                edge.source[1],
                edge.target[1],
                ", ".join(f"{way} ×{count}" for way, count in edge.ways.items()),
                units.duration(edge.total_ns) if edge.total_ns else None,
                units.money(edge.cost_usd) if edge.cost_usd else None,
                units.count(edge.errors) if edge.errors else None,
                *(["in a cycle" if edge.in_cycle else None] if circular else []),
            ],
            pick={"span": edge.spans[0]} if edge.spans else None,
        )
        for edge in edges[:SHOWN]
    ]
    if not rows:
        return []
    columns = [
        b.column("from"),
        b.column("to"),
        b.column("how"),
        *(b.column(name, right=True) for name in ("time", "cost", "failed")),
        *([b.column("")] if circular else []),
    ]
    document = [b.table(columns, rows)]  # fmt: skip
    if len(edges) > SHOWN:
        document.append(b.note(f"Showing the {SHOWN} most used of {amount(len(edges), 'connection')}."))
    return document
