"""Pure graph questions over plain mappings: node -> the nodes it points to. No domain words, no I/O, no recursion.

A node that is only pointed to need not be a key. Answers do not depend on the order of the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import cast

import networkx as nx

Graph = Mapping[str, Iterable[str]]


def components_with_cycles(graph: Graph) -> list[frozenset[str]]:
    """Strongly connected components that hold a cycle (two nodes or more, or a loop to itself), smallest name first. O(V + E)."""
    digraph = _digraph(graph)
    found = cast("Iterable[set[str]]", nx.strongly_connected_components(digraph))
    return sorted(
        (frozenset(part) for part in found if len(part) > 1 or any(digraph.has_edge(n, n) for n in part)),
        key=lambda part: min(part),
    )


def shortest_cycle(graph: Graph, through: str) -> list[str]:
    """The shortest cycle through a node, beginning with it; empty where there is none. Ties go to the smaller names. O(V + E)."""
    before: dict[str, str] = {}
    layer = [through]
    while layer:
        following: list[str] = []
        for node in sorted(layer):
            for target in sorted(graph.get(node, ())):
                if target == through:
                    path = [node]
                    while path[-1] != through:
                        path.append(before[path[-1]])
                    return path[::-1]
                if target not in before:
                    before[target] = node
                    following.append(target)
        layer = following
    return []


def cycle_through_all(graph: Graph, nodes: Iterable[str]) -> list[str]:
    """The one cycle that `nodes` form when each points to exactly one of them; empty where they form none."""
    members = set(nodes)
    if not members:
        return []
    path = [min(members)]
    while True:
        inside = sorted(set(graph.get(path[-1], ())) & members)
        if len(inside) != 1:
            return []
        if inside[0] == path[0]:
            return path if len(path) == len(members) else []
        if inside[0] in path:
            return []
        path.append(inside[0])


def smallest_hitting(nodes: Iterable[str], solves: Callable[[frozenset[str]], bool], limit: int = 3) -> list[str]:
    """The smallest set of `nodes` for which `solves` is true, smaller names first; greedy beyond `limit` members.

    Tries all sets of up to `limit` nodes (exact), then adds one node at a time. Empty where nothing solves it.
    """
    names = sorted(set(nodes))
    for size in range(1, min(limit, len(names)) + 1):
        for chosen in combinations(names, size):
            if solves(frozenset(chosen)):
                return list(chosen)
    picked: list[str] = []
    for name in names:
        picked.append(name)
        if solves(frozenset(picked)):
            return picked
    return []


def _digraph(graph: Graph) -> nx.DiGraph[str]:
    digraph: nx.DiGraph[str] = nx.DiGraph()
    digraph.add_nodes_from(sorted(graph))
    digraph.add_edges_from((node, target) for node in sorted(graph) for target in sorted(graph[node]))
    return digraph
