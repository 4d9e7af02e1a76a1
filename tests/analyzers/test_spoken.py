"""What a stored content says: the same words whatever ids a framework puts around them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzers.events import spoken


def langchain(number: int) -> dict[str, Any]:
    data = {"content": "30 days", "name": "search", "id": f"lc_run-{number}", "tool_call_id": f"call_{number}_0"}
    return {"type": "tool", "data": data}


ANSWERS = {
    "LangChain": langchain,
    "LangChain, serialised": lambda n: {
        "lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": langchain(n)["data"]
    },
    "LangChain, dumped": lambda n: {"type": "ai", **langchain(n)["data"]},
    "OpenAI chat": lambda n: {"role": "tool", "tool_call_id": f"call_{n}", "content": "30 days"},
    "OpenAI responses": lambda n: {"type": "function_call_output", "call_id": f"call_{n}", "output": "30 days"},
    "Anthropic": lambda n: {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": [{"type": "text", "text": "30 days"}]},
    "Pydantic AI": lambda n: {"part_kind": "tool-return", "tool_call_id": f"pyd_{n}", "content": "30 days"},
}  # fmt: skip


@pytest.mark.parametrize("framework", ANSWERS)
def test_ids_of_calls_and_messages_are_no_words(framework: str) -> None:
    """An answer given twice says the same twice: alone, in a list and inside a state."""
    first, second = (ANSWERS[framework](number) for number in (1, 2))
    assert spoken(json.dumps(first)) == "30 days"
    for wrap in (list, lambda each: {"messages": each}):
        assert spoken(json.dumps(wrap([first]))) == spoken(json.dumps(wrap([second])))
        assert "30 days" in spoken(json.dumps(wrap([first])))


AS_THEY_ARE = [
    '{"id": "A-17", "status": "delivered"}',
    '[{"name": "Anna", "role": "engineer", "result": 3}]',
    '{"call_id": 17, "caller": "Anna"}',
    '{"type": "tool", "data": {"price": 3, "content_id": 1}}',
    '{"role": ',
    "[note] plain words",
]


@pytest.mark.parametrize("body", AS_THEY_ARE)
def test_other_contents_stay_as_they_are(body: str) -> None:
    """Ids of things are what a result is about."""
    assert spoken(body) == body


def test_a_call_that_is_asked_for_is_its_name_and_arguments() -> None:
    """In LangChain's words and in OpenAI's, without its id."""
    asked = {"name": "search", "args": {"query": "refunds"}, "id": "call_7"}
    assert (
        spoken(json.dumps({"type": "ai", "data": {"content": "", "tool_calls": [asked]}}))
        == 'search {"query":"refunds"}'
    )
    inner = {"id": "call_7", "function": {"name": "search", "arguments": '{"query":"refunds"}'}}
    assert (
        spoken(json.dumps({"role": "assistant", "content": None, "tool_calls": [inner]}))
        == 'search {"query":"refunds"}'
    )
