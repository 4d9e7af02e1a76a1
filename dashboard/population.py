"""The runs of a stretch of time as frames: what the pages over many runs compute from.

A page must answer in about a second however large the store is, so a population holds the newest runs up to a number of
spans, says how many runs it left out, and carries no texts. Nothing here knows Streamlit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.metrics import Metrics, metrics
from analyzers.sampling import kept_with
from dashboard.loading import load_frames
from dashboard.run_reads import count_runs
from tracer.store import reads
from tracer.store.database import Store

MAX_SPANS = 120_000
"""about a second to load and compute"""
LEAST_SPANS = 2
"""spans of a small run, a workflow and what it does: bounds how many rows of the table of runs are looked at"""


@dataclass(frozen=True)
class Population:
    """`frames` of the newest `looked_at` of `total` runs that started in the window."""

    frames: Frames
    total: int

    @property
    def looked_at(self) -> int:
        return self.frames.traces.height

    @cached_property
    def kept(self) -> Mapping[str, float]:
        """Runs that a sampler kept, with its probability."""
        return kept_with(self.frames.spans)

    @property
    def timed_starts(self) -> pl.Series:
        """When the runs began whose source has times."""
        runs = self.frames.traces.filter(~pl.col("run_id").is_in(self.frames.timeless.implode()))
        return runs["start_ns"]

    @cached_property
    def metrics(self) -> Metrics:
        """Numbers per agent, workflow and on coordination; the loops of the last are filled in by `metrics_with`."""
        return metrics(self.frames)

    def metrics_with(self, findings: Sequence[Finding]) -> Metrics:
        """As `metrics`, with the loops and lost updates that were found."""
        return metrics(self.frames, findings)

    def findings(self, by_run: Mapping[str, Sequence[Finding]]) -> list[Finding]:
        """What was found in these runs, runs in order of start."""
        return [finding for run_id in self.frames.run_ids for finding in by_run.get(run_id, ())]


def load_population(
    store: Store, *, since_ns: int | None = None, workflow: str | None = None, max_spans: int = MAX_SPANS
) -> Population:
    """The newest runs (of `workflow`) that started at or after `since_ns`, as many whole runs as fit into `max_spans`, at least one."""
    known = reads.runs(store, since_ns=since_ns, workflow=workflow, limit=max(1, max_spans // LEAST_SPANS))
    fits = known.select(((pl.col("spans").cum_sum() <= max_spans) | (pl.int_range(pl.len()) == 0)).alias("fits"))
    chosen = known.filter(fits["fits"])["run_id"].to_list()
    total = count_runs(store, since_ns=since_ns, workflow=workflow)
    return Population(load_frames(store, chosen, contents=False), total)
