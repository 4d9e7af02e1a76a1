"""Jaeger's JSON (its UI's download and its query API): {"data": [{"traceID", "spans": [...], "processes": {...}}]}."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, documents, mapping, mappings, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.semconv import Resource

_MARK = re.compile(rb'"traceID"\s*:')
_MICROSECOND = 1_000
_MEANT = frozenset({"otel.status_code", "otel.status_description", "otel.scope.name", "otel.library.name"})
"""tags that are fields of an OpenTelemetry span"""


def sniff(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[") and _MARK.search(head) is not None and b'"operationName"' in head


def read(source: Source, sink: Sink) -> None:
    for document in documents(source, sink):
        for trace in mappings(document.get("data")) if "data" in document else [document]:
            processes = mapping(trace.get("processes"))
            resources = {str(key): _resource(mapping(process)) for key, process in processes.items()}
            spans: list[RawSpan] = []
            for number, item in enumerate(mappings(trace.get("spans"))):
                try:
                    spans.append(_span(item, resources))
                except BadPart as error:
                    sink.report.skip(None, f"spans[{number}] ({str(item.get('operationName'))[:40]}): {error}")
            for span in spans:
                parent = bytes.fromhex(span.parent_span_id or "")
                sink.saw(bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), parent, None)
            if spans:
                sink.spans(spans, {}, count=len(spans))


def _span(item: Mapping[str, Any], resources: Mapping[str, dict[str, Any]]) -> RawSpan:
    tags = _tags(item.get("tags"))
    trace, start = trace_id(item.get("traceID")), time_ns(item.get("startTime"), _MICROSECOND)
    duration = item.get("duration")
    if not isinstance(duration, int | float) or duration < 0:
        raise BadPart(f"duration is {duration!r}")
    references = mappings(item.get("references"))
    parent = next(
        (r for r in references if r.get("refType") == "CHILD_OF" and trace_id(r.get("traceID")) == trace), None
    )
    failed = tags.get("otel.status_code") == "ERROR" or tags.get("error") in (True, "true")
    return RawSpan(
        trace_id=trace,
        span_id=span_id(item.get("spanID")),
        parent_span_id=span_id(parent.get("spanID")) if parent is not None else None,
        name=str(item.get("operationName") or ""),
        start_ns=start,
        end_ns=start + round(duration * _MICROSECOND),
        status="error" if failed else "ok" if tags.get("otel.status_code") == "OK" else "unset",
        status_message=str(tags.get("otel.status_description") or ""),
        attributes={key: value for key, value in tags.items() if key not in _MEANT},
        events=[_event(log) for log in mappings(item.get("logs"))],
        links=[
            RawLink(trace_id=trace_id(r.get("traceID")), span_id=span_id(r.get("spanID")))
            for r in references
            if r is not parent
        ],
        resource=resources.get(str(item.get("processID")), {}),
        scope=str(tags.get("otel.scope.name") or tags.get("otel.library.name") or ""),
    )


def _event(log: Mapping[str, Any]) -> RawEvent:
    fields = _tags(log.get("fields"))
    name = str(fields.pop("event", "") or fields.pop("name", "") or "log")
    return RawEvent(name=name, time_ns=time_ns(log.get("timestamp"), _MICROSECOND), attributes=fields)


def _resource(process: Mapping[str, Any]) -> dict[str, Any]:
    return {Resource.SERVICE_NAME: process.get("serviceName"), **_tags(process.get("tags"))}


def _tags(value: Any) -> dict[str, Any]:
    """[{"key", "type", "value"}]; 64-bit numbers may come as text."""
    found: dict[str, Any] = {}
    for tag in mappings(value):
        held = tag.get("value")
        if tag.get("type") == "int64" and isinstance(held, str) and held.lstrip("-").isdigit():
            held = int(held)
        found[str(tag.get("key"))] = held
    return found


IMPORTER = Importer("jaeger", sniff, read)
