"""What orchestration was worth: the architecture of one workflow over its newest runs; ledger and savings of the dearest of many.

Both need the texts of the runs, so they look at few, and say at how many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from analyzers.ledger import Ledger, add_up, ledger_document, split
from dashboard.loading import load_frames
from dashboard.population import Population
from tracer.store.database import Store

MAX_RUNS, MAX_SPANS = 12, 4_000
"""how much is read with its texts: about a second of work"""
DEAREST_RUNS = 30


@dataclass(frozen=True, slots=True)
class Worth:
    """`architecture` is that of `tracehound analyze --json`; `savings` that of all runs together; `runs` of `total` were read."""

    architecture: Mapping[str, Any]
    savings: Mapping[str, Any]
    runs: int
    total: int


@dataclass(frozen=True, slots=True)
class Economy:
    """Where the money of the dearest `runs` of `total` ended runs went, and which of their calls could have been saved.

    `ledger` and `savings` are those of `tracehound analyze --json`, of all runs together. `calls` has a row for every call a
    strategy claims, the most certain first: strategy, run_id, span_id, agent, model, cost_usd, certain, likely, upper.
    `run_of` leads from the spans of ledger and savings to their runs.
    """

    ledger: Mapping[str, Any]
    savings: Mapping[str, Any]
    calls: pl.DataFrame
    run_of: Mapping[str, str]
    runs: int
    total: int
    share: float | None
    """of the cost of all runs; None where no price is known"""


ByRun = Mapping[str, Sequence[Finding]]


def worth_of(store: Store, shown: Population, workflow: str | None, by_run: ByRun) -> Worth:
    """The newest ended runs of `workflow` in `shown`, as many whole ones as are within the limits, at least one."""
    own = pl.col("workflow").eq_missing(pl.lit(workflow, pl.String)) & (pl.col("outcome") != "running")
    newest = shown.frames.traces.filter(own).sort("start_ns", "run_id", descending=True)
    frames, total = _fitting(store, newest, MAX_RUNS)
    workspace = Workspace.of(frames)
    profiles: dict[str, Profile] = {}
    claims: list[Claim] = []
    for run_id, reading in _readings(frames):
        found = by_run.get(run_id, ())
        profiles[run_id] = profile_run(reading, found)
        claims += find_savings(reading, found, workspace)
    return Worth(
        architecture_document(workflow, profiles), savings_document(claims, _spent(frames)), len(profiles), total
    )


def economy_of(store: Store, shown: Population, by_run: ByRun) -> Economy | None:
    """The ended runs in `shown` that cost most (without prices: used most tokens), likewise; None where none has ended."""
    ended = shown.frames.traces.filter(pl.col("outcome") != "running")
    if ended.is_empty():
        return None
    tokens = pl.col("input_tokens") + pl.col("output_tokens")
    dearest = ended.sort(pl.col("cost_usd"), tokens, pl.col("run_id"), descending=True, nulls_last=True)
    frames, total = _fitting(store, dearest, DEAREST_RUNS)
    workspace = Workspace.of(frames)
    ledgers: list[Ledger] = []
    claims: list[Claim] = []
    for run_id, reading in _readings(frames):
        found = by_run.get(run_id, ())
        ledgers.append(split(reading.frames, found, reading))
        claims += find_savings(reading, found, workspace)
    return Economy(
        ledger=ledger_document(frames, ledger=add_up(ledgers)),
        savings=savings_document(claims, _spent(frames)),
        calls=_claimed(claims, frames),
        run_of=dict(frames.billed.select("span_id", "run_id").iter_rows()),
        runs=len(ledgers),
        total=total,
        share=_share(_spent(frames), ended),
    )


def _fitting(store: Store, ordered: pl.DataFrame, most: int) -> tuple[Frames, int]:
    """The first of these runs with their texts, as many as fit, and how many there are."""
    fits = ordered.select(((pl.col("spans").cum_sum() <= MAX_SPANS) | (pl.int_range(pl.len()) == 0)).alias("fits"))
    return load_frames(store, ordered.filter(fits["fits"])["run_id"].head(most).to_list()), ordered.height


def _readings(frames: Frames) -> Iterator[tuple[str, Reading]]:
    """Every run alone, oldest first."""
    for run_id in frames.run_ids:
        own = pl.col("run_id") == run_id
        yield run_id, Reading(Frames(spans=frames.spans.filter(own), traces=frames.traces.filter(own), contents=frames.contents))  # fmt: skip


def _spent(frames: Frames) -> Decimal | None:
    costs: list[Decimal] = frames.billed["cost_usd"].drop_nulls().to_list()
    return sum(costs, Decimal(0)) if costs else None


def _share(part: Decimal | None, traces: pl.DataFrame) -> float | None:
    whole = sum(traces["cost_usd"].drop_nulls().to_list(), Decimal(0))
    return float(part / whole) if part is not None and whole else None


def _claimed(claims: Sequence[Claim], frames: Frames) -> pl.DataFrame:
    rows = pl.DataFrame(
        [(c.strategy, c.span_id, float(c.certain), float(c.likely), float(c.upper)) for c in claims],
        schema={"strategy": pl.String, "span_id": pl.String, "certain": pl.Float64, "likely": pl.Float64, "upper": pl.Float64},
        orient="row",
    )  # fmt: skip
    known = frames.llm_calls.select("span_id", "run_id", "agent", "model", "cost_usd")
    return rows.join(known, on="span_id").sort("certain", "likely", "upper", "span_id", descending=[True, True, True, False])  # fmt: skip
