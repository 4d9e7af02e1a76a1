"""LangSmith's OpenTelemetry export: gen_ai.* names with whole JSON texts, langsmith.* for the rest.

Chain spans repeat the tokens of the LLM call inside them; only kind llm counts. `session_name` is the project of the
LangSmith account; the conversation is `langsmith.metadata.thread_id`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from tracer.model import RawSpan, SpanKind
from tracer.normalise.messages import message_list
from tracer.normalise.openinference import GENERIC_NODES
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_int, as_object, as_text, parse_json
from tracer.semconv import LangSmith

KINDS: dict[str, str] = {
    "llm": SpanKind.LLM,
    "chain": SpanKind.OTHER,
    "tool": SpanKind.TOOL,
    "retriever": SpanKind.RETRIEVER,
    "embedding": SpanKind.EMBEDDING,
    "prompt": SpanKind.OTHER,
    "parser": SpanKind.OTHER,
}
_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}
_DETAILS = (
    (LangSmith.INPUT_DETAILS, "cache_read", "cached_tokens"),
    (LangSmith.INPUT_DETAILS, "cache_creation", "cache_write_tokens"),
    (LangSmith.OUTPUT_DETAILS, "reasoning", "reasoning_tokens"),
)


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "langsmith" in words


def kind(raw: RawSpan) -> str | None:
    named = raw.attributes.get(LangSmith.KIND)
    return KINDS.get(named.lower(), SpanKind.OTHER) if isinstance(named, str) else None


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    _graph(reading)
    given, got = attributes.get(LangSmith.PROMPT), attributes.get(LangSmith.COMPLETION)
    if reading.kind == SpanKind.TOOL:
        span.tool_name = span.tool_name or raw.name
        reading.set_arguments(_only(given, "input"))
        reading.set_result(_only(got, "output"))
        return
    if reading.kind == SpanKind.LLM:
        for name, key, column in _DETAILS:
            if getattr(span, column) is None:
                setattr(span, column, as_int(as_object(attributes.get(name)).get(key)))
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


def _graph(reading: Reading) -> None:
    """LangGraph inside LangChain: the outermost node of the checkpoint namespace is the agent, as with OpenInference."""
    namespace = as_text(reading.attributes.get(LangSmith.CHECKPOINT_NS))
    if not namespace:
        return
    reading.span.agent_id = namespace.split("|", 1)[0]
    node = reading.span.agent_id.split(":", 1)[0]
    if node and node not in GENERIC_NODES:
        reading.span.agent = node


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
