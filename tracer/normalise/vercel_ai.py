"""Vercel AI SDK (v3-v6): ai.* names; `ai.generateText` is the whole, `ai.generateText.doGenerate` the model call.

The outer span repeats the sum of its calls, so only do* spans are LLM calls. An outer span with a `functionId` is an
agent of that name; without one it is structure. Times to first chunk are milliseconds here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tracer.model import RawSpan, SpanKind
from tracer.normalise.messages import message_list
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_float, as_text, parse_json
from tracer.semconv import VercelAI

_CALLS = (".doGenerate", ".doStream")


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "ai" in words and (VercelAI.OPERATION in raw.attributes or raw.name.startswith("ai."))


def kind(raw: RawSpan) -> str | None:
    operation = as_text(raw.attributes.get(VercelAI.OPERATION)) or raw.name.split(" ", 1)[0]
    if operation.endswith(_CALLS):
        return SpanKind.LLM
    if operation.endswith(".doEmbed"):
        return SpanKind.EMBEDDING
    if operation == "ai.toolCall":
        return SpanKind.TOOL
    if operation.startswith("ai.embed"):
        return SpanKind.OTHER
    return SpanKind.AGENT if VercelAI.FUNCTION_ID in raw.attributes else SpanKind.OTHER


def read(reading: Reading) -> None:
    span, attributes = reading.span, reading.attributes
    if reading.kind == SpanKind.TOOL:
        reading.set_arguments(attributes.get(VercelAI.TOOL_ARGS))
        reading.set_result(attributes.get(VercelAI.TOOL_RESULT))
        return
    milliseconds = as_float(attributes.get(VercelAI.FIRST_CHUNK_MS))
    if reading.kind == SpanKind.LLM and milliseconds is not None and milliseconds >= 0:
        span.ttft_ns = round(milliseconds * 1e6)
    for name in (VercelAI.PROMPT_MESSAGES, VercelAI.PROMPT):
        if sent := _sent(attributes.get(name)):
            refs = reading.contents.put_messages(sent)
            reading.replaced[name] = {"$messages": refs}
            reading.set_input(refs)
    answer = _answer(attributes)
    if answer is not None:
        reading.set_output(reading.contents.put_messages([answer]))


def _sent(value: Any) -> list[dict[str, Any]]:
    """The messages of `ai.prompt.messages` (a JSON list) or `ai.prompt` ({system, prompt, messages})."""
    parsed = parse_json(value)
    before: list[dict[str, Any]] = []
    if isinstance(parsed, Mapping):
        prompt = cast(Mapping[str, Any], parsed)
        if isinstance(prompt.get("system"), str) and prompt["system"]:
            before.append({"role": "system", "content": prompt["system"]})
        if isinstance(prompt.get("prompt"), str):
            return [*before, {"role": "user", "content": prompt["prompt"]}]
        parsed = prompt.get("messages", prompt.get("prompt"))
    if not isinstance(parsed, list):
        return before
    plain = [_plain(cast(Mapping[str, Any], item)) for item in cast(list[Any], parsed) if isinstance(item, Mapping)]
    return [*before, *(message_list(plain) or [])]


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with the SDK's own parts as one with the parts of OTel GenAI."""
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    parts: list[Any] = []
    for part in cast(list[Any], content):
        inner = cast(dict[str, Any], part) if isinstance(part, dict) else dict[str, Any]()
        if inner.get("type") == "tool-call":
            parts.append({"type": "tool_call", **_call(inner)})
        elif inner.get("type") == "tool-result":
            result: Any = inner.get("output", inner.get("result"))
            if isinstance(result, dict) and "value" in result:  # v5: {"type": "text" | "json", "value": ...}
                result = cast(dict[str, Any], result)["value"]
            parts.append({"type": "tool_call_response", "id": inner.get("toolCallId"), "result": result})
        else:
            parts.append(part)
    return {**{key: value for key, value in message.items() if key != "content"}, "parts": parts}


def _call(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": raw.get("toolCallId"), "name": raw.get("toolName"), "arguments": raw.get("input", raw.get("args"))}


def _answer(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    text = as_text(attributes.get(VercelAI.RESPONSE_TEXT)) or as_text(attributes.get(VercelAI.RESPONSE_OBJECT))
    calls = parse_json(attributes.get(VercelAI.RESPONSE_TOOL_CALLS))
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if isinstance(calls, list):
        parts += [
            {"type": "tool_call", **_call(cast(Mapping[str, Any], item))}
            for item in cast(list[Any], calls)
            if isinstance(item, Mapping)
        ]
    found = message_list([{"role": "assistant", "parts": parts}]) if parts else None
    return found[0] if found else None


ADAPTER = Adapter("vercel_ai", recognises, kind, read)
