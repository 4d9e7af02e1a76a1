"""LangGraph's agents that are called through tools, and its spans that have not ended."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.normalise.captured import documents
from tests.normalise.drawn import genai, raw, rows
from tracer.ids import span_id_of
from tracer.model import RawSpan
from tracer.normalise import normalise, resolve
from tracer.normalise.otlp import decode_traces
from tracer.normalise.otlp_json import json_to_protobuf

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


TEAM = "team:00000000-0000-0000-0000-00000000000a"
PLANNER, CODER = (f"{TEAM}|{name}:00000000-0000-0000-0000-00000000000{n}" for n, name in ((1, "planner"), (2, "coder")))


def nested(around: str, graph: str, one: str, other: str, spans: list[RawSpan]) -> list[RawSpan]:
    """A graph of two nodes that call a model each, below `spans`."""
    return [
        *spans,
        chain(graph, 2, 18, spans[-1].name, around),
        chain("planner", 3, 6, graph, one),
        chain("ChatOpenAI 1", 4, 5, "planner", one, "LLM"),
        chain("coder", 7, 16, graph, other),
        chain("agent", 8, 15, "coder", f"{other}|agent:00000000-0000-0000-0000-000000000004"),
        chain("ChatOpenAI 2", 9, 10, "agent", f"{other}|agent:00000000-0000-0000-0000-000000000004", "LLM"),
    ]


def test_nodes_of_a_graph_that_is_a_node_are_agents_inside_of_it() -> None:
    """Their calls are theirs; the node around them leads them, and they take over from each other."""
    found = rows(
        *nested(TEAM, "devs", PLANNER, CODER, [chain("shop", 0, 20, None, None), chain("team", 1, 19, "shop", TEAM)])
    )
    assert {name: (row.kind, row.agent) for name, row in found.items()} == {
        "shop": ("workflow", None), "team": ("agent", "team"), "devs": ("other", "team"),
        "planner": ("agent", "planner"), "ChatOpenAI 1": ("llm", "planner"),
        "coder": ("agent", "coder"), "agent": ("other", "coder"), "ChatOpenAI 2": ("llm", "coder"),
    }  # fmt: skip
    assert found["ChatOpenAI 2"].agent_id == CODER
    assert (found["planner"].target_agent, found["coder"].reason) == ("coder", "called by team")


def test_a_graph_of_several_agents_that_a_tool_runs() -> None:
    """It is the agent that the tool calls, and they work in it."""
    one, other = (f"{TOOL}|{name}:00000000-0000-0000-0000-00000000000{n}" for n, name in ((8, "planner"), (9, "coder")))
    office = [chain("office", 0, 20, None, None), chain("desk", 1, 19, "office", OUTER)]
    asked = chain("ask", 2, 18, "desk", TOOL, "TOOL", **{"tool.name": "ask"})
    found = rows(*nested(TOOL, "devs", one, other, [*office, asked]))
    assert [found[name].agent for name in ("desk", "ask", "devs", "ChatOpenAI 1", "ChatOpenAI 2")] == [
        "desk", "desk", "devs", "planner", "coder",
    ]  # fmt: skip
    assert found["ask"].target_agent == "devs"


def test_middleware_is_no_agent() -> None:
    """What runs before an agent's model belongs to the agent."""
    hook = "Summary.before_model:00000000-0000-0000-0000-000000000005"
    found = rows(
        chain("helper", 0, 9, None, None),
        chain("Summary.before_model", 1, 3, "helper", hook),
        chain("ChatOpenAI", 2, 3, "Summary.before_model", hook, "LLM"),
    )
    assert {row.agent for row in found.values()} == {"helper"}


def test_what_stands_empty_beside_a_graph_is_no_agent() -> None:
    """OpenLLMetry writes the graph in a node twice; its nodes work in the other one."""
    found = rows(
        raw("shop", 0, 9, a={"traceloop.span.kind": "workflow"}),
        raw("execute_task team", 1, 8, "shop", a={"traceloop.span.kind": "agent", "traceloop.entity.name": "team"}),
        raw("invoke_agent devs", 2, 7, "execute_task team", a=genai("invoke_agent", agent__name="devs")),
        raw("execute_task devs", 2, 7, "execute_task team", a={"traceloop.span.kind": "task"}),
    )
    assert found["invoke_agent devs"].kind == "other"


def test_calls_of_a_silent_instrumentor_belong_to_the_node_in_which_they_began() -> None:
    """The official one tells of no nodes; the recorder adds in whose task a call began. Tasks of one name are instances."""
    tasks = [f"worker:00000000-0000-0000-0000-00000000000{n}" for n in (1, 2)]
    found = rows(
        raw("invoke_workflow shop", 0, 9, a=genai("invoke_workflow", workflow__name="shop")),
        *(
            raw(f"chat {n}", 1, 2 + n, "invoke_workflow shop", a={**genai("chat"), "langgraph_checkpoint_ns": task})
            for n, task in enumerate(tasks)
        ),
        raw("chat", 5, 6, "invoke_workflow shop", a={**genai("chat"), "langgraph_checkpoint_ns": "model:1"}),
    )
    assert [(found[f"chat {n}"].agent, found[f"chat {n}"].agent_id) for n in (0, 1)] == [
        ("worker", task) for task in tasks
    ]
    assert found["chat"].agent is None


def test_a_graph_in_another_process_has_a_state_of_its_own() -> None:
    """A node asks a service that runs the same graph: the versions of both are those that the graph has alone."""
    spans = [
        s
        for d in documents("langgraph-openinference-state")
        for p in json_to_protobuf(d).payloads
        for s in decode_traces(p)
    ]
    (node,) = (span for span in spans if span.name == "draft")
    served = [
        replace(
            span,
            span_id=span_id_of("served", span.span_id),
            parent_span_id=span_id_of("served", span.parent_span_id) if span.parent_span_id else node.span_id,
            resource={**span.resource, "process.pid": 99},
        )
        for span in spans
    ]

    def versions(*raws: RawSpan) -> list[str]:
        found = [row for row in resolve(normalise(raws).spans) if row.kind.startswith("state_")]
        return sorted(f"{row.name} {row.version_read} {row.version_written} {row.cas_outcome}" for row in found)

    alone = versions(*spans)
    assert len(alone) > 4
    assert versions(*spans, *served) == sorted([*alone, *alone])
