"""Typed input of every analysis: whole runs as polars frames. Any number of runs at once, so that questions stay set-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from tracer.model import Span, SpanEvent, SpanKind, SpanLink
from tracer.store.columns import empty_frame, frame_of

if TYPE_CHECKING:
    from tracer.store.reads import RunData


@dataclass(frozen=True)
class Frames:
    """One or many whole runs. Frames are never modified; every property is derived once.

    `spans`: the columns of table `spans` (running spans included, status "running"), ordered by run_id, start_ns, span_id.
    `traces`: the columns of table `traces`, one row per run.
    `contents`: content_id -> body for the contents the spans refer to; a missing id means the text was not recorded or not loaded.
    `events`: the columns of table `events`. `links`: the columns of table `links`.
    `marks`: people's verdicts, as `tracer.store.reads.marks` gives them. `peers`: other runs of the same workflows to compare failed
    ones with, where they were looked up; of their texts only what tools returned is needed.
    `read_ns`: when they were read from a store in which something still runs; None where nothing does, or it is not known.
    """

    spans: pl.DataFrame
    traces: pl.DataFrame
    contents: Mapping[int, str] = field(default_factory=dict[int, str])
    events: pl.DataFrame = field(default_factory=lambda: empty_frame("events"))
    links: pl.DataFrame = field(default_factory=lambda: empty_frame("links"))
    marks: pl.DataFrame = field(default_factory=lambda: empty_frame("marks"))
    peers: Frames | None = None
    read_ns: int | None = None

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
            spans=frame_of("spans", list(spans)).sort("run_id", "start_ns", "span_id"),
            traces=empty_frame("traces") if traces is None else traces,
            contents=dict(contents or {}),
            events=frame_of("events", list(events)),
            links=frame_of("links", list(links)),
        )

    @classmethod
    def loaded(cls, data: RunData) -> Frames:
        """The frames of runs read from a store (`tracer.store.reads.load`)."""
        return cls(spans=data.spans, traces=data.traces, contents=data.contents, events=data.events, links=data.links)

    @cached_property
    def llm_calls(self) -> pl.DataFrame:
        """The LLM calls to count: rows of kind llm that do not repeat another span."""
        return self.spans.filter((pl.col("kind") == SpanKind.LLM) & pl.col("duplicate_of").is_null())

    @cached_property
    def billed(self) -> pl.DataFrame:
        """The calls that cost tokens: LLM calls and embeddings that do not repeat another span."""
        kinds = [SpanKind.LLM, SpanKind.EMBEDDING]
        return self.spans.filter(pl.col("kind").is_in(kinds) & pl.col("duplicate_of").is_null())

    @cached_property
    def timeless(self) -> pl.Series:
        """Run ids whose source has no times (transcripts): their start and end keep the order and measure nothing."""
        return self.spans.filter(pl.col("derived").list.contains("start_ns"))["run_id"].unique().sort()

    @cached_property
    def newest_ns(self) -> int:
        """The newest moment that is known: the reading while something runs, else the last that was recorded; 0 without spans."""
        told = (self.spans["start_ns"].max(), self.spans["end_ns"].max(), self.read_ns)
        return max((int(moment) for moment in told if isinstance(moment, int)), default=0)

    @cached_property
    def run_ids(self) -> list[str]:
        """Run ids in order of start."""
        return self.traces.sort("start_ns", "run_id")["run_id"].to_list()

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """Run -> (first row, rows) of it in `spans`; (0, -1) where its rows do not lie together."""
        places: dict[str, tuple[int, int]] = {}
        first = 0
        for rows, run in self.spans.select(pl.col("run_id").rle().struct.unnest()).iter_rows():
            places[run] = (0, -1) if run in places else (first, rows)
            first += rows
        return places

    def spans_of(self, run_id: str) -> pl.DataFrame:
        """The spans of one run, without looking at those of all others."""
        first, rows = self._places.get(run_id, (0, 0))
        return self.spans.slice(first, rows) if rows >= 0 else self.spans.filter(pl.col("run_id") == run_id)

    def only(self, run_id: str) -> Frames:
        """The same frames cut down to one run."""
        spans = self.spans_of(run_id)
        ids = spans["span_id"].unique()
        return Frames(
            spans=spans,
            traces=self.traces.filter(pl.col("run_id") == run_id),
            contents=self.contents,
            events=self.events.filter(pl.col("span_id").is_in(ids.implode())),
            links=self.links.filter(pl.col("span_id").is_in(ids.implode())),
            marks=self.marks,
            peers=self.peers,
            read_ns=self.read_ns,
        )

    def text(self, refs: Iterable[int] | None) -> str:
        """The bodies of `refs`, in order, joined by newlines; unknown ids are left out."""
        return "\n".join(self.contents[ref] for ref in refs or () if ref in self.contents)
