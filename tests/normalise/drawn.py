"""Shared by the tests of single conventions: rows, texts and tokens of spans that were drawn by hand."""

from __future__ import annotations

import json
from typing import Any

from tracer.model import RawSpan, Span
from tracer.normalise import Batch, normalise, resolve, summarise


def read(*spans: RawSpan) -> tuple[dict[str, Span], Batch]:
    """Resolved rows by name, and the batch with their texts."""
    batch = normalise(spans)
    return {row.name: row for row in resolve(batch.spans, batch.events, batch.links)}, batch


def texts(batch: Batch, refs: list[int] | None) -> list[Any]:
    return [json.loads(batch.contents[ref]) for ref in refs or []]


def tokens(rows: dict[str, Span]) -> tuple[int, int]:
    summary = summarise(list(rows.values()))
    return summary.input_tokens, summary.output_tokens
