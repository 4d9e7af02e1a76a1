"""Langfuse's SDK (OpenTelemetry based): langfuse.observation.*, with usage, cost and parameters as JSON texts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracer.model import RawSpan, Span, SpanKind, SpanStatus
from tracer.normalise.messages import message_list
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_float, as_int, as_object, as_text
from tracer.semconv import Langfuse

KINDS: dict[str, str] = {
    "span": SpanKind.OTHER,
    "event": SpanKind.OTHER,
    "chain": SpanKind.OTHER,
    "evaluator": SpanKind.OTHER,
    "generation": SpanKind.LLM,
    "embedding": SpanKind.EMBEDDING,
    "agent": SpanKind.AGENT,
    "tool": SpanKind.TOOL,
    "retriever": SpanKind.RETRIEVER,
    "guardrail": SpanKind.GUARDRAIL,
}
_CACHED = ("input_cached_tokens", "cache_read_input_tokens", "input_cache_read")
_CACHE_WRITE = ("cache_creation_input_tokens", "input_cache_creation", "cache_write_input_tokens")
_REASONING = ("output_reasoning_tokens", "output_reasoning")
_NESTED = (
    ("cached_tokens", ("prompt_tokens_details", "input_tokens_details"), "cached_tokens"),
    ("reasoning_tokens", ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens"),
)
"""column, where OpenAI's own usage holds it"""
_NANO = Decimal("1e-9")


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "langfuse" in words


def kind(raw: RawSpan) -> str | None:
    named = raw.attributes.get(Langfuse.TYPE)
    return KINDS.get(named.lower(), SpanKind.OTHER) if isinstance(named, str) else None


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    span.environment = span.environment or as_text(attributes.get(Langfuse.ENVIRONMENT))
    span.release = span.release or as_text(attributes.get(Langfuse.RELEASE))
    if attributes.get(Langfuse.LEVEL) == "ERROR" and raw.end_ns is not None:
        span.status = SpanStatus.ERROR.value
        span.error_message = as_text(attributes.get(Langfuse.STATUS_MESSAGE))
    given, got = attributes.get(Langfuse.INPUT), attributes.get(Langfuse.OUTPUT)
    match reading.kind:
        case SpanKind.LLM | SpanKind.EMBEDDING:
            _call(reading)
            _messages(reading, Langfuse.INPUT, reading.set_input)
            _messages(reading, Langfuse.OUTPUT, reading.set_output)
        case SpanKind.TOOL:
            span.tool_name = span.tool_name or raw.name
            reading.set_arguments(given)
            reading.set_result(got)
        case SpanKind.AGENT:
            span.agent = span.agent or raw.name
        case _:
            pass
    for value, put in ((given, reading.set_input), (got, reading.set_output)):
        if value not in (None, ""):
            put([reading.contents.put_value(value)])


def _call(reading: Reading) -> None:
    span, attributes = reading.span, reading.attributes
    if span.temperature is None:
        span.temperature = as_float(as_object(attributes.get(Langfuse.PARAMETERS)).get("temperature"))
    if usage := as_object(attributes.get(Langfuse.USAGE)):
        fill_usage(span, usage)
    cost = total_cost(as_object(attributes.get(Langfuse.COST)))
    if cost is not None:
        span.cost_usd, span.cost_source = cost, "producer"
    first = instant_ns(attributes.get(Langfuse.FIRST_TOKEN))
    if first is not None and first >= span.start_ns:
        span.ttft_ns = first - span.start_ns


def fill_usage(span: Span, usage: Mapping[str, Any]) -> None:
    """Token columns from `usage_details`.

    Langfuse's buckets exclude each other (`input` is what was neither read from nor written to the cache), unless the
    given total says that `input` and `output` are everything already.
    """
    given = {key: number for key, value in usage.items() if (number := as_int(value)) is not None}
    inputs = given.get("input", given.get("prompt_tokens", given.get("input_tokens")))
    outputs = given.get("output", given.get("completion_tokens", given.get("output_tokens")))
    cached, written, reasoned = (
        next((given[key] for key in keys if key in given), None) for keys in (_CACHED, _CACHE_WRITE, _REASONING)
    )
    whole = "input" not in given or given.get("total") == (inputs or 0) + (outputs or 0)
    if inputs is not None:
        span.input_tokens = inputs + (0 if whole else (cached or 0) + (written or 0))
    if outputs is not None:
        span.output_tokens = outputs + (0 if whole else reasoned or 0)
    span.cached_tokens, span.cache_write_tokens, span.reasoning_tokens = cached, written, reasoned
    for column, holders, key in _NESTED:
        for holder in holders:
            if getattr(span, column) is None and (inner := as_object(usage.get(holder))):
                setattr(span, column, as_int(inner.get(key)))


def total_cost(costs: Mapping[str, Any]) -> Decimal | None:
    """USD from `cost_details`: its total, else the sum of its parts; None for nothing and for 0, which says unknown."""
    told = as_float(costs.get("total"))
    if told is None:
        parts = [number for key, value in costs.items() if key != "total" and (number := as_float(value)) is not None]
        told = sum(parts) if parts else None
    return Decimal(str(told)).quantize(_NANO) if told and 0 < told < 1e9 else None


def instant_ns(value: Any) -> int | None:
    """An ISO 8601 instant, also inside JSON quotes, as nanoseconds since the epoch; without a zone it is UTC."""
    text = as_text(value)
    if text is None:
        return None
    text = text.strip('"')
    try:
        moment = datetime.fromisoformat(text if "+" in text or text.endswith("Z") else text + "+00:00")
    except ValueError:
        return None
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 10**9 + moment.microsecond * 1000


def _messages(reading: Reading, name: str, put: Any) -> None:
    if found := message_list(reading.attributes.get(name)):
        refs = reading.contents.put_messages(found)
        reading.replaced[name] = {"$messages": refs}
        put(refs)


ADAPTER = Adapter("langfuse", recognises, kind, read)
