"""Typed input of every analysis: whole runs as polars frames. Any number of runs at once, so that questions stay set-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, get_args, get_type_hints

import polars as pl

from tracer.model import Span, SpanEvent, SpanKind, SpanLink
from tracer.semconv import Tracehound

MONEY = pl.Decimal(18, 9)
"""USD, as stored"""

_DTYPES: dict[Any, pl.DataType] = {
    str: pl.String(),
    int: pl.Int64(),
    float: pl.Float64(),
    bool: pl.Boolean(),
    Decimal: MONEY,
    list[str]: pl.List(pl.String()),
    list[int]: pl.List(pl.Int64()),
}


def schema_of(row: type[Any]) -> pl.Schema:
    """The polars schema of a row dataclass such as `Span`: its fields in order; `X | None` becomes a nullable X."""
    columns: dict[str, pl.DataType] = {}
    for name, hint in get_type_hints(row).items():
        options = [option for option in get_args(hint) if option is not type(None)]
        columns[name] = _DTYPES[hint if hint in _DTYPES else options[0]]
    return pl.Schema(columns)


SPAN_SCHEMA = schema_of(Span)
EVENT_SCHEMA = schema_of(SpanEvent)
LINK_SCHEMA = schema_of(SpanLink)
TRACE_SCHEMA = pl.Schema(
    {
        "trace_id": pl.String(),
        "run_id": pl.String(),
        "source_id": pl.String(),
        "workflow": pl.String(),
        "outcome": pl.String(),
        "outcome_reason": pl.String(),
        "start_ns": pl.Int64(),
        "end_ns": pl.Int64(),
        "spans": pl.Int64(),
        "agents": pl.Int64(),
        "llm_calls": pl.Int64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "cost_usd": MONEY,
        "unpriced_calls": pl.Int64(),
        "errors": pl.Int64(),
        "escalations": pl.Int64(),
        "session_id": pl.String(),
        "user_id": pl.String(),
        "service": pl.String(),
        "convention": pl.String(),
    }
)


def rows_frame(rows: Iterable[Any], schema: pl.Schema) -> pl.DataFrame:
    """A frame with exactly `schema` from objects that have its columns as attributes; empty for no rows."""
    held = list(rows)
    return pl.DataFrame({name: [getattr(row, name) for row in held] for name in schema}, schema=schema)


@dataclass(frozen=True)
class Frames:
    """One or many whole runs. Frames are never modified; every property is derived once.

    `spans`: the columns of table `spans` (running spans included, status "running"), ordered by run_id, start_ns, span_id.
    `traces`: the columns of table `traces`, one row per run.
    `contents`: content_id -> body for the contents the spans refer to; a missing id means the text was not recorded or not loaded.
    `events`: the columns of table `events`. `links`: the columns of table `links`.
    """

    spans: pl.DataFrame
    traces: pl.DataFrame
    contents: Mapping[int, str] = field(default_factory=dict[int, str])
    events: pl.DataFrame = field(default_factory=lambda: EVENT_SCHEMA.to_frame())
    links: pl.DataFrame = field(default_factory=lambda: LINK_SCHEMA.to_frame())

    @classmethod
    def of(
        cls,
        spans: Iterable[Span],
        traces: pl.DataFrame | None = None,
        contents: Mapping[int, str] | None = None,
        events: Iterable[SpanEvent] = (),
        links: Iterable[SpanLink] = (),
    ) -> Frames:
        """Frames from rows, in the documented order; `traces` None means no run summary is known."""
        return cls(
            spans=rows_frame(spans, SPAN_SCHEMA).sort("run_id", "start_ns", "span_id"),
            traces=TRACE_SCHEMA.to_frame() if traces is None else traces,
            contents=dict(contents or {}),
            events=rows_frame(events, EVENT_SCHEMA),
            links=rows_frame(links, LINK_SCHEMA),
        )

    @cached_property
    def llm_calls(self) -> pl.DataFrame:
        """The LLM calls to count and to bill: rows of kind llm that do not repeat another span."""
        return self.spans.filter((pl.col("kind") == SpanKind.LLM) & pl.col("duplicate_of").is_null())

    @cached_property
    def timeless(self) -> pl.Series:
        """Run ids whose source has no times (transcripts): their start and end keep the order and measure nothing."""
        told = pl.col("attributes").str.contains(Tracehound.SYNTHETIC_TIME, literal=True)
        return self.spans.filter(told)["run_id"].unique().sort()

    @cached_property
    def run_ids(self) -> list[str]:
        """Run ids in order of start."""
        return self.traces.sort("start_ns", "run_id")["run_id"].to_list()

    def only(self, run_id: str) -> Frames:
        """The same frames cut down to one run."""
        spans = self.spans.filter(pl.col("run_id") == run_id)
        ids = spans["span_id"].unique()
        return Frames(
            spans=spans,
            traces=self.traces.filter(pl.col("run_id") == run_id),
            contents=self.contents,
            events=self.events.filter(pl.col("span_id").is_in(ids.implode())),
            links=self.links.filter(pl.col("span_id").is_in(ids.implode())),
        )

    def text(self, refs: Iterable[int] | None) -> str:
        """The bodies of `refs`, in order, joined by newlines; unknown ids are left out."""
        return "\n".join(self.contents[ref] for ref in refs or () if ref in self.contents)
