"""LangSmith's OpenTelemetry export: gen_ai.* names with whole JSON texts, langsmith.* for the rest.

Chain spans repeat the tokens of the LLM call inside them; only kind llm counts. `session_name` is the project of the
LangSmith account; the conversation is `langsmith.metadata.thread_id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tracer.model import RawSpan, SpanKind, SpanStatus
from tracer.normalise.langgraph import CONTROL_FLOW, place
from tracer.normalise.messages import message_list
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_int, as_object, as_text, parse_json
from tracer.semconv import Common, GenAI, LangSmith

KINDS: dict[str, str] = {
    "llm": SpanKind.LLM,
    "chain": SpanKind.OTHER,
    "tool": SpanKind.TOOL,
    "retriever": SpanKind.RETRIEVER,
    "embedding": SpanKind.EMBEDDING,
    "prompt": SpanKind.OTHER,
    "parser": SpanKind.OTHER,
}
_NAMED_ERROR = re.compile(r"(\w+)\(")
_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}
_DETAILS = (
    (LangSmith.INPUT_DETAILS, "input_token_details", "cache_read", "cached_tokens"),
    (LangSmith.INPUT_DETAILS, "input_token_details", "cache_creation", "cache_write_tokens"),
    (LangSmith.OUTPUT_DETAILS, "output_token_details", "reasoning", "reasoning_tokens"),
)


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "langsmith" in words


def kind(raw: RawSpan) -> str | None:
    named = raw.attributes.get(LangSmith.KIND)
    return KINDS.get(named.lower(), SpanKind.OTHER) if isinstance(named, str) else None


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    place(reading, attributes, LangSmith.METADATA)
    _failure(reading)
    given, got = attributes.get(LangSmith.PROMPT), attributes.get(LangSmith.COMPLETION)
    if reading.kind == SpanKind.TOOL:
        span.tool_name = span.tool_name or raw.name
        reading.set_arguments(_only(given, "input"))
        reading.set_result(_only(got, "output"))
        return
    if reading.kind == SpanKind.LLM:
        _details(reading)
        _answer(reading, parse_json(got))
        for name, value, put in (
            (LangSmith.PROMPT, given, reading.set_input),
            (LangSmith.COMPLETION, got, reading.set_output),
        ):
            if messages := message_list(list(_messages(parse_json(value)))):
                refs = reading.contents.put_messages(messages)
                reading.replaced[name] = {"$messages": refs}
                put(refs)
    for value, put in ((given, reading.set_input), (got, reading.set_output)):
        if value not in (None, ""):
            put([reading.contents.put_value(value)])


def _failure(reading: Reading) -> None:
    """An exception in an event is an error also where the exporter sent OK; its type is always "Exception", the message names it."""
    raw, span = reading.raw, reading.span
    for event in raw.events:
        if event.name == Common.EXCEPTION_EVENT and raw.end_ns is not None and raw.status != "error":
            message = as_text(event.attributes.get(Common.EXCEPTION_MESSAGE)) or ""
            named = _NAMED_ERROR.match(message)
            if named is None or named[1] not in CONTROL_FLOW:
                span.status, span.error_message = SpanStatus.ERROR.value, message or None
                span.error_type = named[1] if named else as_text(event.attributes.get(Common.EXCEPTION_TYPE))


def _details(reading: Reading) -> None:
    """The parts of input and output tokens: attributes of their own, or inside LangChain's usage metadata."""
    usage = as_object(reading.attributes.get(LangSmith.USAGE))
    for name, inner, key, column in _DETAILS:
        if getattr(reading.span, column) is None:
            told = as_object(reading.attributes.get(name)) or as_object(usage.get(inner))
            setattr(reading.span, column, as_int(told.get(key)))


def _answer(reading: Reading, completion: Any) -> None:
    """The model that answered, the answer's id and why it ended, from the metadata of the first generation."""
    span, held = reading.span, _first_message(completion)
    told = as_object(held.get("response_metadata"))
    if GenAI.RESPONSE_MODEL not in reading.attributes:
        span.model = as_text(told.get("model_name")) or as_text(told.get("model")) or span.model
    span.response_id = span.response_id or as_text(told.get("id"))
    span.finish_reason = span.finish_reason or as_text(told.get("finish_reason")) or as_text(told.get("stop_reason"))


def _first_message(completion: Any) -> Mapping[str, Any]:
    """The innermost first message of {"generations": [[{"message": {"kwargs": ...}}]]}, or an empty one."""
    node: Any = completion
    for key in ("generations", 0, 0, "message", "kwargs"):
        if isinstance(key, int):
            node = cast(list[Any], node)[key] if isinstance(node, list) and len(cast(list[Any], node)) > key else None
        elif isinstance(node, Mapping):
            node = cast(Mapping[str, Any], node).get(key, node if key == "kwargs" else None)
    return cast(Mapping[str, Any], node) if isinstance(node, Mapping) else {}


def _only(value: Any, key: str) -> Any:
    """LangChain wraps a tool's argument and answer in {"input": ...} and {"output": ...}."""
    parsed = parse_json(value)
    if isinstance(parsed, Mapping):
        held = cast(Mapping[str, Any], parsed)
        if len(held) == 1 and key in held:
            return held[key]
    return value


def _messages(value: Any) -> Iterator[dict[str, Any]]:
    """Messages in whatever LangChain or a wrapped client writes: lists, batches, generations, choices, constructors."""
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _messages(item)
        return
    if not isinstance(value, Mapping):
        return
    held = cast(Mapping[str, Any], value)
    inner = held.get("kwargs")
    if isinstance(inner, Mapping) and "content" in inner:
        yield _message(cast(Mapping[str, Any], inner), str(cast(Any, held.get("id") or [""])[-1]))
    elif held.get("type") in _ROLES and "content" in held:
        yield _message(held, "")
    elif "role" in held:
        yield dict(held)
    else:
        for key in ("messages", "generations", "choices", "message", "output"):
            if key in held:
                yield from _messages(held[key])
                return


def _message(held: Mapping[str, Any], named: str) -> dict[str, Any]:
    """`named` is the class of a serialised LangChain message, such as HumanMessage."""
    kind_name = str(held.get("type") or named.removesuffix("Chunk").removesuffix("Message").lower())
    message: dict[str, Any] = {"role": _ROLES.get(kind_name, kind_name or "user"), "content": held["content"]}
    for key in ("tool_calls", "name", "tool_call_id"):
        if held.get(key):
            message[key] = held[key]
    return message


ADAPTER = Adapter("langsmith", recognises, kind, read)
