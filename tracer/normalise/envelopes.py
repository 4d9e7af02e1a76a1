"""What instrumentors of LangChain and AG2 put around a tool's arguments and answer, which is another one at every call.

    answer      {"type": "tool", "data": {"content": ..., "tool_call_id": ...}}                 OpenInference
                {"output": {"content": ..., "type": "tool", "tool_call_id": ...}}               LangSmith
                {"output": {"lc": 1, "kwargs": {"content": ...}}, "kwargs": {"tags", ...}}      OpenLLMetry
                content='...' name='search' tool_call_id='call_1'                               text of a message
                [true, {"name": "search", "role": "function", "content": ...}]                  AG2
    arguments   {"input_str": "{'q': 1}", "inputs": {"q": 1}, "tags", "metadata", ...}          OpenLLMetry

Hashes are made of what is inside, so that equal calls and equal answers are equal; the texts are stored as they came.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, cast

from tracer.normalise.values import parse_json

_TEXT = re.compile(r"content=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\") .*\btool_call_id='", re.DOTALL)
_LEVELS = ("output", "data", "kwargs", "message")


def tool_answer(value: Any) -> Any:
    """The content of a tool's message, else `value`."""
    if isinstance(value, str):
        found = _TEXT.match(value) if value.startswith("content=") else None
        return ast.literal_eval(found[1]) if found else value
    if isinstance(value, list):
        return _executed(cast(list[Any], value))
    inner = value
    for _ in range(len(_LEVELS)):
        if not isinstance(inner, Mapping):
            return value
        held = cast(Mapping[str, Any], inner)
        if "content" in held and "tool_call_id" in held:
            content = held["content"]
            parsed = parse_json(content) if isinstance(content, str) else content
            return content if parsed is None else parsed
        inner = next((held[name] for name in _LEVELS if isinstance(held.get(name), Mapping)), None)
    return value


def _executed(value: list[Any]) -> Any:
    if len(value) != 2 or not isinstance(value[0], bool) or not isinstance(value[1], Mapping):
        return value
    message = cast(Mapping[str, Any], value[1])
    return message["content"] if message.get("role") == "function" and "content" in message else value


def tool_arguments(value: Mapping[str, Any]) -> Any:
    """The arguments that a callback of LangChain was told of, else `value`."""
    if "input_str" not in value or "metadata" not in value:
        return value
    inputs = value.get("inputs")
    if isinstance(inputs, Mapping) and inputs:
        return cast(Any, inputs)
    text = value["input_str"]
    parsed = parse_json(text)
    return text if parsed is None else parsed
