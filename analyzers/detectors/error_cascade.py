"""Question: did one failure bring down other agents, one after the other?

    Loader    |===X  503                         the origin
    Parser          |==X  no input               failed after it, with what it had passed on
    Reporter             |==X  nothing to report

Looked at are agents with a failure of their own: an error below them that no deeper error and no other agent brought up
(an exception that merely rises through its callers is one failure, not several); the origin may also be a tool's failure that
its agent did not make good and went on with. A cascade is one origin and at least
two more agents that failed afterwards, each of which could have known of the origin (happens-before over parents,
program order, messages and handoffs), or failed with the same error, which makes it a common cause. It is critical where the
run failed too. Errors after a guard stopped the run, and cancellations, are the guard's doing. Source: note on waits
and error propagation (forward slice). Known misses: wrong content that is passed on without an error. Cost: a set-based
count of failing agents; then one happens-before graph per suspicious run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzers.causality import HappensBefore
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.tally import COUNTED, end_of, spent
from analyzers.wording import amount, duration, listing, since, usd
from tracer.model import RunOutcome, SpanKind, SpanStatus
from tracer.online.novelty import mask_error

KIND = "error_cascade"
Row = Mapping[str, Any]
_GUARDED = ("CancelledError", "BudgetExceeded", "KeyboardInterrupt")
_TYPED = re.compile(r"([A-Z]\w*(?:Error|Exception|Timeout|Failure|Refused|Unavailable)): *")
_COLUMNS = list(dict.fromkeys((
    *COUNTED, "parent_span_id", "name", "agent", "start_ns", "end_ns", "status", "error_type", "error_message", "retry_of", "attempt",
    "fallback_of",
)))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeThresholds:
    agents: int = 3
    """agents with a failure of their own, the origin included"""


def find_error_cascades(frames: Frames, thresholds: CascadeThresholds = CascadeThresholds()) -> list[Finding]:
    """At most one finding per run."""
    spans = frames.spans.filter(pl.col("duplicate_of").is_null())
    failing = spans.filter(
        (pl.col("status") == SpanStatus.ERROR)
        & pl.col("agent").is_not_null()
        & ~pl.col("error_type").fill_null("").is_in(_GUARDED)
    )
    suspects = (
        failing.group_by("run_id")
        .agg(pl.col("agent").n_unique())
        .filter(pl.col("agent") >= thresholds.agents)["run_id"]
    )
    if suspects.is_empty():
        return []
    spans = spans.filter(pl.col("run_id").is_in(suspects.implode())).sort("run_id", "start_ns", "span_id")
    outcomes = dict(frames.traces.select("run_id", "outcome").iter_rows())
    found: list[Finding] = []
    for (run_id,), part in spans.group_by("run_id", maintain_order=True):
        rows = part.select(_COLUMNS).to_dicts()
        own = _own_failures(rows)
        if len(own) < thresholds.agents - 1:
            continue
        graph = HappensBefore(part, frames.links)
        origin = own[0]
        caused = [row for row in own[1:] if graph.before(origin["span_id"], row["span_id"])]
        alike = [row for row in own[1:] if row not in caused and _same(origin, row)]
        for row in _carried_on(rows, own[0]):
            after = [other for other in own if graph.before(row["span_id"], other["span_id"])]
            if row["agent"] not in {other["agent"] for other in own} and len(after) >= thresholds.agents - 1:
                origin, caused, alike = row, after, []
                break
        if len(caused) + len(alike) + 1 >= thresholds.agents:
            found.append(_finding(str(run_id), rows, origin, caused, alike, outcomes.get(str(run_id), ""), thresholds))
    return found


def _own_failures(rows: Sequence[Row]) -> list[Row]:
    """Per agent that ended in failure its first error that came from no deeper span, in order of when it was known."""
    stopped = min((r["start_ns"] for r in rows if r["kind"] == SpanKind.GUARD_TRIP), default=2**63)
    failed = [row for row in rows if row["status"] == SpanStatus.ERROR]
    risen = {row["parent_span_id"] for row in failed}
    lost = {row["agent"] for row in failed if row["kind"] == SpanKind.AGENT}
    recorded = {row["agent"] for row in rows if row["kind"] == SpanKind.AGENT}
    mended = {row["retry_of"] for row in rows if row["retry_of"]} | {
        row["fallback_of"] for row in rows if row["fallback_of"]
    }
    own: dict[str, Row] = {}
    for row in sorted(failed, key=lambda r: (end_of(r), r["start_ns"], r["span_id"])):
        agent = row["agent"]
        if not agent or row["error_type"] in _GUARDED or row["start_ns"] >= stopped or row["span_id"] in risen:
            continue
        # An agent that got over its error did not fail; one without an invocation of its own is judged by its calls.
        if agent in recorded and agent not in lost:
            continue
        if agent not in recorded and row["span_id"] in mended:
            continue
        own.setdefault(agent, row)
    return list(own.values())


def _carried_on(rows: Sequence[Row], before: Row) -> list[Row]:
    """Failed calls of tools, over before `before` failed, after which their agent called no tool with success."""
    worked = {
        row["agent"]: row["start_ns"]
        for row in rows  # in order of start: the last one stays
        if row["kind"] == SpanKind.TOOL and row["status"] == SpanStatus.OK
    }
    return [
        row
        for row in rows
        if row["kind"] == SpanKind.TOOL
        and row["status"] == SpanStatus.ERROR
        and row["agent"]
        and row["error_type"] not in _GUARDED
        and end_of(row) <= end_of(before)
        and worked.get(row["agent"], -1) < row["start_ns"]
    ]


def _same(one: Row, other: Row) -> bool:
    """The same kind of error in nearly the same words."""
    if not one["error_type"] or one["error_type"] != other["error_type"]:
        return False
    return mask_error(one["error_message"] or "") == mask_error(other["error_message"] or "")


def _finding(
    run_id: str,
    rows: Sequence[Row],
    origin: Row,
    caused: Sequence[Row],
    alike: Sequence[Row],
    outcome: str,
    t: CascadeThresholds,
) -> Finding:
    others = sorted((*caused, *alike), key=lambda r: (end_of(r), r["span_id"]))
    agents = (origin["agent"], *(row["agent"] for row in others))
    lost = outcome in (RunOutcome.FAILED, RunOutcome.TIMED_OUT, RunOutcome.INTERRUPTED)
    severity: Severity = "critical" if lost else "warning"
    later = [row for row in rows if row["agent"] in agents[1:] and row["start_ns"] >= end_of(origin)]
    money, tokens, calls = spent(later)
    said = f"{_kind_of(origin) or 'an error'}: {_message_of(origin)[:120]}"
    length = end_of(others[-1]) - end_of(origin)
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.85 if len(caused) >= t.agents - 1 else 0.7,
        title=f"A failure of {agents[0]} ({_kind_of(origin) or 'error'}) was followed by {listing(agents[1:])}"
        + (", and the run failed" if lost else ""),
        explanation=_told(rows, origin, others, said, length)
        + (
            f"{_how_many(len(caused), len(others))} came after it on a recorded path (a message, a handoff, the order of steps). "
            if caused
            else ""
        )
        + (f"{len(alike)} failed beside it with the same error, which points to a common cause. " if alike else "")
        + (f"What these agents did after the origin cost {usd(money)}. " if money is not None else "")
        + ("Nothing stopped the run in between." if not lost else "The run ended without a result."),
        suggestion=(
            f"Mend {origin['name']} of {agents[0]} first; the others are likely to follow. Check the result of {agents[0]} before it is passed on, "
            "give it a fallback, and stop the run at the first failure that the next agents cannot do without."
        ),
        trace_id=run_id,
        spans=(origin["span_id"], *(row["span_id"] for row in others)),
        agents=agents,
        start_ns=origin["start_ns"],
        end_ns=end_of(others[-1]),
        wasted_usd=money,
        wasted_tokens=tokens,
        checked=(
            Check(rule="agents with a failure of their own", value=len(agents), threshold=t.agents, passed=True),
            Check(
                rule="of them after the origin on a recorded path",
                value=len(caused),
                threshold=t.agents - 1,
                passed=len(caused) >= t.agents - 1,
            ),
            Check(rule="of them beside it with the same error", value=len(alike), threshold=0, passed=not alike),
            Check(rule="outcome of the run", value=outcome, threshold="failed", passed=lost),
        ),
        data={
            "origin": origin["span_id"],
            "origin_agent": agents[0],
            "error": origin["error_type"],
            "followed": [{"agent": r["agent"], "span": r["span_id"], "error": r["error_type"]} for r in others],
            "common_cause": bool(alike),
            "wasted_spans": calls,
        },
    )


def _kind_of(row: Row) -> str:
    """The type of an error, or what its message begins with where that is a word like one: "ValueError: no prices"."""
    told = _TYPED.match(row["error_message"] or "")
    return row["error_type"] or (told[1] if told else "")


def _message_of(row: Row) -> str:
    message: str = row["error_message"] or "no message"
    told = _TYPED.match(message)
    return message[told.end() :] if told and told[1] == _kind_of(row) else message


def _how_many(caused: int, others: int) -> str:
    if caused < others:
        return f"{caused} of them"
    return "It" if others == 1 else "Both" if others == 2 else f"All {others}"


def _told(rows: Sequence[Row], origin: Row, others: Sequence[Row], said: str, length: int) -> str:
    names = listing(f"{row['agent']} ({_kind_of(row) or 'error'})" for row in others)
    return (
        f"{origin['agent']} failed {since(end_of(origin), rows[0]['start_ns'])} in {origin['name']} ({said}). "
        f"Within {duration(length)} {amount(len(others), 'more agent')} failed: {names}. "
    )
