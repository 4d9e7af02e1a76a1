"""Reads the answer of an LLM client, whichever library it is from, by the names of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .content import encode


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
    if _get(response, "usage_metadata") is not None and _get(response, "candidates") is not None:
        response = google_answer(response)
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


def google_answer(response: Any) -> dict[str, Any]:
    """Google's `GenerateContentResponse` in the shape of a chat completion. Thoughts are billed as output and counted in it."""
    usage = _get(response, "usage_metadata")
    made, thought = _number(usage, "candidates_token_count"), _number(usage, "thoughts_token_count")
    choices: list[dict[str, Any]] = []
    for candidate in _get(response, "candidates") or ():
        parts: list[Any] = _get(_get(candidate, "content"), "parts") or []
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(_text(part, "text") or "" for part in parts if not _get(part, "thought")),
        }
        calls = [call for part in parts if (call := _get(part, "function_call")) is not None]
        if calls:
            message["tool_calls"] = [
                {
                    "id": _text(call, "id"),
                    "type": "function",
                    "function": {"name": _text(call, "name"), "arguments": encode(_get(call, "args") or {})},
                }
                for call in calls
            ]
        finish = _get(candidate, "finish_reason")
        choices.append({"message": message, "finish_reason": _text(finish, "value") or (finish and str(finish))})
    return {
        "id": _text(response, "response_id"),
        "model": _text(response, "model_version"),
        "choices": choices,
        "usage": {
            "prompt_tokens": _number(usage, "prompt_token_count"),
            "completion_tokens": None if made is None and thought is None else (made or 0) + (thought or 0),
            "prompt_tokens_details": {"cached_tokens": _number(usage, "cached_content_token_count")},
            "completion_tokens_details": {"reasoning_tokens": thought},
        },
    }


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
