"""Reads the answer of an LLM client, whichever library it is from, by the names of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFacts:
    """What an answer says; None where it says nothing."""

    messages: tuple[Any, ...] = ()
    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


def facts_of(response: Any) -> ResponseFacts:
    """Facts of a chat completion (`choices`), a message (`content`, `usage`), a response (`output`), a dict of these, or a text."""
    if isinstance(response, str):
        return ResponseFacts(messages=({"role": "assistant", "content": response},))
    usage = _get(response, "usage")
    details_in = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    details_out = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
    messages, finish = _messages(response)
    read, written = _number(usage, "cache_read_input_tokens"), _number(usage, "cache_creation_input_tokens")
    sent = _number(usage, "prompt_tokens", "input_tokens")
    if sent is not None and (read or written):
        sent += (read or 0) + (written or 0)  # Anthropic counts cached tokens apart
    return ResponseFacts(
        messages=messages,
        model=_text(response, "model"),
        response_id=_text(response, "id"),
        finish_reason=finish or _text(response, "stop_reason", "finish_reason"),
        input_tokens=sent,
        output_tokens=_number(usage, "completion_tokens", "output_tokens"),
        cached_tokens=read if read is not None else _number(details_in, "cached_tokens"),
        cache_write_tokens=written,
        reasoning_tokens=_number(details_out, "reasoning_tokens"),
    )


def _messages(response: Any) -> tuple[tuple[Any, ...], str | None]:
    choices = _get(response, "choices")
    if _is_list(choices) and choices:
        found = tuple(m for m in (_get(choice, "message") for choice in choices) if m is not None)
        return found, _text(choices[0], "finish_reason")
    output = _get(response, "output")
    if _is_list(output):
        return tuple(output), None
    content = _get(response, "content")
    if content is None:
        content = _get(response, "text")
    if content is not None:
        return ({"role": _text(response, "role") or "assistant", "content": content},), None
    return (() if _get(response, "usage") is not None else (response,)), None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _get(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source).get(name)
    return getattr(source, name, None)


def _number(source: Any, *names: str) -> int | None:
    for name in names:
        value = _get(source, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _text(source: Any, *names: str) -> str | None:
    for name in names:
        value = _get(source, name)
        if isinstance(value, str):
            return value
    return None
