"""Entries of transcripts in the shapes that frameworks write, as plain messages `{role, name, content, tool_calls, tool_call_id}`.

| written | by | plain |
|---|---|---|
| `{"type": "ai", "content"}`, `{"type": "ai", "data": {...}}`, `{"lc": 1, "id": [.., "AIMessage"], "kwargs": {...}}` | LangChain | `role` assistant |
| `{"author": {"role", "name"}, "content": {"parts": [...]}}` | ChatGPT's export | `role`, `name`, `content` |
| content with `tool_use` and `tool_result` parts | Anthropic | `tool_calls`; a message of role tool for each result |
| `"function_call": {"name", "arguments"}` | OpenAI, of old | `tool_calls` |
| `agent_name`, `speaker_name`, `msg`, `utterance` ... | many | `name`, `content` |

Whatever else an entry holds is kept beside it. An entry that is plain already is given back as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tracer.importers.shape import mapping, mappings

AUTHORS = ("agent", "name", "source", "speaker", "sender", "author", "from", "role")
TEXTS = ("content", "text", "message", "value", "output", "parts")
_ROLES = {
    "human": "user",
    "humanmessage": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "tool": "tool",
    "toolmessage": "tool",
    "function": "tool",
    "functionmessage": "tool",
    "system": "system",
    "systemmessage": "system",
    "user": "user",
    "assistant": "assistant",
}
"""what LangChain calls the kinds of its messages"""
_NAMED = ("agent_name", "speaker_name", "sender_name", "from_agent", "author_name", "role_name")
_SAID = ("msg", "utterance", "response", "body", "message_content", "observation")
_WRAPPED = ("data", "kwargs")
_RESULT = frozenset({"tool_result", "tool_response", "function_call_output"})
_USE = frozenset({"tool_use", "tool_call", "function_call"})


def is_message(item: Any) -> bool:
    """True for an object with an author and a text (or tool calls), in any shape listed above."""
    return any(is_plain(held) for held in plain(item))


def is_plain(held: Mapping[str, Any]) -> bool:
    """The same of an entry in the plain shape."""
    return any(isinstance(held.get(key), str) for key in AUTHORS) and any(key in held for key in (*TEXTS, "tool_calls"))


def plain(entry: Any) -> list[Mapping[str, Any]]:
    """The messages that an entry is: one, or one for each answer of a tool in it; [] for anything but an object."""
    if not isinstance(entry, Mapping):
        return []
    told = _typed(cast(Mapping[str, Any], entry))
    told = _authored(told)
    if all(key not in told for key in (*TEXTS, "tool_calls")):
        said = next((told[key] for key in _SAID if isinstance(told.get(key), str | list)), None)
        if said is not None:
            told = {**told, "content": said}
    if (call := mapping(told.get("function_call"))) and not told.get("tool_calls"):
        told = {**told, "tool_calls": [{"function": call}]}
    parts = told.get("content")
    return _parted(told, cast(list[Any], parts)) if isinstance(parts, list) else [told]


def _typed(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """LangChain's own forms, and messages inside of `{"message": {...}}`."""
    kind = entry.get("type")
    dumped = entry.get("id")
    if entry.get("lc") == 1 and isinstance(dumped, list):
        kind = (cast(list[Any], dumped) or [""])[-1]
    role = _ROLES.get(kind.lower()) if isinstance(kind, str) else None
    for key in _WRAPPED:
        if role and (inner := mapping(entry.get(key))):
            return {**inner, "role": role}
    inner = mapping(entry.get("message"))
    if "content" in inner:
        return {**{key: value for key, value in entry.items() if key != "message"}, **inner}
    if role and "role" not in entry and "content" in entry:
        return {**entry, "role": role}
    return entry


def _authored(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if author := mapping(entry.get("author")):
        who = {key: value for key, value in author.items() if value and key in ("name", "role")}
        entry = {**{key: value for key, value in entry.items() if key != "author"}, **who}
    if held := mapping(entry.get("content")):
        text = next((held[key] for key in ("parts", "text", "content") if isinstance(held.get(key), str | list)), None)
        if text is not None:
            entry = {**entry, "content": text}
    if not any(isinstance(entry.get(key), str) and entry[key].strip() for key in AUTHORS[:-1]):
        named = next((entry[key] for key in _NAMED if isinstance(entry.get(key), str) and entry[key].strip()), None)
        if named is not None:
            entry = {**entry, "name": named}
    return entry


def _parted(entry: Mapping[str, Any], parts: list[Any]) -> list[Mapping[str, Any]]:
    texts: list[Any] = []
    uses: list[Any] = []
    results: list[Mapping[str, Any]] = []
    for part in parts:
        held = mapping(part)
        kind = str(held.get("type") or "").replace("-", "_")
        if kind in _RESULT:
            results.append(
                {
                    "role": "tool",
                    "tool_call_id": held.get("tool_use_id") or held.get("tool_call_id") or held.get("call_id") or held.get("toolCallId"),
                    "content": held.get("content", held.get("output", held.get("result"))),
                    "is_error": held.get("is_error") is True or held.get("isError") is True,
                }
            )  # fmt: skip
        elif kind in _USE:
            uses.append(
                {
                    "id": held.get("id") or held.get("call_id") or held.get("toolCallId"),
                    "function": {
                        "name": held.get("name") or held.get("toolName"),
                        "arguments": held.get("input", held.get("arguments", held.get("args"))),
                    },
                }
            )
        else:
            texts.append(part)
    if not uses and not results:
        return [entry]
    found: list[Mapping[str, Any]] = []
    if texts or uses:
        made: dict[str, Any] = {**entry, "content": texts}
        if uses:
            made["tool_calls"] = [*mappings(entry.get("tool_calls")), *uses]
        found.append(made)
    beside = {key: value for key, value in entry.items() if key not in (*AUTHORS, *TEXTS, "tool_calls", "is_error")}
    return [*found, *({**beside, **result} for result in results)]
