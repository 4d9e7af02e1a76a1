"""Spans that somebody wrote as JSON of their own: records that hold a list `spans`, with ids, times and attributes as objects.

    {"id": "q07", "otel": {"status": "FAILED", "spans": [
        {"name": "agent.researcher", "trace_id": "14b6..", "span_id": "194f..", "parent_span_id": "797d..",
         "start_time_unix_ns": 178.., "end_time_unix_ns": 178.., "status": {"status_code": "OK"}, "attributes": {"gen_ai.agent.name": ..}}]}}

One record, one a line, or a list of them; keys in snake or camel case. The record's own id and its verdict go to the root span. Kinds,
tools and texts that stand in attributes of no convention are put into the words of one, beside which they stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, end_ns, mapping, mappings, objects, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawEvent, RawSpan, RunOutcome, SpanKind
from tracer.semconv import GenAI, Tracehound

_MARK = re.compile(rb'"spans"\s*:\s*\[\s*\{')
_SPAN = re.compile(rb'"(?:span_?id|spanId)"\s*:')
_OTHER = re.compile(rb'"(?:scope_spans|scopeSpans|instrumentationLibrarySpans|traceID|context|span_kind)"\s*:')
"""OTLP, Jaeger, the SDK's own, Phoenix"""
_TIMES = (
    ("time_unix_ns", 1),
    ("time_unix_nano", 1),
    ("TimeUnixNano", 1),
    ("_ns", 1),
    ("_time", 1),
    ("Time", 1),
    ("_time_ms", 10**6),
    ("_ms", 10**6),
)
"""how names of times go on after start and end, and their unit"""
_KINDS: dict[str, str] = {
    "workflow": SpanKind.WORKFLOW, "agent_llm": SpanKind.LLM, "llm": SpanKind.LLM, "llm_call": SpanKind.LLM, "tool": SpanKind.TOOL, "tool_call": SpanKind.TOOL,
    "agent": SpanKind.AGENT, "handoff": SpanKind.HANDOFF, "retriever": SpanKind.RETRIEVER,
}  # fmt: skip
_KIND_KEYS = ("operation_type", "span_type", "span.type", "span_kind", "span.kind")
_DEEPEST = 3
_FAILED = frozenset({"failed", "failure", "error"})
_DONE = frozenset({"completed", "success", "succeeded", "ok", "passed"})


def sniff(head: bytes) -> bool:
    return (
        head.lstrip()[:1] in (b"{", b"[")
        and _MARK.search(head) is not None
        and _SPAN.search(head) is not None
        and _OTHER.search(head) is None
    )


def read(source: Source, sink: Sink) -> None:
    for line, record in objects(source, sink):
        holder = _holder(record, _DEEPEST)
        if holder is None:
            sink.report.skip(line, "no list `spans` in the record")
            continue
        spans: list[RawSpan] = []
        for number, item in enumerate(mappings(holder["spans"])):
            try:
                spans.append(_span(item))
            except BadPart as error:
                sink.report.skip(line, f"spans[{number}] ({str(item.get('name'))[:40]}): {error}")
        for span in spans:
            if span.parent_span_id:
                ids = [bytes.fromhex(part) for part in (span.trace_id, span.span_id, span.parent_span_id)]
                sink.saw(ids[0], ids[1], ids[2], line)
            else:
                span.attributes.update(_said(record, holder))
        if spans:
            sink.spans(spans, {}, count=len(spans))


def _holder(record: Mapping[str, Any], depth: int) -> Mapping[str, Any] | None:
    """The object whose `spans` is a list of objects: the record or one inside."""
    if mappings(record.get("spans")):
        return record
    inside = (_holder(mapping(value), depth - 1) for value in record.values()) if depth else ()
    return next((found for found in inside if found is not None), None)


def _said(record: Mapping[str, Any], holder: Mapping[str, Any]) -> dict[str, Any]:
    """What the record says of the run: its id, and whether it did its task."""
    told: dict[str, Any] = {}
    ids = (held.get(key) for held in (record, holder) for key in ("id", "run_id", "task_id"))
    source_id = next((str(value) for value in ids if isinstance(value, str | int) and str(value)), None)
    if source_id is not None:
        told[Tracehound.SOURCE_ID] = source_id
    status = str(holder.get("status") or record.get("status") or "").lower()
    if status in _FAILED or status in _DONE:
        outcome = RunOutcome.FAILED if status in _FAILED else RunOutcome.COMPLETED
        told |= {Tracehound.OUTCOME: outcome.value, Tracehound.OUTCOME_REASON: f"the source says status = {status}"}
    return told


def _span(item: Mapping[str, Any]) -> RawSpan:
    start = _moment(item, "start")
    if start is None:
        raise BadPart("time is missing")
    status = item.get("status")
    held = mapping(status)
    upper = item.get("parent_span_id") or item.get("parentSpanId") or item.get("parent_id")
    trace, own = item.get("trace_id") or item.get("traceId"), item.get("span_id") or item.get("spanId")
    return RawSpan(
        trace_id=trace_id(trace),
        span_id=span_id(own, str(trace)),
        parent_span_id=span_id(upper, str(trace)) if upper else None,
        name=str(item.get("name") or ""),
        start_ns=start,
        end_ns=end_ns(_moment(item, "end"), start),
        status=_status(held.get("status_code") or held.get("code") or status),
        status_message=str(held.get("description") or held.get("message") or ""),
        attributes=_attributes(mapping(item.get("attributes"))),
        events=[
            RawEvent(name=str(event.get("name") or ""), time_ns=at, attributes=dict(mapping(event.get("attributes"))))
            for event in mappings(item.get("events"))
            if (at := _moment(event, "timestamp") or _moment(event, "")) is not None
        ],
        resource=dict(mapping(mapping(item.get("resource")).get("attributes"))),
    )


def _moment(item: Mapping[str, Any], which: str) -> int | None:
    """ns of `start_time_unix_ns`, `startTime`, `timestamp_unix_ns` ...; None where there is none. Numbers without a unit are scaled by their size."""
    for key, value in item.items():
        rest = key.removeprefix(which)
        if value is None or (rest == key and which) or not (rest == "" or "time" in key.lower()):
            continue
        unit = next((unit for ending, unit in _TIMES if rest.endswith(ending)), 1)
        if isinstance(value, str) and value.isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and unit == 1 and 0 < value < 1e17:
            unit = 10**9 if value < 1e11 else 10**6 if value < 1e14 else 10**3
        return time_ns(value, unit)
    return None


def _status(value: Any) -> Literal["unset", "ok", "error"]:
    text = str(value).rsplit(".", 1)[-1].lower()
    if text in ("2", *_FAILED):
        return "error"
    return "ok" if text in ("1", *_DONE) else "unset"


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    attributes = dict(given)
    told = next((str(value).lower() for key, value in given.items() if key.endswith(_KIND_KEYS)), "")
    kind = _KINDS.get(told)
    if kind is None:
        return attributes
    attributes.setdefault(Tracehound.KIND, str(kind))
    if kind == SpanKind.TOOL:
        tool = given.get(GenAI.TOOL_NAME) or given.get("tool.name")
        if tool is not None:
            attributes.setdefault(GenAI.TOOL_NAME, tool)
        if tool is not None and given.get(GenAI.AGENT_NAME) == tool:  # a tool that is listed among the agents
            attributes[f"source.{GenAI.AGENT_NAME}"] = attributes.pop(GenAI.AGENT_NAME)
        for name, keys in (
            (GenAI.TOOL_ARGUMENTS[0], ("tool.args_json", "tool.args", "tool.input")),
            (GenAI.TOOL_RESULT[0], ("tool.result_json", "tool.result", "tool.output")),
        ):
            if (value := next((given[key] for key in keys if key in given), None)) is not None:
                attributes.setdefault(name, value)
    elif kind == SpanKind.LLM:
        for name, key, role in (
            (GenAI.INPUT_MESSAGES, "agent.input_message", "user"),
            (GenAI.OUTPUT_MESSAGES, "agent.output_message", "assistant"),
        ):
            if isinstance(given.get(key), str):
                attributes.setdefault(name, [{"role": role, "content": given[key]}])
    return attributes


IMPORTER = Importer("spans-json", sniff, read)
