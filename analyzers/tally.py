"""Sums over single LLM calls, as findings state them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tracer.model import SpanKind

COUNTED = ("kind", "span_id", "cost_usd", "input_tokens", "output_tokens")
"""columns a row must have to be summed"""


def spent(rows: Iterable[Mapping[str, Any]]) -> tuple[Decimal | None, int | None, list[str]]:
    """(USD, tokens, span ids) of the LLM calls among `rows`; None where no call has a price, or a token count."""
    calls = [row for row in rows if row["kind"] == SpanKind.LLM]
    costs = [row["cost_usd"] for row in calls if row["cost_usd"] is not None]
    tokens = [(r["input_tokens"] or 0) + (r["output_tokens"] or 0) for r in calls
              if r["input_tokens"] is not None or r["output_tokens"] is not None]  # fmt: skip
    ids = [row["span_id"] for row in calls]
    return sum(costs, Decimal(0)) if costs else None, sum(tokens) if tokens else None, ids


def end_of(row: Mapping[str, Any]) -> int:
    """End of a span, or its start while it runs."""
    return row["start_ns"] if row["end_ns"] is None else row["end_ns"]
