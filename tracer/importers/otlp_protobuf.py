"""OTLP protobuf files: one export request (several appended to each other merge into one), or a stream of requests
that each follow their length as a varint. Traces or logs are told apart by what decodes to sound records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracer.errors import BadInput
from tracer.importers.base import Importer, Sink
from tracer.importers.source import Source
from tracer.normalise.otlp import check, decode_logs
from tracer.normalise.otlp_json import SPANS_PER_REQUEST

_RESOURCE_FIELD = 0x0A
"""field 1, length-delimited: resource_spans or resource_logs, the only field a request has"""


def sniff(head: bytes) -> bool:
    """Binary, and field 1 whose content looks like resource_spans; for a stream that is behind a length."""
    if all(byte >= 0x20 or byte in b"\t\n\r" for byte in head[:2048]):
        return False
    for start in (0, _after_varint(head, 0)):
        if start is not None and head[start : start + 1] == bytes([_RESOURCE_FIELD]):
            body = _after_varint(head, start + 1)
            # Inside: resource (1), scope_spans (2) or schema_url (3), all length-delimited.
            if body is not None and head[body : body + 1] in (b"\x0a", b"\x12", b"\x1a"):
                return True
    return False


def read(source: Source, sink: Sink) -> None:
    data, broken = source.whole()
    if broken:
        sink.report.skip(None, broken)
    if _take(data, sink):
        return
    rest = 0
    for offset, body in _frames(data):
        rest = offset
        if body is None or not _take(body, sink):
            break
    else:
        return
    # Cut off: of a stream the last request (behind its length), of a single request the file itself.
    start = (_after_varint(data, rest) or rest) if rest else 0
    complete = complete_part(data[start:])
    if complete and _take(complete, sink):
        sink.report.skip(
            None, f"the data ends early, after {len(data)} bytes; what was complete before the end was read"
        )
    elif rest:
        sink.report.skip(None, f"no OTLP request at byte {rest}; the rest of the file is left out")
    else:
        sink.report.skip(None, "not an OTLP request: the bytes do not decode to spans or log records")


def complete_part(data: bytes, path: tuple[int, ...] = (1, 2, 2)) -> bytes:
    """A message without what is cut off at its end: along `path` (resource, scope, span) the incomplete field is
    entered and rebuilt from its complete fields; elsewhere it is dropped."""
    offset = 0
    while offset < len(data):
        tag, body = _varint(data, offset)
        end = _field_end(data, tag & 7, body)
        if body is None or end is None:
            break
        if end > len(data):
            if tag & 7 == 2 and len(path) > 1 and tag >> 3 == path[0]:
                inner_at = _after_varint(data, body)
                inner = complete_part(data[inner_at:], path[1:])
                return data[:offset] + _as_varint(tag) + _as_varint(len(inner)) + inner
            break
        offset = end
    return data[:offset]


def _field_end(data: bytes, wire_type: int, body: int | None) -> int | None:
    """The offset behind a field whose value starts at `body`, which may be past the data; None for no field."""
    if body is None:
        return None
    if wire_type == 0:
        return _after_varint(data, body)
    if wire_type == 2:
        length, start = _varint(data, body)
        return None if start is None else start + length
    return {1: body + 8, 5: body + 4}.get(wire_type)


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _take(body: bytes, sink: Sink) -> bool:
    """Import one request; False where it is none."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return _take_logs(body, sink)
    good, bad = _Batches(), list[str]()
    for r, group in enumerate(request.resource_spans):
        for s, scoped in enumerate(group.scope_spans):
            for n, span in enumerate(scoped.spans):
                reason = check(span.trace_id, span.span_id, span.start_time_unix_nano, span.end_time_unix_nano)
                if reason is None:
                    good.add((r, s), group, scoped, span)
                    sink.saw(span.trace_id, span.span_id, span.parent_span_id, None)
                else:
                    bad.append(f"resourceSpans[{r}].scopeSpans[{s}].spans[{n}] ({span.name!r}): {reason}")
    if not good.count and _take_logs(body, sink):
        return True
    if not good.count and not bad:
        return False
    for reason in bad:
        sink.report.skip(None, reason)
    for payload, count in good.payloads():
        sink.otlp(payload, count)
    return True


def _take_logs(body: bytes, sink: Sink) -> bool:
    try:
        records = decode_logs(body)
    except BadInput:
        return False
    if not records:
        return False
    request = ExportLogsServiceRequest.FromString(body)
    count = sum(len(scoped.log_records) for group in request.resource_logs for scoped in group.scope_logs)
    sink.otlp(body, count, logs=True)
    return True


class _Batches:
    """Sound spans as requests of bounded size, each span under a copy of its resource and scope."""

    def __init__(self) -> None:
        self.count = 0
        self._requests: list[Any] = []
        self._sizes: list[int] = []
        self._at: tuple[int, int] = (-1, -1)
        self._scoped: Any = None

    def add(self, place: tuple[int, int], group: Any, scoped: Any, span: Any) -> None:
        full = not self._sizes or self._sizes[-1] >= SPANS_PER_REQUEST
        if full:
            self._requests.append(ExportTraceServiceRequest())
            self._sizes.append(0)
        if full or self._at != place:
            target = self._requests[-1].resource_spans.add()
            target.resource.CopyFrom(group.resource)
            self._scoped = target.scope_spans.add()
            self._scoped.scope.CopyFrom(scoped.scope)
            self._at = place
        self._scoped.spans.append(span)
        self._sizes[-1] += 1
        self.count += 1

    def payloads(self) -> Iterator[tuple[bytes, int]]:
        for request, size in zip(self._requests, self._sizes, strict=True):
            yield request.SerializeToString(), size


def _frames(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """(offset, body) of every length-delimited message; None for one that is cut off."""
    offset = 0
    while offset < len(data):
        length, body = _varint(data, offset)
        if body is None or length == 0 or body + length > len(data):
            yield offset, None
            return
        yield offset, data[body : body + length]
        offset = body + length


def _varint(data: bytes, offset: int) -> tuple[int, int | None]:
    """(value, offset behind it); None where no varint ends within ten bytes."""
    value = 0
    for shift in range(0, 70, 7):
        if offset >= len(data):
            return 0, None
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    return 0, None


def _after_varint(data: bytes, offset: int) -> int | None:
    return _varint(data, offset)[1]


IMPORTER = Importer("otlp-protobuf", sniff, read)
