"""LangGraph, whoever instruments it: which node a span belongs to, and pauses for a person.

LangChain's metadata travels with every span: as JSON (OpenInference), or one attribute a key (LangSmith, OpenLLMetry).
`interrupt()` raises GraphInterrupt through the node, and the run ends for now. The exception stands in an event of a span
that is OK (OpenInference) or is the error of the span (others). The answer comes in a trace of its own, in the same thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracer.model import RawSpan
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_text
from tracer.semconv import Common, LangGraph

CONTROL_FLOW = frozenset({"ParentCommand", "GraphInterrupt", "NodeInterrupt", "GraphBubbleUp", "Command", "Interrupt"})
"""exceptions that frameworks raise to pass control or to wait for a person; not errors"""
PAUSED = "paused for a person"
"""`finish_reason` of a span through which an interrupt passed"""
GENERIC_NODES = frozenset(
    {
        "agent",
        "call_agent",
        "tools",
        "tool",
        "tool_node",
        "call_tool",
        "action",
        "model",
        "call_model",
        "llm",
        "chatbot",
    }
)
"""names of LangGraph nodes that are a part of an agent, not an agent"""
_HOOKS = re.compile(
    r".+\.(?:before|after)_(?:model|agent)|.+_tools|(?:pre|post)_model_hook|generate_structured_response"
)
"""middleware and what else LangGraph's own agents have for nodes; `supervisor_tools` runs the tools of a supervisor"""
_INTERRUPTS = frozenset({"GraphInterrupt", "NodeInterrupt"})


def place(reading: Reading, metadata: Mapping[str, Any], prefix: str = "") -> bool:
    """Set agent and instance from the checkpoint namespace; False where no graph is named.

    The innermost node that may be an agent: in `team:1|coder:2|model:3` it is the coder, the instance `team:1|coder:2`.
    """
    namespace = as_text(metadata.get(prefix + LangGraph.CHECKPOINT_NS))
    if not namespace:
        return False
    found = node_of(namespace)
    if found is not None:
        reading.span.agent, reading.span.agent_id = found
    else:
        reading.span.agent_id = namespace.split("|", 1)[0]
    return True


def node_of(namespace: str) -> tuple[str, str] | None:
    """(agent, instance) of a checkpoint namespace; None where all its nodes are parts of an agent."""
    tasks = namespace.split("|")
    for depth in range(len(tasks), 0, -1):
        node = tasks[depth - 1].split(":", 1)[0]
        if node and not is_generic(node):
            return node, "|".join(tasks[:depth])
    return None


def is_generic(node: str) -> bool:
    """Whether a node of this name is a part of an agent."""
    return node in GENERIC_NODES or _HOOKS.fullmatch(node) is not None


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    if raw.status == "error" and (
        _is_interrupt(raw.attributes.get(Common.ERROR_TYPE)) or _is_interrupt(_named(raw.status_message))
    ):
        return True
    for event in raw.events:
        if event.name == Common.EXCEPTION_EVENT and (
            _is_interrupt(event.attributes.get(Common.EXCEPTION_TYPE))
            or _is_interrupt(_named(event.attributes.get(Common.EXCEPTION_MESSAGE)))  # LangSmith: the type is Exception
        ):
            return True
    return False


def kind(raw: RawSpan) -> str | None:
    return None


def read(reading: Reading) -> None:
    reading.span.finish_reason = PAUSED


def _named(message: object) -> str:
    """The exception in `GraphInterrupt((Interrupt(...`."""
    return (as_text(message) or "").partition("(")[0]


def _is_interrupt(value: object) -> bool:
    return (as_text(value) or "").rsplit(".", 1)[-1] in _INTERRUPTS


ADAPTER = Adapter("langgraph", recognises, kind, read)
