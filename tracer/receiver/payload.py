"""The body of an export request -> protobuf payloads for the segment file, and what of it cannot be stored.

Pure functions. Spans are only parsed and their ids and times checked here (about 2 us each); reading their attributes
is the fold's work. A payload that comes out of here can be decoded by the fold, which uses the same parser.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from google.protobuf.message import DecodeError
from google.protobuf.message import Error as ProtobufError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tracer.normalise.otlp import check
from tracer.normalise.otlp_json import SPANS_PER_REQUEST, json_to_protobuf
from tracer.receiver.refusal import Refusal

Form = Literal["protobuf", "json"]
MEDIA_TYPES: Mapping[str, Form] = {"application/x-protobuf": "protobuf", "application/json": "json"}
ENCODINGS = ("identity", "gzip", "deflate")
REASONS_TOLD = 5
"""a client that sends 500 bad spans is told of the first few; the number says how many there were"""
_ITEM = re.compile(r"\.(?:spans|logRecords)\[\d+\]$")
_STEP = 1 << 20


@dataclass(slots=True)
class Accepted:
    """What one request comes down to."""

    payloads: list[bytes] = field(default_factory=list[bytes])
    """requests of at most `SPANS_PER_REQUEST` spans or records each, to be written; none where nothing can be stored"""
    accepted: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list[str])
    """the first few of the reasons, with the place in the request"""

    def because(self, where: str, reason: str) -> None:
        if len(self.reasons) < REASONS_TOLD:
            self.reasons.append(f"{where}: {reason}")


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """`body` without its Content-Encoding, never more than `limit` bytes of it in memory.

    Raises:
        Refusal: 415 for an unknown encoding, 413 for more than `limit` bytes, 400 for damaged data.
    """
    if encoding == "identity":
        if len(body) > limit:
            raise too_large(limit)
        return body
    if encoding not in ENCODINGS:
        raise Refusal(415, f"Content-Encoding {encoding!r} is not understood.", hint="send gzip, deflate or none.")
    parts: list[bytes] = []
    size, rest = 0, body
    try:
        while rest:  # gzip data may consist of several members
            inflater = zlib.decompressobj(wbits=47)
            while not inflater.eof:
                part = inflater.decompress(rest, min(_STEP, limit - size + 1))
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                parts.append(part)
                rest = inflater.unconsumed_tail
                if not part and not rest and not inflater.eof:
                    raise Refusal(400, f"The {encoding} data ends early, after {len(body)} bytes.")
            rest = inflater.unused_data
    except zlib.error as error:
        raise Refusal(400, f"The body is not {encoding} data: {error}.") from error
    return b"".join(parts)


def too_large(limit: int) -> Refusal:
    """More than this receiver holds in memory for one request."""
    return Refusal(
        413,
        f"The request is larger than {limit // (1 << 20)} MB.",
        hint="send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE) or start the receiver with a larger --max-body.",
    )


def read(body: bytes, form: Form, *, logs: bool) -> Accepted:
    """Check every span (with `logs` every log record) of a request on its own; the good ones stay.

    Raises:
        Refusal: 400 where the whole body is no such request.
    """
    found = Accepted()
    if form == "protobuf":
        _take(body, found, logs=logs)
        return found
    converted = _from_json(body, logs=logs)
    for payload in converted.payloads:
        _take(payload, found, logs=logs)
    for problem in converted.problems:
        found.rejected += _ITEM.search(problem.where) is not None
        found.because(problem.where, problem.reason)
    return found


def answer(found: Accepted, form: Form, *, logs: bool) -> bytes:
    """The body of the 200: empty, or a partial success that says how many were rejected and why."""
    told = bool(found.rejected or found.reasons)
    message = "; ".join(found.reasons)
    if form == "json":
        key = "rejectedLogRecords" if logs else "rejectedSpans"
        # OTLP JSON writes 64-bit numbers as text.
        partial = {key: str(found.rejected), "errorMessage": message}
        return json.dumps({"partialSuccess": partial} if told else {}).encode()
    if logs:
        response = ExportLogsServiceResponse()
        if told:
            response.partial_success.rejected_log_records = found.rejected
            response.partial_success.error_message = message
        return response.SerializeToString()
    response = ExportTraceServiceResponse()
    if told:
        response.partial_success.rejected_spans = found.rejected
        response.partial_success.error_message = message
    return response.SerializeToString()


def _from_json(body: bytes, *, logs: bool) -> Any:
    name = "resourceLogs" if logs else "resourceSpans"
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise Refusal(400, f"Expected a JSON object with {name}, got {type(document).__name__}.")
        held = cast("dict[str, Any]", document)
        if held and name not in held and f"resource_{name[8:].lower()}" not in held:
            raise Refusal(
                400,
                f"The JSON object has no {name}; it has {', '.join(repr(key) for key in list(held)[:5])}.",
                hint="traces go to /v1/traces, logs to /v1/logs.",
            )
        return json_to_protobuf(held, logs=logs)
    except (ValueError, RecursionError, ProtobufError) as error:  # the last two: nested too deep
        raise Refusal(400, f"The body is not OTLP JSON: {error}.") from error


def _take(payload: bytes, found: Accepted, *, logs: bool) -> None:
    request = _parse(payload, logs=logs)
    before = found.accepted
    count = _check_logs(request, found) if logs else _check_spans(request, found)
    if found.accepted > before:
        # As it came: the fold counts the bad ones in the store, where `doctor` finds them.
        found.payloads += [payload] if count <= SPANS_PER_REQUEST else _cut(request, logs=logs)


def _parse(payload: bytes, *, logs: bool) -> Any:
    request: Any = ExportLogsServiceRequest() if logs else ExportTraceServiceRequest()
    kind = "log" if logs else "trace"
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise Refusal(400, f"The body is no OTLP {kind} request: {error}.") from error
    if payload and not (request.resource_logs if logs else request.resource_spans):
        # Almost any few bytes parse as fields nobody knows; answering 200 would lose them silently.
        raise Refusal(400, f"The body is no OTLP {kind} request: it holds none of its fields.")
    return request


def _check_spans(request: Any, found: Accepted) -> int:
    count = 0
    for r, group in enumerate(request.resource_spans):
        for s, scoped in enumerate(group.scope_spans):
            for n, span in enumerate(scoped.spans):
                count += 1
                reason = check(span.trace_id, span.span_id, span.start_time_unix_nano, span.end_time_unix_nano)
                if reason is None:
                    found.accepted += 1
                else:
                    found.rejected += 1
                    found.because(f"resourceSpans[{r}].scopeSpans[{s}].spans[{n}]", reason)
    return count


def _check_logs(request: Any, found: Accepted) -> int:
    count = 0
    for r, group in enumerate(request.resource_logs):
        for s, scoped in enumerate(group.scope_logs):
            for n, record in enumerate(scoped.log_records):
                count += 1
                if len(record.trace_id) == 16 and len(record.span_id) == 8:
                    found.accepted += 1
                else:
                    found.rejected += 1
                    found.because(f"resourceLogs[{r}].scopeLogs[{s}].logRecords[{n}]", "names no span it belongs to")
    return count


def _cut(request: Any, *, logs: bool) -> list[bytes]:
    """A long request as several, so that the fold can take it in bounded transactions."""
    payloads: list[bytes] = []
    held, target, into = 0, _parse(b"", logs=logs), cast(Any, None)
    for group in request.resource_logs if logs else request.resource_spans:
        for scoped in group.scope_logs if logs else group.scope_spans:
            into = None
            for item in scoped.log_records if logs else scoped.spans:
                if held >= SPANS_PER_REQUEST:
                    payloads.append(target.SerializeToString())
                    held, target, into = 0, _parse(b"", logs=logs), None
                if into is None:
                    opened = (target.resource_logs if logs else target.resource_spans).add()
                    opened.resource.CopyFrom(group.resource)
                    into = (opened.scope_logs if logs else opened.scope_spans).add()
                    into.scope.CopyFrom(scoped.scope)
                (into.log_records if logs else into.spans).append(item)
                held += 1
    if held:
        payloads.append(target.SerializeToString())
    return payloads
