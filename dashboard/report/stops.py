"""What would have stopped it: for each finding the guard or the rule that prevents it, and when it would have spoken.

Where the finding's detector runs the core of a live guard (loop, fan-out) or names the closing step (deadlock), the moment is
known, and what was spent on LLM calls that began later is what stopping there would have saved. Elsewhere the measure is named
without a moment. Nothing here is a new verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl

from analyzers.backtest.guards import recordings
from analyzers.backtest.whole import loop_sentence
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import units
from dashboard.report.case import Case
from tracer.online.fanout import FanoutLimits
from tracer.online.loop_events import LoopThresholds


@dataclass(frozen=True, slots=True)
class Stop:
    """A measure against one finding. `at_ns`: when it would have acted, None where that is not known; money None where no price is."""

    finding_id: str
    kind: str
    measure: str
    code: str
    """what to write, or "" where the measure is a change of design"""
    threshold: str
    at_ns: int | None = None
    calls_after: int | None = None
    usd_after: Decimal | None = None
    tokens_after: int | None = None

    def to_json(self) -> dict[str, Any]:
        usd = None if self.usd_after is None else float(self.usd_after)
        return {
            "finding": self.finding_id, "kind": self.kind, "measure": self.measure, "code": self.code, "threshold": self.threshold,
            "at_ns": self.at_ns, "calls_after": self.calls_after, "usd_after": usd, "tokens_after": self.tokens_after,
        }  # fmt: skip


_Measure = tuple[str, str, str, int | None]
"""measure, code, threshold, moment"""


def _loop(finding: Finding, frames: Frames) -> _Measure:
    rounds = LoopThresholds().critical
    starts: list[str] = finding.data.get("round_starts") or []
    at = None
    if len(starts) > rounds:
        begun = frames.spans.filter(pl.col("span_id") == starts[int(rounds)])["start_ns"]
        at = int(begun[0]) if len(begun) else None
    alarm = finding.data.get("alarm_round")
    said = f"{rounds:.0f} rounds without anything new" + (f"; the alarm is raised by round {alarm}" if alarm else "")
    return "A loop breaker around the run.", 'tracer.guard(loop="critical")', said, at


def _fanout(finding: Finding, frames: Frames) -> _Measure:
    limits = FanoutLimits()
    said = f"{limits.live} agents at work, {limits.depth} levels, or {limits.doublings} doublings"
    started = finding.data.get("alarm_agents")
    if started:
        said += f"; it had started {started:,} agents then"
    at = finding.data.get("alarm_at_ns")
    return "A limit on agents at work, and a depth counter in the task.", "tracer.guard(concurrency=16, iterations=200)", said, at if isinstance(at, int) else None  # fmt: skip


def _deadlock(finding: Finding, frames: Frames) -> _Measure:
    closing: dict[str, Any] = finding.data.get("closing") or {}
    at = closing.get("at_ns")
    who = ", ".join(str(name) for name in finding.data.get("release") or ())
    said = "the wait that closes the circle" + (f"; releasing {who} is enough" if who else "")
    return "Take resources in one fixed order, or give every wait a deadline.", "", said, at if isinstance(at, int) else None  # fmt: skip


def _retries(finding: Finding, frames: Frames) -> _Measure:
    tries = finding.data.get("attempts")
    said = "3 tries in one layer" + (f"; there were {tries}" if isinstance(tries, int) else "")
    return "Retry in one layer, with growing pauses; then a fallback or a clear failure.", "tracer.guard(iterations=50)", said, None  # fmt: skip


def _bytes(finding: Finding, frames: Frames) -> _Measure:
    held = finding.data.get("bytes")
    said = f"one written value; it grew to {units.size(int(held))}" if isinstance(held, (int, float)) else "one written value"  # fmt: skip
    return "A limit on the size of shared state.", "tracer.guard(state_bytes=100_000)", said, None


def _money(finding: Finding, frames: Frames) -> _Measure:
    usual = finding.data.get("median_usd")
    if not isinstance(usual, (int, float)) or usual <= 0:
        return "A budget for each run.", "tracer.guard(budget_usd=...)", "about twice what a run usually costs", None
    limit = 2 * usual
    spent = frames.billed.sort("start_ns", "span_id").select(
        "end_ns", total=pl.col("cost_usd").cast(pl.Float64).cum_sum()
    )
    over = spent.filter(pl.col("total") > limit)["end_ns"].drop_nulls()
    said = f"twice what a run of this workflow usually costs ({units.money(usual)})"
    return "A budget for each run.", f"tracer.guard(budget_usd={limit:.4g})", said, int(over[0]) if len(over) else None


def _trip(finding: Finding, frames: Frames) -> _Measure:
    guard, limit, unit = (finding.data.get(name) for name in ("guard", "limit", "unit"))
    said = f"{limit:,.12g} {unit or ''}".strip() if isinstance(limit, (int, float)) else "its limit was not recorded"
    stopped = finding.data.get("level") == "stop"
    return f"The guard '{guard}' was there and {'stopped it' if stopped else 'warned'}.", "", said, finding.start_ns  # fmt: skip


def _fixed(measure: str, code: str = "", threshold: str = "") -> Callable[[Finding, Frames], _Measure]:
    return lambda finding, frames: (measure, code, threshold, None)


MEASURES: Final[Mapping[str, Callable[[Finding, Frames], _Measure]]] = {
    "guard_trip": _trip,
    "loop": _loop,
    "ping_pong": _loop,
    "runaway_fanout": _fanout,
    "deadlock": _deadlock,
    "retry_storm": _retries,
    "state_growth": _bytes,
    "cost_anomaly": _money,
    "lost_update": _fixed("Write with the version that was read, and read again when the store refuses.", 'state.compare_and_set(key, value, expected=version)', "every write to a shared key"),
    "write_skew": _fixed("Keep what one rule is about under one key, and write with the version that was read.", 'state.compare_and_set(key, value, expected=version)', "every write that rests on a read"),
    "stale_read": _fixed("Read again right before acting.", "", "every read that something irreversible rests on"),
    "divergent_views": _fixed("Let a decision name the versions it rests on, and check them when it is carried out.", "", "every decision on shared state"),
    "conflicting_decisions": _fixed("One owner for each decision, stored with compare-and-set before anybody acts.", "", "every decision that two agents may make"),
    "duplicate_calls": _fixed("Keep results for the length of the run, keyed by the arguments.", "", "the second equal call"),
    "no_answer": _fixed("A timeout for every call and a fallback.", "tracer.guard(seconds=600)", "the longest a person would wait"),
}  # fmt: skip
"""kind of finding -> what would have stopped or prevented it"""


def find_stops(case: Case) -> list[Stop]:
    """One per finding that is no mere remark and has a measure; the rest has its suggestion."""
    stops: list[Stop] = []
    for finding in case.findings:
        make = MEASURES.get(finding.kind)
        if make is None or finding.severity == "info":
            continue
        measure, code, threshold, at = make(finding, case.frames)
        stop = Stop(finding.id, finding.kind, measure, code, threshold, at)
        if at is not None:
            after = case.frames.billed.filter(pl.col("start_ns") >= at)
            prices = after["cost_usd"].drop_nulls().to_list()
            tokens = int(after["input_tokens"].sum() or 0) + int(after["output_tokens"].sum() or 0)
            stop = Stop(finding.id, finding.kind, measure, code, threshold, at, after.height,
                        sum(prices, Decimal(0)) if prices or not after.height else None, tokens)  # fmt: skip
        stops.append(stop)
    return stops


def _breaker_sentence(case: Case) -> str | None:
    """The run through the guard's own core: "A loop breaker at 5 would have stopped this at repetition 6, saving $3,180." """
    [run] = recordings(case.frames.only(case.frames.run_ids[0]), case.findings)
    return loop_sentence(run, LoopThresholds().critical)


def stops_document(case: Case) -> list[b.Block]:
    """A card for each measure; without any, what the findings suggest, or that nothing had to be stopped."""
    stops = find_stops(case)
    document: list[b.Block] = []
    for stop in stops:
        rows = [b.fact("Acts at", stop.threshold or "—")]
        if stop.code:
            rows.insert(0, b.fact("Write", stop.code, mono=True))
        if stop.kind in ("loop", "ping_pong") and stop.at_ns is not None and (said := _breaker_sentence(case)):
            rows.append(b.fact("Back-test", said))
        if stop.at_ns is not None:
            saved = ", no LLM call began later" if case.frames.billed.height else ""
            if stop.calls_after:
                saved = f", before {amount(stop.calls_after, 'more LLM call')}"
                saved += f" for {units.money(stop.usd_after)}" if stop.usd_after is not None else ""
            if stop.tokens_after:
                saved += f" ({units.count(stop.tokens_after)} tokens)"
            rows.append(b.fact("Here", f"at {units.after(stop.at_ns, case.start_ns)}{saved}"))
        document.append(
            b.card([b.heading(stop.measure, level=2, note=f"against {stop.kind.replace('_', ' ')}"), b.facts(rows)], tone="info")
        )  # fmt: skip
    held = {stop.kind for stop in stops}
    others = [f for f in case.findings if f.kind not in held and f.suggestion and f.severity != "info"]
    document += [b.card([b.heading(f.title, level=2), b.prose(f.suggestion)], tone="neutral") for f in others]
    if not document:
        document.append(b.note("No finding of this run calls for a guard."))
    return document
