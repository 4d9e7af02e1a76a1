"""What the orchestration of one workflow was worth: its architecture, and what could have been saved, over its newest runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analyzers.economics.architecture import Profile, architecture_document, profile_run
from analyzers.economics.claims import Claim, Workspace
from analyzers.economics.dataflow import Reading
from analyzers.economics.savings import find_savings, savings_document
from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.loading import load_frames
from dashboard.population import Population
from tracer.store.database import Store

MAX_RUNS, MAX_SPANS = 12, 4_000
"""how much is read with its texts: about a second of work"""


@dataclass(frozen=True, slots=True)
class Worth:
    """`architecture` is that of `tracehound analyze --json`; `savings` that of all runs together; `runs` of `total` were read."""

    architecture: Mapping[str, Any]
    savings: Mapping[str, Any]
    runs: int
    total: int


def worth_of(store: Store, shown: Population, workflow: str | None, by_run: Mapping[str, Sequence[Finding]]) -> Worth:
    """The newest ended runs of `workflow` in `shown`, as many whole ones as are within the limits, at least one."""
    own = pl.col("workflow").eq_missing(pl.lit(workflow, pl.String)) & (pl.col("outcome") != "running")
    newest = shown.frames.traces.filter(own).sort("start_ns", "run_id", descending=True)
    fits = newest.select(((pl.col("spans").cum_sum() <= MAX_SPANS) | (pl.int_range(pl.len()) == 0)).alias("fits"))[
        "fits"
    ]
    ids: list[str] = newest.filter(fits)["run_id"].head(MAX_RUNS).to_list()
    frames = load_frames(store, ids)
    workspace = Workspace.of(frames)
    profiles: dict[str, Profile] = {}
    claims: list[Claim] = []
    for run_id in ids:
        one = Frames(spans=frames.spans.filter(pl.col("run_id") == run_id), traces=frames.traces.filter(pl.col("run_id") == run_id), contents=frames.contents)  # fmt: skip
        reading, found = Reading(one), by_run.get(run_id, ())
        profiles[run_id] = profile_run(reading, found)
        claims += find_savings(reading, found, workspace)
    costs: list[Decimal] = frames.billed["cost_usd"].drop_nulls().to_list()
    spent = sum(costs, Decimal(0)) if costs else None
    return Worth(architecture_document(workflow, profiles), savings_document(claims, spent), len(ids), newest.height)
