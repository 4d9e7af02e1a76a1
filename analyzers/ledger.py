"""Where a run's money, tokens and time went, in parts that sum to the total exactly.

    work           LLM calls that did the task (purpose work), tools, retrieval, shared state
    coordination   routing, planning, summarising, calls that only hand over; handoffs, messages, decisions; the part of an
                   input that another agent had written (`analyzers.economics.dataflow`)
    resent         the part of a call's input that an earlier call had sent already (`analyzers.resent`)
    retries        calls that failed, attempts that were repeated, repairs of a format, rounds of a loop
    duplicates     calls that a finding says had been answered before
    judging        grading, guard rails
    hidden         calls of the framework that belong to no agent, and memory keeping
    waiting        waits for peers, people, rate limits, locks
    unknown        calls of which nothing but the tokens is known; own time of agents and workflows, where nothing is recorded

Every call stands in one part, the first that fits: what a finding calls wasted (loop, retry storm, duplicate), a failed attempt,
then its purpose. Of calls that were no waste, the input that was sent before is moved to `resent`, and what a peer had written to
`coordination`. Time is the time of the
critical path, so that it sums to the length of the run; a wait counts where the path went on in no recorded work of a peer.

Money is Decimal; a call without a price adds tokens and `unpriced_calls`, no money. Limits: the money of `resent` follows the price
table's ratio of input, cached and output; where the model is not in the table, the usual 1 : 0.1 : 4, and `estimated_calls` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any

import polars as pl

from analyzers.critical_path import find_critical_path
from analyzers.economics.dataflow import Reading
from analyzers.economics.rates import CENT_OF_A_MILLIONTH, weight
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.purposes import purposes
from analyzers.resent import find_resent
from analyzers.waste import wasted_spans
from tracer.model import Purpose, SpanKind, SpanStatus
from tracer.pricing.prices import price
from tracer.pricing.usage import Usage

WORK, COORDINATION, RESENT, RETRIES, DUPLICATES, JUDGING, HIDDEN, WAITING, UNKNOWN = PARTS = (
    "work", "coordination", "resent", "retries", "duplicates", "judging", "hidden", "waiting", "unknown",
)  # fmt: skip
WASTE = {
    "loop": RETRIES,
    "ping_pong": RETRIES,
    "retry_storm": RETRIES,
    "error_cascade": RETRIES,
    "duplicate_calls": DUPLICATES,
}
"""kind of finding -> part of what it calls wasted; the first that names a span keeps it"""
BY_PURPOSE: dict[str, str] = {
    Purpose.WORK: WORK,
    Purpose.ROUTE: COORDINATION,
    Purpose.PLAN: COORDINATION,
    Purpose.SUMMARISE: COORDINATION,
    Purpose.PARSE_REPAIR: RETRIES,
    Purpose.RECOVER: RETRIES,
    Purpose.JUDGE: JUDGING,
    Purpose.MEMORY: HIDDEN,
}
BY_KIND: dict[str, str] = {
    SpanKind.TOOL: WORK,
    SpanKind.RETRIEVER: WORK,
    SpanKind.EMBEDDING: WORK,
    SpanKind.STATE_READ: WORK,
    SpanKind.STATE_WRITE: WORK,
    SpanKind.HANDOFF: COORDINATION,
    SpanKind.MESSAGE: COORDINATION,
    SpanKind.DECISION: COORDINATION,
    SpanKind.GUARD_TRIP: COORDINATION,
    SpanKind.GUARDRAIL: JUDGING,
    SpanKind.WAIT: WAITING,
    SpanKind.ESCALATION: WAITING,
}
"""where time is spent that no LLM call fills; an escalation lasts as long as the person thinks"""


@dataclass(slots=True)
class Part:
    """One line of the ledger."""

    name: str
    calls: int = 0
    """billed calls that stand in this part; those of `resent` are counted where the rest of them stands"""
    usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    ns: int = 0
    spans: list[str] = field(default_factory=list[str])
    """billed calls of this part, in order of start"""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The split of one run. `parts` has every part of `PARTS`, also empty ones."""

    parts: tuple[Part, ...]
    usd: Decimal
    input_tokens: int
    output_tokens: int
    calls: int
    unpriced_calls: int
    estimated_calls: int
    """calls whose resent part was shared out by text length, or priced by the usual ratio"""
    ns: int | None
    """length of the run; None where the source has no times"""

    def __getitem__(self, name: str) -> Part:
        return self.parts[PARTS.index(name)]


def split(frames: Frames, findings: Sequence[Finding] = (), reading: Reading | None = None) -> Ledger:
    """The ledger of the one run in `frames`; `findings` about it say what was wasted; `reading` saves reading its texts again."""
    parts = {name: Part(name) for name in PARTS}
    reading = reading or Reading(frames)
    part_of = _placed(frames, findings, {turn.span_id for turn in reading.run.turns if turn.delegates})
    flow = reading.flow
    handed = (
        {} if flow is None else {turn.span_id: told for turn, told in zip(flow.turns, flow.handed, strict=True) if told}
    )
    resent = find_resent(frames.llm_calls, frames.contents)
    usd, unpriced, estimated = Decimal(0), 0, 0
    billed = frames.billed.sort("start_ns", "span_id")
    for row in billed.iter_rows(named=True):
        part = parts[part_of[row["span_id"]]]
        sent, received = row["input_tokens"] or 0, row["output_tokens"] or 0
        part.calls += 1
        part.spans.append(row["span_id"])
        cost: Decimal | None = row["cost_usd"]
        unpriced += cost is None
        again = resent.get(row["span_id"])
        moved = told = 0
        moved_usd = told_usd = Decimal(0)
        if part.name not in (RETRIES, DUPLICATES):
            if again is not None and again.tokens:
                moved = min(again.tokens, sent)
                moved_usd, known = _priced(row, moved)
                estimated += not (again.exact and known)
            if part.name != COORDINATION:
                told = min(handed.get(row["span_id"], 0), sent - moved)
                told_usd = min(_priced(row, told)[0], (cost or Decimal(0)) - moved_usd)
        part.input_tokens += sent - moved - told
        part.output_tokens += received
        part.usd += (cost or Decimal(0)) - moved_usd - told_usd
        for name, tokens, money in ((RESENT, moved, moved_usd), (COORDINATION, told, told_usd)):
            parts[name].input_tokens += tokens
            parts[name].usd += money
        usd += cost or Decimal(0)
    length: int | None = None
    if not frames.timeless.len():
        length = 0
        for piece in find_critical_path(frames):
            name = part_of.get(piece.span_id or "") or BY_KIND.get(piece.kind, UNKNOWN)
            parts[name].ns += piece.length_ns
            length += piece.length_ns
    return Ledger(
        parts=tuple(parts.values()),
        usd=usd,
        input_tokens=int(billed["input_tokens"].sum()),
        output_tokens=int(billed["output_tokens"].sum()),
        calls=billed.height,
        unpriced_calls=unpriced,
        estimated_calls=estimated,
        ns=length,
    )


def add_up(ledgers: Sequence[Ledger]) -> Ledger:
    """The split of several runs together; its length is that of the runs one after the other, None where one has no times."""
    lengths = [held.ns for held in ledgers]
    together = [Part(name) for name in PARTS]
    for held in ledgers:
        for whole, part in zip(together, held.parts, strict=True):
            whole.calls += part.calls
            whole.usd += part.usd
            whole.input_tokens += part.input_tokens
            whole.output_tokens += part.output_tokens
            whole.ns += part.ns
            whole.spans += part.spans
    return Ledger(
        parts=tuple(together),
        usd=sum((held.usd for held in ledgers), Decimal(0)),
        input_tokens=sum(held.input_tokens for held in ledgers),
        output_tokens=sum(held.output_tokens for held in ledgers),
        calls=sum(held.calls for held in ledgers),
        unpriced_calls=sum(held.unpriced_calls for held in ledgers),
        estimated_calls=sum(held.estimated_calls for held in ledgers),
        ns=None if None in lengths else sum(length for length in lengths if length is not None),
    )


def _placed(frames: Frames, findings: Sequence[Finding], delegating: set[str]) -> dict[str, str]:
    """span_id -> part, for every billed call and every span that was wasted or repeated."""
    spans = frames.spans
    ids = set(spans["span_id"])
    placed: dict[str, str] = {}
    for kind, name in WASTE.items():
        for finding in findings:
            if finding.kind == kind:
                placed.update((one, name) for one in wasted_spans(finding) if one in ids and one not in placed)
    retried = set(spans["retry_of"].drop_nulls()) | set(spans["fallback_of"].drop_nulls())
    failed = spans.filter((pl.col("status") == SpanStatus.ERROR) & pl.col("span_id").is_in(sorted(retried)))["span_id"]
    placed.update((one, RETRIES) for one in failed if one not in placed)
    # A call that failed bought nothing, repeated or not; the attempt that then went well did the work.
    wrong = frames.billed.filter(pl.col("status") == SpanStatus.ERROR)["span_id"]
    placed.update((one, RETRIES) for one in wrong if one not in placed)
    known = purposes(frames, frames.llm_calls)
    has_agents = frames.llm_calls["agent"].is_not_null().any()
    for row in frames.billed.select(
        "run_id", "span_id", "kind", "agent", "purpose", "input_refs", "output_refs", "user_visible"
    ).iter_rows(named=True):
        if row["span_id"] in placed:
            continue
        purpose, _ = known.get((row["run_id"], row["span_id"]), (Purpose.WORK, ""))
        name = BY_PURPOSE.get(purpose, UNKNOWN)
        if row["purpose"] is None and purpose == Purpose.RECOVER:
            name = WORK
        if row["span_id"] in delegating and name == WORK:
            name = COORDINATION
        if row["kind"] == SpanKind.LLM and row["purpose"] is None and name == WORK and not row["user_visible"]:
            if not row["input_refs"] and not row["output_refs"]:
                name = UNKNOWN
            elif has_agents and row["agent"] is None:
                name = HIDDEN
        placed[row["span_id"]] = name
    return placed


def _priced(row: dict[str, Any], moved: int) -> tuple[Decimal, bool]:
    """(what `moved` of the call's input tokens cost, whether a price table says so)."""
    share, known = _share(row, moved)
    return ((row["cost_usd"] or Decimal(0)) * share).quantize(CENT_OF_A_MILLIONTH, ROUND_DOWN), known


def _share(row: dict[str, Any], moved: int) -> tuple[Decimal, bool]:
    """(share of the call's cost that `moved` input tokens made, whether a price table says so); the prefix is what was cached."""
    sent, received = row["input_tokens"] or 0, row["output_tokens"] or 0
    cached = min(row["cached_tokens"] or 0, sent)
    moved_cached = min(cached, moved)
    if not sent:
        return Decimal(0), True
    if row["model"]:
        part, _ = price(
            row["model"],
            row["provider"],
            Usage(input_tokens=moved, output_tokens=0, cached_tokens=moved_cached),
            row["start_ns"],
        )
        whole, _ = price(row["model"], row["provider"], Usage(input_tokens=sent, output_tokens=received, cached_tokens=cached,
                         cache_write_tokens=row["cache_write_tokens"], reasoning_tokens=row["reasoning_tokens"]), row["start_ns"])  # fmt: skip
        if part is not None and whole:
            return min(Decimal(1), part / whole), True
    return weight(moved, 0, moved_cached) / weight(sent, received, cached), False


def ledger_document(
    frames: Frames, findings: Sequence[Finding] = (), *, shown: int = 20, ledger: Ledger | None = None
) -> dict[str, Any]:
    """The `ledger` of one run in the JSON document; money as numbers of USD, `usd_exact` as decimal text that sums exactly.

    `usd` is None throughout where no call has a known price: that is not $0.

    `ledger`: the split, where it is made already.
    """
    held = split(frames, findings) if ledger is None else ledger
    priced = not held.calls or held.unpriced_calls < held.calls

    def usd(money: Decimal) -> float | None:
        return float(money) if priced else None

    overhead = held.usd - held[WORK].usd - held[UNKNOWN].usd
    by_agent: dict[str, Decimal] = defaultdict(Decimal)
    for agent, cost in frames.billed.select("agent", "cost_usd").iter_rows():
        by_agent[agent or ""] += cost or Decimal(0)
    return {
        "total": {"usd": usd(held.usd), "usd_exact": str(held.usd), "input_tokens": held.input_tokens,
                  "output_tokens": held.output_tokens, "tokens": held.input_tokens + held.output_tokens, "calls": held.calls,
                  "ns": held.ns, "seconds": None if held.ns is None else held.ns / 1e9},
        "parts": [
            {"part": part.name, "usd": usd(part.usd), "usd_exact": str(part.usd), "usd_share": _ratio(part.usd, held.usd),
             "input_tokens": part.input_tokens, "output_tokens": part.output_tokens, "tokens": part.tokens,
             "tokens_share": _ratio(part.tokens, held.input_tokens + held.output_tokens), "calls": part.calls,
             "ns": None if held.ns is None else part.ns, "seconds": None if held.ns is None else part.ns / 1e9,
             "time_share": _ratio(part.ns, held.ns or 0), "spans": part.spans[:shown]}
            for part in held.parts
        ],
        "overhead_share": _ratio(overhead, held.usd),
        "by_agent": [{"agent": agent or None, "usd": usd(cost)} for agent, cost in sorted(by_agent.items(), key=lambda e: (-e[1], e[0]))],
        "unpriced_calls": held.unpriced_calls,
        "estimated_calls": held.estimated_calls,
    }  # fmt: skip


def _ratio(part: Decimal | int, whole: Decimal | int) -> float | None:
    return round(float(part / whole), 4) if whole else None
