"""The first words of a recorded text, for labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from dashboard.figures.markup import clip

_LOOKED_AT = 4_000


def first_words(contents: Mapping[int, str], refs: Iterable[int] | None, limit: int = 80) -> str:
    """The first line of the first non-empty text of `refs`, unwrapped from a message object; "" where nothing was recorded."""
    for ref in refs or ():
        if words := clip(spoken(contents.get(ref, "")), limit):
            return words
    return ""


def spoken(body: str) -> str:
    """What a message says: its `content` or text `parts`; any other text is returned as it is. A long body is only looked at, not parsed."""
    if body.lstrip()[:1] != "{" or len(body) > 200_000:
        return body[:_LOOKED_AT]
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):  # RecursionError: brackets nested thousands deep
        return body[:_LOOKED_AT]
    return _said(cast("dict[str, Any]", parsed)) or body[:_LOOKED_AT]


def _said(fields: dict[str, Any], depth: int = 0) -> str:
    """The text of a message, of the last message of a conversation, or of the one field that holds a text."""
    messages = fields.get("messages")
    if isinstance(messages, list) and messages:
        last = cast("list[object]", messages)[-1]
        if isinstance(last, dict):
            return _said(cast("dict[str, Any]", last), depth + 1) if depth < 4 else ""
        return str(last)[:_LOOKED_AT]
    inner = fields.get("data")
    if isinstance(inner, dict) and depth < 4:  # LangChain: {"type": "human", "data": {"content": ...}}
        return _said(cast("dict[str, Any]", inner), depth + 1)
    for name in ("content", "parts", "text", "task", "input", "query", "question"):
        if texts := _texts(fields.get(name)):
            return texts[:_LOOKED_AT]
    calls = fields.get("tool_calls")
    if isinstance(calls, list):
        names = [_call_name(call) for call in cast("list[object]", calls)]
        return f"calls {', '.join(name for name in names if name)}"
    return ""


def _texts(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    found: list[str] = []
    for part in cast("list[object]", value):
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict):
            fields = cast("dict[str, object]", part)
            text = fields.get("text") or fields.get("content")
            if isinstance(text, str):
                found.append(text)
    return "\n".join(found)


def _call_name(call: object) -> str:
    if not isinstance(call, dict):
        return ""
    fields = cast("dict[str, object]", call)
    inner = fields.get("function")
    holder = cast("dict[str, object]", inner) if isinstance(inner, dict) else fields
    return str(holder.get("name") or "")
