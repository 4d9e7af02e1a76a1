"""Charges wasted money and tokens once: where two findings blame the same LLM call, the more specific one keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames

PRIORITY: tuple[str, ...] = (
    "loop",
    "ping_pong",
    "retry_storm",
    "error_cascade",
    "duplicate_calls",
    "runaway_fanout",
    "deadlock",
    "lost_update",
    "conflicting_decisions",
    "context_growth",
    "hidden_calls",
    "cost_anomaly",
    "guard_trip",
)
"""Who keeps the waste, first wins (loop > retry storm > repeated query > resent context > hidden calls); kinds not named come last."""

WHOLE_RUN = frozenset({"guard_trip"})
"""kinds that charge every call of their run: what a stopped run had done was for nothing"""


def wasted_spans(finding: Finding) -> tuple[str, ...]:
    """The spans whose money and tokens the finding calls wasted: `data["wasted_spans"]`, else its evidence."""
    named: object = finding.data.get("wasted_spans")
    return tuple(str(span_id) for span_id in named) if isinstance(named, (list, tuple)) else finding.spans  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def charge_once(findings: Sequence[Finding], frames: Frames) -> list[Finding]:
    """The same findings with waste that a higher-ranking finding already charges taken off; `data["charged_elsewhere_usd"]` says how much.

    Only findings that charge anything are looked at, so the cost depends on the findings, not on the store.
    """
    charging = [f for f in findings if f.trace_id is not None and (f.wasted_usd or f.wasted_tokens)]
    if len(charging) < 2:
        return list(findings)
    prices = _prices(frames, {f.trace_id for f in charging if f.trace_id is not None})
    calls_of: dict[str, list[tuple[str, str]]] = {run_id: [] for run_id, _ in prices}
    for key in prices:
        calls_of[key[0]].append(key)
    rank = {kind: position for position, kind in enumerate(PRIORITY)}
    taken: set[tuple[str, str]] = set()
    settled: dict[int, Finding] = {}
    for finding in sorted(
        charging, key=lambda f: (f.trace_id or "", rank.get(f.kind, len(rank)), f.start_ns or 0, f.id)
    ):
        run_id = finding.trace_id or ""
        if finding.kind in WHOLE_RUN:
            keys = set(calls_of.get(run_id, ()))
        else:
            keys = {(run_id, span_id) for span_id in wasted_spans(finding)} & prices.keys()
        again = keys & taken
        taken |= keys
        if not again:
            continue
        usd = sum((prices[key][0] for key in again), Decimal(0))
        tokens = sum(prices[key][1] for key in again)
        settled[id(finding)] = replace(
            finding,
            wasted_usd=None if finding.wasted_usd is None else max(Decimal(0), finding.wasted_usd - usd),
            wasted_tokens=None if finding.wasted_tokens is None else max(0, finding.wasted_tokens - tokens),
            data={**finding.data, "charged_elsewhere_usd": float(usd), "charged_elsewhere_tokens": tokens},
        )
    return [settled.get(id(finding), finding) for finding in findings]


def charge_fleet_once(fleet: Sequence[Finding]) -> list[Finding]:
    """The same findings over many runs; what a surge of spending already charges is taken off the repeated questions of its runs."""
    surges = [f for f in fleet if f.kind == "spend_rate" and f.wasted_usd]
    return [_less(finding, surges) if finding.kind == "duplicate_calls_across_runs" else finding for finding in fleet]


def _less(finding: Finding, surges: Sequence[Finding]) -> Finding:
    again = sum(
        (
            surge.wasted_usd or Decimal(0)
            for surge in surges
            if surge.data["workflow"] == finding.data["workflow"]
            and (surge.start_ns or 0) <= (finding.end_ns or 0)
            and (finding.start_ns or 0) <= (surge.end_ns or 0)
        ),
        Decimal(0),
    )
    if not again or finding.wasted_usd is None:
        return finding
    return replace(
        finding,
        wasted_usd=max(Decimal(0), finding.wasted_usd - again),
        data={**finding.data, "charged_elsewhere_usd": float(min(again, finding.wasted_usd))},
    )


def _prices(frames: Frames, run_ids: set[str]) -> dict[tuple[str, str], tuple[Decimal, int]]:
    """(trace_id of the run, span_id) -> (USD, tokens) of the LLM calls of these runs; a finding names a run by its first trace."""
    calls = frames.llm_calls.filter(pl.col("run_id").is_in(sorted(run_ids))).select(
        "run_id", "span_id", "cost_usd", "input_tokens", "output_tokens"
    )
    return {
        (run, span): (cost or Decimal(0), (sent or 0) + (received or 0))
        for run, span, cost, sent, received in calls.iter_rows()
    }
