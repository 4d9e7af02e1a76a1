"""Places for the nodes of a dependency graph: agents in layers from left to right, tools and models in a column at the right.

Positions are centres in px. Cycles are broken before layering, so every input ends; the same graph always gives the same picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Final

import networkx as nx

from dashboard.figures.dependency import DependencyGraph, Edge, Key

NODE_W: Final = 164
NODE_H: Final = 40
_COLUMN: Final = 250
_COLUMN_MANY: Final = 218
_PITCH: Final = 72
_MOST_LAYERS: Final = 6


def place(graph: DependencyGraph, resources: Sequence[Key]) -> dict[Key, tuple[float, float]]:
    """Centres of all agents and of `resources` (tools and models, in the order of the column)."""
    agents = graph.agents
    edges = [e for e in graph.between_agents() if e.source != e.target]
    layers = _order(_layers(agents, edges), edges)
    tallest = max((len(layer) for layer in layers), default=1)
    y = {key: (k - (len(layer) - 1) / 2) * _PITCH for layer in layers for k, key in enumerate(layer)}
    _settle(layers, edges, y)
    step = _COLUMN if len(layers) <= 4 else _COLUMN_MANY
    where = {key: (column * step * 1.0, y[key]) for column, layer in enumerate(layers) for key in layer}
    if resources:
        users: dict[Key, list[float]] = defaultdict(list)
        for edge in graph.edges:
            if edge.source in y:
                users[edge.target].append(y[edge.source])
        height = max(min(54.0, 54.0 * max(1.0, tallest * _PITCH / (len(resources) * 54.0))), 50.0)
        rank = {"tool": 0, "model": 1}
        held = sorted(
            resources, key=lambda key: (rank.get(key[0], 2), fmean(users[key]) if users[key] else 0.0, key[1])
        )
        column = len(layers) * step + 40.0
        centre = fmean([min(y.values(), default=0.0), max(y.values(), default=0.0)])
        for k, key in enumerate(held):
            # A gap stands between tools and models.
            gap = 14.0 if key[0] == "model" and any(other[0] == "tool" for other in held) else 0.0
            where[key] = (column, centre + (k - (len(held) - 1) / 2) * height + gap)
    return where


def _layers(agents: Sequence[Key], edges: Sequence[Edge]) -> list[list[Key]]:
    """Longest path from the sources once the cycles are cut; above six layers the shortest path, which is broader but fits a page."""
    rank = {key: n for n, key in enumerate(agents)}
    forward: nx.DiGraph[Key] = nx.DiGraph()
    forward.add_nodes_from(agents)
    # The workflow's code may start everybody; who is also called by an agent stands behind that agent.
    # People stand at the left, also those who only get an answer.
    kept = _acyclic(agents, [edge for edge in edges if edge.target[0] not in ("person", "everyone")])
    called = {e.target for e in kept if e.source[0] != "workflow"}
    forward.add_edges_from((e.source, e.target) for e in kept if e.source[0] != "workflow" or e.target not in called)
    depth = dict.fromkeys(agents, 0)
    for key in nx.topological_sort(forward):
        for below in forward.successors(key):
            depth[below] = max(depth[below], depth[key] + 1)
    if max(depth.values(), default=0) >= _MOST_LAYERS:
        sources = [key for key in agents if forward.in_degree(key) == 0]
        depth = dict.fromkeys(agents, 0)
        for level, keys in enumerate(nx.bfs_layers(forward, sources)):
            depth.update(dict.fromkeys(keys, min(level, _MOST_LAYERS - 1)))
    layers: list[list[Key]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key in sorted(agents, key=rank.__getitem__):
        layers[depth[key]].append(key)
    return [layer for layer in layers if layer]


def _acyclic(agents: Sequence[Key], edges: Sequence[Edge]) -> list[Edge]:
    """The edges without those that close a cycle on a walk from the people and the workflow on, in order of appearance."""
    out: dict[Key, list[Edge]] = defaultdict(list)
    entered = {edge.target for edge in edges}
    for edge in edges:
        out[edge.source].append(edge)
    first = [key for key in agents if key not in entered] + [key for key in agents if key in entered]
    kept: list[Edge] = []
    state: dict[Key, int] = {}  # 1 on the path, 2 done
    for root in first:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(out[root]))]
        while stack:
            key, rest = stack[-1]
            edge = next(rest, None)
            if edge is None:
                state[key] = 2
                stack.pop()
            elif state.get(edge.target) != 1:
                kept.append(edge)
                if edge.target not in state:
                    state[edge.target] = 1
                    stack.append((edge.target, iter(out[edge.target])))
    return kept


def _order(layers: list[list[Key]], edges: Sequence[Edge]) -> list[list[Key]]:
    """Fewer crossings: each layer by the mean place of its neighbours in the layers already ordered, four sweeps."""
    near: dict[Key, list[Key]] = defaultdict(list)
    for edge in edges:
        near[edge.source].append(edge.target)
        near[edge.target].append(edge.source)
    place = {key: k - len(layer) / 2 for layer in layers for k, key in enumerate(layer)}
    for sweep in range(4):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            mean = {key: fmean([place[n] for n in near[key]]) if near[key] else place[key] for key in layer}
            layer.sort(key=lambda key: (mean[key], place[key]))
            place.update({key: k - len(layer) / 2 for k, key in enumerate(layer)})
    return layers


def _settle(layers: list[list[Key]], edges: Sequence[Edge], y: dict[Key, float]) -> None:
    """Pull nodes to the height of their neighbours, keeping order and distance."""
    near: dict[Key, list[Key]] = defaultdict(list)
    for edge in edges:
        near[edge.source].append(edge.target)
        near[edge.target].append(edge.source)
    for _ in range(6):
        for layer in layers:
            wanted = [fmean([y[n] for n in near[key]]) if near[key] else y[key] for key in layer]
            placed: list[float] = []
            for want in wanted:
                placed.append(max(want, placed[-1] + _PITCH) if placed else want)
            drift = fmean(placed) - fmean(wanted)  # pushing down moved the layer; move it back as a whole
            y.update({key: at - drift for key, at in zip(layer, placed, strict=True)})
    # Parts without a tie between them drift apart; close every band in which no layer has a node.
    shift, last = 0.0, None
    for key in sorted(y, key=y.__getitem__):
        if last is not None and y[key] - last > _PITCH:
            shift += y[key] - last - _PITCH
        last = y[key]
        y[key] -= shift
