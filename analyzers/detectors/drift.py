"""Question, over many runs: did a workflow become dearer, slower, less reliable or go other ways, and since when?

    cost   . : . .. : . .|:' '' : '.' '' ':'      since 3 November 14:00 (version 1.3 -> 1.4): 1.6 times as dear [1.4, 1.8]

Two ways to a yes, at least 20 runs on either side of the change:
* a known boundary: the version or the prompts of the runs changed (rank test, Fisher's test, permuted distance of the handoff graph);
* an unknown one: the largest excursion of the CUSUM of the series (`analyzers.comparison.changepoints`).
Both need an effect that matters (20 %, 5 points, a distance of 0.1) and a false discovery rate of 1 % over workflows x metrics x boundaries, since it is asked anew every day.
What a run was asked (its length) is regressed out, and what weekday and time of day usually bring is taken off, so that a changed mix
or a weekly cycle is no drift. Metrics that change together are one finding. A change for the better is told as info.

Known misses: slow growth without a step is placed in its middle; cycles longer than a week; a mix that the length of the task does not
show. Known false alarm: the first days of a store, where weekdays cannot be told apart yet. Cost: one pass of polars over runs, then
O(runs) per workflow and metric. Source: note on algorithms, section 9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from analyzers.comparison.groups import run_table
from analyzers.comparison.selection import label_runs
from analyzers.comparison.shifts import (
    AMOUNTS,
    GRAPH,
    RATES,
    DriftThresholds,
    Shift,
    adjusted,
    group_shifts,
    known_shifts,
    level,
    matters,
    unknown_shifts,
)  # fmt: skip
from analyzers.comparison.statistics import benjamini_hochberg
from analyzers.finding import Check, Finding, Severity, Skipped
from analyzers.frames import Frames
from analyzers.wording import amount, duration, listing, share, times, usd
from tracer.model import SpanKind

USUAL = DriftThresholds()
BETTER_UP = ("completed",)
"""metrics of which more is better"""


def find_drift(frames: Frames, thresholds: DriftThresholds = USUAL) -> list[Finding | Skipped]:
    """One finding per workflow and boundary at which something changed; one Skipped where workflows have too few runs."""
    table = run_table(frames).filter(
        pl.col("workflow").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode())
    )
    answers: list[Finding | Skipped] = []
    few = asked = 0
    shifts: list[tuple[str, pl.DataFrame, Shift]] = []
    labels: Mapping[str, Mapping[str, str]] | None = None
    for (workflow,), runs in table.group_by("workflow", maintain_order=True):
        if runs.height < 2 * thresholds.least:
            few += 1
            continue
        if labels is None:
            labels = {by: label_runs(frames, by) for by in ("version", "prompt", "model")}
        runs = adjusted(runs)
        told = [*known_shifts(frames, runs, labels, thresholds), *unknown_shifts(runs, thresholds)]
        shifts += [(str(workflow), runs, one) for one in told if one is not None]
        asked += len(told)
    if few:
        reason = f"{amount(few, 'workflow')} with fewer than {2 * thresholds.least} runs: drift needs {thresholds.least} before and after"
        answers.append(Skipped(detector="drift", reason=reason))
    # Series in which no change was found were asked as well.
    qs = benjamini_hochberg([*(one.effect.p for _, _, one in shifts), *([1.0] * (asked - len(shifts)))])[: len(shifts)]
    by_workflow: dict[str, tuple[pl.DataFrame, list[Shift]]] = {}
    for (workflow, runs, one), q in zip(shifts, qs, strict=True):
        if q <= thresholds.false_discovery and matters(one, thresholds):
            kept = replace(one, q=q)
            by_workflow.setdefault(workflow, (runs, []))[1].append(kept)
    for workflow, (runs, held) in sorted(by_workflow.items()):
        answers += [
            _finding(frames, workflow, runs, group, labels or {}, thresholds)
            for group in group_shifts(held, runs.height, thresholds.least)
        ]
    return answers


def _worse(one: Shift) -> bool:
    if one.metric == GRAPH:
        return False
    up = one.effect.value > (0 if one.metric in RATES else 1)
    return up != (one.metric in BETTER_UP)


def _severity(group: Sequence[Shift], t: DriftThresholds) -> Severity:
    worse = [one for one in group if _worse(one)]
    if not worse:
        return "info"
    if any(
        (one.metric == "completed" and one.effect.value <= -t.critical_points)
        or (one.metric == "cost_usd" and one.effect.value >= t.critical_ratio)
        for one in worse
    ):
        return "critical"
    return "warning"


def _finding(
    frames: Frames, workflow: str, runs: pl.DataFrame, group: Sequence[Shift], labels: Mapping[str, Mapping[str, str]], t: DriftThresholds
) -> Finding:  # fmt: skip
    lead = next((one for one in group if _worse(one)), group[0])
    named = next((one.known for one in group if one.known is not None), None)
    starts = runs["start_ns"].to_list()
    start, end = starts[lead.at], starts[lead.after[-1]]
    moved = _moving(runs, lead, labels)
    examples = {
        side: _examples(runs, lead, places) for side, places in (("before", lead.before), ("after", lead.after))
    }
    says = [_say(one, runs) for one in group]
    window = (
        f"between {_date(starts[lead.first])} and {_date(starts[lead.last])}"
        if named is None and lead.first < lead.last
        else f"at {_date(start)}"
    )
    cause = f" with {named}" if named else ""
    excess = _excess(runs, lead)
    return Finding(
        kind="drift",
        severity=_severity(group, t),
        confidence=0.95 if named else 0.85,
        title=f"{workflow!r} since {_date(start)}{f' ({named})' if named else ''}: {says[0]}",
        explanation=(
            f"{listing(says, limit=8)}. The change lies {window}{cause}; {amount(len(lead.before), 'run')} before it and {amount(len(lead.after), 'run')} "
            f"after it were compared, without what longer tasks, weekday and time of day explain. "
            + (f"What changed with it: {listing(moved)}. " if moved else "No recorded version, prompt or model changed with it. ")
            + (f"Since then the runs cost {usd(excess)} more than they would have. " if excess else "")
            + f"Sure: a false discovery rate of {lead.q:.2g} (limit {t.false_discovery}) over all metrics and workflows."
        ),
        suggestion=(
            f"Look at what changed {f'between {named}' if named else 'at that time'}, and compare two typical runs: "
            f"`tracehound compare {examples['before'][0]} {examples['after'][0]}`."
        ),
        trace_id=None,
        spans=_roots(frames, [*examples["before"], *examples["after"]]),
        start_ns=start,
        end_ns=end,
        checked=tuple(check for one in group for check in _checks(one, t)),
        data={
            "key": f"{workflow}:{start}",
            "workflow": workflow,
            "window_start_ns": start,
            "window_end_ns": end,
            "change_first_ns": starts[lead.first],
            "change_last_ns": starts[lead.last],
            "boundary": named,
            "runs_before": len(lead.before),
            "runs_after": len(lead.after),
            "metrics": {
                one.metric: {"effect": one.effect.value, "interval_95": [one.effect.low, one.effect.high], "q": one.q, "before": level(runs, one, one.before),
                             "after": level(runs, one, one.after), "worse": _worse(one), "edges": list(one.edges)}
                for one in group
            },
            "moved_with_it": moved,
            "examples": examples,
            "excess_usd": excess,
        },
    )  # fmt: skip


def _say(one: Shift, runs: pl.DataFrame) -> str:
    if one.metric == GRAPH:
        return f"tasks are passed on in other ways (distance {one.effect.value:.2f}{'; ' + listing(one.edges, 4) if one.edges else ''})"
    before, after = (level(runs, one, places) for places in (one.before, one.after))
    if one.metric in RATES:
        return f"{RATES[one.metric]} {share(before or 0)} -> {share(after or 0)}"
    said = f"{times(one.effect.value)} the {AMOUNTS[one.metric]} [{one.effect.low:.2f}, {one.effect.high:.2f}]"
    medians = f"{_show(one, before)} -> {_show(one, after)}"
    # The effect is that on like tasks at like times; where the runs were other ones, their medians do not show it.
    if before and after and one.effect.low <= after / before <= one.effect.high:
        return f"{said}, median {medians}"
    return f"{said} for tasks of one length at one time of the week (all runs as they were: median {medians})"


def _show(one: Shift, value: float | None) -> str:
    if one.metric == "cost_usd":
        return usd(value)
    return duration(round((value or 0) * 1e9)) if one.metric == "latency_s" else f"{value or 0:,.0f}"


def _excess(runs: pl.DataFrame, one: Shift) -> float | None:
    """What the runs after the change cost beyond what they would have; None where cost is not what changed, or fell."""
    if one.metric != "cost_usd" or one.effect.value <= 1:
        return None
    spent = float(runs["cost_usd"].gather(list(one.after)).drop_nulls().sum())
    return spent * (1 - 1 / one.effect.value)


def _moving(runs: pl.DataFrame, one: Shift, labels: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Versions, prompts and models whose most common value is another one after the change."""
    ids = runs["run_id"].to_list()
    told: list[str] = []
    for by, of_run in labels.items():
        common = [
            Counter(of_run.get(ids[place], "") for place in places).most_common(1)[0][0]
            for places in (one.before, one.after)
        ]
        if common[0] != common[1]:
            told.append(f"{by} {common[0] or 'none'} -> {common[1] or 'none'}")
    return told


def _examples(runs: pl.DataFrame, one: Shift, places: Sequence[int], shown: int = 3) -> list[str]:
    """Run ids closest to the level of their side."""
    ids = runs["run_id"].to_list()
    middle = level(runs, one, places)
    if middle is None:
        return [ids[place] for place in places[-shown:]]
    values = runs[one.metric].to_list()
    held = [place for place in places if values[place] is not None]
    return [
        ids[place] for place in sorted(held, key=lambda place: (abs(float(values[place]) - middle), -place))[:shown]
    ]


def _roots(frames: Frames, run_ids: Sequence[str]) -> tuple[str, ...]:
    first = frames.spans.filter(pl.col("run_id").is_in(list(run_ids)) & pl.col("parent_span_id").is_null()).sort(
        "run_id", "start_ns", "span_id"
    )
    roots = first.unique("run_id", keep="first", maintain_order=True)
    return tuple(roots["span_id"].to_list()) or tuple(
        frames.spans.filter(pl.col("run_id").is_in(list(run_ids)) & (pl.col("kind") == SpanKind.LLM))
        .sort("start_ns", "span_id")["span_id"]
        .head(1)
        .to_list()
    )


def _checks(one: Shift, t: DriftThresholds) -> tuple[Check, ...]:
    limit = t.distance if one.metric == GRAPH else t.points if one.metric in RATES else t.ratio
    what = "distance" if one.metric == GRAPH else "difference" if one.metric in RATES else "ratio"
    return (
        Check(
            rule=f"{one.metric}: {what} of after and before",
            value=round(one.effect.value, 4),
            threshold=limit,
            passed=True,
        ),
        Check(rule=f"{one.metric}: false discovery rate", value=one.q, threshold=t.false_discovery, passed=True),
        Check(
            rule=f"{one.metric}: runs on the smaller side",
            value=min(len(one.before), len(one.after)),
            threshold=t.least,
            passed=True,
        ),
    )


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
