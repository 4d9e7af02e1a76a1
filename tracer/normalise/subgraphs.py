"""LangGraph, two things that its metadata does not say: agents that a tool calls, and whose spans that have not ended are.

    ledger (node)                                  agent ledger
      └ tools > ask_payroll (tool)                 of ledger, calls payroll
          └ payroll (graph) > agent > ChatOpenAI   the namespace begins with ledger: still it is the payroll that works

A graph below a tool, with a name of its own, is the agent that the tool calls; where several of its nodes call models they are
agents inside of it. OpenInference writes all attributes at the end of a
span: one that has not ended is a name only; whose it is, is told by what ended below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tracer.model import Span, SpanKind
from tracer.normalise.langgraph import GENERIC_NODES
from tracer.normalise.marks import infer, replace
from tracer.normalise.tree import Forest
from tracer.normalise.values import as_object, as_text
from tracer.semconv import LangGraph, LangSmith, OpenInference, OpenLLMetry

SCOPE = "openinference.instrumentation.langchain"
_UNNAMED = frozenset({"LangGraph", "CompiledStateGraph", "Pregel"})
_TOOLS = "tools"
"""the node that runs tools, as LangGraph's own agents call it"""


def name_open_spans(forest: Forest) -> None:
    """Agents, instances and tools of spans of LangChain that have not ended, from what ended below and beside them."""
    open_ = [p for p, s in enumerate(forest.spans) if s.end_ns is None and s.agent_id is None and SCOPE in s.attributes]
    if not open_:
        return
    tools = {(s.trace_id, s.tool_name) for s in forest.spans if s.kind == SpanKind.TOOL}
    for position in open_:
        span = forest.spans[position]
        parent = forest.parent[position]
        beside = parent >= 0 and forest.spans[parent].name == _TOOLS and forest.spans[parent].end_ns is None
        if span.kind == SpanKind.OTHER and (beside or (span.trace_id, span.name) in tools):
            replace(span, "kind", SpanKind.TOOL)
            infer(span, "tool_name", span.name)
    for position in reversed(forest.order):
        span = forest.spans[position]
        if not span.agent_id or not span.agent or span.end_ns is None:
            continue
        above = list(_open_above(forest, position))
        node = next((n for n in reversed(range(len(above))) if forest.spans[above[n]].name == span.agent), -1)
        for upper in above[: node + 1]:
            infer(forest.spans[upper], "agent", span.agent)
            infer(forest.spans[upper], "agent_id", span.agent_id)


def _open_above(forest: Forest, position: int) -> Iterator[int]:
    for upper in forest.ancestors(position):
        span = forest.spans[upper]
        if span.end_ns is not None or span.agent_id is not None or SCOPE not in span.attributes:
            return
        yield upper


def name_called_graphs(forest: Forest) -> None:
    """A graph that a tool runs becomes the agent of its name, and so does what happens inside, down to the next such graph."""
    for position in forest.order:
        span, parent = forest.spans[position], forest.parent[position]
        if span.kind != SpanKind.OTHER or parent < 0 or forest.spans[parent].kind != SpanKind.TOOL:
            continue
        if span.name in GENERIC_NODES or span.name in _UNNAMED:
            continue
        namespace = _graph(forest, position)
        if namespace is None:
            continue
        replace(span, "kind", SpanKind.AGENT)
        name = span.name.removesuffix(".workflow")
        inside = [forest.spans[below] for below in (position, *forest.below(position))]
        several = len({s.agent for s in inside if s.kind == SpanKind.AGENT and _within(s, namespace)}) > 1
        for row in inside:
            if not (several and _within(row, namespace)):
                _give(row, "agent", name)
                _give(row, "agent_id", namespace)


def _within(span: Span, namespace: str) -> bool:
    """An agent of its own in that graph."""
    return (span.agent_id or "").startswith(namespace + "|")


def _graph(forest: Forest, position: int) -> str | None:
    """The namespace of a graph: that of a node in it, without the node. None where it runs no nodes, or no model."""
    own = _namespace(forest.spans[position])
    nodes = [_namespace(forest.spans[child]) for child in forest.children[position]]
    found = next(
        (n.rpartition("|")[0] for n in nodes if n and "|" in n and (own is None or n.startswith(own + "|"))), None
    )
    if found is None or not any(forest.spans[below].kind == SpanKind.LLM for below in forest.below(position)):
        return None
    return found


def _namespace(span: Span) -> str | None:
    if LangGraph.CHECKPOINT_NS not in span.attributes:
        return None
    attributes: dict[str, Any] = json.loads(span.attributes)
    for prefix in (LangSmith.METADATA, OpenLLMetry.PROPERTIES):
        if found := as_text(attributes.get(prefix + LangGraph.CHECKPOINT_NS)):
            return found
    return as_text(as_object(attributes.get(OpenInference.METADATA)).get(LangGraph.CHECKPOINT_NS))


def _give(span: Span, column: str, value: str) -> None:
    if getattr(span, column) is None:
        infer(span, column, value)
    elif column == "agent" and span.agent_inferred:
        span.agent = value
    else:
        replace(span, column, value)
