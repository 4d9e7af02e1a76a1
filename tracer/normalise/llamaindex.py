"""LlamaIndex's workflows of agents, which open no span for an agent: who speaks stands in the events between the steps.

AgentWorkflow.run_agent_step   in AgentSetup(..., current_agent_name='researcher')     one turn of the researcher
AgentWorkflow.call_tool        in ToolCall(tool_name='search', ...)                    its tool, beside the turn
"""

from __future__ import annotations

import re

from tracer.model import Span, SpanKind
from tracer.normalise.tree import Forest

SCOPE = "openinference.instrumentation.llama_index"
_SPEAKER = re.compile(r"current_agent_name='([^']+)'")
TURN = ".run_agent_step"
_BESIDE = (".call_tool", ".aggregate_tool_results")
_NO_CALLS = ("._prepare_chat_with_tools", ".get_tool_calls_from_response", "._get_model_kwargs")


def kind(name: str, found: str) -> str:
    """A turn is an agent's; getting a call ready is no call."""
    if name.endswith(TURN):
        return SpanKind.AGENT
    return SpanKind.OTHER if found == SpanKind.LLM and name.endswith(_NO_CALLS) else found


def speaker(name: str, given: object) -> str | None:
    """The agent whose step this is, from the event that set it off."""
    if not isinstance(given, str) or not name.endswith((TURN, ".setup_agent", ".parse_agent_output")):
        return None
    named = _SPEAKER.findall(given)
    return named[-1] if named else None


def note_tools(forest: Forest) -> None:
    """Tools run in steps of their own: they are the work of the agent whose turn ended last before."""
    for siblings in (*forest.children, forest.roots):
        turns: list[Span] = []
        for position in siblings:
            span = forest.spans[position]
            if span.kind == SpanKind.AGENT and span.name.endswith(TURN):
                turns.append(span)
            elif turns and span.agent is None and span.name.endswith(_BESIDE):
                ended = [turn for turn in turns if turn.end_ns is not None and turn.end_ns <= span.start_ns]
                span.agent = (ended or turns)[-1].agent
                span.agent_inferred = span.agent is not None
