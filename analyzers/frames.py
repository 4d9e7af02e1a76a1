"""Typed input of every analysis: whole runs as polars frames. Any number of runs at once, so that questions stay set-based."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from tracer.model import SpanKind


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
    events: pl.DataFrame = field(default_factory=pl.DataFrame)
    links: pl.DataFrame = field(default_factory=pl.DataFrame)

    @cached_property
    def llm_calls(self) -> pl.DataFrame:
        """The LLM calls to count and to bill: rows of kind llm that do not repeat another span."""
        return self.spans.filter((pl.col("kind") == SpanKind.LLM) & pl.col("duplicate_of").is_null())

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
            events=self.events.filter(pl.col("span_id").is_in(ids.implode())) if self.events.width else self.events,
            links=self.links.filter(pl.col("span_id").is_in(ids.implode())) if self.links.width else self.links,
        )

    def text(self, refs: Iterable[int] | None) -> str:
        """The bodies of `refs`, in order, joined by newlines; unknown ids are left out."""
        return "\n".join(self.contents[ref] for ref in refs or () if ref in self.contents)
