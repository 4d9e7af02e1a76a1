"""Raw span -> row: which conventions speak, what kind of span it is, what it cost. One span at a time, no context."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from tracer.model import RawEvent, RawSpan, Span, SpanEvent, SpanKind, SpanLink, SpanStatus, span_of
from tracer.normalise import (
    autogen,
    frameworks,
    google_adk,
    graph_state,
    langfuse,
    langgraph,
    langsmith,
    logfire,
    openinference,
    openllmetry,
    otel_genai,
    pydantic_ai,
    tracehound,
    vercel_ai,
)
from tracer.normalise.contents import Contents
from tracer.normalise.langgraph import CONTROL_FLOW
from tracer.normalise.mapping import Plan, fill, plan_of, rules_of
from tracer.normalise.passing import note_passing
from tracer.normalise.reading import (
    COUNTED,
    Adapter,
    Reading,
    handoff_target,
    is_sure_handoff,
    names_agents,
    task_of,
    unwrapped,
)
from tracer.normalise.values import as_float, as_int, as_text
from tracer.pricing import NO_PROVIDERS, Prices, Usage, default_prices
from tracer.semconv import Common, GenAI, OpenInference, PydanticAI, Resource, Stored

ADAPTERS: tuple[Adapter, ...] = (
    tracehound.ADAPTER,
    openinference.ADAPTER,
    logfire.ADAPTER,
    pydantic_ai.ADAPTER,
    openllmetry.ADAPTER,
    langfuse.ADAPTER,
    langsmith.ADAPTER,
    vercel_ai.ADAPTER,
    frameworks.ADAPTER,
    google_adk.ADAPTER,
    otel_genai.ADAPTER,
    autogen.ADAPTER,
    langgraph.ADAPTER,
)
"""In order of authority: the first that knows the kind decides it, the first that has a field fills it."""

_COUNTED_COLUMNS = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "cost_usd",
        "cost_source",
    }
)
_NAMED_ERROR = re.compile(r"([A-Za-z_]\w*(?:Error|Exception|Timeout|Exceeded|Interrupt|Refused))\(")
_GRAPHS = frozenset({SpanKind.OTHER, SpanKind.WORKFLOW})
"""kinds that the nodes of a graph, and the graph, have before whole runs are looked at"""
_OTHER, _OK = SpanKind.OTHER.value, SpanStatus.OK.value
_RESOURCE_COLUMNS = frozenset(
    {Resource.SERVICE_NAME, Resource.SERVICE_VERSION, *Resource.ENVIRONMENT, Resource.PROCESS_PID, Resource.RELEASE}
)


@dataclass(slots=True)
class Batch:
    """Normalised rows and the texts they refer to."""

    spans: list[Span] = field(default_factory=list[Span])
    events: list[SpanEvent] = field(default_factory=list[SpanEvent])
    links: list[SpanLink] = field(default_factory=list[SpanLink])
    contents: dict[int, str] = field(default_factory=dict[int, str])
    """content id -> body; contents our own recorder stored already are not repeated here"""


@dataclass(slots=True)
class Origin:
    """What one resource says, read once for all of its spans."""

    resource: dict[str, Any]
    service: str | None
    service_version: str | None
    environment: str | None
    release: str | None
    pid: int | None
    rest: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """What spans with the same names in them have in common."""

    speaking: tuple[Adapter, ...]
    convention: str | None
    """of the first adapter that speaks"""
    plan: Plan


def normalise(raw: Iterable[RawSpan], logs: Iterable[RawEvent] = (), *, prices: Prices | None = None) -> Batch:
    """Rows for `raw` spans and for `logs` (log records that name a span), each read on its own.

    Never raises on what a producer sent: a value of the wrong type leaves its column empty and stays among the attributes.
    """
    contents = Contents()
    batch = Batch(contents=contents.bodies)
    table = prices or default_prices()
    origin: Origin | None = None
    shapes: dict[object, Shape] = {}
    for item in raw:
        # Spans of one process follow each other, but every frame of it brings a resource of its own.
        if origin is None or (item.resource is not origin.resource and item.resource != origin.resource):
            origin = origin_of(item.resource, contents)
        span = _span(item, _shape(item, shapes), origin, contents, table)
        batch.spans.append(span)
        if span.kind in _GRAPHS and span.convention in graph_state.SOURCES:
            batch.spans += graph_state.rows(item, span, contents)
        for event in item.events:
            batch.events.append(otel_genai.event_row(event, contents, item.trace_id, item.span_id))
        for link in item.links:
            batch.links.append(
                SpanLink(
                    trace_id=item.trace_id,
                    span_id=item.span_id,
                    linked_trace_id=link.trace_id,
                    linked_span_id=link.span_id,
                    attributes=contents.encode(link.attributes),
                )
            )
    for record in logs:
        if record.trace_id and record.span_id:
            batch.events.append(otel_genai.event_row(record, contents, record.trace_id, record.span_id))
    return batch


def origin_of(resource: dict[str, Any], contents: Contents) -> Origin:
    """What `resource` says; what has no column goes to `contents`."""
    rest = {key: value for key, value in resource.items() if key not in _RESOURCE_COLUMNS}
    return Origin(
        resource=resource,
        service=as_text(resource.get(Resource.SERVICE_NAME)),
        service_version=as_text(resource.get(Resource.SERVICE_VERSION)),
        environment=next((text for name in Resource.ENVIRONMENT if (text := as_text(resource.get(name)))), None),
        release=as_text(resource.get(Resource.RELEASE)),
        pid=as_int(resource.get(Resource.PROCESS_PID)),
        rest=contents.put_value(rest) if rest else None,
    )


def _shape(raw: RawSpan, known: dict[object, Shape]) -> Shape:
    """Asks the adapters once per shape of span; what they may look at is all in the key (`Adapter.recognises`)."""
    if raw.events or raw.status == "error":
        return look_at(raw)
    operation = raw.attributes.get(GenAI.OPERATION)
    named = operation if isinstance(operation, str) else None
    key = (tuple(raw.attributes), raw.scope, raw.name.partition(" ")[:2], named, bool(raw.content))
    shape = known.get(key)
    if shape is None:
        shape = known[key] = look_at(raw)
    return shape


def look_at(raw: RawSpan) -> Shape:
    """The shape of `raw`, whatever it is."""
    words = frozenset(name.split(".", 1)[0] for name in raw.attributes)
    speaking = tuple(adapter for adapter in ADAPTERS if adapter.recognises(raw, words))
    # otel_genai always: session.id and user.id may stand without any gen_ai name
    rules = rules_of((*[adapter.name for adapter in speaking], otel_genai.ADAPTER.name))
    return Shape(speaking, speaking[0].name if speaking else None, plan_of(rules, raw.attributes))


def _span(raw: RawSpan, shape: Shape, origin: Origin, contents: Contents, prices: Prices) -> Span:
    kind = _OTHER
    convention = shape.convention
    for adapter in shape.speaking:
        named = adapter.kind(raw)
        if named is not None:
            kind, convention = str(named), adapter.name
            break
    span = span_of(
        {
            "trace_id": raw.trace_id,
            "span_id": raw.span_id,
            "parent_span_id": raw.parent_span_id or None,
            "run_id": raw.trace_id,
            "name": raw.name,
            "kind": kind,
            "start_ns": raw.start_ns,
            "end_ns": raw.end_ns,
            "status": _OK,
            "service": origin.service,
            "service_version": origin.service_version,
            "environment": origin.environment,
            "release": origin.release,
            "pid": origin.pid,
            "convention": convention,
            "dropped_attributes": raw.dropped_attributes,
        }
    )
    reading = Reading(raw, span, contents)
    fill(span, shape.plan, raw.attributes)
    for adapter in shape.speaking:
        adapter.read(reading)
    _status(raw, span)
    if span.kind in (SpanKind.TOOL, SpanKind.HANDOFF):
        _handoff(reading)
    if span.provider is not None and span.provider.lower() in NO_PROVIDERS:
        span.provider = None
    if span.kind in COUNTED:
        _tokens_and_cost(raw, span, prices)
    else:
        columns = vars(span)
        for name in _COUNTED_COLUMNS & columns.keys():
            del columns[name]
    note_passing(reading)
    span.attributes = _attributes(reading, origin)
    return span


def _status(raw: RawSpan, span: Span) -> None:
    """ok unless the producer says error; exceptions that only pass control are not errors."""
    if raw.end_ns is None:
        span.status = SpanStatus.RUNNING.value
        return
    if raw.status != "error":
        return
    error_type = as_text(raw.attributes.get(Common.ERROR_TYPE))
    message = raw.status_message
    for event in reversed(raw.events):
        if event.name == Common.EXCEPTION_EVENT:
            named = as_text(event.attributes.get(Common.EXCEPTION_TYPE))
            error_type = named if error_type in (None, "_OTHER") else error_type
            message = message or as_text(event.attributes.get(Common.EXCEPTION_MESSAGE)) or ""
            break
    if error_type == "Exception" and (named := _NAMED_ERROR.match(message)):
        error_type = named[1]  # LangSmith writes the name of the error before its text only
    if (error_type or "").rsplit(".", 1)[-1] in CONTROL_FLOW or message.split("(", 1)[0] in CONTROL_FLOW:
        span.derived = [*(span.derived or ()), "status"]
        return
    span.status = SpanStatus.ERROR.value
    span.error_type = error_type
    span.error_message = message or None


def _handoff(reading: Reading) -> None:
    """Set the agent a tool call names as target; the tool becomes a handoff here only where its name leaves no doubt."""
    span = reading.span
    if span.target_agent is None and names_agents(span.tool_name):
        value = reading.arguments
        if value is None:
            names = (*GenAI.TOOL_ARGUMENTS, OpenInference.INPUT_VALUE)
            value = unwrapped(next((reading.attributes[name] for name in names if name in reading.attributes), None))
        target, reason = handoff_target(span.tool_name, value)
        span.target_agent = target
        span.reason = span.reason or (reason if target else None)
        span.task_id = span.task_id or task_of(value)
    if span.kind == SpanKind.TOOL and span.target_agent and is_sure_handoff(span.tool_name):
        span.kind = SpanKind.HANDOFF.value


def _tokens_and_cost(raw: RawSpan, span: Span, prices: Prices) -> None:
    cached = (span.cached_tokens or 0) + (span.cache_write_tokens or 0)
    if span.input_tokens is not None and cached > span.input_tokens:
        # The instrumentor passed on Anthropic's raw numbers, where cached tokens are not part of the input.
        span.input_tokens += cached
        span.derived = [*(span.derived or ()), "input_tokens"]
    if span.cost_usd is not None:
        return
    usage = Usage(
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens,
        cached_tokens=span.cached_tokens,
        cache_write_tokens=span.cache_write_tokens,
        reasoning_tokens=span.reasoning_tokens,
    )
    told = _told_cost(raw.attributes)
    if told is not None and not prices.overrides(span.model):
        span.cost_usd, span.cost_source = told, "producer"
    elif span.model is not None and span.status != SpanStatus.RUNNING:
        span.cost_usd, span.cost_source = prices.price(span.model, span.provider, usage, span.start_ns)


def _told_cost(attributes: dict[str, Any]) -> Decimal | None:
    """A cost the producer computed; 0 is what instrumentors write when they know no price, so it is not believed."""
    for name in (OpenInference.COST_TOTAL, PydanticAI.COST):
        told = attributes.get(name)
        number = None if told is None else as_float(told)
        if number is not None and number > 0:
            try:
                return Decimal(str(number)).quantize(Decimal("1e-9"))
            except InvalidOperation:
                return None
    return None


def _attributes(reading: Reading, origin: Origin) -> str:
    """All raw attributes as JSON, with message lists and long texts replaced by references."""
    shown: dict[str, Any] = dict(reading.attributes)
    for name, stands in reading.replaced.items():
        if stands is None:
            shown.pop(name, None)
        else:
            shown[name] = stands
    if reading.raw.scope:
        shown[Stored.SCOPE] = reading.raw.scope
    if origin.rest is not None:
        shown[Stored.RESOURCE] = {"$content": origin.rest}
    if reading.raw.status_message and reading.span.error_message is None:
        shown["otel.status_description"] = reading.raw.status_message
    return reading.contents.encode(shown)
