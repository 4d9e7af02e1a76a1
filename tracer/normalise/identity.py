"""Who did it: the agent of every span, from its own attributes, its ancestors, its links, its trace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracer.model import Span, SpanKind, SpanLink
from tracer.normalise.langgraph import GENERIC_NODES, node_of
from tracer.normalise.marks import infer, mark, replace
from tracer.normalise.reading import is_coworker
from tracer.normalise.tree import Forest
from tracer.normalise.values import as_object, as_text
from tracer.semconv import LangGraph

TASK = re.compile(r".+:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""a LangGraph task: node name and the id of one execution of it"""

WORKING = frozenset({SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.EMBEDDING})


def find_roots(forest: Forest) -> None:
    """A root that only holds the work of others is the workflow.

    Recorded as CHAIN, as AGENT without an agent name, or as a plain span of the application. A root whose parent is
    missing counts where it is the only one of its trace.
    """
    works = [False] * len(forest.spans)
    held = set[int]()
    for position, working in forest.leaves():
        works[position] = working
        held.add(position)
    for position in reversed(forest.order):
        span = forest.spans[position]
        parent = forest.parent[position]
        if parent >= 0 and (works[position] or span.kind in WORKING or span.kind == SpanKind.WAIT):
            works[parent] = True
    per_trace: dict[str, int] = {}
    for position in forest.roots:
        trace = forest.spans[position].trace_id
        per_trace[trace] = per_trace.get(trace, 0) + 1
    for position in forest.roots:
        span = forest.spans[position]
        nameless_agent = span.kind == SpanKind.AGENT and span.agent is None
        if not (works[position] or nameless_agent) or span.convention == "autogen":
            continue
        if span.parent_span_id is not None and per_trace[span.trace_id] > 1:
            continue
        if nameless_agent or (span.kind == SpanKind.OTHER and span.agent is None):
            replace(span, "kind", SpanKind.WORKFLOW)
        elif span.kind == SpanKind.AGENT and position not in held and _only_wraps_workflow(forest, position):
            _demote(span, SpanKind.WORKFLOW)


def _only_wraps_workflow(forest: Forest, position: int) -> bool:
    """OpenLLMetry writes `invoke_agent desk` around `desk.workflow`, where `desk` is the graph of all the agents."""
    children = [forest.spans[child] for child in forest.children[position]]
    return len(children) == 1 and children[0].kind == SpanKind.WORKFLOW


def unwrap_nodes(forest: Forest) -> None:
    """An agent that is called like a part of one (`call_agent`) and holds the real one is only the node around it."""
    for position, span in enumerate(forest.spans):
        if (
            span.kind == SpanKind.AGENT
            and span.agent
            and not forest.children[position]
            and _stands_beside(forest, position)
        ):
            _demote(span, SpanKind.OTHER)
    above = forest.nearest((SpanKind.AGENT,))
    for position, upper in enumerate(above):
        if upper >= 0 and forest.spans[position].kind == SpanKind.AGENT:
            around = forest.spans[upper]
            if around.agent in GENERIC_NODES and around.kind == SpanKind.AGENT:
                _demote(around, SpanKind.OTHER)


def _stands_beside(forest: Forest, position: int) -> bool:
    """OpenLLMetry writes `invoke_agent devs`, empty, beside `execute_task devs`, in which the graph of that name works for its node."""
    name, parent = forest.spans[position].agent, forest.parent[position]
    beside = [forest.spans[child] for child in forest.children[parent]] if parent >= 0 else []
    return any(span.name == f"execute_task {name}" and span.agent != name for span in beside)


def _demote(span: Span, kind: SpanKind) -> None:
    """The span is no agent and belongs to none; what it was stands in the marks."""
    replace(span, "kind", kind)
    if span.agent is not None:
        mark(span, "agent", span.agent)
        span.agent = None


def find_graph_agents(forest: Forest) -> None:
    """LangGraph: one execution of a node that calls a model, or in which agents work, is one invocation of an agent.

    The outermost span of the execution becomes the agent span; AGENT spans inside it (`agent`, `call_agent`) are steps.
    A graph of nothing but generic nodes (`agent`, `tools`) is one agent itself and carries the graph's name; a generic
    node beside named ones works for the agent that ran before it.
    """
    tasks: dict[tuple[str, str], _Task] = {}
    held = {position for position, _ in forest.leaves()}
    for position in forest.order:
        span = forest.spans[position]
        if span.agent_id and TASK.fullmatch(span.agent_id):
            task = tasks.setdefault((span.trace_id, span.agent_id), _Task(span.agent, span.start_ns, position))
            # OpenInference takes every function with `agent` in its name for an agent: a router does nothing inside
            works = position in held or bool(forest.children[position]) or span.end_ns is None
            is_agent = span.kind == SpanKind.AGENT and (works or span.name == task.name)
            task.thinks = task.thinks or is_agent or span.kind == SpanKind.LLM
            if span.kind == SpanKind.AGENT and not is_agent and task.name is not None:
                _demote(span, SpanKind.OTHER)
            if span.agent is None:
                task.nameless.append(position)
    for (trace_id, instance), task in list(tasks.items()):
        while task.thinks and "|" in instance:
            instance = instance.rpartition("|")[0]
            around = tasks.get((trace_id, instance))
            if around is not None and not around.thinks:
                around.thinks = True
    for task in tasks.values():
        outermost = forest.spans[task.first]
        if task.name is not None:
            if task.thinks and outermost.kind == SpanKind.OTHER:
                replace(outermost, "kind", SpanKind.AGENT)
            continue
        before = [t for (trace, _), t in tasks.items() if trace == outermost.trace_id and t.name and t.thinks]
        earlier = max((t for t in before if t.start_ns <= task.start_ns), key=lambda t: t.start_ns, default=None)
        if earlier is not None:
            for position in task.nameless:
                forest.spans[position].agent, forest.spans[position].agent_inferred = earlier.name, True
        elif not before:
            graph = next((p for p in forest.ancestors(task.first) if forest.spans[p].kind == SpanKind.WORKFLOW), -1)
            if graph >= 0:
                span = forest.spans[graph]
                replace(span, "kind", SpanKind.AGENT)
                span.agent, span.agent_inferred = span.name.removesuffix(".workflow"), True


@dataclass(slots=True)
class _Task:
    name: str | None
    start_ns: int
    first: int
    """position of the outermost span"""
    thinks: bool = False
    nameless: list[int] = field(default_factory=list[int])


def inherit_agents(forest: Forest, links: Mapping[tuple[str, str], Sequence[SpanLink]]) -> None:
    """Fill `agent` where a span does not say it, and mark it inferred. Workflow spans belong to no agent."""
    _climb(forest, forest.order)
    for position in forest.order:
        span = forest.spans[position]
        if span.agent is None and span.kind != SpanKind.WORKFLOW and span.convention != "autogen":
            linked = _linked_agent(forest, links.get((span.trace_id, span.span_id), ()))
            if linked:
                span.agent, span.agent_inferred = linked, True
                _climb(forest, list(forest.below(position)))
    for span in forest.spans:
        if span.agent is None and span.kind in WORKING and LangGraph.CHECKPOINT_NS in span.attributes:
            _take_node(span)
    hanging = forest.hanging
    if hanging is not None:
        for key in hanging.below:
            hanging.passed[key] = forest.spans[forest.position[key]].agent
    for names, spans in _by_trace(forest):
        if len(names) == 1:
            if hanging is not None:
                hanging.only_agent[spans[0].trace_id] = next(iter(names))
            for span in spans:
                if span.agent is None and span.kind in WORKING:
                    span.agent, span.agent_inferred = next(iter(names)), True


def _take_node(span: Span) -> None:
    """Where an instrumentor tells of no node, our recorder says in which one the span began."""
    found = node_of(as_text(as_object(span.attributes).get(LangGraph.CHECKPOINT_NS)) or "")
    if found is not None:
        span.agent, span.agent_inferred = found[0], True
        if span.agent_id is None:
            infer(span, "agent_id", found[1])


def take_agent(span: Span, host: Span) -> None:
    """`span` was made for `host`, which is in another trace."""
    if span.agent is None and host.agent is not None:
        span.agent, span.agent_inferred = host.agent, True


def _climb(forest: Forest, order: Sequence[int]) -> None:
    for position in order:
        span = forest.spans[position]
        if span.agent is None and span.kind != SpanKind.WORKFLOW:
            parent = forest.parent[position]
            if parent < 0:
                continue
            upper = forest.spans[parent]
            # CrewAI makes no span for the coworker who is asked: what happens inside the asking is the coworker's work
            asked = upper.target_agent if upper.kind == SpanKind.TOOL and is_coworker(upper.tool_name) else None
            who = asked or upper.agent
            if who is not None:
                span.agent, span.agent_inferred = who, True


def _linked_agent(forest: Forest, links: Sequence[SpanLink]) -> str | None:
    for link in sorted(links, key=lambda item: (item.linked_trace_id, item.linked_span_id)):
        position = forest.position.get((link.linked_trace_id, link.linked_span_id))
        if position is not None and forest.spans[position].agent:
            return forest.spans[position].agent
    return None


def _by_trace(forest: Forest) -> list[tuple[set[str], list[Span]]]:
    found: dict[str, tuple[set[str], list[Span]]] = {}
    for span in forest.spans:
        names, spans = found.setdefault(span.trace_id, (set(), []))
        spans.append(span)
        if span.agent and span.kind == SpanKind.AGENT:
            names.add(span.agent)
    return list(found.values())


def note_callers(forest: Forest) -> None:
    """Why a nested agent was invoked: the agent above it, and the tool through which it was called, or what it was handed."""
    passed: dict[tuple[str, str | None, str | None, str | None], Span] = {
        (span.trace_id, span.parent_span_id, span.agent, span.target_agent): span
        for span in forest.spans
        if span.kind == SpanKind.HANDOFF and span.target_agent
    }
    for position in forest.order:
        span = forest.spans[position]
        if span.kind != SpanKind.AGENT or span.reason is not None or span.duplicate_of:
            continue
        through: str | None = None
        for above in forest.ancestors(position):
            upper = forest.spans[above]
            if upper.kind == SpanKind.TOOL and through is None:
                through = upper.tool_name
            if upper.kind == SpanKind.AGENT and upper.agent != span.agent:
                span.reason = f"called by {upper.agent}" + (f" through {through}" if through else "")
                # Google ADK 1: the agent works beside the transfer, inside the call that asked for it
                handoff = passed.get((span.trace_id, span.parent_span_id, upper.agent, span.agent))
                if handoff is not None and through is None and handoff.start_ns <= span.start_ns:
                    span.reason = f"handoff from {upper.agent}" + (f": {handoff.reason}" if handoff.reason else "")
                mark(span, "reason")
                break
