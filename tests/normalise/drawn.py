"""Shared by the tests of single conventions: rows, texts and tokens of spans that were drawn by hand."""

from __future__ import annotations

import json
from typing import Any

from tracer.ids import span_id_of, trace_id_of
from tracer.model import RawLink, RawSpan, Span
from tracer.normalise import Batch, normalise, resolve, summarise

TRACE = trace_id_of("drawn")


def read(*spans: RawSpan) -> tuple[dict[str, Span], Batch]:
    """Resolved rows by name, and the batch with their texts."""
    batch = normalise(spans)
    return {row.name: row for row in resolve(batch.spans, batch.events, batch.links)}, batch


def raw(name: str, start: float, end: float | None, parent: str | None = None, /, **fields: Any) -> RawSpan:
    """A raw span named by its id; `a` are its attributes."""
    return RawSpan(
        trace_id=fields.get("trace", TRACE),
        span_id=span_id_of(fields.get("id", name)),
        parent_span_id=span_id_of(parent) if parent else None,
        name=name,
        start_ns=10**18 + int(start * 1e9),
        end_ns=None if end is None else 10**18 + int(end * 1e9),
        attributes=fields.get("a", {}),
        status=fields.get("status", "unset"),
        status_message=fields.get("message", ""),
        links=[RawLink(trace_id=t, span_id=span_id_of(s)) for t, s in fields.get("links", [])],
        resource=fields.get("resource", {"service.name": "shop", "process.pid": 7}),
        scope=fields.get("scope", ""),
    )


def rows(*spans: RawSpan) -> dict[str, Span]:
    """Normalised and resolved, by name."""
    return read(*spans)[0]


def oi(kind: str, **more: Any) -> dict[str, Any]:
    return {"openinference.span.kind": kind, **{k.replace("__", "."): v for k, v in more.items()}}


def genai(operation: str, **more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": operation, **{f"gen_ai.{k.replace('__', '.')}": v for k, v in more.items()}}


def texts(batch: Batch, refs: list[int] | None) -> list[Any]:
    return [json.loads(batch.contents[ref]) for ref in refs or []]


def tokens(rows: dict[str, Span]) -> tuple[int, int]:
    summary = summarise(list(rows.values()))
    return summary.input_tokens, summary.output_tokens
