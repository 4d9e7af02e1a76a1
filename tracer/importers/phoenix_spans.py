"""Phoenix's spans: what `get_spans` and the REST API give (`{"data": [...]}`, an array, or one span a line), and the dataframe of
`get_spans_dataframe` as JSON lines, JSON records or Parquet, whose columns are `context.trace_id`, `attributes.llm.model_name` ...

Source: Phoenix's REST schema "Span" and its documentation of the dataframe. The attributes are OpenInference's; in a dataframe
messages are lists of objects with keys such as `message.role`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from tracer.importers.base import Importer, Sink
from tracer.importers.shape import BadPart, end_ns, mapping, mappings, objects, span_id, time_ns, trace_id
from tracer.importers.source import Source
from tracer.model import RawEvent, RawSpan
from tracer.normalise.values import parse_json
from tracer.semconv import Common, OpenInference

_MARK = re.compile(rb'"(?:span_kind|attributes\.openinference\.span\.kind)"\s*:|"context\.span_id"')
_CONTEXT = re.compile(rb'"context\.(?:span_id|trace_id)"|"context"\s*:\s*\{[^}]*"span_id"')
_PARQUET = b"PAR1"
_NESTED = ("llm.input_messages", "llm.output_messages", "llm.tools", "retrieval.documents", "embedding.embeddings")
"""attributes that are lists of objects"""


def sniff(head: bytes) -> bool:
    if head[:4] == _PARQUET:
        return True  # the only Parquet file that is imported as such: lakes are folders
    return head.lstrip()[:1] in (b"{", b"[") and _MARK.search(head) is not None and _CONTEXT.search(head) is not None


def read(source: Source, sink: Sink) -> None:
    groups: dict[str, list[RawSpan]] = {}
    for line, item in _rows(source, sink):
        try:
            span = _span(item)
        except BadPart as error:
            sink.report.skip(line, f"span ({str(item.get('name'))[:40]}): {error}")
            continue
        parent = bytes.fromhex(span.parent_span_id or "")
        sink.saw(bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id), parent, line)
        groups.setdefault(span.trace_id, []).append(span)
    for spans in groups.values():
        sink.spans(spans, {}, count=len(spans))


def _rows(source: Source, sink: Sink) -> Iterator[tuple[int | None, Mapping[str, Any]]]:
    if source.head()[:4] != _PARQUET:
        for line, document in objects(source, sink):
            for item in mappings(document["data"]) if isinstance(document.get("data"), list) else [document]:
                yield line, item
        return
    try:
        frame = pl.read_parquet(source.path)
    except (PolarsError, OSError) as error:
        sink.report.skip(None, f"not a Parquet file that can be read: {error}")
        return
    if "context.trace_id" not in frame.columns:
        sink.report.skip(
            None,
            f"expected the columns of Phoenix's spans (context.trace_id ...), got {', '.join(frame.columns[:5])};"
            " lakes are read with --lake",
        )
        return
    yield from enumerate(frame.iter_rows(named=True), start=1)


def _span(item: Mapping[str, Any]) -> RawSpan:
    context = mapping(item.get("context"))
    run = trace_id(context.get("trace_id") or item.get("context.trace_id"))
    above = item.get("parent_id")
    start = _time(item.get("start_time"))
    ended = item.get("end_time")
    attributes: dict[str, Any] = {}
    for name, value in mapping(item.get("attributes")).items():
        _put(attributes, str(name), value)
    for name, value in item.items():
        if name.startswith("attributes."):
            _put(attributes, name.removeprefix("attributes."), value)
    if isinstance(item.get("span_kind"), str):
        attributes.setdefault(OpenInference.KIND, item["span_kind"])
    code = str(item.get("status_code") or "").upper()
    return RawSpan(
        trace_id=run,
        span_id=span_id(context.get("span_id") or item.get("context.span_id"), run),
        parent_span_id=span_id(above, run) if above else None,
        name=str(item.get("name") or "span"),
        start_ns=start,
        end_ns=None if ended is None else end_ns(_time(ended), start),
        status="error" if code == "ERROR" else "ok" if code == "OK" else "unset",
        status_message=str(item.get("status_message") or ""),
        attributes=attributes,
        events=[_event(event, start) for event in mappings(parse_json(item.get("events")))],
    )


def _put(attributes: dict[str, Any], name: str, value: Any) -> None:
    """Opens objects to dotted names, as they were sent; a dataframe has an empty cell where a span has no such attribute."""
    if value is None or value != value:
        return
    if isinstance(value, Mapping) and name != OpenInference.METADATA:
        for key, inner in mapping(value).items():
            _put(attributes, f"{name}.{key}", inner)
    elif name in _NESTED and isinstance(value, list) and not name.endswith("_messages"):
        for number, inner in enumerate(mappings(value)):
            _put(attributes, f"{name}.{number}", inner)
    else:
        attributes[name] = value


def _event(event: Mapping[str, Any], start: int) -> RawEvent:
    told = mapping(event.get("attributes")) or {
        name: event[name] for name in (Common.EXCEPTION_TYPE, Common.EXCEPTION_MESSAGE) if event.get(name)
    }
    moment = event.get("timestamp")
    return RawEvent(
        name=str(event.get("name") or "event"),
        time_ns=_time(moment) if moment is not None else start,
        attributes=dict(told),
    )


def _time(value: Any) -> int:
    """ISO text, a moment, or the milliseconds since 1970 that pandas writes as JSON."""
    if isinstance(value, datetime):
        return time_ns(value.isoformat())
    if isinstance(value, int | float) and value > 10**16:
        return time_ns(value)
    return time_ns(value, 10**6)


IMPORTER = Importer("phoenix-spans", sniff, read)
