"""Inspect's event logs: {"events": [...]}, or an evaluation {"eval", "samples": [{"events": [...]}]}; one sample is one run.

workflow <task>                the sample: its id, error and limit
  agent bridge                 span_begin .. span_end of type agent
    llm, tool                  model and tool events
    state_write store          store and state events: their changed paths
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, documents, end_ns, mapping, mappings, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawSpan, RunOutcome, SpanKind
from tracer.semconv import Common, GenAI, Tracehound

_MARK = re.compile(rb'"event"\s*:\s*"(?:span_begin|span_end|model|tool|sample_init|state|store)"')
_USAGE: dict[str, str] = {
    "input_tokens": GenAI.INPUT_TOKENS[0],
    "output_tokens": GenAI.OUTPUT_TOKENS[0],
    "input_tokens_cache_read": GenAI.CACHED_TOKENS[0],
    "input_tokens_cache_write": GenAI.CACHE_WRITE_TOKENS[0],
    "reasoning_tokens": GenAI.REASONING_TOKENS[0],
}


def sniff(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[") and _MARK.search(head) is not None


def read(source: Source, sink: Sink) -> None:
    name = source.path.name.split(".", 1)[0]
    for document in documents(source, sink):
        plan = mapping(document.get("eval"))
        samples = mappings(document.get("samples")) if "samples" in document else [document]
        for number, sample in enumerate(samples):
            _sample(sample, str(plan.get("task") or name), f"{plan.get('run_id') or name}/{number}", sink)


def _sample(sample: Mapping[str, Any], task: str, fallback: str, sink: Sink) -> None:
    events = mappings(sample.get("events"))
    source_id = str(sample.get("uuid") or sample.get("id") or fallback)
    trace = trace_id(f"inspect {fallback} {source_id}")
    root = span_id("sample", trace)
    ends = {str(event.get("id")): event.get("timestamp") for event in events if event.get("event") == "span_end"}
    spans: list[RawSpan] = []
    for number, event in enumerate(events):
        try:
            span = _span(event, trace, root, number, ends)
        except BadPart as error:
            sink.report.skip(None, f"{source_id} events[{number}] ({event.get('event')}): {error}")
            continue
        if span is not None:
            spans.append(span)
    if not spans:
        sink.report.skip(None, f"{source_id}: no events of models, tools or spans")
        return
    sink.spans([_root(sample, task, source_id, trace, root, spans, events), *spans], {}, count=len(spans) + 1)


def _root(
    sample: Mapping[str, Any],
    task: str,
    source_id: str,
    trace: str,
    root: str,
    spans: Sequence[RawSpan],
    events: Sequence[Mapping[str, Any]],
) -> RawSpan:
    attributes: dict[str, Any] = {
        Tracehound.KIND: SpanKind.WORKFLOW.value,
        Tracehound.WORKFLOW: task,
        Tracehound.SOURCE_ID: source_id,
    }
    limit = next((event for event in events if event.get("event") == "sample_limit"), None)
    error = mapping(sample.get("error")).get("message")
    if limit is not None:
        attributes[Tracehound.OUTCOME] = RunOutcome.STOPPED_BY_GUARD.value
        attributes[Tracehound.OUTCOME_REASON] = str(limit.get("message") or limit.get("type"))
    elif error:
        attributes[Tracehound.OUTCOME], attributes[Tracehound.OUTCOME_REASON] = RunOutcome.FAILED.value, str(error)
    elif sample.get("scores"):
        attributes[Tracehound.OUTCOME] = RunOutcome.COMPLETED.value
    return RawSpan(
        trace_id=trace,
        span_id=root,
        name=task,
        start_ns=min(span.start_ns for span in spans),
        end_ns=max(span.end_ns or span.start_ns for span in spans),
        status="error" if error else "unset",
        status_message=str(error or ""),
        attributes=attributes,
    )


def _span(event: Mapping[str, Any], trace: str, root: str, number: int, ends: Mapping[str, Any]) -> RawSpan | None:
    """A span for the events that are one; None for the others (info, score, input ...)."""
    kind = event.get("event")
    if kind not in ("span_begin", "model", "tool", "store", "state"):
        return None
    own = event.get("id") if kind == "span_begin" else event.get("uuid") or f"{kind} {number}"
    upper = event.get("parent_id") if kind == "span_begin" else event.get("span_id")
    start = time_ns(event.get("timestamp"))
    end = ends.get(str(own)) if kind == "span_begin" else event.get("completed") or event.get("timestamp")
    error = event.get("error")
    told = str(mapping(error).get("message") or error) if error else ""
    attributes = _ATTRIBUTES[kind](event)
    if error and mapping(error).get("type"):
        attributes[Common.ERROR_TYPE] = str(mapping(error)["type"])
    return RawSpan(
        trace_id=trace,
        span_id=span_id(f"inspect {own}", trace),
        parent_span_id=span_id(f"inspect {upper}", trace) if upper else root,
        name=str(event.get("name") or event.get("function") or event.get("model") or kind),
        start_ns=start,
        end_ns=end_ns(end, start),
        status="error" if error else "unset",
        status_message=told,
        attributes=attributes,
    )


def _begin(event: Mapping[str, Any]) -> dict[str, Any]:
    if event.get("type") != "agent":
        return {"inspect.span.type": str(event.get("type") or "")}
    return {Tracehound.KIND: SpanKind.AGENT.value, Tracehound.AGENT: str(event.get("name"))}


def _model(event: Mapping[str, Any]) -> dict[str, Any]:
    output, config = mapping(event.get("output")), mapping(event.get("config"))
    asked = str(event.get("model") or "")
    model = str(output.get("model") or asked)
    attributes: dict[str, Any] = {GenAI.OPERATION: "chat", GenAI.REQUEST_MODEL: model.rsplit("/", 1)[-1]}
    if "/" in asked:
        attributes[GenAI.PROVIDER[0]] = asked.split("/", 1)[0]
    usage = mapping(output.get("usage"))
    attributes |= {name: usage[key] for key, name in _USAGE.items() if usage.get(key) is not None}
    choices = mappings(output.get("choices"))
    attributes[GenAI.INPUT_MESSAGES] = [dict(message) for message in mappings(event.get("input"))]
    attributes[GenAI.OUTPUT_MESSAGES] = [dict(mapping(choice.get("message"))) for choice in choices]
    reasons = [str(choice["stop_reason"]) for choice in choices if choice.get("stop_reason")]
    if reasons:
        attributes[GenAI.FINISH_REASONS] = reasons
    if config.get("temperature") is not None:
        attributes[GenAI.TEMPERATURE] = config["temperature"]
    return attributes


def _tool(event: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        GenAI.OPERATION: "execute_tool",
        GenAI.TOOL_NAME: event.get("function"),
        GenAI.TOOL_CALL_ID: event.get("id"),
        GenAI.TOOL_ARGUMENTS[0]: event.get("arguments"),
        GenAI.TOOL_RESULT[0]: event.get("result"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _state(event: Mapping[str, Any]) -> dict[str, Any]:
    """JSON patches: what was changed, where; no versions are known."""
    paths = sorted({str(change["path"]) for change in mappings(event.get("changes")) if change.get("path")})
    return {
        Tracehound.KIND: SpanKind.STATE_WRITE.value,
        Tracehound.STATE_KEY: str(event.get("event")),
        Tracehound.CHANGED_PATHS: paths,
    }


_ATTRIBUTES = {"span_begin": _begin, "model": _model, "tool": _tool, "store": _state, "state": _state}

IMPORTER = Importer("inspect-log", sniff, read)
