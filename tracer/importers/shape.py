"""What importers of single JSON documents share: the document, its parts, ids and times in any spelling."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from tracer.ids import span_id_of, trace_id_of
from tracer.importers.base import Sink
from tracer.importers.jsontext import NOTHING, parse, parse_several
from tracer.importers.source import Source

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{1,32})")
_LATEST_NS = 2**63 - 1


class BadPart(ValueError):
    """A part of a document that cannot be used, and why."""


def documents(source: Source, sink: Sink) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a file: it is one, or a list of them. What is wrong goes into the report."""
    data, broken = source.whole()
    if broken:
        sink.report.skip(None, broken)
    parsed = parse(data)
    found = parsed.value
    if found is NOTHING and (several := parse_several(data)):
        found = several
    elif parsed.reason is not None:
        sink.report.skip(parsed.line, parsed.reason)
    if found is NOTHING:
        return
    for item in cast(list[Any], found) if isinstance(found, list) else [found]:
        if isinstance(item, Mapping):
            yield cast(Mapping[str, Any], item)
        else:
            sink.report.skip(1, f"expected an object, got {type(item).__name__}")


def objects(source: Source, sink: Sink) -> Iterator[tuple[int | None, Mapping[str, Any]]]:
    """(line, object) of a file with one object a line, or of one that is an object or a list of them."""
    opening = parse(next((line for _, line in source.lines() if line.strip()), b""))
    if opening.reason is not None or not mapping(opening.value):
        yield from ((None, document) for document in documents(source, sink))
        return
    for number, line in source.lines():
        if not line.strip():
            continue
        parsed = parse(line)
        if parsed.reason is not None:
            sink.report.skip(number, parsed.reason)
        if held := mapping(parsed.value):
            yield number, held
        elif parsed.reason is None:
            sink.report.skip(number, f"expected an object, got {line[:40]!r}")


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, else an empty one."""
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; [] for anything else."""
    return (
        [mapping(item) for item in cast(list[Any], value) if isinstance(item, Mapping)]
        if isinstance(value, list)
        else []
    )


def trace_id(value: Any) -> str:
    """32 hex digits: of a number, of hex in any length up to that, else of a hash of the text. Raises BadPart for none."""
    return _id(value, 32) or trace_id_of("imported", str(value))


def span_id(value: Any, *within: str) -> str:
    """As `trace_id`, 16 digits; `within` is what a text that is no hex is unique in."""
    return _id(value, 16) or span_id_of("imported", *within, str(value))


def _id(value: Any, width: int) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 < value < 16**width:
            return f"{value:0{width}x}"
        raise BadPart(f"id {value} is out of range")
    if not isinstance(value, str) or not value:
        raise BadPart("id is missing")
    found = _HEX.fullmatch(value)
    if found and len(found[1]) <= width and found[1].strip("0"):
        return found[1].lower().rjust(width, "0")
    return None


def time_ns(value: Any, unit_ns: int = 1) -> int:
    """An instant as nanoseconds since the epoch: a number of `unit_ns`, or ISO 8601 (UTC where it names no zone)."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadPart(f"time {value[:40]!r} is not ISO 8601") from error
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
    if isinstance(value, float) and not math.isfinite(value):
        raise BadPart(f"time {value} is no number")
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = round(value * unit_ns)
        if 0 < found <= _LATEST_NS:
            return found
        raise BadPart(f"time {value} is out of range")
    raise BadPart("time is missing")


def end_ns(value: Any, start: int) -> int | None:
    """An end not before `start`; None where there is none yet."""
    if value is None:
        return None
    end = time_ns(value)
    if end < start:
        raise BadPart(f"end {end} is before start {start}")
    return end
