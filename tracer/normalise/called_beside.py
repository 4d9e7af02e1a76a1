"""Agents that a tool calls and that stand beside their caller: OpenLLMetry hangs every agent of OpenAI Agents from the workflow.

    Agent Workflow                          Agent Workflow
      planner.agent                           planner.agent
        ask_french.tool   |=======|    ->       ask_french.tool
      french.agent          |===|                 french.agent

An agent belongs to the last tool call of another agent that began before it, went on after it, and carries its name
(`as_tool()` names a tool after its agent). Work that only happens at the same time stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracer.model import Span, SpanKind
from tracer.normalise.handoffs import folded
from tracer.normalise.marks import replace

_SCOPE = '"opentelemetry.instrumentation.openai_agents"'


def seat_called_agents(rows: Sequence[Span]) -> None:
    """Set `parent_span_id` of such agents to the tool call, and mark it. To be called before trees are built."""
    ours = [row for row in rows if row.kind in (SpanKind.AGENT, SpanKind.TOOL) and stands_beside(row)]
    agents = {(row.trace_id, row.span_id): row for row in ours if row.kind == SpanKind.AGENT}
    tools: dict[str, list[tuple[Span, Span]]] = {}
    for row in ours:
        caller = agents.get((row.trace_id, row.parent_span_id or ""))
        if row.kind == SpanKind.TOOL and row.tool_name and caller is not None:
            tools.setdefault(row.trace_id, []).append((row, caller))
    for (trace_id, _), agent in agents.items():
        calls = [tool for tool, caller in tools.get(trace_id, ()) if caller is not agent and _calls(tool, agent)]
        if calls:
            replace(agent, "parent_span_id", max(calls, key=lambda tool: (tool.start_ns, tool.span_id)).span_id)


def stands_beside(span: Span) -> bool:
    """Whether the span is of an instrumentation that hangs called agents beside their callers."""
    return _SCOPE in span.attributes


def _calls(tool: Span, agent: Span) -> bool:
    name, words = folded(agent.agent or ""), f"_{folded(tool.tool_name or '')}_"
    return (
        bool(name)
        and f"_{name}_" in words
        and tool.start_ns <= agent.start_ns
        and (tool.end_ns is None or (agent.end_ns is not None and agent.end_ns <= tool.end_ns))
    )
