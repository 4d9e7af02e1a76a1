"""What usual runs look like, kept as a table (`main.parquet`), and what became worse against it.

One row per run: run_id, workflow, outcome, start_ns, cost_usd, duration_s, tokens, llm_calls (null where not known), kinds (of its
findings of severity warning and critical).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from analyzers.comparison.statistics import Effect, rate_difference, ratio
from analyzers.finding import Finding, Severity
from analyzers.frames import Frames
from tracer.model import RunOutcome

SCHEMA: Final = pl.Schema(
    {
        "run_id": pl.String(), "workflow": pl.String(), "outcome": pl.String(), "start_ns": pl.Int64(), "cost_usd": pl.Float64(),
        "duration_s": pl.Float64(), "tokens": pl.Int64(), "llm_calls": pl.Int64(), "kinds": pl.List(pl.String()),
    }
)  # fmt: skip
AMOUNTS: Final = {"cost_usd": "cost per run", "duration_s": "time per run", "tokens": "tokens per run", "llm_calls": "LLM calls per run"}  # fmt: skip
LEAST_RUNS = 5
"""on either side, to compare amounts"""
WORSE_RATIO = 1.1
"""the whole 95 % interval must lie above it"""
WORSE_POINTS = 0.05
"""completed runs fewer by more than so much, for sure"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One metric of one workflow that is worse than the baseline; `effect` is a ratio of medians or a difference of rates."""

    workflow: str | None
    metric: str
    severity: Severity
    effect: Effect
    runs: int
    baseline_runs: int
    sentence: str


def baseline_of(frames: Frames, findings: Iterable[Finding]) -> pl.DataFrame:
    """The runs of `frames` as rows of a baseline."""
    kinds: dict[str, list[str]] = {run_id: [] for run_id in frames.run_ids}
    for finding in findings:
        if finding.severity != "info" and finding.trace_id in kinds and finding.kind not in kinds[finding.trace_id]:
            kinds[finding.trace_id].append(finding.kind)
    timed = ~pl.col("run_id").is_in(frames.timeless.implode())
    rows = frames.traces.sort("start_ns", "run_id").select(
        "run_id", "workflow", "outcome", "start_ns", pl.col("cost_usd").cast(pl.Float64),
        duration_s=pl.when(timed).then((pl.col("end_ns") - pl.col("start_ns")) / 1e9),
        tokens=pl.col("input_tokens") + pl.col("output_tokens"), llm_calls="llm_calls",
    )  # fmt: skip
    found = pl.Series("kinds", [kinds[run_id] for run_id in rows["run_id"]], dtype=pl.List(pl.String))
    return rows.with_columns(found).cast(dict(SCHEMA))  # pyright: ignore[reportArgumentType]  (column name -> type, as it wants)


def known_kinds(baseline: pl.DataFrame) -> frozenset[tuple[str | None, str]]:
    """(workflow, kind of finding) that the baseline has already."""
    pairs = baseline.select("workflow", "kinds").explode("kinds").drop_nulls("kinds").unique()
    return frozenset((workflow, kind) for workflow, kind in pairs.iter_rows())


def regressions(now: pl.DataFrame, baseline: pl.DataFrame) -> list[Regression]:
    """What is worse for certain (95 %), by workflow and metric; workflows that are on one side only are not compared."""
    found: list[Regression] = []
    for workflow in now["workflow"].unique().sort():
        same = pl.col("workflow").eq_missing(pl.lit(workflow))
        mine, usual = now.filter(same), baseline.filter(same)
        for metric, name in AMOUNTS.items():
            a, b = (side[metric].drop_nulls().cast(pl.Float64).to_list() for side in (usual, mine))
            if min(len(a), len(b)) < LEAST_RUNS:
                continue
            effect = ratio([a], [b])
            if effect is not None and effect.low > WORSE_RATIO:
                sentence = f"{name} is {effect.value:.2g} times the baseline's (95 % between {effect.low:.2g} and {effect.high:.2g}; {len(b)} runs against {len(a)})"  # fmt: skip
                found.append(Regression(workflow=workflow, metric=metric, severity="warning", effect=effect, runs=len(b), baseline_runs=len(a), sentence=sentence))  # fmt: skip
        counts = [_completed(side) for side in (usual, mine)]
        if min(ended for _, ended in counts) >= LEAST_RUNS:
            effect = rate_difference([counts[0]], [counts[1]])
            if effect is not None and effect.high < -WORSE_POINTS:
                (was, was_of), (is_, is_of) = counts
                sentence = f"{is_} of {is_of} runs completed, {was} of {was_of} in the baseline"
                found.append(Regression(workflow=workflow, metric="completed", severity="critical", effect=effect, runs=is_of, baseline_runs=was_of, sentence=sentence))  # fmt: skip
    return found


def _completed(runs: pl.DataFrame) -> tuple[int, int]:
    ended = runs.filter(~pl.col("outcome").is_in([RunOutcome.RUNNING, RunOutcome.UNKNOWN]))["outcome"]
    return int((ended == RunOutcome.COMPLETED).sum()), len(ended)
