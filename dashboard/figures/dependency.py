"""Who uses whom in one run: agents, the people around them, the tools and models they call, with counts, cost and time on the edges.

`build_dependencies` collects nodes and edges; `dependency_draw` draws them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

import networkx as nx
import polars as pl

from analyzers.critical_path import Piece
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.figures import units
from dashboard.figures.findings import finding_tag
from dashboard.figures.steps import Steps, find_steps
from tracer.clock import has_clock
from tracer.model import SpanKind, SpanStatus

NodeKind = Literal["person", "everyone", "workflow", "agent", "tool", "model"]
AGENT_SIDE: Final[frozenset[str]] = frozenset({"person", "everyone", "workflow", "agent"})
_CYCLE_KINDS: Final = frozenset({"loop", "ping_pong", "deadlock"})
_CLASH_KINDS: Final = frozenset({"conflicting_decisions", "lost_update", "stale_read", "write_skew", "divergent_views"})
_SPANS_KEPT: Final = 20


@dataclass(slots=True)
class Node:
    """`calls` counts LLM and tool calls made (agents) or received (tools, models)."""

    name: str
    kind: NodeKind
    calls: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    errors: int = 0
    path_ns: int = 0
    """its part of the critical path"""


Key = tuple[NodeKind, str]


@dataclass(slots=True)
class Edge:
    """All contacts of one pair; `ways` says how many of which kind (message, handoff, invoke, escalation, tool, model, wait)."""

    source: Key
    target: Key
    count: int = 0
    total_ns: int = 0
    cost_usd: float = 0.0
    errors: int = 0
    ways: dict[str, int] = field(default_factory=dict[str, int])
    spans: list[str] = field(default_factory=list[str])
    finding: int = -1
    """index of the loop, ping-pong or deadlock it is part of"""
    in_cycle: bool = False

    def add(self, way: str, span_id: str, took_ns: int, cost_usd: float, failed: bool) -> None:
        self.count += 1
        self.total_ns += took_ns
        self.cost_usd += cost_usd
        self.errors += failed
        self.ways[way] = self.ways.get(way, 0) + 1
        if len(self.spans) < _SPANS_KEPT:
            self.spans.append(span_id)


@dataclass(frozen=True, slots=True)
class Clash:
    """Two agents that got into each other's way without a contact: over state, or by what they decided."""

    a: Key
    b: Key
    finding: int


@dataclass(frozen=True)
class DependencyGraph:
    nodes: dict[Key, Node]
    edges: list[Edge]
    findings: Sequence[Finding]
    clashes: list[Clash] = field(default_factory=list["Clash"])

    @property
    def agents(self) -> list[Key]:
        """Everything on the agents' side: people, workflow, agents."""
        return [key for key in self.nodes if key[0] in AGENT_SIDE]

    def between_agents(self) -> list[Edge]:
        return [e for e in self.edges if e.source[0] in AGENT_SIDE and e.target[0] in AGENT_SIDE]


class _Builder:
    """Nodes and edges while they are collected."""

    def __init__(self, found: Steps) -> None:
        self.nodes: dict[Key, Node] = {}
        self.edges: dict[tuple[Key, Key], Edge] = {}
        self.kinds: dict[str, NodeKind] = {
            p.name: p.kind for p in found.participants if p.kind in ("person", "everyone", "workflow", "agent")
        }  # fmt: skip

    def node(self, name: str, kind: NodeKind) -> Node:
        return self.nodes.setdefault((kind, name), Node(name, kind))

    def who(self, name: str) -> Key:
        """The key of somebody on the agents' side."""
        node = self.node(name, self.kinds.get(name, "agent"))
        return (node.kind, node.name)

    def edge(self, source: Key, target: Key) -> Edge:
        return self.edges.setdefault((source, target), Edge(source, target))


def build_dependencies(frames: Frames, findings: Sequence[Finding] = (), path: Sequence[Piece] = ()) -> DependencyGraph:
    """Collect the edges of one run: invocations, messages, handoffs, escalations, tool and model use, and the waits of deadlocks."""
    found = find_steps(frames, findings, tools=False, state=False)
    build = _Builder(found)
    for step in found.steps:
        if step.kind in ("message", "handoff", "invoke", "escalation"):
            link = build.edge(build.who(step.source), build.who(step.target))
            link.add(step.kind, step.span_id, step.until_ns - step.at_ns, step.cost_usd, step.failed)
    _add_uses(build, frames)
    if not has_clock(found.t0):
        for edge in build.edges.values():
            edge.total_ns = 0
    _add_deadlocks(build, found)
    _mark_loops(build, found)
    known = {name: build.who(name) for kind, name in list(build.nodes) if kind in AGENT_SIDE}
    for piece in path:
        if piece.agent in known:
            build.nodes[known[piece.agent]].path_ns += piece.length_ns
    graph = DependencyGraph(build.nodes, list(build.edges.values()), found.findings, _clashes(known, found.findings))
    _mark_cycles(graph)
    return graph


def _clashes(known: Mapping[str, Key], findings: Sequence[Finding]) -> list[Clash]:
    """Neighbours among the agents of every finding about shared state or decisions."""
    out: list[Clash] = []
    for f, finding in enumerate(findings):
        if finding.kind in _CLASH_KINDS:
            agents = [known[name] for name in finding.agents if name in known]
            out += [Clash(a, b, f) for a, b in pairwise(agents)]
    return out


def _add_uses(build: _Builder, frames: Frames) -> None:
    """Tool and model use, and what each agent spent; spans that repeat another one are left out."""
    kinds = [SpanKind.LLM, SpanKind.EMBEDDING, SpanKind.TOOL, SpanKind.RETRIEVER]
    used = frames.spans.filter(pl.col("kind").is_in(kinds) & pl.col("duplicate_of").is_null())
    columns = [
        "span_id",
        "kind",
        "name",
        "agent",
        "workflow",
        "model",
        "tool_name",
        "start_ns",
        "end_ns",
        "status",
        "cost_usd",
    ]
    for row in used.select(columns).iter_rows(named=True):
        calls_model = row["kind"] in (SpanKind.LLM, SpanKind.EMBEDDING)
        target = build.node(
            str((row["model"] if calls_model else row["tool_name"]) or row["name"]), "model" if calls_model else "tool"
        )
        source = (
            build.who(str(row["agent"] or row["workflow"] or "workflow"))
            if row["agent"]
            else _workflow(build, row["workflow"])
        )
        cost, failed = float(row["cost_usd"] or 0), row["status"] == SpanStatus.ERROR
        for one in (target, build.nodes[source]):
            one.calls += 1
            one.cost_usd += cost
            one.unpriced += calls_model and row["cost_usd"] is None
            one.errors += failed
        took = max(0, (row["end_ns"] or row["start_ns"]) - row["start_ns"])
        build.edge(source, (target.kind, target.name)).add(target.kind, row["span_id"], took, cost, failed)


def _workflow(build: _Builder, name: str | None) -> Key:
    """A call outside any agent is the workflow's own."""
    return ("workflow", build.node(name or "workflow", "workflow").name)


def _add_deadlocks(build: _Builder, found: Steps) -> None:
    """The waits that are evidence of a deadlock, as edges from who waits to whom for."""
    by_span = {step.span_id: step for step in found.steps if step.kind == "wait"}
    for f, finding in enumerate(found.findings):
        if finding.kind != "deadlock":
            continue
        members = set(finding.agents)
        for step in (by_span[s] for s in finding.spans if s in by_span):
            for awaited in step.symbol.replace(" or ", ", ").split(", "):
                if awaited in members:
                    link = build.edge(build.who(step.source), build.who(awaited))
                    link.add("wait", step.span_id, step.until_ns - step.at_ns, 0.0, failed=False)
                    link.finding = f


def _mark_loops(build: _Builder, found: Steps) -> None:
    """Edges that a found loop walked more than once, also where the way back runs through a framework's own code."""
    for f, finding in enumerate(found.findings):
        if finding.kind not in _CYCLE_KINDS:
            continue
        walked = Counter((found.steps[k].source, found.steps[k].target) for k in found.evidence[f])
        for (source, target), times in walked.items():
            edge = build.edges.get((build.who(source), build.who(target))) if times > 1 and source != target else None
            if edge is not None and edge.finding < 0 and edge.source[0] == edge.target[0] == "agent":
                edge.finding = f


def _mark_cycles(graph: DependencyGraph) -> None:
    """Mark edges that lie on a cycle of agents, and those a finding about a cycle names."""
    net: nx.DiGraph[Key] = nx.DiGraph()
    net.add_edges_from((e.source, e.target) for e in graph.between_agents())
    component = {key: n for n, keys in enumerate(nx.strongly_connected_components(net)) for key in keys}
    for edge in graph.between_agents():
        edge.in_cycle = component[edge.source] == component[edge.target]
        for f, finding in enumerate(graph.findings):
            if (
                finding.kind in _CYCLE_KINDS
                and {edge.source[1], edge.target[1]} <= set(finding.agents)
                and edge.in_cycle
            ):
                edge.finding = f if edge.finding < 0 else edge.finding


def edge_text(graph: DependencyGraph, edge: Edge) -> str:
    """Everything about one edge in a line: `planner → coder: 12 handoffs, 2 messages · 3.40 s on average · $0.12 · 1 error`."""
    names = {"invoke": "invocation", "tool": "call", "model": "call", "escalation": "escalation"}
    ways = ", ".join(amount(n, names.get(way, way)) for way, n in edge.ways.items())
    parts = [f"{edge.source[1]} → {edge.target[1]}: {ways}"]
    if edge.total_ns:
        parts.append(f"{units.duration(edge.total_ns / edge.count)} on average")
    if edge.cost_usd:
        parts.append(units.money(edge.cost_usd))
    if edge.errors:
        parts.append(amount(edge.errors, "error"))
    if edge.finding >= 0:
        parts.append(finding_tag(graph.findings[edge.finding]))
    elif edge.in_cycle:
        parts.append("part of a cycle")
    return " · ".join(parts)


def edge_class(edge: Edge) -> str:
    """How urgent an edge is: part of a finding, part of a cycle, or nothing special."""
    return "dg-hot" if edge.finding >= 0 else "dg-cycle" if edge.in_cycle else ""
