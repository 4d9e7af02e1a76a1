"""Google ADK's own attributes: content in version 1, counts of tokens in both, spans that are no calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.normalise.drawn import genai, oi, raw, read, texts
from tracer.model import RawSpan

SCOPE = "gcp.vertex.agent"
REQUEST = {
    "model": "gemini-2.5-flash",
    "config": {"system_instruction": "You are porter.", "temperature": 0.2},
    "contents": [
        {"role": "user", "parts": [{"text": "A room, please"}]},
        {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "rooms", "args": {"city": "Ulm"}}}]},
        {"role": "user", "parts": [{"function_response": {"id": "c1", "name": "rooms", "response": {"rooms": 3}}}]},
    ],
}
RESPONSE = {
    "content": {"role": "model", "parts": [{"text": "3 rooms."}]},
    "usage_metadata": {"candidates_token_count": 20, "thoughts_token_count": 5, "cached_content_token_count": 8},
}


def adk(name: str, start: float, end: float, parent: str | None = None, **a: Any) -> RawSpan:
    return raw(name, start, end, parent, a={key.replace("__", "."): value for key, value in a.items()}, scope=SCOPE)


def call(**more: Any) -> RawSpan:
    usage = {
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 25,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }
    return raw(
        "call", 0, 1, a=genai("generate_content", request__model="openai/gpt-5-mini") | usage | more, scope=SCOPE
    )


def test_version_1() -> None:
    """The run is named after its first agent; messages, arguments, answers and the target of a transfer are read from JSON."""
    asked = json.dumps(REQUEST)
    usage = {
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.request.model": "gemini-2.5-flash",
    }
    content = {
        f"{SCOPE}.llm_request": asked,
        f"{SCOPE}.llm_response": json.dumps(RESPONSE),
        f"{SCOPE}.session_id": "s1",
    }
    porter = genai("invoke_agent", agent__name="porter")
    transfer = {f"{SCOPE}.tool_call_args": '{"agent_name": "booker"}', f"{SCOPE}.tool_response": '{"result": null}'}
    tool = {f"{SCOPE}.tool_call_args": '{"city": "Ulm"}', f"{SCOPE}.tool_response": '{"rooms": 3}'}
    rows, batch = read(
        adk("invocation", 0, 9),
        raw("invoke_agent porter", 1, 5, "invocation", a=porter, scope=SCOPE),
        raw("call_llm", 1, 2, "invoke_agent porter", a={"gen_ai.system": SCOPE} | usage | content, scope=SCOPE),
        raw("rooms", 2, 3, "invoke_agent porter", a=genai("execute_tool", tool__name="rooms") | tool, scope=SCOPE),
        raw("go", 3, 4, "invoke_agent porter", a=genai("execute_tool", tool__name="transfer_to_agent") | transfer, scope=SCOPE),
        raw("execute_tool (merged)", 4, 4.1, "invoke_agent porter", a=genai("execute_tool", tool__name="(merged tools)"), scope=SCOPE),
        raw("invoke_agent booker", 5, 8, "invocation", a=genai("invoke_agent", agent__name="booker"), scope=SCOPE),
    )  # fmt: skip
    called = rows["call_llm"]

    assert (rows["invocation"].kind, rows["invocation"].workflow, called.session_id) == ("workflow", "porter", "s1")
    assert texts(batch, called.input_refs) == [
        {"content": "You are porter.", "role": "system"},
        {"content": "A room, please", "role": "user"},
        {"role": "assistant", "tool_calls": [{"arguments": {"city": "Ulm"}, "id": "c1", "name": "rooms"}]},
        {"content": {"rooms": 3}, "name": "rooms", "role": "tool", "tool_call_id": "c1"},
    ]
    assert texts(batch, called.output_refs) == [{"content": "3 rooms.", "role": "assistant"}]
    assert (called.output_tokens, called.reasoning_tokens, called.cached_tokens) == (25, 5, 8)
    assert json.loads(called.attributes)[f"{SCOPE}.llm_request"]["config"] == {"temperature": 0.2}
    assert texts(batch, rows["rooms"].output_refs) == [{"rooms": 3}]
    assert (rows["go"].kind, rows["go"].target_agent) == ("handoff", "booker")
    assert rows["execute_tool (merged)"].kind == "other"


def test_agents_inside_the_call_that_asked_for_them() -> None:
    """Version 1 runs what a call asks for inside the call's span: another agent's only call is one of its own, and a transfer no call."""
    gpt = {"gen_ai.system": SCOPE, "gen_ai.request.model": "openai/gpt-4.1-mini", "gen_ai.usage.input_tokens": 1000} | {
        "gen_ai.usage.output_tokens": 200
    }
    passing = genai("execute_tool", tool__name="transfer_to_agent")
    passing[f"{SCOPE}.tool_call_args"] = '{"agent_name": "booker", "reason": "a room"}'
    rows, _ = read(
        adk("invocation", 0, 9),
        raw("porter", 1, 8, "invocation", a=genai("invoke_agent", agent__name="porter"), scope=SCOPE),
        raw("outer", 2, 7, "porter", a=gpt, scope=SCOPE),
        raw("go", 3, 4, "outer", a=passing, scope=SCOPE),
        raw("booker", 4, 6, "outer", a=genai("invoke_agent", agent__name="booker"), scope=SCOPE),
        raw("inner", 5, 6, "booker", a=gpt, scope=SCOPE),
    )

    assert (rows["inner"].duplicate_of, rows["inner"].agent, rows["outer"].agent) == (None, "booker", "porter")
    assert rows["booker"].reason == "handoff from porter: a room"
    assert rows["inner"].cost_usd is not None


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({}, 20),
        ({"gen_ai.request.model": "gemini-2.5-pro"}, 25),
        ({"gen_ai.request.model": "projects/p/models/gemini-2.5-pro"}, 25),
        ({f"{SCOPE}.llm_response": json.dumps(RESPONSE)}, 25),
        (oi("LLM", llm__token_count__completion=20), 20),
    ],
)
def test_reasoning_counts_once(more: dict[str, Any], output: int) -> None:
    """Behind LiteLLM it is in the output already, to which version 2 adds it again; version 1 and OpenInference do not."""
    rows, _ = read(call(**more))

    assert rows["call"].output_tokens == output


def test_content_that_was_not_to_be_recorded_is_no_content() -> None:
    """Version 2 writes `{}` in its place."""
    off = {f"{SCOPE}.tool_call_args": "{}", f"{SCOPE}.tool_response": "{}"}
    rows, _ = read(raw("t", 0, 1, a=genai("execute_tool", tool__name="rooms") | off, scope=SCOPE))

    assert (rows["t"].args_hash, rows["t"].input_refs) == (None, None)
