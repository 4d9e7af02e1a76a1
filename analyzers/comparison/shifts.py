"""Where the runs of one workflow changed, metric by metric: at known boundaries (versions, prompts) and at unknown ones.

What a run was asked (its length) is regressed out of amounts, and what weekday and time of day usually bring is taken off; rates are
compared within thirds of that length and within weekend or not. So a changed mix or a weekly cycle is no shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from statistics import mean, median

import polars as pl

from analyzers.comparison.changepoints import LEAST, ChangePoint, find_changes
from analyzers.comparison.groups import edge_counts
from analyzers.comparison.statistics import Effect, permuted_distance, rate_difference, shift
from analyzers.frames import Frames

DAY_NS = 86_400 * 10**9
AMOUNTS: Mapping[str, str] = {
    "cost_usd": "cost per run",
    "latency_s": "time per run",
    "tokens": "tokens per run",
    "llm_calls": "LLM calls per run",
}
RATES: Mapping[str, str] = {"completed": "share of completed runs", "any_error": "share of runs with errors"}
GRAPH = "handoffs"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftThresholds:
    """Sources: note on algorithms, section 9."""

    ratio: float = 1.2
    points: float = 0.05
    distance: float = 0.1
    false_discovery: float = 0.01
    """the usual 5 % would be too many: the question is asked of the same store again and again"""
    least: int = LEAST
    """runs on either side"""
    critical_ratio: float = 2.0
    critical_points: float = 0.2
    boundaries: int = 10
    """changes of version per workflow that are looked at, the latest ones"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One metric on both sides of one boundary; positions are places in the workflow's runs in order of start."""

    metric: str
    at: int
    first: int
    last: int
    known: str | None
    """what changed, where the boundary was known"""
    effect: Effect
    """ratio, difference or distance"""
    before: Sequence[int]
    after: Sequence[int]
    edges: tuple[str, ...] = ()
    q: float = 1.0


def adjusted(runs: pl.DataFrame) -> pl.DataFrame:
    """Adds per amount `<metric>_r`: its log without what the length of the task and the season explain; and `stratum` for rates."""
    span = int(runs["start_ns"][-1]) - int(runs["start_ns"][0])
    day, hour = pl.col("start_ns") // DAY_NS, pl.col("start_ns") // (DAY_NS // 24)
    weekday = (day + 3) % 7  # the epoch was a Thursday; 0 is Monday
    season = pl.lit(0)
    if span >= 14 * DAY_NS:
        season = weekday
    elif span >= 3 * DAY_NS:
        season = (weekday >= 5).cast(pl.Int64)
    if span >= 3 * DAY_NS:
        season = season * 4 + (hour % 24) // 6
    runs = runs.with_columns(season=season.cast(pl.Int64))
    known = runs["size"].null_count() == 0 and (runs["size"].n_unique() > 1)
    size = pl.col("size").log()
    third = pl.lit(0)
    if known:
        cuts = [runs["size"].quantile(place / 3) for place in (1, 2)]
        third = sum(((pl.col("size") > cut).cast(pl.Int64) for cut in cuts), third)
    weekend = (weekday >= 5).cast(pl.Int64) if span >= 3 * DAY_NS else pl.lit(0)
    runs = runs.with_columns(stratum=weekend * 3 + third)
    for metric in AMOUNTS:
        value = pl.when(pl.col(metric) > 0).then(pl.col(metric).log())
        if known:
            both = pl.when(value.is_not_null()).then(size)
            slope = pl.cov(both, value) / both.var()
            value = value - pl.when(slope.is_finite()).then(slope).otherwise(0.0) * size
        # In two steps: within one expression the slope, too, would be taken season by season.
        rest = pl.col(f"{metric}_r")
        runs = runs.with_columns(value.alias(f"{metric}_r")).with_columns(rest - rest.median().over("season"))
    return runs


def known_shifts(
    frames: Frames, runs: pl.DataFrame, labels: Mapping[str, Mapping[str, str]], t: DriftThresholds
) -> list[Shift]:
    """Each version against the one before it; versions whose runs mix in time are compared all the same."""
    ids = runs["run_id"].to_list()
    found: list[Shift] = []
    passed: dict[str, dict[str, int]] = {}
    for by in ("version", "prompt"):
        places: dict[str, list[int]] = {}
        for place, run_id in enumerate(ids):
            label = labels[by].get(run_id)
            if label is not None:
                places.setdefault(label, []).append(place)
        groups = sorted((held, label) for label, held in places.items() if len(held) >= t.least)
        for (before, old), (after, new) in list(pairwise(groups))[-t.boundaries :]:
            told = f"{by} {old} -> {new}"
            found += _shifts(runs, before, after, after[0], told)
            passed = passed or dict(zip(ids, edge_counts(frames, ids), strict=True))
            counts = [[passed[ids[place]] for place in side] for side in (before, after)]
            if any(counts[0]) and any(counts[1]):
                distance, p = permuted_distance(counts[0], counts[1])
                names = [{edge for run in side for edge in run} for side in counts]
                edges = (
                    *(f"new: {edge}" for edge in sorted(names[1] - names[0])),
                    *(f"gone: {edge}" for edge in sorted(names[0] - names[1])),
                )
                found.append(Shift(metric=GRAPH, at=after[0], first=after[0], last=after[0], known=told, effect=Effect(distance, distance, distance, p),
                                   before=before, after=after, edges=edges[:10]))  # fmt: skip
    return found


def _shifts(runs: pl.DataFrame, before: Sequence[int], after: Sequence[int], at: int, known: str) -> list[Shift]:
    found: list[Shift] = []
    for metric in (*AMOUNTS, *RATES):
        effect = _effect(runs, metric, before, after)
        if effect is not None:
            found.append(
                Shift(metric=metric, at=at, first=at, last=at, known=known, effect=effect, before=before, after=after)
            )
    return found


def _effect(runs: pl.DataFrame, metric: str, before: Sequence[int], after: Sequence[int]) -> Effect | None:
    """The change from `before` to `after`: a ratio of adjusted amounts, or a difference of rates over strata."""
    if metric in AMOUNTS:
        column = runs[f"{metric}_r"]
        a, b = (column.gather(list(places)).drop_nulls().to_list() for places in (before, after))
        if min(len(a), len(b)) < LEAST:
            return None
        moved = shift([a], [b])
        return None if moved is None else Effect(exp(moved.value), exp(moved.low), exp(moved.high), moved.p)
    told: list[dict[int, tuple[int, int]]] = []
    for places in (before, after):
        part = runs[list(places)].drop_nulls(metric)
        if part.height < LEAST:
            return None
        told.append(
            {
                stratum: (yes, n)
                for stratum, yes, n in part.group_by("stratum").agg(pl.col(metric).sum(), pl.len()).iter_rows()
            }
        )
    strata = sorted({*told[0], *told[1]})
    return rate_difference(*([held.get(stratum, (0, 0)) for stratum in strata] for held in told))


def unknown_shifts(runs: pl.DataFrame, t: DriftThresholds) -> list[Shift | None]:
    """Changes of level of each metric, wherever they are; None for a metric that has none."""
    found: list[Shift | None] = []
    for metric in (*AMOUNTS, *RATES):
        if metric in AMOUNTS:
            kept = runs.with_row_index("place").filter(pl.col(f"{metric}_r").is_not_null())
            values = kept[f"{metric}_r"].round(9).rank("average")
        else:
            kept = runs.with_row_index("place").filter(pl.col(metric).is_not_null())
            values = kept.select(
                pl.col(metric).cast(pl.Float64) - pl.col(metric).cast(pl.Float64).mean().over("stratum")
            ).to_series()
        places = kept["place"].to_list()
        changes = find_changes(values.to_list(), alpha=t.false_discovery, least=t.least)
        found += [one for change in changes for one in _shift_at(runs, metric, places, change)] or [None]
    return found


def _shift_at(runs: pl.DataFrame, metric: str, places: Sequence[int], change: ChangePoint) -> list[Shift]:
    before, after = places[change.start : change.at], places[change.at : change.end]
    effect = _effect(runs, metric, before, after)
    if effect is None:
        return []
    # The p is that of the search for the place, which the comparison of both sides would not account for.
    told = Effect(effect.value, effect.low, effect.high, max(change.p, effect.p))
    return [Shift(metric=metric, at=places[change.at], first=places[change.first], last=places[min(change.last, len(places) - 1)], known=None,
                  effect=told, before=before, after=after)]  # fmt: skip


def matters(one: Shift, t: DriftThresholds) -> bool:
    if one.metric == GRAPH:
        return one.effect.value >= t.distance
    return abs(one.effect.value) >= t.points if one.metric in RATES else not 1 / t.ratio < one.effect.value < t.ratio


def group_shifts(held: Sequence[Shift], runs: int, least: int) -> list[list[Shift]]:
    """Shifts at about the same place are one trouble; a known boundary among them names it."""
    groups: list[list[Shift]] = []
    for one in sorted(held, key=lambda s: (s.at, s.known is None, s.metric)):
        near = max(least, runs // 20)
        if groups and one.at - groups[-1][0].at <= near:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [_once(group) for group in groups]


def _once(group: Sequence[Shift]) -> list[Shift]:
    """One shift per metric: that at the known boundary, else the surest."""
    best: dict[str, Shift] = {}
    for one in sorted(group, key=lambda s: (s.known is None, s.q, s.metric)):
        best.setdefault(one.metric, one)
    return [best[metric] for metric in (*RATES, *AMOUNTS, GRAPH) if metric in best]


def level(runs: pl.DataFrame, one: Shift, places: Sequence[int]) -> float | None:
    if one.metric == GRAPH:
        return None
    held = [float(value) for value in runs[one.metric].gather(list(places)).drop_nulls().to_list()]
    if not held:
        return None
    return mean(held) if one.metric in RATES else median(held)
