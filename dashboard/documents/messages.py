"""Recorded message bodies as people read them: who spoke, the text, the tools asked for.

Bodies are JSON objects, but producers disagree on their insides. Understood: `content` as text or as a list of parts,
OTel GenAI `parts`, `tool_calls` flat or in OpenAI's `function` envelope, Anthropic's `tool_use` / `tool_result` parts.
What is not understood is shown as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """A tool call an assistant asked for; `arguments` is pretty JSON or the text as it came."""

    name: str
    arguments: str
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; `role` is empty where the body names none."""

    role: str
    text: str
    name: str | None = None
    calls: tuple[ToolRequest, ...] = ()
    answers: str | None = None
    """id of the tool call this message is the result of"""


def read_message(body: str) -> Message:
    """Read one body; never fails, a text that is no message is its own content."""
    parsed = _json(body)
    if not isinstance(parsed, dict):
        return Message(role="", text=body if not isinstance(parsed, list) else pretty(body))
    fields = cast("dict[str, Any]", parsed)
    if not fields.keys() & {"role", "content", "parts", "tool_calls"}:
        return Message(role="", text=pretty(body))
    texts: list[str] = []
    calls: list[ToolRequest] = []
    answers = _text_or_none(fields.get("tool_call_id"))
    for part in _parts(fields):
        answers = _read_part(part, texts, calls) or answers
    calls.extend(_request(call) for call in _list(fields.get("tool_calls")) if isinstance(call, dict))
    return Message(
        role=str(fields.get("role") or ("tool" if answers else "")),
        text="\n".join(text for text in texts if text),
        name=_text_or_none(fields.get("name")),
        calls=tuple(calls),
        answers=answers,
    )


def _parts(fields: Mapping[str, Any]) -> Iterable[Any]:
    for slot in ("content", "parts"):
        value = fields.get(slot)
        if isinstance(value, list):
            yield from cast("list[Any]", value)
        elif value is not None:
            yield value


def _read_part(part: Any, texts: list[str], calls: list[ToolRequest]) -> str | None:
    """Sort one part into texts or calls; returns the id of the call it answers, if it is a result."""
    if not isinstance(part, dict):
        texts.append(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, indent=2))
        return None
    fields = cast("dict[str, Any]", part)
    kind = fields.get("type")
    if kind in ("tool_call", "tool_use", "function_call"):
        calls.append(_request(fields))
        return None
    if kind in ("tool_call_response", "tool_result"):
        value = fields.get("result", fields.get("response", fields.get("content")))
        texts.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2))
        return _text_or_none(fields.get("id") or fields.get("tool_use_id"))
    for slot in ("text", "content"):
        if isinstance(fields.get(slot), str):
            texts.append(fields[slot])
            return None
    texts.append(json.dumps(fields, ensure_ascii=False, indent=2))
    return None


def _request(call: Any) -> ToolRequest:
    fields = cast("dict[str, Any]", call)
    envelope = fields.get("function")
    inner = cast("dict[str, Any]", envelope) if isinstance(envelope, dict) else fields
    arguments = inner.get("arguments", inner.get("input", inner.get("args")))
    return ToolRequest(
        name=str(inner.get("name") or "tool"),
        arguments=pretty(arguments)
        if isinstance(arguments, str)
        else json.dumps(arguments, ensure_ascii=False, indent=2),
        call_id=_text_or_none(fields.get("id") or fields.get("tool_call_id")),
    )


def pretty(text: str) -> str:
    """`text` indented where it is a JSON object or list, else unchanged."""
    parsed = _json(text)
    return json.dumps(parsed, ensure_ascii=False, indent=2) if isinstance(parsed, dict | list) else text


def _json(text: str) -> Any:
    if text[:1] not in "{[":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None  # not JSON after all: shown as it is


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text_or_none(value: Any) -> str | None:
    return None if value in (None, "") else str(value)
