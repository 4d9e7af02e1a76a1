"""N runs against N runs: what changed, by how much, how sure; and "inconclusive" where the data is too small to say.

    A  ....:..:...   cost 0.021      B / A = 1.34 [1.21, 1.49], q = 0.0004   ->  changed
    B  ...::.:.:..   cost 0.028

Per workflow. Runs are put into strata by the size of what they were asked (up to three, where it is recorded), so that larger tasks
alone are no change. A verdict needs both: a false discovery rate of at most 5 % over all tests of the comparison, and an effect that
matters (rates 5 points, amounts 20 %, handoffs a distance of 0.1). "same" says that the whole interval lies within that band.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import polars as pl

from analyzers.comparison.statistics import (
    Effect,
    benjamini_hochberg,
    permuted_distance,
    rate_difference,
    ratio,
    runs_needed,
)
from analyzers.frames import Frames
from tracer.model import RunOutcome, SpanKind

Verdict = Literal["changed", "same", "inconclusive"]
POINTS, FACTOR, DISTANCE, FDR = 0.05, 1.2, 0.1, 0.05
STRATA = 3
LEAST_A_STRATUM = 20
"""runs a stratum needs on average; fewer and there are fewer strata"""
RATES: tuple[str, ...] = ("completed", "escalated", "any_error")
AMOUNTS: tuple[str, ...] = ("cost_usd", "latency_s", "tokens", "llm_calls")
LEAST_RUNS = 3
"""runs a side below which nothing is tested"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One metric of one workflow in B against A."""

    workflow: str | None
    metric: str
    unit: Literal["difference", "ratio", "distance"]
    n_a: int
    n_b: int
    a: float | None
    """rate, median, or None for the graph"""
    b: float | None
    effect: Effect | None
    q: float | None
    verdict: Verdict
    needed: int | None = None
    """runs a side it would take to tell a change of this size, for rates"""
    detail: Mapping[str, Any] | None = None


def run_table(frames: Frames) -> pl.DataFrame:
    """One row per run: run_id, workflow, start_ns, and per metric a column (null where it does not apply); `size` is the length of
    what the run was asked, null where it was not recorded. Ordered by start."""
    known = ~pl.col("outcome").is_in([RunOutcome.RUNNING, RunOutcome.UNKNOWN])
    timed = ~pl.col("run_id").is_in(frames.timeless.implode()) & known
    priced = pl.col("cost_usd").is_not_null() & (pl.col("unpriced_calls") == 0)
    rows = frames.traces.select(
        "run_id", "workflow", "start_ns",
        completed=pl.when(known).then(pl.col("outcome") == RunOutcome.COMPLETED),
        escalated=pl.when(known).then(pl.col("escalations") > 0),
        any_error=pl.when(known).then(pl.col("errors") > 0),
        cost_usd=pl.when(priced).then(pl.col("cost_usd").cast(pl.Float64)),
        latency_s=pl.when(timed).then((pl.col("end_ns") - pl.col("start_ns")) / 1e9),
        tokens=(pl.col("input_tokens") + pl.col("output_tokens")).cast(pl.Float64),
        llm_calls=pl.col("llm_calls").cast(pl.Float64),
    )  # fmt: skip
    return rows.join(_sizes(frames), on="run_id", how="left").sort("start_ns", "run_id")


def _sizes(frames: Frames) -> pl.DataFrame:
    """run_id, size: characters of the input of the run's outermost span."""
    roots = frames.spans.filter(pl.col("parent_span_id").is_null() & (pl.col("input_refs").list.len() > 0)).select(
        "run_id", "start_ns", "input_refs"
    )
    first = roots.sort("start_ns").unique("run_id", keep="first", maintain_order=True)
    told = first.explode("input_refs")
    known = [ref for ref in told["input_refs"].unique().to_list() if ref in frames.contents]
    lengths = pl.DataFrame(
        {"input_refs": known, "size": [len(frames.contents[ref]) for ref in known]},
        schema={"input_refs": pl.Int64, "size": pl.Float64},
    )
    return told.join(lengths, on="input_refs").filter(pl.col("size") > 0).group_by("run_id").agg(pl.col("size").sum())


def edge_counts(frames: Frames, run_ids: Sequence[str]) -> list[dict[str, int]]:
    """Per run of `run_ids`, how often which agent passed on to which: handoffs, messages, and turns of one agent after another's."""
    spans = frames.spans.filter(pl.col("run_id").is_in(list(run_ids)) & pl.col("duplicate_of").is_null())
    passed = spans.filter(
        pl.col("target_agent").is_not_null() & pl.col("kind").is_in([SpanKind.HANDOFF, SpanKind.MESSAGE])
    )
    turns = (
        spans.filter((pl.col("kind") == SpanKind.LLM) & pl.col("agent").is_not_null())
        .sort("run_id", "start_ns", "span_id")
        .select("run_id", "agent", target_agent=pl.col("agent").shift(-1).over("run_id"))
        .filter(pl.col("target_agent").is_not_null() & (pl.col("target_agent") != pl.col("agent")))
    )
    edges = (
        pl.concat([passed.select("run_id", "agent", "target_agent"), turns])
        .group_by("run_id", "agent", "target_agent")
        .len()
    )
    held: dict[str, dict[str, int]] = defaultdict(dict)
    for run_id, source, target, number in edges.iter_rows():
        held[run_id][f"{source or '?'} -> {target}"] = number
    return [held[run_id] for run_id in run_ids]


def compare_groups(frames: Frames, a: Sequence[str], b: Sequence[str], *, graph: bool = True) -> list[Change]:
    """Every metric of every workflow with runs on both sides; `a` and `b` are run ids of `frames`. Ordered by workflow, metric."""
    return compare_tables(run_table(frames), a, b, frames if graph else None)


def compare_tables(
    table: pl.DataFrame, a: Sequence[str], b: Sequence[str], frames: Frames | None, *, across: bool = False
) -> list[Change]:
    """As `compare_groups`, for a table that is already made; without `frames`, the graph of handoffs is left out.

    `across`: sides that share no workflow are compared whole, as two ways to do one task; their rows have workflow None.
    """
    first, second = (table.filter(pl.col("run_id").is_in(list(ids))) for ids in (a, b))
    both = sorted(set(first["workflow"]) & set(second["workflow"]), key=lambda name: (name is None, name or ""))
    if across and not both:
        first, second = (part.with_columns(workflow=pl.lit(None, dtype=pl.String)) for part in (first, second))
        both = [None]
    changes: list[Change] = []
    for workflow in both:
        own = pl.col("workflow").is_null() if workflow is None else pl.col("workflow") == workflow
        one, other = _with_strata(first.filter(own), second.filter(own))
        changes += [_rate(workflow, metric, one, other) for metric in RATES]
        changes += [_amount(workflow, metric, one, other) for metric in AMOUNTS]
        if frames is not None:
            changes.append(_graph(frames, workflow, one, other))
    tested = [change for change in changes if change.effect is not None]
    qs = benjamini_hochberg([change.effect.p for change in tested if change.effect is not None])
    judged = {id(change): _judged(change, q) for change, q in zip(tested, qs, strict=True)}
    return [judged.get(id(change), change) for change in changes]


def _with_strata(a: pl.DataFrame, b: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Adds `stratum`: thirds of the size of both sides together, where sizes are known and runs are many enough."""
    sizes = pl.concat([a["size"], b["size"]]).drop_nulls()
    parts = min(STRATA, min(a.height, b.height) // LEAST_A_STRATUM)
    stratum = pl.lit(0)
    if parts > 1 and len(sizes) == a.height + b.height:
        cuts = {sizes.quantile(place / parts) for place in range(1, parts)}
        for cut in cuts:
            stratum = stratum + (pl.col("size") > cut).cast(pl.Int32)
    return a.with_columns(stratum=stratum), b.with_columns(stratum=stratum)


def _rate(workflow: str | None, metric: str, a: pl.DataFrame, b: pl.DataFrame) -> Change:
    counts = [
        {
            stratum: (yes, n)
            for stratum, yes, n in part.drop_nulls(metric)
            .group_by("stratum")
            .agg(pl.col(metric).sum(), pl.len())
            .iter_rows()
        }
        for part in (a, b)
    ]
    strata = sorted({*counts[0], *counts[1]})
    told = [[held.get(stratum, (0, 0)) for stratum in strata] for held in counts]
    n_a, n_b = (sum(n for _, n in part) for part in told)
    rates = [sum(yes for yes, _ in part) / n if n else None for part, n in zip(told, (n_a, n_b), strict=True)]
    effect = rate_difference(told[0], told[1]) if min(n_a, n_b) >= LEAST_RUNS else None
    needed = (
        runs_needed(rates[0], rates[0] + max(POINTS, abs(effect.value)) * (-1 if rates[0] > 0.5 else 1))
        if effect and rates[0] is not None
        else None
    )
    return Change(workflow=workflow, metric=metric, unit="difference", n_a=n_a, n_b=n_b, a=rates[0], b=rates[1], effect=effect, q=None,
                  verdict="inconclusive", needed=needed)  # fmt: skip


def _amount(workflow: str | None, metric: str, a: pl.DataFrame, b: pl.DataFrame) -> Change:
    parts = [part.filter(pl.col(metric) > 0) for part in (a, b)]
    strata = sorted({*parts[0]["stratum"], *parts[1]["stratum"]})
    told = [[part.filter(pl.col("stratum") == stratum)[metric].to_list() for stratum in strata] for part in parts]
    effect = ratio(told[0], told[1]) if min(parts[0].height, parts[1].height) >= LEAST_RUNS else None
    middles = [median(part[metric].to_list()) if part.height else None for part in parts]
    return Change(workflow=workflow, metric=metric, unit="ratio", n_a=parts[0].height, n_b=parts[1].height, a=middles[0], b=middles[1],
                  effect=effect, q=None, verdict="inconclusive")  # fmt: skip


def _graph(frames: Frames, workflow: str | None, a: pl.DataFrame, b: pl.DataFrame) -> Change:
    counts = [edge_counts(frames, part["run_id"].to_list()) for part in (a, b)]
    tested = min(a.height, b.height) >= LEAST_RUNS and any(counts[0]) and any(counts[1])
    effect = None
    if tested:
        distance, p = permuted_distance(counts[0], counts[1])
        effect = Effect(distance, distance, distance, p)
    names = [{edge for run in part for edge in run} for part in counts]
    detail = {"new": _edges(names[1] - names[0], counts[1]), "vanished": _edges(names[0] - names[1], counts[0])}
    return Change(workflow=workflow, metric="handoffs", unit="distance", n_a=a.height, n_b=b.height, a=None, b=None, effect=effect, q=None,
                  verdict="inconclusive", detail=detail)  # fmt: skip


def _edges(edges: set[str], counts: Sequence[Mapping[str, int]], shown: int = 10) -> list[str]:
    total: Counter[str] = Counter()
    for run in counts:
        total.update({edge: number for edge, number in run.items() if edge in edges})
    return sorted(total, key=lambda edge: (-total[edge], edge))[:shown]


def _judged(change: Change, q: float) -> Change:
    effect = change.effect
    assert effect is not None
    if change.unit == "difference":
        matters, within = abs(effect.value) >= POINTS, effect.low > -POINTS and effect.high < POINTS
    elif change.unit == "ratio":
        matters = not 1 / FACTOR < effect.value < FACTOR
        within = effect.low > 1 / FACTOR and effect.high < FACTOR
    else:
        # A distance is never negative: "same" needs runs enough for a small one to be believed.
        matters, within = (
            effect.value >= DISTANCE,
            effect.value < DISTANCE and min(change.n_a, change.n_b) >= LEAST_A_STRATUM,
        )
    verdict: Verdict = "changed" if q <= FDR and matters else "same" if within else "inconclusive"
    return replace(change, q=q, verdict=verdict)


def change_document(change: Change) -> dict[str, Any]:
    """A change as JSON."""
    effect = change.effect
    return {
        "workflow": change.workflow, "metric": change.metric, "verdict": change.verdict, "unit": change.unit, "n_a": change.n_a, "n_b": change.n_b,
        "a": change.a, "b": change.b, "effect": None if effect is None else effect.value,
        "interval_95": None if effect is None or change.unit == "distance" else [effect.low, effect.high],
        "p": None if effect is None else effect.p, "q": change.q, "runs_needed": change.needed if change.verdict == "inconclusive" else None,
        **({"edges": dict(change.detail)} if change.detail else {}),
    }  # fmt: skip
