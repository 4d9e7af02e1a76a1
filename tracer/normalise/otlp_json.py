"""OTLP JSON -> OTLP protobuf, span by span: the good ones go in, each bad one is named with its reason.

Tolerated beside the specification's form (hex ids, 64-bit numbers as text, camelCase, enums as numbers): snake_case
keys, base64 ids, numbers as numbers, enum names, `instrumentationLibrarySpans` of old exporters.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tracer.normalise.otlp import MAX_NS, Problem, check

_STATUS = {"UNSET": 0, "OK": 1, "ERROR": 2}
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_TRACE_KEYS = ("resourceSpans", "scopeSpans", "spans")
_LOG_KEYS = ("resourceLogs", "scopeLogs", "logRecords")
SPANS_PER_REQUEST = 1_000
"""longer requests are cut, so that a reader can take them in bounded transactions"""
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


@dataclass(slots=True)
class Converted:
    """The good part of a document as protobuf requests, and what had to be left out."""

    payloads: list[bytes] = field(default_factory=list[bytes])
    """requests of at most `SPANS_PER_REQUEST` spans or records each"""
    count: int = 0
    """spans or records in the payloads"""
    problems: list[Problem] = field(default_factory=list[Problem])
    ids: list[tuple[bytes, bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes, bytes]])
    """(trace id, span id, parent id or b"") of every span in the payloads"""


class _Bad(Exception):
    """A value that cannot be what the format wants."""


def json_to_protobuf(document: Any, *, logs: bool = False) -> Converted:
    """ExportTraceServiceRequests (with `logs` ExportLogsServiceRequests) from the parsed JSON form of one.

    Never raises on content: what is not a span becomes a problem with its place in the document.
    """
    converted = Converted()
    build = _Build(converted, logs=logs)
    outer, inner, items = _LOG_KEYS if logs else _TRACE_KEYS
    for r, group in _objects(document, outer, converted, ""):
        place = f"{outer}[{r}]"
        build.open_resource(_get(group, "resource"), f"{place}.resource")
        scopes = inner if logs or _get(group, inner) is not None else "instrumentationLibrarySpans"
        for s, scoped in _objects(group, scopes, converted, place):
            build.open_scope(_get(scoped, "scope", _get(scoped, "instrumentationLibrary")))
            for n, item in _objects(scoped, items, converted, f"{place}.{scopes}[{s}]"):
                build.add(item, f"{place}.{scopes}[{s}].{items}[{n}]")
    build.flush()
    return converted


class _Build:
    """Collects spans under their resource and scope, and starts another request when one is full."""

    def __init__(self, converted: Converted, *, logs: bool) -> None:
        self._converted = converted
        self._logs = logs
        self._request: Any = self._new_request()
        self._group: Any = None
        self._scoped: Any = None
        self._held = 0

    def open_resource(self, resource: Any, where: str) -> None:
        self._group = (self._request.resource_logs if self._logs else self._request.resource_spans).add()
        self._scoped = None
        if isinstance(resource, Mapping):
            try:
                _pairs(self._group.resource.attributes, _get(cast(Mapping[str, Any], resource), "attributes"))
            except _Bad as error:
                self._converted.problems.append(Problem(where, str(error)))

    def open_scope(self, scope: Any) -> None:
        self._scoped = (self._group.scope_logs if self._logs else self._group.scope_spans).add()
        if isinstance(scope, Mapping):
            named = cast(Mapping[str, Any], scope)
            self._scoped.scope.name = _text(str(named.get("name") or ""))
            self._scoped.scope.version = _text(str(named.get("version") or ""))

    def add(self, raw: Mapping[str, Any], where: str) -> None:
        made: Any = LogRecord() if self._logs else ProtoSpan()
        try:
            if self._logs:
                _record(made, raw)
            else:
                _span(made, raw)
        except _Bad as error:
            self._converted.problems.append(Problem(where, str(error)))
            return
        if self._held >= SPANS_PER_REQUEST:
            self._start_another()
        (self._scoped.log_records if self._logs else self._scoped.spans).append(made)
        self._held += 1
        self._converted.count += 1
        if not self._logs:
            self._converted.ids.append((made.trace_id, made.span_id, made.parent_span_id))

    def flush(self) -> None:
        if self._held:
            self._converted.payloads.append(self._request.SerializeToString())
        self._held = 0

    def _start_another(self) -> None:
        resource, scope = self._group.resource, self._scoped.scope
        self.flush()
        self._request = self._new_request()
        self._group = (self._request.resource_logs if self._logs else self._request.resource_spans).add()
        self._group.resource.CopyFrom(resource)
        self._scoped = (self._group.scope_logs if self._logs else self._group.scope_spans).add()
        self._scoped.scope.CopyFrom(scope)

    def _new_request(self) -> Any:
        return ExportLogsServiceRequest() if self._logs else ExportTraceServiceRequest()


def _objects(owner: Any, key: str, converted: Converted, place: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if not isinstance(owner, Mapping):
        converted.problems.append(Problem(place or "document", f"expected an object, got {_shown(owner)}"))
        return
    found = _get(cast(Mapping[str, Any], owner), key)
    if found is None:
        return
    where = f"{place}.{key}".lstrip(".")
    if not isinstance(found, list):
        converted.problems.append(Problem(where, f"expected a list, got {_shown(found)}"))
        return
    for number, item in enumerate(cast(list[Any], found)):
        if isinstance(item, Mapping):
            yield number, cast(Mapping[str, Any], item)
        else:
            converted.problems.append(Problem(f"{where}[{number}]", f"expected an object, got {_shown(item)}"))


def _get(owner: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """`owner[key]`, also where the key is spelled in snake_case."""
    value = owner.get(key)
    if value is None:
        value = owner.get(_CAMEL.sub(lambda found: "_" + found[1].lower(), key))
    return default if value is None else value


def _span(span: Any, raw: Mapping[str, Any]) -> None:
    span.trace_id = _id(_get(raw, "traceId"), 16, "traceId")
    span.span_id = _id(_get(raw, "spanId"), 8, "spanId")
    parent = _get(raw, "parentSpanId")
    if parent not in (None, ""):
        identifier = _id(parent, 8, "parentSpanId")
        if any(identifier):
            span.parent_span_id = identifier
    name = _get(raw, "name", "")
    if not isinstance(name, str):
        raise _Bad(f"name is {_shown(name)}; expected text")
    span.name = _text(name)
    span.start_time_unix_nano = _time(_get(raw, "startTimeUnixNano"), "startTimeUnixNano")
    span.end_time_unix_nano = _time(_get(raw, "endTimeUnixNano", 0), "endTimeUnixNano")
    reason = check(span.trace_id, span.span_id, span.start_time_unix_nano, span.end_time_unix_nano)
    if reason:
        raise _Bad(reason)
    span.kind = _enum(_get(raw, "kind", 0), {key: n for n, key in enumerate(_KINDS)}, "SPAN_KIND_", "kind")
    status = _get(raw, "status")
    if status is not None:
        if not isinstance(status, Mapping):
            raise _Bad(f"status is {_shown(status)}; expected an object")
        held = cast(Mapping[str, Any], status)
        span.status.code = _enum(_get(held, "code", 0), _STATUS, "STATUS_CODE_", "status.code")
        span.status.message = _text(str(_get(held, "message", "")))
    span.trace_state = _text(str(_get(raw, "traceState", "")))
    _pairs(span.attributes, _get(raw, "attributes"))
    for event in _list(_get(raw, "events"), "events"):
        added = span.events.add()
        added.name = _text(str(_get(event, "name", "")))
        added.time_unix_nano = _time(_get(event, "timeUnixNano", 0), "events.timeUnixNano")
        _pairs(added.attributes, _get(event, "attributes"))
    for link in _list(_get(raw, "links"), "links"):
        added = span.links.add()
        added.trace_id = _id(_get(link, "traceId"), 16, "links.traceId")
        added.span_id = _id(_get(link, "spanId"), 8, "links.spanId")
        _pairs(added.attributes, _get(link, "attributes"))
    dropped = _get(raw, "droppedAttributesCount", 0)
    span.dropped_attributes_count = min(_int(dropped, "droppedAttributesCount"), 2**32 - 1)


def _record(record: Any, raw: Mapping[str, Any]) -> None:
    record.time_unix_nano = _time(_get(raw, "timeUnixNano", 0), "timeUnixNano")
    record.observed_time_unix_nano = _time(_get(raw, "observedTimeUnixNano", 0), "observedTimeUnixNano")
    record.event_name = _text(str(_get(raw, "eventName", "")))
    for key, size in (("traceId", 16), ("spanId", 8)):
        value = _get(raw, key)
        if value not in (None, ""):
            setattr(record, "trace_id" if size == 16 else "span_id", _id(value, size, key))
    body = _get(raw, "body")
    if isinstance(body, Mapping):
        _value(record.body, cast(Mapping[str, Any], body), "body")
    _pairs(record.attributes, _get(raw, "attributes"))


def _id(value: Any, size: int, key: str) -> bytes:
    if value is None:
        raise _Bad(f"{key} is missing")
    if not isinstance(value, str):
        raise _Bad(f"{key} is {_shown(value)}; expected {size * 2} hex digits")
    if len(value) == size * 2:
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    else:
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) == size:
            return decoded
    raise _Bad(f"{key} is {_shown(value)}; expected {size * 2} hex digits")


def _int(value: Any, key: str) -> int:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise _Bad(f"{key} is {_shown(value)}; expected a whole number") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Bad(f"{key} is {_shown(value)}; expected a whole number")
    if value < 0:
        raise _Bad(f"{key} is {value}; expected a number >= 0")
    return value


def _time(value: Any, key: str) -> int:
    if value is None:
        raise _Bad(f"{key} is missing")
    number = _int(value, key)
    if number > MAX_NS:
        raise _Bad(f"{key} is {number}; that is no time in nanoseconds")
    return number


def _enum(value: Any, names: Mapping[str, int], prefix: str, key: str) -> int:
    """A number, or a name with or without its prefix. Unknown numbers are unset: producers may be newer than we are."""
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        number = names.get(value.upper().removeprefix(prefix))
        if number is None:
            raise _Bad(f"{key} is {_shown(value)}; expected one of {', '.join(names)}")
        return number
    number = _int(value, key)
    return number if number < len(names) else 0


def _list(value: Any, key: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in cast(list[Any], value)):
        raise _Bad(f"{key} is {_shown(value)}; expected a list of objects")
    return cast(list[Mapping[str, Any]], value)


def _pairs(target: Any, value: Any) -> None:
    if isinstance(value, Mapping):  # some exporters write attributes as a plain object
        for key, item in cast(Mapping[str, Any], value).items():
            pair = target.add()
            pair.key = _text(str(key))
            _plain(pair.value, item)
        return
    for item in _list(value, "attributes"):
        key = item.get("key")
        if not isinstance(key, str):
            raise _Bad(f"attribute key is {_shown(key)}; expected text")
        pair = target.add()
        pair.key = _text(key)
        held = item.get("value")
        if isinstance(held, Mapping):
            _value(pair.value, cast(Mapping[str, Any], held), key)
        elif held is not None:
            raise _Bad(
                f"value of attribute {key!r} is {_shown(held)}; expected an object such as {{'stringValue': ...}}"
            )


def _value(target: AnyValue, held: Mapping[str, Any], key: str) -> None:
    for name, value in held.items():
        if value is None:  # JavaScript writes NaN so; protobuf's JSON form reads it as a field that is not set
            continue
        match _CAMEL.sub(lambda found: "_" + found[1].lower(), name):
            case "string_value":
                if not isinstance(value, str):
                    raise _Bad(f"stringValue of {key!r} is {_shown(value)}; expected text")
                target.string_value = _text(value)
            case "bool_value":
                target.bool_value = value is True or value == "true"
            case "int_value":
                number = _signed(value, key)
                target.int_value = number
            case "double_value":
                target.double_value = _double(value, key)
            case "bytes_value":
                try:
                    target.bytes_value = base64.b64decode(str(value), validate=True)
                except (binascii.Error, ValueError):
                    raise _Bad(f"bytesValue of {key!r} is not base64") from None
            case "array_value":
                target.array_value.SetInParent()
                for item in _list(_values(value), f"array of {key!r}"):
                    _value(target.array_value.values.add(), item, key)
            case "kvlist_value":
                target.kvlist_value.SetInParent()
                _pairs(target.kvlist_value.values, _values(value))
            case _:
                raise _Bad(f"value of attribute {key!r} has unknown type {name!r}")


def _values(value: Any) -> Any:
    return _get(cast(Mapping[str, Any], value), "values") if isinstance(value, Mapping) else value


def _plain(target: AnyValue, value: Any) -> None:
    """An attribute value written as bare JSON."""
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        target.int_value = value
    elif isinstance(value, int | float):
        target.double_value = float(value)
    elif isinstance(value, str):
        target.string_value = _text(value)
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in cast(list[Any], value):
            _plain(target.array_value.values.add(), item)
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        for key, item in cast(Mapping[str, Any], value).items():
            pair = target.kvlist_value.values.add()
            pair.key = _text(str(key))
            _plain(pair.value, item)


def _signed(value: Any, key: str) -> int:
    try:
        number = int(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise _Bad(f"intValue of {key!r} is {_shown(value)}; expected a 64-bit number")
    return number


def _double(value: Any, key: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        named = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}.get(str(value))
        if named is None:
            raise _Bad(f"doubleValue of {key!r} is {_shown(value)}; expected a number") from None
        return named


def _text(value: str) -> str:
    """Lone surrogates cannot be written as UTF-8; they are replaced."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
