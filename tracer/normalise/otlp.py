"""OTLP protobuf -> raw spans and log records. Each span is checked on its own; a bad one is reported and left out."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tracer.errors import BadInput
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.normalise.pydantic_ai import is_pending, started
from tracer.semconv import Stored

_STATUS = ("unset", "ok", "error")
MAX_NS = 2**63 - 1
"""times are stored as signed 64-bit numbers"""


@dataclass(frozen=True, slots=True)
class Problem:
    """A span or record that was left out: `where` inside the request, and why."""

    where: str
    reason: str


def decode_traces(payload: bytes, problems: list[Problem] | None = None) -> list[RawSpan]:
    """The spans of an ExportTraceServiceRequest, in order. Raises BadInput where the bytes are no such request.

    A span with a missing or malformed id, or whose end is before its start, is left out and noted in `problems`.
    An end of 0 means that the span had not ended; a pending span of Logfire comes as the start it announces.
    """
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise BadInput(f"Not an OTLP trace request: {error}.") from error
    found: list[RawSpan] = []
    for r, group in enumerate(request.resource_spans):
        resource = attributes_of(group.resource.attributes)
        for s, scoped in enumerate(group.scope_spans):
            scope = scoped.scope.name
            for n, span in enumerate(scoped.spans):
                reason = check(span.trace_id, span.span_id, span.start_time_unix_nano, span.end_time_unix_nano)
                if reason is not None:
                    if problems is not None:
                        problems.append(Problem(f"resourceSpans[{r}].scopeSpans[{s}].spans[{n}]", reason))
                    continue
                parent = span.parent_span_id
                found.append(
                    RawSpan(
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_span_id=parent.hex() if len(parent) == 8 and any(parent) else None,
                        name=span.name,
                        start_ns=span.start_time_unix_nano,
                        end_ns=span.end_time_unix_nano or None,
                        status=_STATUS[span.status.code] if span.status.code < 3 else "unset",
                        status_message=span.status.message,
                        attributes=_with_state(attributes_of(span.attributes), span.trace_state),
                        events=[
                            RawEvent(
                                name=e.name,
                                time_ns=min(e.time_unix_nano, MAX_NS),
                                attributes=attributes_of(e.attributes),
                            )
                            for e in span.events
                        ],
                        links=[
                            RawLink(
                                trace_id=k.trace_id.hex(),
                                span_id=k.span_id.hex(),
                                attributes=attributes_of(k.attributes),
                            )
                            for k in span.links
                            if len(k.trace_id) == 16 and len(k.span_id) == 8
                        ],
                        resource=resource,
                        scope=scope,
                        dropped_attributes=span.dropped_attributes_count,
                    )
                )
    return [started(raw) if is_pending(raw) else raw for raw in found]


def _with_state(attributes: dict[str, Any], state: str) -> dict[str, Any]:
    """The attributes, with what a sampler wrote in the span's trace state."""
    if state and "ot=" in state:
        attributes[Stored.TRACE_STATE] = state
    return attributes


def decode_logs(payload: bytes) -> list[RawEvent]:
    """The log records of an ExportLogsServiceRequest that name their span. Raises BadInput where the bytes are no such request."""
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise BadInput(f"Not an OTLP log request: {error}.") from error
    found: list[RawEvent] = []
    for group in request.resource_logs:
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                if len(record.trace_id) != 16 or len(record.span_id) != 8:
                    continue
                attributes = attributes_of(record.attributes)
                named = record.event_name or attributes.get("event.name") or ""
                found.append(
                    RawEvent(
                        name=str(named) or "log",
                        time_ns=min(record.time_unix_nano or record.observed_time_unix_nano, MAX_NS),
                        attributes=attributes,
                        trace_id=record.trace_id.hex(),
                        span_id=record.span_id.hex(),
                        body=value_of(record.body),
                    )
                )
    return found


def check(trace_id: bytes, span_id: bytes, start_ns: int, end_ns: int) -> str | None:
    """Why a span cannot be stored; None where it can."""
    if len(trace_id) != 16 or not any(trace_id):
        return f"trace id is {_shown(trace_id)}; expected 16 bytes, not all zero"
    if len(span_id) != 8 or not any(span_id):
        return f"span id is {_shown(span_id)}; expected 8 bytes, not all zero"
    if start_ns == 0:
        return "start time is missing"
    if end_ns and end_ns < start_ns:
        return f"end {end_ns} is before start {start_ns}"
    if max(start_ns, end_ns) > MAX_NS:
        return f"time {max(start_ns, end_ns)} is out of range"
    return None


def _shown(data: bytes) -> str:
    return "missing" if not data else repr(data.hex())


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Key-value pairs as a dict; the last of equal keys wins."""
    found: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        which = value.WhichOneof("value")
        found[pair.key] = value.string_value if which == "string_value" else value_of(value, which)
    return found


def value_of(value: AnyValue, which: str | None = None) -> Any:
    """An AnyValue as text, number, bool, list, dict, None; bytes become base64 text, as in OTLP JSON."""
    which = which or value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, which)
