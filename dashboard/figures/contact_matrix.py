"""Contacts over many runs as a dependency graph without runs: what `dependency_matrix` and `dependency_draw` take."""

from __future__ import annotations

import networkx as nx
import polars as pl

from dashboard.figures.dependency import DependencyGraph, Edge, Key, Node

_SECOND_NS = 1_000_000_000


def contact_graph(contacts: pl.DataFrame) -> DependencyGraph:
    """The graph of `contacts` (see `analyzers.contacts.find_contacts`): agents and the edges between them, cycles marked."""
    nodes: dict[Key, Node] = {}
    edges: dict[tuple[Key, Key], Edge] = {}
    for row in contacts.iter_rows(named=True):
        ends: list[Key] = [("agent", row["source"]), ("agent", row["target"])]
        for key in ends:
            nodes.setdefault(key, Node(key[1], "agent"))
        edge = edges.setdefault((ends[0], ends[1]), Edge(ends[0], ends[1]))
        edge.count += row["contacts"]
        edge.ways[row["way"]] = edge.ways.get(row["way"], 0) + row["contacts"]
        edge.errors += row["failed"]
        edge.total_ns += round((row["mean_s"] or 0.0) * row["contacts"] * _SECOND_NS)
    net: nx.DiGraph[Key] = nx.DiGraph()
    net.add_edges_from(edges)
    component = {key: number for number, keys in enumerate(nx.strongly_connected_components(net)) for key in keys}
    for edge in edges.values():
        edge.in_cycle = component[edge.source] == component[edge.target]
    return DependencyGraph(nodes, list(edges.values()), ())
