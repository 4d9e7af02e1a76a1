"""LangSmith's runs, as its SDK's `list_runs`, its REST API and its bulk export give them: one JSON array, one run a line, or
`{"runs": [...]}`; children may stand inside (`child_runs`).

Source: LangSmith's "Run data format". Runs become spans in the words of LangSmith's own OpenTelemetry export, so that they
are read in one way. In a bulk export inputs, outputs and extra are JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, end_ns, mapping, mappings, objects, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawEvent, RawSpan
from tracer.normalise.values import as_object, as_texts
from tracer.semconv import Common, GenAI, LangSmith, Resource, Tracehound

_MARK = re.compile(rb'"run_type"\s*:')
_ALSO = re.compile(rb'"(?:dotted_order|parent_run_id|parent_run_ids|session_id|trace_id|child_runs)"\s*:')
_USAGE = {
    GenAI.INPUT_TOKENS[0]: ("prompt_tokens", "input_tokens"),
    GenAI.OUTPUT_TOKENS[0]: ("completion_tokens", "output_tokens"),
}
_DETAILS = {
    LangSmith.INPUT_DETAILS: ("prompt_token_details", "input_token_details"),
    LangSmith.OUTPUT_DETAILS: ("completion_token_details", "output_token_details"),
}
_ERROR = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Timeout|Interrupt|Exceeded))\(")


def sniff(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[") and _MARK.search(head) is not None and _ALSO.search(head) is not None


def read(source: Source, sink: Sink) -> None:
    groups: dict[str, list[RawSpan]] = {}
    for line, document in objects(source, sink):
        for item, above, run in _runs(document, None, None):
            try:
                span = _span(item, above, run)
            except BadPart as error:
                sink.report.skip(line, f"run {str(item.get('id'))[:40]} ({str(item.get('name'))[:40]}): {error}")
                continue
            parent = bytes.fromhex(span.parent_span_id or "")
            sink.saw(bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), parent, line)
            groups.setdefault(span.trace_id, []).append(span)
    for spans in groups.values():
        sink.spans(spans, {}, count=len(spans))


def _runs(document: Mapping[str, Any], above: Any, run: Any) -> Iterator[tuple[Mapping[str, Any], Any, Any]]:
    """(run, id of its parent, id of its trace) of a run and what it holds."""
    if isinstance(document.get("runs"), list) and "run_type" not in document:
        for item in mappings(document["runs"]):
            yield from _runs(item, None, None)
        return
    run = document.get("trace_id") or run or document.get("id")
    parent = document.get("parent_run_id") or above or _parent(document)
    yield document, parent, run
    for child in mappings(document.get("child_runs")):
        yield from _runs(child, document.get("id"), run)


def _parent(item: Mapping[str, Any]) -> str | None:
    """The last but one of `dotted_order` (time and id, joined by dots), or the last of `parent_run_ids`."""
    order = item.get("dotted_order")
    if isinstance(order, str) and order.count(".") >= 1:
        return order.split(".")[-2].partition("Z")[2] or None
    above = as_texts(item.get("parent_run_ids"))
    return above[-1] if above else None


def _span(item: Mapping[str, Any], above: Any, trace: Any) -> RawSpan:
    if not isinstance(item.get("run_type"), str):
        raise BadPart("run_type is missing; expected llm, chain, tool ...")
    run = trace_id(_plain_id(trace))
    start = time_ns(item.get("start_time"), 10**6)
    end = item.get("end_time")
    end = time_ns(end, 10**6) if isinstance(end, int | float) else end
    kind = item["run_type"].lower()
    extra = as_object(item.get("extra"))
    metadata = as_object(extra.get("metadata")) | as_object(item.get("metadata"))
    inputs, outputs = _opened(item.get("inputs")), _opened(item.get("outputs"))
    attributes: dict[str, Any] = {LangSmith.KIND: kind}
    for name, value in metadata.items():
        attributes[LangSmith.METADATA + name] = value if isinstance(value, str | int | float) else json.dumps(value)
    for name, value in ((LangSmith.PROMPT, inputs), (LangSmith.COMPLETION, outputs)):
        if value not in (None, "", {}, []):
            attributes[name] = value if isinstance(value, str) else json.dumps(value)
    if tags := as_texts(item.get("tags")):
        attributes[LangSmith.TAGS] = ", ".join(tags)
    if kind in ("llm", "embedding"):
        _call(attributes, item, metadata, extra, outputs)
    if not above:
        attributes[Tracehound.SOURCE_ID] = str(item.get("id"))
    error = item.get("error")
    ended = end_ns(end, start)
    if first := item.get("first_token_time"):
        attributes[GenAI.TIME_TO_FIRST_CHUNK_S] = max(0, time_ns(first, 10**6) - start) / 1e9
    return RawSpan(
        trace_id=run,
        span_id=span_id(_plain_id(item.get("id")), run),
        parent_span_id=span_id(_plain_id(above), run) if above else None,
        name=str(item.get("name") or kind),
        start_ns=start,
        end_ns=ended,
        status="error" if error else "ok",
        status_message=str(error or "").strip(),
        attributes=attributes,
        events=_failure(str(error), ended or start) if error else [],
        resource={Resource.SERVICE_NAME: item["session_name"]} if isinstance(item.get("session_name"), str) else {},
    )


def _call(
    attributes: dict[str, Any],
    item: Mapping[str, Any],
    metadata: Mapping[str, Any],
    extra: Mapping[str, Any],
    outputs: Any,
) -> None:
    """Model, tokens and cost: columns of the run, else the usage inside the answer or the metadata."""
    told = as_object(extra.get("invocation_params"))
    usage = as_object(mapping(outputs).get("usage_metadata")) or as_object(metadata.get("usage_metadata"))
    model = metadata.get("ls_model_name") or told.get("model") or told.get("model_name")
    if isinstance(model, str):
        attributes[GenAI.REQUEST_MODEL] = model
    if isinstance(told.get("temperature"), int | float):
        attributes.setdefault(LangSmith.TEMPERATURE, told["temperature"])
    for name, (column, inner) in _USAGE.items():
        if (number := item.get(column) or usage.get(inner)) is not None:
            attributes[name] = number
    for name, (column, inner) in _DETAILS.items():
        if details := as_object(item.get(column)) or as_object(usage.get(inner)):
            attributes[name] = json.dumps(details)
    try:
        cost = float(item.get("total_cost") or 0)
    except (TypeError, ValueError):
        cost = 0.0
    if cost > 0:
        attributes[Tracehound.COST_USD] = str(item["total_cost"])


def _failure(text: str, at_ns: int) -> list[RawEvent]:
    """The error as the event of an exception: LangSmith writes `Name('message')` and then the traceback."""
    named = _ERROR.search(text[:2000])
    head = text.strip().splitlines()[0] if text.strip() else text
    told = {Common.EXCEPTION_MESSAGE: head} | ({Common.EXCEPTION_TYPE: named[1]} if named else {})
    return [RawEvent(name=Common.EXCEPTION_EVENT, time_ns=at_ns, attributes=told)]


def _opened(value: Any) -> Any:
    """Inputs and outputs are objects, in a bulk export JSON text of one."""
    return as_object(value) or value if isinstance(value, str) else value


def _plain_id(value: Any) -> Any:
    """A UUID without its hyphens is 32 hex digits: the trace keeps its id."""
    return value.replace("-", "") if isinstance(value, str) and len(value) == 36 else value


IMPORTER = Importer("langsmith-runs", sniff, read)
