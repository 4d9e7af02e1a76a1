"""Langfuse's export of a trace: {"trace": {...}, "observations": [...]}, or a trace with its observations inside.

Observations become spans in the words of Langfuse's own SDK. Old exports call every step with a text GENERATION: one
that names no model, used nothing and holds other observations is a step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, documents, end_ns, mapping, mappings, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawSpan
from tracer.normalise.values import as_object
from tracer.semconv import Common, Langfuse, Resource

_MARK = re.compile(rb'"(?:parentObservationId|observations)"\s*:')
_ALSO = re.compile(rb'"(?:projectId|usageDetails|statusMessage|sessionId)"\s*:')

_COPIED: dict[str, str] = {
    Langfuse.INPUT: "input",
    Langfuse.OUTPUT: "output",
    Langfuse.LEVEL: "level",
    Langfuse.STATUS_MESSAGE: "statusMessage",
    Langfuse.MODEL: "model",
    Langfuse.PARAMETERS: "modelParameters",
    Langfuse.USAGE: "usageDetails",
    Langfuse.COST: "costDetails",
    Langfuse.PROMPT_NAME: "promptName",
    Langfuse.PROMPT_VERSION: "promptVersion",
    Langfuse.FIRST_TOKEN: "completionStartTime",
    Langfuse.ENVIRONMENT: "environment",
}
"""attribute -> key of an observation"""
_OF_TRACE: dict[str, str] = {
    Langfuse.TRACE_NAME: "name",
    Common.SESSION_ID: "sessionId",
    "user.id": "userId",
    Langfuse.TAGS: "tags",
    Langfuse.RELEASE: "release",
}


def sniff(head: bytes) -> bool:
    return (
        head.lstrip()[:1] in (b"{", b"[")
        and _MARK.search(head) is not None
        and _ALSO.search(head) is not None
        and b'"operationName"' not in head
    )


def read(source: Source, sink: Sink) -> None:
    for document in documents(source, sink):
        trace = mapping(document.get("trace")) or document
        observations = mappings(document.get("observations")) or mappings(trace.get("observations"))
        parents = {observation.get("parentObservationId") for observation in observations}
        shared = {name: trace[key] for name, key in _OF_TRACE.items() if trace.get(key)}
        resource = as_object(as_object(trace.get("metadata")).get("resourceAttributes"))
        spans: list[RawSpan] = []
        for number, item in enumerate(observations):
            try:
                spans.append(_span(item, trace, shared, resource, item.get("id") in parents))
            except BadPart as error:
                sink.report.skip(None, f"observations[{number}] ({str(item.get('name'))[:40]}): {error}")
        for span in spans:
            parent = bytes.fromhex(span.parent_span_id or "")
            sink.saw(bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), parent, None)
        if spans:
            sink.spans(spans, {}, count=len(spans))
        elif not observations:
            sink.report.skip(1, "the trace has no observations")


def _span(
    item: Mapping[str, Any],
    trace: Mapping[str, Any],
    shared: Mapping[str, Any],
    resource: Mapping[str, Any],
    holds_others: bool,
) -> RawSpan:
    run = trace_id(item.get("traceId") or trace.get("id"))
    upper = item.get("parentObservationId")
    start = time_ns(item.get("startTime"))
    kind = str(item.get("type") or "SPAN").lower()
    if kind == "generation" and holds_others and not item.get("model") and not item.get("usageDetails"):
        kind = "span"
    metadata = as_object(item.get("metadata"))
    attributes: dict[str, Any] = {**as_object(metadata.get("attributes")), **shared, Langfuse.TYPE: kind}
    for name, key in _COPIED.items():
        value = item.get(key)
        if value not in (None, "", {}, []):
            attributes[name] = value if isinstance(value, str | int | float) else json.dumps(value)
    for key, value in metadata.items():
        if key not in ("attributes", "resourceAttributes"):
            attributes[f"langfuse.observation.metadata.{key}"] = value
    return RawSpan(
        trace_id=run,
        span_id=span_id(item.get("id"), run),
        parent_span_id=span_id(upper, run) if upper else None,
        name=str(item.get("name") or kind),
        start_ns=start,
        end_ns=start if kind == "event" else end_ns(item.get("endTime"), start),
        attributes=attributes,
        resource={Resource.SERVICE_NAME: trace.get("name"), **resource},
    )


IMPORTER = Importer("langfuse-export", sniff, read)
