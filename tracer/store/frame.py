"""Frames: how records lie in a segment file, and how they are found again in one that is torn or damaged.

    magic "THF1" | kind u8 | codec u8 | length u32 | crc32 u32 | payload        (little endian)

The checksum covers kind, codec and stored payload. Standard library only: the traced program imports this.
"""

from __future__ import annotations

import binascii
import json
import re
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, cast

from ..model import RawEvent, RawLink, RawSpan

MAGIC = b"THF1"
HEADER = struct.Struct("<4sBBII")
COUNTS = ("shim_errors", "forward_dropped_spans")
"""what else a recording process tells of itself: errors of ours that the program did not feel, spans that another back-end did not get"""
MAX_PAYLOAD = 1 << 30
"""a length above this is damage, not data"""
COMPRESS_FROM = 16 * 1024
"""bytes from which zlib-1 is worth its time; small frames are written on the caller's thread"""
_PLAIN, _ZLIB = 0, 1
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")


class FrameKind(IntEnum):
    """What a payload holds."""

    RECORDS = 1
    """our own records: UTF-8 JSON in one line; behind its end the texts of its "bodies", one after the other, as they are

    What spans gain later comes in a kind of its own, which an older reader keeps apart: of this one it reads the fields it knows."""
    OTLP_TRACES = 2
    """ExportTraceServiceRequest, protobuf, as it came"""
    OTLP_LOGS = 3
    """ExportLogsServiceRequest, protobuf, as it came"""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame and where it lies in its file."""

    kind: int
    payload: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Bytes that are no frame: damaged, or torn at the end of a file whose writer is gone."""

    data: bytes
    start: int
    end: int
    reason: str
    torn: bool = False
    """the end of a write that never returned: nothing acknowledged is in it"""


@dataclass(slots=True, kw_only=True)
class Records:
    """The content of a frame of kind RECORDS."""

    starts: list[RawSpan] = field(default_factory=list[RawSpan])
    spans: list[RawSpan] = field(default_factory=list[RawSpan])
    contents: dict[int, str] = field(default_factory=dict[int, str])
    pid: int = 0
    dropped: int = 0
    """spans the writer could not write before this frame"""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """of `COUNTS`, what happened before this frame"""


def encode_frame(kind: FrameKind, payload: bytes, *, compress: bool = True) -> bytes:
    """The bytes of one frame; a large payload is deflated when that is allowed."""
    codec = _PLAIN
    if compress and len(payload) >= COMPRESS_FROM:
        codec, payload = _ZLIB, zlib.compress(payload, 1)
    if len(payload) > MAX_PAYLOAD:
        raise OSError(f"a frame of {len(payload)} bytes is larger than the {MAX_PAYLOAD} bytes a segment takes")
    return HEADER.pack(MAGIC, kind, codec, len(payload), _checksum(kind, codec, payload)) + payload


def scan_frames(data: bytes, *, base: int = 0, sealed: bool) -> Iterator[Frame | BadFrame]:
    """Yield what lies in `data`, the bytes of a segment from offset `base` (a frame border) to its present end.

    While the writer lives (`sealed` False) an incomplete or damaged last frame is left alone, since it may be in the
    middle of being written; damage is only called so when a whole frame follows it. In a sealed file every byte that
    is no frame is reported as a `BadFrame`.
    """
    at = 0
    while at < len(data):
        frame = _frame_at(data, at, base)
        if isinstance(frame, Frame):
            yield frame
            at = frame.end - base
            continue
        following = _next_frame(data, at + 1)
        if following is None and not sealed:
            return
        end = len(data) if following is None else following
        torn = following is None and frame.startswith("incomplete")
        yield BadFrame(data[at:end], base + at, base + end, frame, torn)
        at = end


def _frame_at(data: bytes, at: int, base: int) -> Frame | str:
    """The frame that starts at `at`, or why there is none."""
    if len(data) - at < HEADER.size:
        return "incomplete header"
    magic, kind, codec, length, checksum = HEADER.unpack_from(data, at)
    if magic != MAGIC:
        return "no frame starts here"
    if length > MAX_PAYLOAD or codec not in (_PLAIN, _ZLIB):
        return "impossible header"
    start, end = at + HEADER.size, at + HEADER.size + length
    if end > len(data):
        return "incomplete payload"
    payload = data[start:end]
    if _checksum(kind, codec, payload) != checksum:
        return "checksum does not match"
    if codec == _ZLIB:
        try:
            payload = zlib.decompress(payload)
        except zlib.error as error:
            return f"cannot inflate: {error}"
    return Frame(kind, payload, base + at, base + end)


def _next_frame(data: bytes, at: int) -> int | None:
    """Where the next whole frame starts, at `at` or later."""
    while (at := data.find(MAGIC, at)) >= 0:
        if isinstance(_frame_at(data, at, 0), Frame):
            return at
        at += 1
    return None


def _checksum(kind: int, codec: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(bytes((kind, codec))))


def encode_records(
    spans: Sequence[RawSpan],
    *,
    starts: Sequence[RawSpan] = (),
    contents: Mapping[int, str] | None = None,
    pid: int = 0,
    dropped: int = 0,
    counts: Mapping[str, int] | None = None,
) -> bytes:
    """The payload of one frame of our own records. Resource and scope are written once where spans share them."""
    first = spans[0] if spans else starts[0] if starts else None
    resource: Mapping[str, Any] = first.resource if first else {}
    scope = first.scope if first else ""
    parts = [f'{{"pid":{pid}']
    if resource:
        parts.append(f',"resource":{_resource_to_json(resource)}')
    if scope:
        parts.append(f',"scope":{_quoted(scope)}')
    if dropped:
        parts.append(f',"dropped":{dropped}')
    if counts:
        parts.append(f',"counts":{json.dumps(dict(counts))}')
    bodies: list[bytes] = []
    if contents:
        # As they are, not inside the JSON: quoting a long text costs more than hashing it, and unquoting it again.
        bodies = [body.encode("utf-8", "surrogatepass") for body in contents.values()]
        sizes = ",".join([f"[{named},{len(body)}]" for named, body in zip(contents, bodies, strict=True)])
        parts.append(f',"bodies":[{sizes}]')
    for key, group in (("starts", starts), ("spans", spans)):
        if group:
            parts.append(f',"{key}":[{",".join([_span_to_json(span, resource, scope) for span in group])}]')
    parts.append("}\n")
    return b"".join(("".join(parts).encode("utf-8", "surrogatepass"), *bodies))


def counts_of(value: Any) -> dict[str, int]:
    """What a recorder counted, of `COUNTS`."""
    if not isinstance(value, dict):
        return {}
    held = cast("dict[str, Any]", value)
    return {name: number for name, number in held.items() if name in COUNTS and isinstance(number, int) and number > 0}


def decode_records(payload: bytes) -> Records:
    """The inverse of `encode_records`. Lone surrogates, which no database takes, come back as U+FFFD.

    Raises:
        ValueError: the payload is not a record of ours.
    """
    head, texts = halves(payload)
    try:
        record: dict[str, Any] = from_json(head)
        resource, scope = record.get("resource", {}), record.get("scope", "")
        return Records(
            starts=[span_of_body(body, resource, scope) for body in record.get("starts", ())],
            spans=[span_of_body(body, resource, scope) for body in record.get("spans", ())],
            contents=contents_of(record.get("contents", {}), record.get("bodies", ()), texts),
            pid=int(record.get("pid", 0)),
            dropped=int(record.get("dropped", 0)),
            counts=counts_of(record.get("counts")),
        )
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"not a record of tracehound: {error}") from error


def halves(payload: bytes) -> tuple[bytes, bytes]:
    """(JSON in UTF-8, the texts behind it) of one frame of RECORDS."""
    head, _, texts = payload.partition(b"\n")
    return (_text(head).encode() if _SURROGATE.search(head) else head), texts


def from_json(text: str | bytes) -> Any:
    """What is recorded in `text`, bytes included."""
    mark: Any = '"$bytes"' if isinstance(text, str) else b'"$bytes"'
    return json.loads(text, object_hook=_bytes_back if mark in text else None)


def contents_of(written: Mapping[str, Any], bodies: Iterable[Sequence[int]], texts: bytes) -> dict[int, str]:
    """The texts of a frame: those `written` in its JSON, as in the first releases, and its `bodies`, (id, bytes) each.

    Raises:
        ValueError: the bodies are not what is there.
    """
    found = {int(key): str(body) for key, body in written.items()}
    at = 0
    for named, length in bodies:
        found[int(named)] = _text(texts[at : at + length])
        at += length
    if at != len(texts):
        raise ValueError(f"not a record of tracehound: its texts have {len(texts)} bytes, not {at}")
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        whole = data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass")
        return whole.decode("utf-16", "replace")


def _span_to_json(span: RawSpan, resource: Mapping[str, Any], scope: str) -> str:
    # Written out by hand: one call of the encoder for the attributes instead of a dict and a walk through all of it.
    parts = [
        f'{{"trace_id":{_quoted(span.trace_id)},"span_id":{_quoted(span.span_id)},"name":{_quoted(span.name)},'
        f'"start_ns":{span.start_ns}'
    ]
    if span.parent_span_id is not None:
        parts.append(f',"parent_span_id":{_quoted(span.parent_span_id)}')
    if span.end_ns is not None:
        parts.append(f',"end_ns":{span.end_ns}')
    if span.status != "unset":
        parts.append(f',"status":"{span.status}"')
    if span.status_message:
        parts.append(f',"status_message":{_quoted(span.status_message)}')
    if span.attributes:
        parts.append(f',"attributes":{_to_json(span.attributes)}')
    if span.events:
        parts.append(f',"events":{_to_json([_event_to_json(event) for event in span.events])}')
    if span.links:
        links = [{"trace_id": li.trace_id, "span_id": li.span_id, "attributes": li.attributes} for li in span.links]
        parts.append(f',"links":{_to_json(links)}')
    # `is` first: spans of one provider share the object, and comparing dicts costs more than writing some.
    if span.resource is not resource and span.resource != resource:
        parts.append(f',"resource":{_to_json(span.resource)}')
    if span.scope != scope:
        parts.append(f',"scope":{_quoted(span.scope)}')
    if span.dropped_attributes:
        parts.append(f',"dropped_attributes":{span.dropped_attributes}')
    if span.content:
        slots = ",".join([f"{_quoted(slot)}:{ids}" for slot, ids in span.content.items()])
        parts.append(f',"content":{{{slots}}}')
    parts.append("}")
    return "".join(parts)


def _event_to_json(event: RawEvent) -> dict[str, Any]:
    body: dict[str, Any] = {"name": event.name, "time_ns": event.time_ns}
    if event.attributes:
        body["attributes"] = event.attributes
    if event.trace_id:
        body["trace_id"] = event.trace_id
    if event.span_id:
        body["span_id"] = event.span_id
    if event.body is not None:
        body["body"] = event.body
    return body


_resource_written: tuple[Mapping[str, Any], str] = ({}, "{}")


def _resource_to_json(resource: Mapping[str, Any]) -> str:
    """Resources are the same object in nearly every frame of a process, and nobody changes one."""
    global _resource_written
    known, text = _resource_written
    if known is not resource:
        text = _to_json(resource)
        _resource_written = (resource, text)
    return text


def span_of_body(body: dict[str, Any], resource: dict[str, Any], scope: str) -> RawSpan:
    """The span that `body` is, which is changed and of no use afterwards.

    Raises:
        TypeError, AttributeError: it is none.
    """
    body.setdefault("end_ns", None)
    body.setdefault("resource", resource)
    body.setdefault("scope", scope)
    # Empty lists too: making them costs the dataclass as much as the rest of the span.
    body["events"] = [RawEvent(**event) for event in body.get("events", ())]
    body["links"] = [RawLink(**link) for link in body.get("links", ())]
    body.setdefault("content", {})
    return RawSpan(**body)


def _foreign(value: Any) -> Any:
    """What JSON cannot say: bytes survive, other objects become their text."""
    if isinstance(value, bytes | bytearray):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, Sequence | Set):
        return list(cast("Iterable[Any]", value))
    return repr(value)


_quoted = json.encoder.encode_basestring
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_foreign).encode


def _bytes_back(body: dict[str, Any]) -> dict[str, Any] | bytes:
    if len(body) == 1 and isinstance(text := body.get("$bytes"), str):
        try:
            return b64decode(text, validate=True)
        except binascii.Error:
            return body  # somebody's own key of that name
    return body
