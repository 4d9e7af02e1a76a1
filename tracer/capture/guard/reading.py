"""Reads requests and answers of LLM clients by the names of their fields: who asks, how much, what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from ...ids import short_hash
from ...online.sizes import chars_in
from ...online.tariff import Used, tokens_of
from ..content import encode
from ..response import facts_of

_CARRIERS: Final = ("messages", "input", "contents", "system", "instructions", "tools", "prompt")
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_MAX_DEPTH: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """An answer of a tool that is sent to the model for the first time."""

    name: str
    args: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a guard needs of a request."""

    model: str | None = None
    chars: int = 0
    max_output: int | None = None
    speaker: str = ""
    """tells agents apart: a digest of the system prompt"""
    tools: Sequence[ToolResult] = ()
    newest: str = ""
    """the last message, where it is no answer of a tool"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a guard needs of an answer; `used` is None where nobody reported tokens."""

    used: Used | None = None
    text: str = ""
    model: str | None = None
    cost_usd: Decimal | None = None
    """what the caller knows better than the price table"""


def read_request(arguments: Mapping[str, Any], *, with_tools: bool = True) -> Asked:
    """The keyword arguments of a client's `create`."""
    limit: Any = next((arguments[name] for name in _LIMITS if isinstance(arguments.get(name), int)), None)
    config = arguments.get("config")  # google-genai
    if limit is None and config is not None:
        limit = _get(config, "max_output_tokens")
    history: Any = next((arguments[n] for n in ("messages", "input", "contents") if arguments.get(n) is not None), ())
    items = cast("Sequence[Any]", history) if isinstance(history, (list, tuple)) else ()
    model = arguments.get("model")
    system = arguments.get("system") or arguments.get("instructions") or _get(config, "system_instruction")
    if system is None and items and _get(items[0], "role") in ("system", "developer"):
        system = _get(items[0], "content")
    return Asked(
        model=model if isinstance(model, str) else None,
        chars=sum(chars_in(arguments[name]) for name in _CARRIERS if arguments.get(name) is not None)
        + (chars_in(_get(config, "system_instruction")) if config is not None else 0),
        max_output=limit if isinstance(limit, int) and not isinstance(limit, bool) else None,
        speaker=short_hash(encode(system)) if system is not None else "",
        tools=tool_results(items) if with_tools else (),
        newest=newest_of(history),
    )


def newest_of(history: Any) -> str:
    """What the last message of a history says; nothing where a tool answers in it, since that is heard from the tool."""
    if isinstance(history, str):
        return history
    items = _list(history)
    last: Any = items[-1] if items else None
    return "" if last is None or _answers(last) else _text_of(last)


def tool_results(items: Sequence[Any]) -> tuple[ToolResult, ...]:
    """The tool answers at the end of a history, with the calls they answer."""
    answers: list[tuple[str, str]] = []
    calls: dict[str, tuple[str, str]] = {}
    for item in reversed(items):
        found = _answers(item)
        if found and not calls:
            answers += found
            continue
        asked = _calls(item)
        if not asked or not answers:
            break
        calls.update(asked)
    return tuple(
        ToolResult(name=calls.get(call, ("", ""))[0], args=calls.get(call, ("", ""))[1], text=text)
        for call, text in reversed(answers)
    )


def _answers(item: Any) -> list[tuple[str, str]]:
    """(call id, text) of each tool answer in a message or response item."""
    if _get(item, "role") == "tool":
        return [(str(_get(item, "tool_call_id")), encode(_get(item, "content")))]
    if _get(item, "type") == "function_call_output":
        return [(str(_get(item, "call_id")), encode(_get(item, "output")))]
    return [
        (str(_get(block, "tool_use_id")), encode(_get(block, "content")))
        for block in _blocks(item)
        if _get(block, "type") == "tool_result"
    ]


def _calls(item: Any) -> dict[str, tuple[str, str]]:
    """call id -> (tool, arguments) of the calls in a message or response item."""
    if _get(item, "type") == "function_call":
        return {str(_get(item, "call_id")): (str(_get(item, "name")), encode(_get(item, "arguments")))}
    found: dict[str, tuple[str, str]] = {}
    for call in _list(_get(item, "tool_calls")):
        function = _get(call, "function")
        found[str(_get(call, "id"))] = (str(_get(function, "name")), encode(_get(function, "arguments")))
    for block in _blocks(item):
        if _get(block, "type") == "tool_use":
            found[str(_get(block, "id"))] = (str(_get(block, "name")), encode(_get(block, "input")))
    return found


def read_answer(response: Any) -> Answered:
    """A chat completion, a message, a response, or google's `GenerateContentResponse`."""
    counted = _get(response, "usage_metadata")
    if counted is not None:
        return Answered(used=google_usage(counted), text=_text_of(_get(response, "candidates")))
    facts = facts_of(response)
    return Answered(
        used=used_from(facts.input_tokens, facts.output_tokens, facts.cached_tokens, facts.cache_write_tokens),
        text=" ".join(_text_of(message) for message in facts.messages if message is not response),
        model=facts.model,
    )


def used_from(
    given: int | None, made: int | None, cached: int | None = None, written: int | None = None
) -> Used | None:
    """None where neither side was reported."""
    if given is None and made is None:
        return None
    return Used(
        input_tokens=given or 0,
        output_tokens=made or 0,
        cached_tokens=min(cached or 0, given or 0),
        cache_write_tokens=written or 0,
    )


def google_usage(counted: Any) -> Used | None:
    """Thoughts are billed as output; cached content is part of the prompt."""
    made = [_count(counted, "candidates_token_count"), _count(counted, "thoughts_token_count")]
    total = None if made == [None, None] else sum(n or 0 for n in made)
    return used_from(_count(counted, "prompt_token_count"), total, _count(counted, "cached_content_token_count"))


def guessed(asked: Asked, made_chars: int, assumed_output: int) -> Used:
    """The estimate for a call whose tokens nobody reported: never less than was reserved, because a model may think unseen."""
    made = max(tokens_of(made_chars), min(asked.max_output or assumed_output, assumed_output))
    return Used(input_tokens=tokens_of(asked.chars), output_tokens=made, estimated=True)


def _text_of(value: Any, depth: int = 0) -> str:
    """The words, tool names and arguments of an answer, without ids."""
    if isinstance(value, str):
        return value
    if depth > _MAX_DEPTH or value is None or isinstance(value, (int, float, bytes)):
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, (_text_of(item, depth + 1) for item in cast("Sequence[Any]", value))))
    wanted = (
        "content",
        "text",
        "parts",
        "tool_calls",
        "function",
        "function_call",
        "name",
        "arguments",
        "args",
        "input",
    )
    return " ".join(filter(None, (_text_of(_get(value, name), depth + 1) for name in wanted))) or (
        encode(cast("Any", value)) if depth and isinstance(value, Mapping) and not _get(value, "type") else ""
    )


def _get(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source).get(name)
    return getattr(source, name, None)


def _list(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()


def _blocks(item: Any) -> Sequence[Any]:
    return _list(_get(item, "content"))


def _count(source: Any, name: str) -> int | None:
    value = _get(source, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
