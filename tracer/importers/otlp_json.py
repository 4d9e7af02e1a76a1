"""OTLP JSON files: one export request, one a line (the collector's file exporter), or a JSON array of requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from tracer.importers.base import Importer, Sink
from tracer.importers.jsontext import NOTHING, parse
from tracer.importers.source import Source, Unreadable
from tracer.normalise.otlp_json import json_to_protobuf

_MARK = re.compile(rb'"resource_?(?:S|s)pans"|"resource_?(?:L|l)ogs"')
_STEP = re.compile(r"(\w+)|\[(\d+)\]")
_KEYS = (("resourceSpans", "resource_spans"), ("resourceLogs", "resource_logs"))


def sniff(head: bytes) -> bool:
    return head.lstrip()[:1] in (b"{", b"[") and _MARK.search(head) is not None


def read(source: Source, sink: Sink) -> None:
    """Line by line where the first line is a document of its own, else the whole file as one."""
    by_line = False
    try:
        for number, line in source.lines():
            if not line.strip():
                continue
            parsed = parse(line)
            if not by_line:
                # An opening line of a document over many lines parses to nothing, or is cut off.
                if parsed.reason is not None and not _single(source):
                    _whole(source, sink)
                    return
                by_line = True
            if parsed.value is NOTHING:
                sink.report.skip(number, parsed.reason or "not valid JSON")
                continue
            if parsed.reason is not None:
                sink.report.skip(number, parsed.reason)
            _document(parsed.value, number, None, sink)
    except Unreadable as error:
        sink.report.skip(error.line, error.reason)


def _single(source: Source) -> bool:
    """True where lines are documents: the file has one line, or its second starts like the first."""
    starts: list[bytes] = []
    try:
        for _, line in source.lines():
            if line.strip():
                starts.append(line[:1])
            if len(starts) == 2:
                break
    except Unreadable:
        pass  # the caller meets the same end and reports it
    return len(starts) < 2 or starts[0] == starts[1] == b"{"


def _whole(source: Source, sink: Sink) -> None:
    data, broken = source.whole()
    if broken:
        sink.report.skip(None, broken)
    parsed = parse(data)
    if parsed.reason is not None:
        sink.report.skip(parsed.line, parsed.reason)
    if parsed.value is not NOTHING:
        _document(parsed.value, 1, data.decode("utf-8"), sink)


def _document(value: Any, line: int, text: str | None, sink: Sink) -> None:
    """A request, or a list of requests. `text` is the whole file where `line` says too little."""
    documents = cast(list[Any], value) if isinstance(value, list) else [value]
    for document in documents:
        found = False
        if isinstance(document, Mapping):
            held = cast(Mapping[str, Any], document)
            for logs, names in enumerate(_KEYS):
                if any(name in held for name in names):
                    found = True
                    _request(held, bool(logs), line, text, sink)
        if not found:
            sink.report.skip(
                line, f"expected an OTLP request with resourceSpans or resourceLogs, got {_shape(document)}"
            )


def _request(document: Mapping[str, Any], logs: bool, line: int, text: str | None, sink: Sink) -> None:
    converted = json_to_protobuf(document, logs=logs)
    for problem in converted.problems:
        where = line if text is None else _line_of(document, problem.where, text)
        sink.report.skip(where, f"{problem.where}: {problem.reason}")
    for trace_id, span_id, parent_id in converted.ids:
        sink.saw(trace_id, span_id, parent_id, line if text is None else _line_of_text(text, span_id.hex()))
    share = len(converted.payloads)
    for number, payload in enumerate(converted.payloads):
        sink.otlp(payload, converted.count if number == share - 1 else 0, logs=logs)


def _line_of(document: Any, where: str, text: str) -> int | None:
    """The line on which the object at `where` can be recognised by its id or name; None where it has neither."""
    node = document
    for step in _STEP.finditer(where):
        if step[1] is not None and isinstance(node, Mapping):
            held = cast(Mapping[str, Any], node)
            node = held.get(step[1], held.get(re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), step[1])))
        elif step[2] is not None and isinstance(node, list):
            node = cast(list[Any], node)[int(step[2])]
    if isinstance(node, Mapping):
        for key in ("spanId", "span_id", "name", "traceId", "trace_id"):
            mark = cast(Mapping[str, Any], node).get(key)
            if isinstance(mark, str) and mark and (line := _line_of_text(text, mark)):
                return line
    return None


def _line_of_text(text: str, mark: str) -> int | None:
    at = text.find(f'"{mark}"')
    if at < 0:
        at = text.lower().find(f'"{mark.lower()}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else None


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with {', '.join(repr(str(key)) for key in list(cast(Mapping[Any, Any], value))[:5]) or 'nothing'}"
    return f"{type(value).__name__} {str(value)[:40]!r}"


IMPORTER = Importer("otlp-json", sniff, read)
