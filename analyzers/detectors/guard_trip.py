"""Question: did a limit stop (or warn) a run, which one, and what was lost with it?

A yes is a guard span (budget, time, iterations, circuit breaker ...), or an error or an agent's reason to end by which a framework says that a limit of its own was
reached (LangGraph's recursion limit, the Agents SDK's max turns, Pydantic AI's usage limits, tripwires). A guard that only warned, in a
run that then completed, is information; a stop is a warning, and critical where the run ended without any result.

Known misses: a framework that ends a run at its limit and calls it success (the outcome rules of the normaliser know some of these).
Cost: one filter over the spans; everything else per run that tripped.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analyzers.attributes import attributes_of, number
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.wording import amount, duration, listing, share, since, usd
from tracer.model import RunOutcome, SpanKind, SpanStatus
from tracer.semconv import Tracehound

Row = dict[str, Any]
COLUMNS = [
    "run_id",
    "span_id",
    "parent_span_id",
    "kind",
    "agent",
    "start_ns",
    "end_ns",
    "guard",
    "error_type",
    "error_message",
    "finish_reason",
    "reason",
    "attributes",
]


TRACEBACK = "Traceback (most recent call last)"
"""what follows it is for whoever reads the span itself"""
SAID = 300
"""characters of what a guard said that are repeated"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that belongs to a framework."""

    name: str
    meaning: str
    pattern: str
    """regular expression over error type, error message and reason of the outcome; any case"""
    refusal: bool = False
    """a guardrail that refuses a text does its job: never critical"""


LIMITS: tuple[Limit, ...] = (
    Limit(
        "recursion limit",
        "LangGraph stops after `recursion_limit` super-steps (25 by default)",
        r"GraphRecursionError|Recursion limit of",
    ),
    Limit(
        "max turns",
        "the OpenAI Agents SDK stops after `max_turns` model turns (10 by default)",
        r"MaxTurnsExceeded|Max turns exceeded",
    ),
    Limit("usage limit", "Pydantic AI stops at its `UsageLimits`", r"UsageLimitExceeded"),
    Limit("result retries", "Pydantic AI gives up after `retries` invalid answers", r"UnexpectedModelBehavior"),
    Limit(
        "guardrail",
        "a guardrail refused the input or the output",
        r"GuardrailTripwireTriggered|Guardrail tripwire",
        refusal=True,
    ),
    Limit(
        "max messages", "AutoGen's termination condition on messages or turns", r"Maximum number of (messages|turns)"
    ),
    Limit("max steps", "smolagents stops after `max_steps`", r"AgentMaxSteps|Reached max steps"),
    Limit(
        "max iterations", "the framework's iteration limit (CrewAI, LlamaIndex)", r"MaxIterations|max(imum)? iterations"
    ),
    Limit("budget", "a cost or token budget", r"BudgetExceeded"),
    Limit("circuit breaker", "a circuit breaker", r"CircuitBreakerOpen|CircuitOpen"),
)
ANY_LIMIT = "(?i)" + "|".join(limit.pattern for limit in LIMITS)
OTHER = Limit("run limit", "", "")
"""a stop of which only the outcome of the run is known"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardTripThresholds:
    shown: int = 10
    """trips whose spans a finding names"""


def find_guard_trip(frames: Frames, thresholds: GuardTripThresholds = GuardTripThresholds()) -> list[Finding]:
    """One finding per run and guard (or framework limit)."""
    trips = _trips(frames)
    if not trips:
        return []
    runs = {
        row["run_id"]: row
        for row in frames.traces.filter(pl.col("run_id").is_in(sorted({run for run, _ in trips}))).to_dicts()
    }
    answered = _answered(frames, sorted({run for run, _ in trips}))
    return [
        _finding(run, guard, rows, runs.get(run), run in answered, thresholds)
        for (run, guard), rows in sorted(trips.items())
    ]


def _trips(frames: Frames) -> dict[tuple[str, str], list[Row]]:
    """(run, guard) -> its trips in order of time.

    A framework's error that passes through several spans is one trip, the innermost. Where no span tells, the run's outcome does.
    """
    guard = pl.col("kind") == SpanKind.GUARD_TRIP
    limit = pl.col("error_type").str.contains(ANY_LIMIT).fill_null(value=False) | pl.col("error_message").str.contains(
        ANY_LIMIT
    ).fill_null(value=False)
    failed = (pl.col("status") == SpanStatus.ERROR) & limit
    out_of_steps = (pl.col("kind") == SpanKind.AGENT) & pl.col("finish_reason").str.contains(ANY_LIMIT).fill_null(
        value=False
    )
    rows = frames.spans.filter(pl.col("duplicate_of").is_null() & (guard | failed | out_of_steps)).sort(
        "run_id", "start_ns", "span_id"
    )
    held: dict[tuple[str, str], list[Row]] = defaultdict(list)
    guarded = set(rows.filter(guard)["run_id"])
    parents = set(rows["parent_span_id"].drop_nulls())
    for row in rows.select(COLUMNS).iter_rows(named=True):
        if row["kind"] == SpanKind.GUARD_TRIP:
            said = attributes_of(row["attributes"])
            trip = {
                **row,
                "level": said.get(Tracehound.GUARD_LEVEL) or "stop",
                "limit": number(said.get(Tracehound.GUARD_LIMIT)),
                "spent": number(said.get(Tracehound.GUARD_SPENT)),
                "unit": said.get(Tracehound.GUARD_UNIT) or "",
                "at_ns": row["start_ns"],
            }
            held[row["run_id"], row["guard"] or "guard"].append(trip)
        elif row["run_id"] not in guarded and row["span_id"] not in parents:
            _add_limit(held, row, f"{row['error_type']} {row['error_message']} {row['finish_reason']}")
    told = {run for run, _ in held}
    stopped = frames.traces.filter(
        (pl.col("outcome") == RunOutcome.STOPPED_BY_GUARD) & ~pl.col("run_id").is_in(sorted(told))
    )
    last = frames.spans.join(stopped.select("run_id", "outcome_reason"), on="run_id").sort(
        "run_id", pl.coalesce("end_ns", "start_ns"), "span_id"
    )
    for row in (
        last.unique("run_id", keep="last", maintain_order=True).select(*COLUMNS, "outcome_reason").iter_rows(named=True)
    ):
        _add_limit(held, {**row, "error_message": row["outcome_reason"]}, str(row["outcome_reason"]))
    return held


def _add_limit(held: dict[tuple[str, str], list[Row]], row: Row, text: str) -> None:
    limit = next((limit for limit in LIMITS if re.search(limit.pattern, text, re.IGNORECASE)), OTHER)
    at_ns = row["end_ns"] if row["end_ns"] is not None else row["start_ns"]
    held[row["run_id"], limit.name].append(
        {**row, "level": "stop", "limit": None, "spent": None, "unit": "", "of": limit, "at_ns": at_ns}
    )


def _answered(frames: Frames, runs: list[str]) -> set[str]:
    """Runs whose topmost span has an output: they ended with at least a partial result."""
    tops = frames.spans.filter(pl.col("run_id").is_in(runs) & pl.col("parent_span_id").is_null())
    return set(tops.filter(pl.col("output_refs").list.len() > 0)["run_id"])


def _finding(
    run_id: str, guard: str, trips: list[Row], run: Row | None, answered: bool, thresholds: GuardTripThresholds
) -> Finding:
    stops = [trip for trip in trips if trip["level"] != "warn"]
    worst = max(stops or trips, key=lambda trip: ((trip["spent"] or 0) / (trip["limit"] or 1), trip["start_ns"]))
    outcome = str(run["outcome"]) if run else RunOutcome.UNKNOWN
    completed = outcome in (RunOutcome.COMPLETED, RunOutcome.RUNNING)
    framework: Limit | None = worst.get("of")
    lost = bool(stops) and not completed and not answered and not (framework and framework.refusal)
    cost: Decimal | None = run["cost_usd"] if run else None
    severity: Severity = "critical" if lost else "warning" if stops else "info" if completed else "warning"
    start_ns = int(run["start_ns"]) if run else int(trips[0]["start_ns"])
    measured = _measured(worst)
    agents = list(dict.fromkeys(str(trip["agent"]) for trip in trips if trip["agent"]))
    did = "stopped" if stops else "warned"
    return Finding(
        kind="guard_trip",
        severity=severity,
        confidence=1.0,
        title=f"{guard} {did} {listing(agents) or 'the run'}{': ' + measured if measured else ''}",
        explanation=_explain(guard, trips, stops, worst, measured, start_ns, outcome, answered, lost, cost),
        suggestion=_suggest(guard, stops, worst, lost),
        trace_id=run_id,
        spans=tuple(trip["span_id"] for trip in trips[: thresholds.shown]),
        agents=tuple(agents),
        start_ns=trips[0]["at_ns"],
        end_ns=trips[-1]["at_ns"],
        wasted_usd=cost if lost else None,
        wasted_tokens=(run["input_tokens"] + run["output_tokens"]) if lost and run else None,
        checked=(
            Check(rule="spent against the limit", value=worst["spent"], threshold=worst["limit"], passed=bool(stops)),
            Check(
                rule="the guard stopped something (else it only warned)",
                value=len(stops),
                threshold=1,
                passed=bool(stops),
            ),
            Check(
                rule="ruled out: the run completed all the same",
                value=outcome,
                threshold=RunOutcome.COMPLETED.value,
                passed=not completed,
            ),
            Check(
                rule="ruled out: a partial result was handed back", value=answered, threshold=True, passed=not answered
            ),
        ),
        data={
            "key": guard,
            "guard": guard,
            "level": "stop" if stops else "warn",
            "limit": worst["limit"],
            "spent": worst["spent"],
            "unit": worst["unit"],
            "trips": len(trips),
            "stops": len(stops),
            "outcome": outcome,
            "partial_result": answered,
            "run_cost_usd": None if cost is None else float(cost),
            "error_type": worst["error_type"],
        },
    )


def _measured(trip: Row) -> str:
    limit, spent, unit = trip["limit"], trip["spent"], trip["unit"]
    if limit is None and spent is None:
        return ""
    if not limit and spent is not None:  # nothing of that kind is allowed at all
        return f"{spent:,.6g} {unit}".strip()
    if unit.lower() == "usd":
        told = f"{usd(spent)} of {usd(limit)}"
    elif unit == "s" and limit is not None and spent is not None:
        told = f"{duration(round(spent * 1e9))} of {duration(round(limit * 1e9))}"
    else:
        told = f"{spent if spent is None else f'{spent:,.6g}'} of {limit if limit is None else f'{limit:,.6g}'} {unit}".strip()
    return f"{told} ({share(spent / limit)})" if limit and spent is not None else told


def _explain(
    guard: str,
    trips: list[Row],
    stops: list[Row],
    worst: Row,
    measured: str,
    start_ns: int,
    outcome: str,
    answered: bool,
    lost: bool,
    cost: Decimal | None,
) -> str:
    parts = [
        f"The guard {guard!r} {'stopped work' if stops else 'warned'} {since((stops or trips)[0]['at_ns'], start_ns)}"
        + (f" at {measured}." if measured else ".")
    ]
    framework: Limit | None = worst.get("of")
    if framework and framework.meaning:
        parts.append(f"This limit belongs to the framework: {framework.meaning}.")
    warnings = len(trips) - len(stops)
    if stops and warnings:
        parts.append(f"It had warned {amount(warnings, 'time')} before, first {since(trips[0]['at_ns'], start_ns)}.")
    if said := worst["error_message"] or (worst["reason"] if guard == "deadlock" else None):
        words = str(said).split(TRACEBACK, 1)[0].strip()
        parts.append(f"It said: {words[:SAID]!r}.")
    parts.append(f"The run's outcome is {outcome}.")
    if lost:
        worth = usd(cost) if cost is not None else "its cost is not known"
        parts.append(f"No result was handed back, so everything it had done is lost: {worth}.")
    elif stops and answered:
        parts.append("A partial result was handed back.")
    elif not stops:
        parts.append("Nothing was stopped.")
    source = (
        "guard itself recorded this"
        if framework is None
        else "framework itself says so"
        if framework.meaning
        else "run's own outcome says so"
    )
    parts.append(f"Certain: the {source}.")
    return " ".join(parts)


def _suggest(guard: str, stops: list[Row], worst: Row, lost: bool) -> str:
    if not stops:
        return f"Look at what the run spent before it gets to the limit; the guard {guard!r} will stop the next one that goes further."
    if guard == "guardrail":
        return "Look at what the guardrail refused: a refusal that was right needs an answer for the user, one that was wrong a narrower rule."
    if guard == "deadlock":
        return "Take locks and other resources in one fixed order, or give every wait between agents a deadline after which it lets go of what it holds."
    advice = f"Find out first what used up {guard!r} (the other findings of this run say so); raise the limit only when the work needs it."
    return advice + (
        " Catch the stop and hand back what is there, so that a stopped run keeps its partial result." if lost else ""
    )
