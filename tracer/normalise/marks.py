"""The column `derived`: which columns of a row were inferred, and how to take that back.

A mark is a column name; where a recorded value was replaced the mark ends in it (`kind:other`), so that a trace can be
resolved again when more of it has arrived. Marks made while a span was read on its own are facts and stay.
"""

from __future__ import annotations

from typing import Any

from tracer.model import Span

_FACTS = frozenset(
    {
        "start_ns",
        "end_ns",
        "status",
        "input_tokens",
        "output_tokens",
        "input_refs",
        "output_refs",
        "error_type",
        "span_id",
        "decision",
    }
)


def mark(span: Span, column: str, was: Any = None) -> None:
    """Note that `column` is inferred; `was` is the recorded text it replaces."""
    entry = column if was is None else f"{column}:{was}"
    known = span.derived or []
    if entry not in known:
        span.derived = sorted([*known, entry])


def infer(span: Span, column: str, value: Any) -> None:
    """Set an empty column and mark it."""
    setattr(span, column, value)
    mark(span, column)


def replace(span: Span, column: str, value: str) -> None:
    """Put `value` in place of the recorded text of `column`, which the mark keeps through any number of changes."""
    current = getattr(span, column)
    if current == value:
        return
    setattr(span, column, str(value))
    earlier = next((entry for entry in span.derived or () if entry.startswith(column + ":")), None)
    if earlier is None:
        mark(span, column, current)
    elif earlier == f"{column}:{value}":
        span.derived = [entry for entry in span.derived or () if entry != earlier] or None


def reset(span: Span) -> None:
    """Take back everything that was inferred from other spans."""
    if span.agent_inferred:
        span.agent, span.agent_inferred = None, False
    span.duplicate_of = None
    if not span.derived:
        return
    kept: list[str] = []
    for entry in span.derived:
        column, colon, was = entry.partition(":")
        if colon:
            setattr(span, column, was)
        elif column in _FACTS:
            kept.append(entry)
        elif column == "run_id":
            span.run_id = span.trace_id
        else:
            setattr(span, column, None)
    span.derived = kept or None
