"""Our raw spans as an OTLP export request, for other back-ends: texts travel in the attributes that they look for.

Imports protobuf, so only the forwarding thread and whoever scores a run import this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ..model import RawEvent, RawSpan
from ..semconv import SCOPE_NAME, GenAI, Tracehound

_STATUS = {"unset": Status.STATUS_CODE_UNSET, "ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR}


def export_request(spans: Sequence[RawSpan], bodies: Mapping[int, str]) -> bytes:
    """An ExportTraceServiceRequest of ended `spans`; `bodies` are the texts that their contents name, as far as they are kept."""
    request = ExportTraceServiceRequest()
    scopes: dict[tuple[int, str], Any] = {}
    resources: dict[int, Any] = {}
    for span in spans:
        key = id(span.resource)
        if key not in resources:
            resources[key] = request.resource_spans.add()
            resources[key].resource.attributes.extend(_pairs(span.resource))
        if (key, span.scope) not in scopes:
            scopes[key, span.scope] = resources[key].scope_spans.add()
            scopes[key, span.scope].scope.name = span.scope
        _fill(scopes[key, span.scope].spans.add(), span, bodies)
    return request.SerializeToString()


def log_request(events: Sequence[RawEvent], resource: Mapping[str, Any]) -> bytes:
    """An ExportLogsServiceRequest of `events` that name their spans."""
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add()
    held.resource.attributes.extend(_pairs(resource))
    records = held.scope_logs.add()
    records.scope.name = SCOPE_NAME
    for event in events:
        made = records.log_records.add()
        made.event_name, made.time_unix_nano = event.name, event.time_ns
        made.trace_id, made.span_id = bytes.fromhex(event.trace_id), bytes.fromhex(event.span_id)
        made.attributes.extend(_pairs(event.attributes))
    return request.SerializeToString()


def _fill(made: Span, span: RawSpan, bodies: Mapping[int, str]) -> None:
    made.trace_id, made.span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
    if span.parent_span_id is not None:
        made.parent_span_id = bytes.fromhex(span.parent_span_id)
    made.name = span.name
    made.start_time_unix_nano, made.end_time_unix_nano = span.start_ns, span.end_ns or span.start_ns
    made.attributes.extend(_pairs({**span.attributes, **_texts(span, bodies)}))
    made.dropped_attributes_count = span.dropped_attributes
    made.status.code, made.status.message = _STATUS[span.status], span.status_message
    for event in span.events:
        told = made.events.add()
        told.name, told.time_unix_nano = event.name, event.time_ns
        told.attributes.extend(_pairs(event.attributes))
    for link in span.links:
        joined = made.links.add()
        joined.trace_id, joined.span_id = bytes.fromhex(link.trace_id), bytes.fromhex(link.span_id)
        joined.attributes.extend(_pairs(link.attributes))


def _texts(span: RawSpan, bodies: Mapping[int, str]) -> dict[str, str]:
    """Messages of an LLM call by the GenAI conventions, other inputs and outputs under names of our own."""
    is_llm = span.attributes.get(Tracehound.KIND) == "llm"
    found: dict[str, str] = {}
    for slot, ours, theirs in (
        ("input", Tracehound.INPUT, GenAI.INPUT_MESSAGES),
        ("output", Tracehound.OUTPUT, GenAI.OUTPUT_MESSAGES),
    ):
        known = [bodies[named] for named in span.content.get(slot, ()) if named in bodies]
        if known and is_llm:
            found[theirs] = json.dumps([_message(body) for body in known], ensure_ascii=False)
        elif known:
            found[ours] = known[0] if len(known) == 1 else json.dumps(known, ensure_ascii=False)
    return found


def _message(body: str) -> object:
    try:
        message: object = json.loads(body)
    except ValueError:
        return {"role": "user", "parts": [{"type": "text", "content": body}]}
    if not isinstance(message, dict):
        return message
    fields = cast("dict[str, Any]", message)
    content = fields.pop("content", None)
    return {**fields, "parts": [{"type": "text", "content": content}] if isinstance(content, str) else content}


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=_utf8(key), value=_value(value)) for key, value in attributes.items()]


def _value(value: Any) -> AnyValue:
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        made.int_value = value
    elif isinstance(value, float):
        made.double_value = value
    elif isinstance(value, (list, tuple)):
        made.array_value.values.extend([_value(each) for each in cast("Sequence[Any]", value)])
    elif isinstance(value, Mapping):
        made.kvlist_value.values.extend(_pairs(cast("Mapping[str, Any]", value)))
    elif value is not None:
        made.string_value = _utf8(str(value))
    return made


def _utf8(text: str) -> str:
    """Protobuf takes no lone surrogates."""
    return text.encode("utf-8", "replace").decode()
