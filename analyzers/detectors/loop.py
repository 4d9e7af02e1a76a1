"""Does a run go round in circles without getting further?

Yes: the same step (agent, kind, name) comes round again and again and brings nothing new: no item, no changed result or
state, no progress mark, hardly a word that was not said before; or one request is made four times; or one tool fails
the same way three times whatever it is given.

    Researcher  ?-->|    ?-->|    ?-->|          period 2, path Researcher > Analyst
    Analyst         |?-->    |?-->    |?-->      47 rounds, 46 of them without news

How: a vectorised count throws out the runs in which no step occurs often enough (most of a healthy store), a set-based
screen those that plainly get further (`analyzers/loop_screen.py`); the others are replayed, lane by lane, through the
core that the live guard uses (`tracer/online/loop.py`), and alarms are widened in hindsight (`analyzers/loops.py`).
Not loops: a map over different items, polling, a draft that grows, a work list that shrinks. Known misses: wandering
(one goal, new pages each time), paraphrase where no text is recorded. Cost: O(spans) for the count, O(tokens) for what
is left. Source: notes on re-occurrence anchors and novelty CUSUM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from statistics import median

import polars as pl

from analyzers.events import COLUMNS, EVENT_KINDS, SIZE_ONLY, Recorded, events_of
from analyzers.finding import Check, Finding, Severity, Skipped
from analyzers.frames import Frames
from analyzers.loop_screen import worth_replaying
from analyzers.loop_words import confidence, cost_text, described, explanation, suggestion, unheard, with_a_person
from analyzers.loops import Loop, find_in
from tracer.model import SpanKind, SpanStatus
from tracer.online.loop import LoopThresholds

KIND = "loop"
_CALLS = {"llm": "model calls", "tool": "tool calls", "state": "writes of state", "agent": "turns"}
"""how a loop is called that neither agents nor tools name"""
BATCH_SPANS = 100_000
UNHEARD_NEWS = 0.2
"""share of new words in what was recorded beside unheard calls above which that may as well be the next task"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopFindingThresholds:
    """The core's thresholds, and what makes a loop bad."""

    core: LoopThresholds = field(default_factory=LoopThresholds)
    min_occurrences: int = 4
    """fewer occurrences of a step can raise no alarm: three repeats after the first (`core.warn`), or four requests"""
    min_verbatim: int = 3
    """but two repeats can, where they are verbatim (`core.verbatim`)"""
    min_errors: int = 3
    """`core.error_warn`"""
    costly_share: float = 0.5
    """a warning that wasted this share of the run's money is critical"""


def find_loops(frames: Frames, thresholds: LoopFindingThresholds = LoopFindingThresholds()) -> list[Finding | Skipped]:
    """One finding per loop, for every run in `frames`; runs without spans or steps that come round give none."""
    suspects = suspicious_runs(frames.spans, thresholds)
    if suspects.is_empty():
        return []
    timeless = frozenset(frames.timeless)
    looked_at = frames.spans.select("run_id", "trace_id", *COLUMNS)
    findings: list[Finding | Skipped] = []
    for runs in _batches(looked_at, suspects):
        findings += _in_runs(
            looked_at.filter(pl.col("run_id").is_in(runs.implode())), frames.contents, timeless, thresholds
        )
    return findings


def _batches(spans: pl.DataFrame, runs: pl.Series) -> list[pl.Series]:
    """`runs` in their order, cut where the batch before has `BATCH_SPANS`, so that memory does not grow with the store."""
    sizes = spans.filter(pl.col("run_id").is_in(runs.implode())).group_by("run_id").len().sort("run_id")
    numbered = sizes.with_columns(batch=(pl.col("len").cum_sum() - pl.col("len")) // BATCH_SPANS)
    return [part["run_id"] for part in numbered.partition_by("batch", maintain_order=True)]


def _in_runs(
    spans: pl.DataFrame, contents: Mapping[int, str], timeless: frozenset[str], thresholds: LoopFindingThresholds
) -> list[Finding | Skipped]:
    """The loops of the runs that `spans` are whole runs of."""
    kept = worth_replaying(spans, contents, thresholds.core, thresholds.min_errors)
    findings: list[Finding | Skipped] = []
    ordered = (
        spans.filter(pl.col("run_id").is_in(kept.implode()))
        .select("run_id", *COLUMNS)
        .sort("run_id", maintain_order=True)
    )
    for run_id, rows in groupby(ordered.iter_rows(named=True), key=itemgetter("run_id")):
        recorded = events_of(rows, contents)
        total = _money(r for r in recorded if r.is_call)[0]
        # Transcripts have an order but no clock: nothing is said of their times.
        began_ns = None if run_id in timeless else min((r.start_ns for r in recorded), default=None)
        findings += [
            _finding(str(run_id), loop, recorded, total, began_ns, thresholds)
            for loop in find_in(recorded, thresholds.core)
            if not _sizes_only(loop)
        ]
    return findings


def _too_short(loop: Loop, t: LoopFindingThresholds) -> bool:
    """Whether its rounds, counted by turns, are fewer than a warning needs, though one of its steps came round often enough: such as a
    review in which each side speaks twice. What is said in the very same words is told by fewer."""
    by_turns = len(loop.rounds) < t.min_occurrences and loop.signals == ("no_progress",)
    return by_turns and (any(loop.novelty) or any(loop.new_items))


def suspicious_runs(spans: pl.DataFrame, thresholds: LoopFindingThresholds) -> pl.Series:
    """Run ids in which some step occurs often enough to be looked at; one pass of counting, no Python per span."""
    name = pl.coalesce("tool_name", "target_agent", "purpose", "scope_key", pl.lit(""))
    steps = spans.lazy().filter(pl.col("duplicate_of").is_null() & pl.col("kind").is_in([str(k) for k in EVENT_KINDS]))
    # An LLM's input grows from call to call; what it answers is what may be said again.
    said = pl.when(pl.col("kind") == SpanKind.LLM).then(pl.col("output_refs")).otherwise(pl.col("input_refs"))
    exact = (
        steps.group_by("run_id", "agent", "kind", name.alias("step"))
        .agg(
            pl.len().alias("times"),
            (said.drop_nulls().len() - said.drop_nulls().hash().n_unique()).alias("again"),
            (pl.col("status") == SpanStatus.ERROR).sum().alias("errors"),
        )
        .filter(
            (pl.col("times") >= thresholds.min_occurrences)
            | ((pl.col("times") >= thresholds.min_verbatim) & (pl.col("again") > 0))
            | ((pl.col("errors") >= thresholds.min_errors) & (pl.col("kind") == SpanKind.TOOL))
        )
    )
    # One agent handing off to anybody, or calling anybody.
    handed = steps.filter(pl.col("kind") == SpanKind.HANDOFF).group_by("run_id", "agent").agg(pl.len().alias("times"))
    callers = spans.lazy().filter(pl.col("agent").is_not_null()).select("trace_id", "span_id", caller="agent")
    called = (
        steps.filter(pl.col("kind") == SpanKind.AGENT)
        .join(callers, left_on=["trace_id", "parent_span_id"], right_on=["trace_id", "span_id"])
        .filter(pl.col("caller") != pl.col("agent"))
        .group_by("run_id", "caller")
        .agg(pl.len().alias("times"))
    )
    coarse = [x.filter(pl.col("times") >= thresholds.min_occurrences).select("run_id") for x in (handed, called)]
    found = pl.concat([exact.select("run_id"), *coarse]).unique().sort("run_id").collect()
    return found["run_id"]


def _finding(
    run_id: str,
    loop: Loop,
    recorded: Sequence[Recorded],
    run_usd: Decimal | None,
    began_ns: int | None,
    thresholds: LoopFindingThresholds,
) -> Finding:
    wasted = _wasted_calls(loop, recorded)
    usd, tokens, unpriced = _money(wasted)
    iterations = len(loop.rounds)
    start_ns, end_ns = loop.events[0].start_ns, max(r.end_ns for r in loop.events)
    share = float(usd / run_usd) if usd is not None and run_usd else None
    severity: Severity = (
        "critical" if loop.critical or (share is not None and share >= thresholds.costly_share) else "warning"
    )
    if unheard(loop):
        severity = "warning" if median(loop.novelty or (0.0,)) <= UNHEARD_NEWS else "info"
    if _too_short(loop, thresholds):
        severity = "info"
    elif with_a_person(loop):
        severity = "warning" if severity == "critical" else "info"
    path = " → ".join(loop.path) or loop.symbol[2] or _CALLS.get(loop.symbol[1], loop.symbol[1])
    # Where only a tool or request comes back, the path does not say whose it is.
    whose = f"{loop.agents[0]} with {path}" if loop.agents and not {*loop.agents} & {*loop.path} else path
    what = described(loop)
    cost = cost_text(usd, tokens, unpriced)
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=confidence(loop),
        title=f"{whose}: {iterations} rounds, {what}" + (f", {cost} wasted" if cost else ""),
        explanation=explanation(loop, path, what, end_ns - start_ns, cost, iterations, began_ns),
        suggestion=suggestion(loop),
        trace_id=run_id,
        spans=tuple(r.event.id for r in loop.events),
        agents=loop.agents,
        steps=tuple(r.step for r in loop.events if r.step is not None),
        start_ns=start_ns,
        end_ns=end_ns,
        wasted_usd=usd,
        wasted_tokens=tokens,
        checked=_checks(loop, thresholds),
        data={
            "iterations": iterations,
            "period": loop.period,
            "path": list(loop.path),
            "first_span": loop.events[0].event.id,
            "repeated_step": {"agent": loop.symbol[0], "kind": loop.symbol[1], "name": loop.symbol[2]},
            "round_starts": [loop.events[low].event.id for low, _ in loop.rounds],
            "novelty": list(loop.novelty),
            "new_items": list(loop.new_items),
            "signals": list(loop.signals),
            "alarm_round": loop.alarm_round,
            "branches": loop.lanes,
            "wasted_spans": [r.event.id for r in wasted],
            "wasted_share": share,
            "unpriced_calls": unpriced,
            "unheard_calls": unheard(loop),
        },
    )


def _wasted_calls(loop: Loop, recorded: Sequence[Recorded]) -> list[Recorded]:
    """The LLM calls of the loop's agents, in its lanes or below, from the second round on."""
    if len(loop.rounds) < 2:
        return []
    second_ns = loop.events[loop.rounds[1][0]].at_ns
    after = loop.events[loop.rounds[1][0] - 1].at_ns
    until = max(max(r.at_ns, r.end_ns) if r.is_call else r.at_ns for r in loop.events)
    inside = {r.event.id for low, high in loop.rounds[1:] for r in loop.events[low:high]}
    lanes = {r.event.lane for r in loop.events}
    agents = set(loop.agents)
    out: list[Recorded] = []
    for one in recorded:
        if not one.is_call:
            continue
        # A call that ends between the first round's last event and the second round's first one led to the second.
        timely = after < one.at_ns <= until or one.at_ns == second_ns
        lane = one.event.lane
        below = any(lane.startswith(f"{known}/") for known in lanes if known) or lane in lanes
        if one.event.id in inside or (timely and below and one.event.agent in agents):
            out.append(one)
    first_round = {r.event.id for r in loop.events[loop.rounds[0][0] : loop.rounds[0][1]]}
    return [one for one in out if one.event.id not in first_round]


def _money(calls: Iterable[Recorded]) -> tuple[Decimal | None, int | None, int]:
    """(USD, tokens, calls without a price); None where nothing is known."""
    held = list(calls)
    costs = [r.cost_usd for r in held if r.cost_usd is not None]
    tokens = [r.tokens for r in held if r.tokens is not None]
    return (
        sum(costs, Decimal(0)) if costs else None,
        sum(tokens) if tokens else None,
        len(held) - len(costs),
    )


def _sizes_only(loop: Loop) -> bool:
    """Whether all there is are writes of a state that was not kept: as large as before is not the same as before (10, 11, 12)."""
    said = [r.event for r in loop.events if r.event.kind != "agent" or r.event.text or r.event.result_hash]
    return all(event.kind == "state" and (event.result_hash or "").endswith(SIZE_ONLY) for event in said)


def _checks(loop: Loop, thresholds: LoopFindingThresholds) -> tuple[Check, ...]:
    t = thresholds.core
    novelty = median(loop.novelty) if loop.novelty else None
    return (
        Check(
            rule="repeats without progress",
            value=loop.stale_rounds,
            threshold=t.warn,
            passed=loop.stale_rounds >= t.warn,
        ),
        Check(
            rule="median share of new words in a repeat, below",
            value=novelty,
            threshold=t.word_ratio,
            passed=novelty is not None and novelty < t.word_ratio,
        ),
        Check(
            rule="repeats that named a new item, fewer than half",
            value=sum(n > 0 for n in loop.new_items),
            threshold=len(loop.new_items) / 2,
            passed=sum(n > 0 for n in loop.new_items) < max(1.0, len(loop.new_items) / 2),
        ),
        Check(
            rule="changed results, states, arguments or filled templates, fewer than half of the repeats",
            value=len(loop.novelty) - loop.stale_rounds,
            threshold=len(loop.novelty) / 2,
            passed=len(loop.novelty) - loop.stale_rounds < max(1.0, len(loop.novelty) / 2),
        ),
        Check(rule="no explicit progress mark inside", value=loop.marks, threshold=0, passed=loop.marks == 0),
        Check(
            rule="calls inside of which nothing was recorded",
            value=unheard(loop),
            threshold=0,
            passed=not unheard(loop),
        ),
        Check(
            rule="not polling: repeats that waited on purpose",
            value=loop.polled_rounds,
            threshold=0,
            passed=loop.polled_rounds == 0,
        ),
        Check(
            rule="same request made", value=loop.repeats, threshold=t.reask_warn, passed=loop.repeats >= t.reask_warn
        ),
        Check(
            rule="same error from one tool",
            value=loop.errors,
            threshold=t.error_warn,
            passed=loop.errors >= t.error_warn,
        ),
    )
