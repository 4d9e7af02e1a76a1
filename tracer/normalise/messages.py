"""One shape for a chat message, whoever wrote it.

    {"role": "assistant", "content": "text" | [parts], "tool_calls": [{"id", "name", "arguments"}], "tool_call_id", "name", ...}

The shape is what makes a re-sent history cost nothing: the same message must give the same JSON when it was an answer
and when it comes back as history. So `finish_reason` (only answers carry it) and empty fields are left out, text parts
are joined, and arguments are objects where they parse. Keys nobody knows are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from tracer.normalise.values import as_text, parse_json

_KNOWN = frozenset(
    {"role", "content", "contents", "parts", "tool_calls", "tool_call_id", "name", "finish_reason", "function_call"}
)
_TEXT_MESSAGE = frozenset({"role", "parts", "finish_reason"})
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})


def message_list(value: Any) -> list[dict[str, Any]] | None:
    """The messages in `value` (a list, or a JSON list in a string); None where it holds no messages."""
    parsed = parse_json(value)
    if isinstance(parsed, Mapping):
        inner = cast(Mapping[str, Any], parsed)
        parsed = inner.get("messages", [inner] if _is_message(inner) else None)
    if not isinstance(parsed, list):
        return None
    items = cast(list[Any], parsed)
    if len(items) == 1 and isinstance(items[0], list):  # LangChain sends a batch of one conversation
        items = cast(list[Any], items[0])
    if not items or not all(isinstance(item, Mapping) and _is_message(cast(Mapping[str, Any], item)) for item in items):
        return None
    return [message for item in items for message in canonical(cast(Mapping[str, Any], item))]


def _is_message(item: Mapping[str, Any]) -> bool:
    return "role" in item or "parts" in item


def canonical(raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """`raw` as one message, or several where it carries several tool results.

    Understands OpenAI messages, OTel GenAI `parts` and the nested form of OpenInference's flattened ones.
    """
    simple = _simple(raw)
    if simple is not None:
        yield simple
        return
    role = as_text(raw.get("role")) or "user"
    calls = [_call(item) for item in _mappings(raw.get("tool_calls"))]
    single = raw.get("function_call")
    if isinstance(single, Mapping):
        calls.append(_call(cast(Mapping[str, Any], single)))
    kept: list[Any] = []
    content = raw.get("content")
    if content:
        kept.extend(cast(list[Any], content) if isinstance(content, list) else [content])
    for part in [*_items(raw.get("parts")), *_items(raw.get("contents"))]:
        if not isinstance(part, Mapping):
            kept.append(part)
            continue
        kind = cast(Mapping[str, Any], part).get("type")
        if kind == "tool_call":
            calls.append(_call(cast(Mapping[str, Any], part)))
        elif kind == "tool_call_response":
            yield from _result(cast(Mapping[str, Any], part))
        else:
            kept.append(part)
    message: dict[str, Any] = {"role": role}
    text = _joined(kept)
    if text is not None:
        message["content"] = text
    if calls:
        message["tool_calls"] = calls
    for key in ("name", "tool_call_id"):
        if raw.get(key):
            message[key] = raw[key]
    message |= {key: value for key, value in raw.items() if key not in _KNOWN and value not in (None, "", [], {})}
    if len(message) > 1 or not raw.get("parts"):
        yield message


def _simple(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """A message that is a role and one text, as nearly all are: the same answer as the long way gives."""
    role = raw.get("role")
    if type(role) is not str or not role:
        return None
    if len(raw) == 2:
        content = raw.get("content")
        if type(content) is str and content:
            return {"role": role, "content": content}
    parts = _items(raw.get("parts"))
    if len(parts) != 1 or not isinstance(parts[0], dict) or not raw.keys() <= _TEXT_MESSAGE:
        return None
    part = cast(dict[str, Any], parts[0])
    text = part.get("text") or part.get("content")
    return {"role": role, "content": text} if type(text) is str and part.get("type") in _TEXT_TYPES else None


def system_messages(value: Any) -> list[dict[str, Any]]:
    """System instructions (a list of parts, or text) as system messages, one a part list."""
    parsed = parse_json(value) if isinstance(value, str) and value[:1] in "[{" else value
    if isinstance(parsed, str):
        return [{"role": "system", "content": parsed}] if parsed else []
    parts = _items(parsed)
    if (told := _mappings(parts)) and all("role" in item for item in told):
        return [message for item in told for message in canonical(item)]  # messages already
    text = _joined(parts)
    return [{"role": "system", "content": text}] if text else []


def finish_reasons(value: Any) -> list[str]:
    """The finish reasons inside raw answer messages, which the canonical messages leave out."""
    return [reason for item in _mappings(parse_json(value)) if (reason := as_text(item.get("finish_reason")))]


def unflatten(pairs: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Messages from flattened keys, `N.message.role` (OpenInference) or `N.role` (old OpenLLMetry), in order of N."""
    tree: dict[str, Any] = {}
    for path, value in pairs:
        node = tree
        *steps, last = path.split(".")
        for step in steps:
            inner = node.get(step)
            if not isinstance(inner, dict):
                inner = {} if inner is None else {"": inner}
                node[step] = inner
            node = cast(dict[str, Any], inner)
        node[last] = value
    nested = _lists(tree)
    return [message for item in _mappings(nested if isinstance(nested, list) else []) for message in canonical(item)]


def nested_messages(value: Any) -> list[dict[str, Any]]:
    """Messages that came as a list (or its JSON) under one name: canonical ones, or OpenInference's with `message.role` as key."""
    pairs: list[tuple[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, item in enumerate(_mappings(parse_json(value))):
        if "role" in item:
            found += canonical(item)
        else:
            pairs += _paths(str(number), item)
    return found or unflatten(pairs)


def _paths(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The flattened keys that `value` would have been sent with."""
    if isinstance(value, Mapping):
        for key, item in cast(Mapping[str, Any], value).items():
            yield from _paths(f"{path}.{key}", item)
    elif isinstance(value, list):
        for number, item in enumerate(cast(list[Any], value)):
            yield from _paths(f"{path}.{number}", item)
    elif value is not None:
        yield path, value


def _lists(node: Any) -> Any:
    """Turns dicts with number keys into lists and drops the wrapper names of OpenInference."""
    if not isinstance(node, dict):
        return node
    branch = cast(dict[str, Any], node)
    if branch and all(key.isdigit() for key in branch):
        return [_lists(branch[key]) for key in sorted(branch, key=int)]
    found = {key: _lists(value) for key, value in branch.items()}
    for wrapper in ("message", "message_content", "tool_call"):
        inner = found.pop(wrapper, None)
        if isinstance(inner, dict):
            found.update(cast(dict[str, Any], inner))
        elif inner is not None:
            found[wrapper] = inner
    return found


def _items(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [cast(Mapping[str, Any], item) for item in _items(value) if isinstance(item, Mapping)]


def _call(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A requested tool call as {"id", "name", "arguments"}."""
    function = raw.get("function")
    inner = cast(Mapping[str, Any], function) if isinstance(function, Mapping) else raw
    arguments: Any = inner.get("arguments", raw.get("args"))
    if isinstance(arguments, str):
        parsed = parse_json(arguments)
        if isinstance(parsed, dict | list):
            arguments = cast(Any, parsed)
    call = {
        "id": raw.get("id") or inner.get("id"),
        "name": inner.get("name") or as_text(function),
        "arguments": arguments,
    }
    return {key: value for key, value in call.items() if value not in (None, "")}


def _result(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A tool result part as a message of its own; the specification's example says `result`, its schema `response`."""
    body = part.get("response", part.get("result"))
    message: dict[str, Any] = {"role": "tool", "content": "" if body is None else body}
    if part.get("id"):
        message["tool_call_id"] = part["id"]
    if part.get("name"):
        message["name"] = part["name"]
    yield message


def _joined(parts: list[Any]) -> Any:
    """Text where all parts are text, else the list of parts; None for nothing. A text that is said twice counts once."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and cast(Mapping[str, Any], part).get("type") in _TEXT_TYPES:
            inner = cast(Mapping[str, Any], part)
            texts.append(as_text(inner.get("text")) or as_text(inner.get("content")) or "")
        else:
            return [p for p in parts if p not in (None, "")]
    distinct = [text for position, text in enumerate(texts) if text and (position == 0 or text != texts[0])]
    return "\n".join(distinct) if distinct else None
