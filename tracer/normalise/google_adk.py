"""Google ADK's own attributes: what version 1 says of calls and tools, and how both versions count tokens.

    invocation > invoke_agent porter > call_llm, execute_tool rooms        version 1; content in gcp.vertex.agent.*
    invoke_workflow porter > invoke_agent porter > generate_content ...    version 2; content in the names of GenAI

Models behind LiteLLM answer with reasoning as a part of their output tokens, Gemini with reasoning beside them. Version 2 adds the
two up whoever answered, version 1 never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tracer.model import RawSpan, SpanKind
from tracer.normalise.messages import canonical, system_messages
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_int, as_object, as_text
from tracer.semconv import GenAI, GoogleADK

SCOPE = "gcp.vertex.agent"
_MERGED = "execute_tool (merged)"
_GEMINI = re.compile(r"(?:projects|publishers|models|apigee)/|[^/]*$")
"""models that LiteLLM is not asked for, whose names bear its provider"""
_NOT_SAID = "<not specified>"


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return raw.scope == SCOPE


def kind(raw: RawSpan) -> str | None:
    """The span that repeats the answers of tools that ran side by side is no tool; the outermost of version 1 has no attributes."""
    if raw.name == _MERGED:
        return SpanKind.OTHER
    return SpanKind.WORKFLOW if raw.name == GoogleADK.INVOCATION else None


def read(reading: Reading) -> None:
    span, attributes = reading.span, reading.attributes
    if span.tool_call_id == _NOT_SAID:
        span.tool_call_id = None
    match reading.kind:
        case SpanKind.TOOL:
            given, got = (
                as_text(attributes.get(GoogleADK.TOOL_ARGUMENTS)),
                as_text(attributes.get(GoogleADK.TOOL_RESPONSE)),
            )
            if (given, got) != ("{}", "{}"):  # which stand for content that was not to be recorded
                reading.set_arguments(given)
                reading.set_result(got)
        case SpanKind.LLM:
            request = as_object(attributes.get(GoogleADK.REQUEST)) or {}
            response = as_object(attributes.get(GoogleADK.RESPONSE)) or {}
            _messages(reading, request, response)
            _tokens(reading, response)
        case _:
            pass


def _messages(reading: Reading, request: Mapping[str, Any], response: Mapping[str, Any]) -> None:
    """The conversation, once; what else the request and the response hold stays where it was."""
    config = request.get("config")
    settings = dict(cast(dict[str, Any], config)) if isinstance(config, dict) else {}
    contents, answer = request.get("contents"), response.get("content")
    if isinstance(contents, list):
        told = system_messages(settings.pop("system_instruction", None))
        sent = [message for item in cast(list[Any], contents) for message in _content(item)]
        ids = reading.contents.put_messages([*told, *sent])
        reading.set_input(ids)
        rest = {key: value for key, value in request.items() if key not in ("contents", "config")}
        reading.replaced[GoogleADK.REQUEST] = {**rest, "config": settings, "$messages": ids}
    if answer:
        ids = reading.contents.put_messages(list(_content(answer)))
        reading.set_output(ids)
        rest = {key: value for key, value in response.items() if key != "content"}
        reading.replaced[GoogleADK.RESPONSE] = {**rest, "$messages": ids}


def _content(item: Any) -> Iterator[dict[str, Any]]:
    """A `Content` of Gemini's API as messages."""
    if not isinstance(item, dict):
        return
    content = cast(dict[str, Any], item)
    role = "assistant" if content.get("role") == "model" else content.get("role") or "user"
    parts = content.get("parts")
    shown = [_part(cast(dict[str, Any], part)) for part in cast(list[Any], parts or []) if isinstance(part, dict)]
    yield from canonical({"role": role, "parts": shown})


def _part(part: dict[str, Any]) -> dict[str, Any]:
    call, answer = part.get("function_call"), part.get("function_response")
    if isinstance(call, dict):
        asked = cast(dict[str, Any], call)
        return {"type": "tool_call", "id": asked.get("id"), "name": asked.get("name"), "arguments": asked.get("args")}
    if isinstance(answer, dict):
        return {"type": "tool_call_response", **cast(dict[str, Any], answer)}
    return {"type": "text", "text": part["text"]} if isinstance(part.get("text"), str) else part


def _tokens(reading: Reading, response: Mapping[str, Any]) -> None:
    """Output with reasoning in it, once. Counts of an instrumentor beside ADK are its own."""
    span = reading.span
    told = next(
        (count for name in GenAI.OUTPUT_TOKENS if (count := as_int(reading.attributes.get(name))) is not None), None
    )
    if told is None or span.output_tokens != told:
        return
    by_litellm = _GEMINI.match(span.model or "") is None
    usage = response.get("usage_metadata")
    if isinstance(usage, dict):
        counts = cast(dict[str, Any], usage)
        thought = as_int(counts.get("thoughts_token_count"))
        span.cached_tokens = span.cached_tokens or as_int(counts.get("cached_content_token_count"))
        span.reasoning_tokens = span.reasoning_tokens or thought
        counted = told if by_litellm else told + (thought or 0)
    else:
        counted = told - (span.reasoning_tokens or 0) if by_litellm else told
    if 0 <= counted != told:
        span.output_tokens = counted
        span.derived = [*(span.derived or ()), "output_tokens"]


ADAPTER = Adapter("google_adk", recognises, kind, read)
