"""Runs as OTLP JSON, which any OpenTelemetry collector takes and `tracehound import` reads back: the same spans, the same analysis.

What a producer sent is sent again, in its own words: attributes with their texts put back, events, links, resource and scope.
Texts of spans that our own recorder wrote stand in `tracehound.content.<slot>`. Rows that only reading has made (the state of a
graph) are left out, since reading makes them again; so are costs out of the price table.
Source: OTLP 1.x, JSON encoding (64-bit numbers as text, ids as hex).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from analyzers.frames import Frames
from tracer.model import SpanStatus
from tracer.semconv import Common, GenAI, Resource, Stored, Tracehound

_DERIVED_ROW, _DERIVED_STATUS, _WAS_OK = "span_id", "status", "status:ok"
"""marks in `derived`: nobody sent the row; it was sent as an error; it was sent as ok"""
_UNSET, _OK, _ERROR = 0, 1, 2
_STATUS_TEXT = "otel.status_description"
_MESSAGES = (GenAI.INPUT_MESSAGES, GenAI.OUTPUT_MESSAGES)
_ANSWERED = ((GenAI.RESPONSE_MODEL, "model"), (GenAI.RESPONSE_ID, "response_id"))
Attributes = dict[str, Any]


def otlp(frames: Frames) -> bytes:
    """`{"resourceSpans": [...]}` of all runs in `frames`, in order of start; `frames.contents` must hold every text."""
    opened = _opener(frames.contents)
    events = _by_span(frames.events, opened, _event)
    for key, mark in _marks(frames).items():
        events.setdefault(key, []).append(mark)
    links = _by_span(frames.links, opened, _link)
    groups: dict[str, dict[str, list[Attributes]]] = {}
    for row in frames.spans.sort("start_ns", "span_id").iter_rows(named=True):
        if _DERIVED_ROW in (row["derived"] or ()):
            continue
        attributes = opened(row["attributes"])
        scope = attributes.pop(Stored.SCOPE, "")
        attributes.pop(Stored.PASSES, None)
        state = attributes.pop(Stored.TRACE_STATE, None)
        resource = _resource(row, attributes.pop(Stored.RESOURCE, None))
        key = (row["trace_id"], row["span_id"])
        span = _span(row, attributes, frames, events.get(key, []), links.get(key, []))
        if state:
            span["traceState"] = state
        groups.setdefault(json.dumps(_pairs(resource)), {}).setdefault(str(scope), []).append(span)
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": json.loads(resource)},
                "scopeSpans": [{"scope": {"name": name}, "spans": spans} for name, spans in scopes.items()],
            }
            for resource, scopes in groups.items()
        ]
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _span(
    row: Mapping[str, Any], attributes: Attributes, frames: Frames, events: list[Attributes], links: list[Attributes]
) -> Attributes:
    said = attributes.pop(_STATUS_TEXT, "")
    inferred = row["derived"] or ()
    failed = row["status"] == SpanStatus.ERROR and _WAS_OK not in inferred
    code = _ERROR if failed or _DERIVED_STATUS in inferred else _OK
    if failed and row["error_type"] and not any(event["name"] == Common.EXCEPTION_EVENT for event in events):
        attributes.setdefault(Common.ERROR_TYPE, row["error_type"])
    if row["convention"] == "tracehound":
        _slots(row, attributes, frames.contents)
    elif row["convention"] == "langsmith":
        for name, column in _ANSWERED:  # these stood inside an answer that is kept as messages
            if row[column] is not None:
                attributes.setdefault(name, row[column])
        if row["finish_reason"] is not None:
            attributes.setdefault(GenAI.FINISH_REASONS, [row["finish_reason"]])
    span: Attributes = {
        "traceId": row["trace_id"],
        "spanId": row["span_id"],
        "name": row["name"],
        "startTimeUnixNano": str(row["start_ns"]),
        "attributes": _pairs(attributes),
        "status": {"code": code if row["end_ns"] is not None else _UNSET},
    }
    if row["parent_span_id"]:
        span["parentSpanId"] = row["parent_span_id"]
    if row["end_ns"] is not None:
        span["endTimeUnixNano"] = str(row["end_ns"])
    if message := (row["error_message"] if failed else said):
        span["status"]["message"] = message
    if events:
        span["events"] = events
    if links:
        span["links"] = links
    if row["dropped_attributes"]:
        span["droppedAttributesCount"] = row["dropped_attributes"]
    return span


def _slots(row: Mapping[str, Any], attributes: Attributes, contents: Mapping[int, str]) -> None:
    """Texts that the recorder put aside, each as it is: lists of them keep their borders, and so their hashes."""
    for slot, column, told in (
        ("input", "input_refs", Tracehound.INPUT),
        ("output", "output_refs", Tracehound.OUTPUT),
    ):
        texts = [contents[ref] for ref in row[column] or () if ref in contents]
        if texts and told not in attributes:
            attributes[Tracehound.CONTENT + slot] = texts


def _resource(row: Mapping[str, Any], rest: Any) -> Attributes:
    named = {
        Resource.SERVICE_NAME: row["service"],
        Resource.SERVICE_VERSION: row["service_version"],
        Resource.ENVIRONMENT[0]: row["environment"],
        Resource.RELEASE: row["release"],
        Resource.PROCESS_PID: row["pid"],
    }
    held: Attributes = json.loads(rest) if isinstance(rest, str) else {}
    return {name: value for name, value in named.items() if value is not None} | held


def _event(row: Mapping[str, Any], attributes: Attributes) -> Attributes:
    if row["name"].startswith("gen_ai.") and row["name"] != GenAI.EVENT_DETAILS:
        for name in _MESSAGES:  # a message in an event of its own: its fields are the event's attributes
            for message in json.loads(attributes.pop(name, "[]")):
                attributes |= {key: v if isinstance(v, str) else json.dumps(v) for key, v in message.items()}
    return {"timeUnixNano": str(row["time_ns"]), "name": row["name"], "attributes": _pairs(attributes)}


def _link(row: Mapping[str, Any], attributes: Attributes) -> Attributes:
    return {"traceId": row["linked_trace_id"], "spanId": row["linked_span_id"], "attributes": _pairs(attributes)}


def _by_span(
    frame: Any, opened: Callable[[str], Attributes], made: Callable[[Mapping[str, Any], Attributes], Attributes]
) -> dict[tuple[str, str], list[Attributes]]:
    found: dict[tuple[str, str], list[Attributes]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault((row["trace_id"], row["span_id"]), []).append(made(row, opened(row["attributes"])))
    return found


def _marks(frames: Frames) -> dict[tuple[str, str], Attributes]:
    """People's verdicts as the events that programs give theirs with, on the first span of the run."""
    told = set(frames.events.filter(frames.events["name"] == Tracehound.EVENT_MARK)["time_ns"])
    first: dict[str, tuple[str, str]] = {}
    for run_id, trace_id, span_id in frames.spans.sort("start_ns", "span_id").select("run_id", "trace_id", "span_id").iter_rows():  # fmt: skip
        first.setdefault(run_id, (trace_id, span_id))
    found: dict[tuple[str, str], Attributes] = {}
    for row in frames.marks.iter_rows(named=True):
        if row["run_id"] in first and row["time_ns"] not in told:
            told_of = {Tracehound.MARK_VERDICT: row["verdict"], Tracehound.MARK_NOTE: row["note"]}
            attributes = {name: value for name, value in told_of.items() if value is not None}
            found[first[row["run_id"]]] = {
                "timeUnixNano": str(row["time_ns"]),
                "name": Tracehound.EVENT_MARK,
                "attributes": _pairs(attributes),
            }
    return found


def _opener(contents: Mapping[int, str]) -> Callable[[str], Attributes]:
    """Stored attributes -> what was sent: references become their texts, lists of messages JSON text."""

    def opened(value: Any) -> Any:
        if isinstance(value, list):
            return [opened(item) for item in cast(list[Any], value)]
        if not isinstance(value, dict):
            return value
        held = cast(dict[str, Any], value)
        if held.keys() == {"$content"}:
            return contents.get(held["$content"])
        if "$messages" in held:
            texts = [contents[ref] for ref in held["$messages"] if ref in contents]
            return _messages(texts, held.get("finish_reason") or [])
        return {key: opened(item) for key, item in held.items()}

    def whole(text: str) -> Attributes:
        attributes: Attributes = {}
        for name, value in json.loads(text).items():
            if name.startswith(Tracehound.CONTENT) and isinstance(value, dict):
                refs = cast(list[int], cast(dict[str, Any], value).get("$messages", []))
                attributes[name] = [contents[ref] for ref in refs if ref in contents]
            elif (found := opened(value)) is not None:
                attributes[name] = found
        return attributes

    return whole


def _messages(texts: Iterable[str], reasons: list[str]) -> str:
    """Messages (JSON texts) as one JSON list; why an answer ended stands in the answer again."""
    found = [json.loads(text) for text in texts]
    for message, reason in zip(found, reasons, strict=False):
        message["finish_reason"] = reason
    return json.dumps(found, ensure_ascii=False)


def _pairs(values: Mapping[str, Any]) -> list[Attributes]:
    return [{"key": name, "value": _any(value)} for name, value in values.items()]


def _any(value: Any) -> Attributes:
    match value:
        case str():
            return {"stringValue": value}
        case bool():
            return {"boolValue": value}
        case int() if -(2**63) <= value < 2**63:
            return {"intValue": str(value)}
        case int() | float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_any(item) for item in cast(list[Any], value)]}}
        case dict():
            return {"kvlistValue": {"values": _pairs(cast(dict[str, Any], value))}}
        case _:
            return {}
