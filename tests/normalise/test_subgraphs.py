"""LangGraph's agents that are called through tools, and its spans that have not ended."""

from __future__ import annotations

import json
from typing import Any

from tests.normalise.drawn import raw, rows
from tracer.model import RawSpan

SCOPE = "openinference.instrumentation.langchain"
OUTER = "desk:00000000-0000-0000-0000-000000000001"
TOOL = f"{OUTER}|tools:00000000-0000-0000-0000-000000000002"
INNER = f"{TOOL}|model:00000000-0000-0000-0000-000000000003"


def chain(
    name: str,
    start: float,
    end: float | None,
    parent: str | None,
    namespace: str | None,
    kind: str = "CHAIN",
    **more: Any,
) -> RawSpan:
    """A span as OpenInference writes it: with everything when it ends, with nothing before."""
    told = {"ls_integration": "langgraph", **({"langgraph_checkpoint_ns": namespace} if namespace else {})}
    attributes = {"openinference.span.kind": kind, "metadata": json.dumps(told), **more}
    return raw(name, start, end, parent, scope=SCOPE, a=attributes if end is not None else {})


def called(graph: str, node: str | None = INNER, llm: str = "LLM") -> list[RawSpan]:
    """A desk with a tool in which a graph of the given name works."""
    return [
        chain("office", 0, 20, None, None),
        chain("desk", 1, 19, "office", OUTER),
        chain("ChatOpenAI 1", 2, 3, "desk", OUTER, "LLM"),
        chain("ask", 4, 15, "desk", TOOL, "TOOL", **{"tool.name": "ask"}),
        chain(graph, 5, 14, "ask", TOOL),
        chain("model", 6, 13, graph, node),
        chain("ChatOpenAI 2", 7, 12, "model", node, llm),
    ]


def test_a_graph_that_a_tool_runs_is_the_agent_that_the_tool_calls() -> None:
    """Its namespace begins with the node of the caller; the work inside is its own, and it is an instance of its own."""
    found = rows(*called("clerk"))
    assert {name: (row.kind, row.agent) for name, row in found.items()} == {
        "office": ("workflow", None), "desk": ("agent", "desk"), "ChatOpenAI 1": ("llm", "desk"), "ask": ("tool", "desk"),
        "clerk": ("agent", "clerk"), "model": ("other", "clerk"), "ChatOpenAI 2": ("llm", "clerk"),
    }  # fmt: skip
    assert found["ask"].target_agent == "clerk"
    assert found["clerk"].agent_id == found["ChatOpenAI 2"].agent_id == TOOL


def test_what_is_no_agent() -> None:
    """A graph without a name of its own, one that calls no model, and a chain that is no graph."""
    for spans in (called("LangGraph"), called("clerk", llm="TOOL"), called("RunnableSequence", node=TOOL)):
        assert {row.agent for row in rows(*spans).values() if row.agent} == {"desk"}


def test_spans_that_have_not_ended_belong_to_who_worked_below() -> None:
    """Up to the node of that name; a span below the open node of tools is a tool."""
    found = rows(
        chain("office", 0, None, None, None),
        chain("desk", 1, None, "office", None),
        chain("model", 2, 4, "desk", OUTER),
        chain("ChatOpenAI", 2, 3, "model", OUTER, "LLM"),
        chain("tools", 4, None, "desk", None),
        chain("ask", 4, None, "tools", None),
    )
    assert {name: (row.kind, row.agent) for name, row in found.items()} == {
        "office": ("workflow", None), "desk": ("agent", "desk"), "model": ("other", "desk"), "ChatOpenAI": ("llm", "desk"),
        "tools": ("other", "desk"), "ask": ("tool", "desk"),
    }  # fmt: skip
    assert found["ask"].tool_name == "ask"
