"""any-agent's trace files, and lists of the Python SDK's `ReadableSpan.to_json()`: {"spans": [{"name", "context", ...}]}.

Ids are numbers (any-agent) or 0x texts (SDK), times nanoseconds or ISO 8601. any-agent's own attributes are put into
the words of OTel GenAI, beside which they stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, documents, end_ns, mapping, mappings, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.normalise.values import as_float, parse_json
from tracer.semconv import GenAI, PydanticAI

_MARK = re.compile(rb'"context"\s*:\s*\{\s*"trace_id"\s*:')
_OUTPUT, _ARGS = "gen_ai.output", "gen_ai.tool.args"
_COSTS = ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost")


def sniff(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[") and _MARK.search(head) is not None and b'"span_kind"' not in head


def read(source: Source, sink: Sink) -> None:
    spans: list[RawSpan] = []
    for document in documents(source, sink):
        held = mappings(document.get("spans")) if "spans" in document else [document]
        for number, item in enumerate(held):
            try:
                spans.append(_span(item))
            except BadPart as error:
                sink.report.skip(None, f"spans[{number}] ({str(item.get('name'))[:40]}): {error}")
    for span in spans:
        if span.parent_span_id:
            sink.saw(
                bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), bytes.fromhex(span.parent_span_id), None
            )
    if spans:
        sink.spans(spans, {}, count=len(spans))


def _span(item: Mapping[str, Any]) -> RawSpan:
    context, status = mapping(item.get("context")), mapping(item.get("status"))
    upper = mapping(item.get("parent")).get("span_id") or item.get("parent_id")
    start = time_ns(item.get("start_time"))
    return RawSpan(
        trace_id=trace_id(context.get("trace_id")),
        span_id=span_id(context.get("span_id")),
        parent_span_id=span_id(upper) if upper else None,
        name=str(item.get("name") or ""),
        start_ns=start,
        end_ns=end_ns(item.get("end_time"), start),
        status=_status(status.get("status_code")),
        status_message=str(status.get("description") or ""),
        attributes=_attributes(mapping(item.get("attributes"))),
        events=[
            RawEvent(
                name=str(event.get("name") or ""),
                time_ns=time_ns(event.get("timestamp")),
                attributes=dict(mapping(event.get("attributes"))),
            )
            for event in mappings(item.get("events"))
        ],
        links=[
            RawLink(
                trace_id=trace_id(mapping(link.get("context")).get("trace_id")),
                span_id=span_id(mapping(link.get("context")).get("span_id")),
                attributes=dict(mapping(link.get("attributes"))),
            )
            for link in mappings(item.get("links"))
        ],
        resource=dict(mapping(mapping(item.get("resource")).get("attributes"))),
    )


def _status(value: Any) -> Literal["unset", "ok", "error"]:
    text = str(value).lower()
    return "error" if text == "error" else "ok" if text == "ok" else "unset"


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    attributes = dict(given)
    if _ARGS in given:
        attributes.setdefault(GenAI.TOOL_ARGUMENTS[0], given[_ARGS])
    output = given.get(_OUTPUT)
    if output is not None and given.get(GenAI.OPERATION) == "execute_tool":
        attributes.setdefault(GenAI.TOOL_RESULT[0], output)
    elif output is not None and given.get(GenAI.OPERATION) == "call_llm":
        attributes.setdefault(GenAI.OUTPUT_MESSAGES, json.dumps([_answer(output)]))
    costs = [cost for name in _COSTS if (cost := as_float(given.get(name))) is not None]
    if costs:
        attributes.setdefault(PydanticAI.COST, sum(costs))
    return attributes


def _answer(output: Any) -> dict[str, Any]:
    """Text, or a list of {"tool.name", "tool.args"}, as an assistant's message."""
    found = parse_json(output)
    calls = cast(list[Any], found) if isinstance(found, list) else []
    if calls and all("tool.name" in mapping(call) for call in calls):
        asked = [{"name": mapping(c)["tool.name"], "arguments": mapping(c).get("tool.args")} for c in calls]
        return {"role": "assistant", "tool_calls": asked}
    return {"role": "assistant", "content": output}


IMPORTER = Importer("any-agent", sniff, read)
