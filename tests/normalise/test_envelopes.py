"""Equal tool calls and equal answers are equal, whatever LangChain's instrumentors put around them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.normalise.captured import resolved
from tracer.normalise.envelopes import tool_answer, tool_arguments

MESSAGE = {"content": "Oslo: rain", "additional_kwargs": {}, "type": "tool", "name": "weather", "status": "success"}
ENVELOPES = {
    "OpenInference": lambda call: {"type": "tool", "data": {**MESSAGE, "tool_call_id": call}},
    "LangSmith": lambda call: {"output": {**MESSAGE, "tool_call_id": call}},
    "OpenLLMetry": lambda call: {
        "output": {"lc": 1, "type": "constructor", "kwargs": {**MESSAGE, "tool_call_id": call}},
        "kwargs": {"tags": [f"seq:step:{call}"]},
    },
    "AG2": lambda call: [True, {"role": "function", "name": "weather", "content": "Oslo: rain"}],
    "a message as text": lambda call: f"content='Oslo: rain' name='weather' tool_call_id='{call}'",
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_the_answer_is_what_the_tool_said(name: str) -> None:
    """Of two calls, whose envelopes differ."""
    assert [tool_answer(ENVELOPES[name](call)) for call in ("call_1", "call_2")] == ["Oslo: rain"] * 2


@pytest.mark.parametrize(
    "value",
    [
        "content='a' of a file",
        "plain",
        7,
        None,
        [1],
        [True, {"content": "a page"}],
        {"content": "a page"},
        {"output": {"content": "a page"}},
        {"data": 1},
    ],
)
def test_anything_else_stays(value: Any) -> None:
    """A tool may answer with whatever looks alike."""
    assert tool_answer(value) == value


def test_arguments_are_what_the_tool_got() -> None:
    """Not the step, the tags and the metadata of the call; a tool may have arguments of these names."""
    told = {"input_str": "{'q': 1}", "tags": ["seq:step:3"], "metadata": {"langgraph_step": 3}}
    assert tool_arguments(told) == {"q": 1}
    assert tool_arguments({**told, "inputs": {"q": 2}}) == {"q": 2}
    assert tool_arguments({"input_str": "x", "q": json.dumps(1)}) == {"input_str": "x", "q": "1"}


@pytest.mark.parametrize(
    "name", ["langgraph-openinference-loop", "langgraph-openllmetry-ordinary", "langgraph-langsmith-ordinary"]
)
def test_repeated_calls_of_a_capture_are_equal(name: str) -> None:
    """The same search seven times over: one hash of the arguments, one of the answer."""
    calls = [row for row in resolved(name) if row.tool_name == "search_docs"]
    assert calls
    assert {(len({row.args_hash for row in calls}), len({row.result_hash for row in calls}))} == {(1, 1)}
