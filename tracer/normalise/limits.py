"""What ends a run, or its part so far, without an error: limits told from the shape of the trace, pauses for a person.

smolagents writes the limit on the agent's span, one `Step N` span a step, and after the last step that it may take asks
the model once more, outside of any step, for an answer from what there is.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tracer.model import SpanKind
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.marks import infer, replace
from tracer.normalise.tree import Forest
from tracer.normalise.values import as_int
from tracer.semconv import Frameworks

MAX_STEPS = "Reached max steps"
"""what smolagents itself logs; the outcome rules know it"""
_WORK = frozenset({SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL})
_STEP = re.compile(r"Step \d+")


def note_limits(forest: Forest) -> None:
    """Set `finish_reason` of agents that were stopped by a limit nobody reports, and mark it."""
    for position, span in enumerate(forest.spans):
        if span.kind != SpanKind.AGENT or Frameworks.SMOLAGENTS_MAX_STEPS not in span.attributes:
            continue
        attributes: dict[str, Any] = json.loads(span.attributes)
        limit = as_int(attributes.get(Frameworks.SMOLAGENTS_MAX_STEPS))
        children = [forest.spans[child] for child in forest.children[position]]
        steps = [child for child in children if _STEP.fullmatch(child.name)]
        if not limit or len(steps) < limit or span.finish_reason is not None:
            continue
        if any(child.kind == SpanKind.LLM and child.start_ns >= steps[-1].start_ns for child in children):
            infer(span, "finish_reason", MAX_STEPS)


def note_pauses(forest: Forest) -> None:
    """The innermost step that was interrupted to ask a person is a wait; what is around it was only passed through."""
    for position, span in enumerate(forest.spans):
        if span.finish_reason != PAUSED or span.kind != SpanKind.OTHER:
            continue
        inside = [forest.spans[below] for below in forest.below(position)]
        if any(below.finish_reason == PAUSED or below.kind in _WORK for below in inside):
            continue  # a node that called a model before it asked is the work of an agent
        replace(span, "kind", SpanKind.WAIT)
        infer(span, "reason", "human")
        infer(span, "wait_for", ["human"])
