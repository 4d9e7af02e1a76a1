"""AG2's group chats put agents of their own making between those of the program.

_Group_Tool_Executor                              carries out the tool calls of whoever spoke last
checking_agent > speaker_selection_agent          a chat of these two is how a manager asks a model who speaks next

Their work is that of the agent they do it for, and the chat is a decision of the manager.
"""

from __future__ import annotations

from typing import Final

from tracer.model import Purpose, Span, SpanKind
from tracer.normalise.marks import infer, mark, replace
from tracer.normalise.tree import Forest

_EXECUTOR: Final = "_Group_Tool_Executor"
_SELECTING: Final = frozenset({"checking_agent", "speaker_selection_agent"})
SCOPES: Final = ('"openinference.instrumentation.ag2"', '"opentelemetry.instrumentation.ag2"')


def fold_helpers(forest: Forest) -> None:
    """Give what AG2's own agents do to the agents they do it for. To be called before agents are inherited."""
    helpers = [position for position in forest.order if _is_helper(forest.spans[position])]
    inside = set(helpers)
    for position in helpers:
        span, parent = forest.spans[position], forest.parent[position]
        mark(span, "agent", span.agent)
        executes, span.agent = span.agent == _EXECUTOR, None
        if span.kind not in (SpanKind.AGENT, SpanKind.OTHER):
            continue
        told = parent < 0 or parent in inside or forest.spans[parent].kind == SpanKind.DECISION
        replace(span, "kind", SpanKind.OTHER if executes or told else SpanKind.DECISION)
        if parent in inside:
            continue
        turns = [turn for turn in _siblings(forest, position) if turn.kind == SpanKind.AGENT]
        if executes:
            asked = [turn for turn in turns if turn.start_ns < span.start_ns]
            span.agent = asked[-1].agent if asked else None
            span.agent_inferred = span.agent is not None
        elif not told:
            infer(span, "purpose", Purpose.ROUTE.value)
            chosen = next((turn for turn in turns if turn.start_ns > span.start_ns), None)
            if chosen is not None and chosen.agent:
                infer(span, "choice", chosen.agent)


def _is_helper(span: Span) -> bool:
    named = span.agent == _EXECUTOR or span.agent in _SELECTING
    return named and any(scope in span.attributes for scope in SCOPES)


def _siblings(forest: Forest, position: int) -> list[Span]:
    parent = forest.parent[position]
    beside = [forest.spans[each] for each in (forest.children[parent] if parent >= 0 else forest.roots)]
    return [span for span in beside if not _is_helper(span)]
