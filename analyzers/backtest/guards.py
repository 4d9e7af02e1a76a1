"""One recorded run through one guard: at which moment it would have been stopped, and what came after that moment.

A guard speaks when the next LLM call is asked for (or agent started, or value written), so an alarm after the last call stops nothing.
Loops, budgets, fan-out and deadlocks run through `tracer.online`, as live; what a guard would have reserved for a call is what it
reserves live, from the length of the texts that were sent (from the recorded number of input tokens where texts were not kept).

    LLM calls   |--1--|  |--2--|   |--3--|     |--4--|  |--5--|
    alarm                             x
    stopped before                             4            saved: calls 4 and 5, and the time from there on
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import polars as pl

from analyzers.detectors.loop import suspicious_runs
from analyzers.detectors.runaway_fanout import replay_fanout
from analyzers.events import COLUMNS, recorded_events, value_in
from analyzers.finding import Finding
from analyzers.frames import Frames
from tracer.model import SpanKind
from tracer.online.budget import Account, Hold, Meter, Refusal
from tracer.online.fanout import FanoutLimits
from tracer.online.loop import Evidence, LoopCore, LoopThresholds
from tracer.online.loop_events import reask_limit
from tracer.online.sizes import chars_in
from tracer.online.tariff import ASSUMED_OUTPUT, Tariff, Used, tokens_of

LOOP_LEVELS: Final = {"warning": LoopThresholds().warn, "critical": LoopThresholds().critical}
_TARIFF: Final = Tariff()


@dataclass(frozen=True, slots=True)
class Call:
    """One billed call. `cost_usd` is what a guard charges: the recorded cost, else its own estimate."""

    start_ns: int
    end_ns: int
    cost_usd: Decimal
    known: bool
    """the price is known"""
    tokens: int
    reserved_usd: Decimal
    reserved_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Where a run would have been stopped, and what that would have saved. `ns_saved` None: the source has no times."""

    run_id: str
    guard: str
    threshold: float
    at_ns: int
    step: int
    """LLM calls that had been made"""
    round: int | None
    """the repetition that would not have begun; for loops"""
    calls_saved: int
    usd_saved: Decimal
    tokens_saved: int
    ns_saved: int | None


@dataclass
class Recording:
    """One run, read once for all guards and thresholds."""

    run_id: str
    spans: pl.DataFrame
    contents: Mapping[int, str]
    timeless: bool
    findings: Sequence[Finding] = ()
    maybe_loops: bool = True
    """False where no step comes round often enough for any breaker from 3 rounds on"""
    _loops: list[tuple[Evidence, int]] | None = field(default=None, repr=False)
    _lengths: dict[int, int] = field(default_factory=dict[int, int], repr=False)

    @cached_property
    def calls(self) -> list[Call]:
        """Billed calls in order of start."""
        kinds = [SpanKind.LLM, SpanKind.EMBEDDING]
        rows = self.spans.filter(pl.col("kind").is_in(kinds) & pl.col("duplicate_of").is_null()).sort("start_ns", "span_id")  # fmt: skip
        return [self._call(row) for row in rows.iter_rows(named=True)]

    def _call(self, row: Mapping[str, Any]) -> Call:
        sent, made = row["input_tokens"] or 0, row["output_tokens"] or 0
        cached = min(row["cached_tokens"] or 0, sent)
        rate = _TARIFF.rate(row["model"])
        known = row["cost_usd"] is not None
        used = Used(input_tokens=sent, output_tokens=made, cached_tokens=cached)
        cost = row["cost_usd"] if known else rate.cost(used)
        end = row["end_ns"] if row["end_ns"] is not None else row["start_ns"]
        chars = self._chars(row["input_refs"] or ())
        promised = sent if chars is None else tokens_of(chars)
        likely = Used(input_tokens=promised, output_tokens=ASSUMED_OUTPUT)
        return Call(row["start_ns"], end, cost, known, sent + made, rate.cost(likely), promised + ASSUMED_OUTPUT)

    def _chars(self, refs: Sequence[int]) -> int | None:
        """Characters of the texts that were sent, as a live guard counts them; None where one of them was not kept."""
        total = 0
        for ref in refs:
            if ref not in self._lengths:
                if ref not in self.contents:
                    return None
                self._lengths[ref] = chars_in(value_in(self.contents[ref]))
            total += self._lengths[ref]
        return total if refs else None

    @cached_property
    def start_ns(self) -> int:
        return int(self.spans["start_ns"].min() or 0)  # pyright: ignore[reportArgumentType]  (a column of ints)

    @cached_property
    def end_ns(self) -> int:
        return int(self.spans.select(pl.coalesce("end_ns", "start_ns").max()).item() or 0)

    @property
    def evidence(self) -> list[tuple[Evidence, int]]:
        """What loop breakers are compared with, in order, with the moment it was known."""
        if self._loops is None:
            held: list[tuple[Evidence, int]] = []
            now = 0
            core = LoopCore(on_evidence=lambda evidence: held.append((evidence, now)))
            for one in recorded_events(self.spans.select(COLUMNS), self.contents):
                now = one.at_ns
                core.feed(one.event)
            self._loops = held
        return self._loops

    def stopped(self, guard: str, threshold: float, alarm_ns: int, *, at_once: bool = False, round: int | None = None) -> Stop | None:  # fmt: skip
        """The stop that an alarm at `alarm_ns` leads to: before the next call, or there and then; None where nothing came after it."""
        after = [call for call in self.calls if call.start_ns >= alarm_ns]
        if not after and not at_once:
            return None
        at = alarm_ns if at_once else after[0].start_ns
        return Stop(
            run_id=self.run_id, guard=guard, threshold=threshold, at_ns=at, step=len(self.calls) - len(after), round=round,
            calls_saved=len(after), usd_saved=sum((call.cost_usd for call in after if call.known), Decimal(0)),
            tokens_saved=sum(call.tokens for call in after), ns_saved=None if self.timeless else max(0, self.end_ns - at),
        )  # fmt: skip


def recordings(frames: Frames, findings: Iterable[Finding] = ()) -> list[Recording]:
    """Every run of `frames`, in order of start."""
    by_run: dict[str, list[Finding]] = {}
    for finding in findings:
        by_run.setdefault(finding.trace_id or "", []).append(finding)
    parts = {str(run_id): part for (run_id,), part in frames.spans.group_by("run_id", maintain_order=True)}
    timeless, looping = set(frames.timeless), set(suspicious_runs(frames.spans, thresholds=_screen()))
    return [
        Recording(run_id, parts[run_id], frames.contents, run_id in timeless, by_run.get(run_id, ()), run_id in looping)
        for run_id in frames.run_ids
        if run_id in parts
    ]


def _screen() -> Any:
    from analyzers.detectors.loop import LoopFindingThresholds

    return LoopFindingThresholds()


# one guard, one threshold


def _loop(run: Recording, rounds: float) -> Stop | None:
    if not run.maybe_loops and rounds >= LOOP_LEVELS["warning"]:
        return None
    for evidence, at_ns in run.evidence:
        limit = reask_limit(rounds) if evidence.signal == "reask" else int(rounds) if evidence.signal == "same_error" else rounds  # fmt: skip
        if evidence.value >= limit:
            return run.stopped("loop", rounds, at_ns, round=evidence.rounds)
    return None


def _metered(meter: str, unit: str) -> Callable[[Recording, float], Stop | None]:
    """Reservations and settlements in the order in which they happened."""

    def replay(run: Recording, limit: float) -> Stop | None:
        account = Account("run", {meter: Meter(meter, unit, Decimal(str(limit)), None)})
        edges = sorted([(call.start_ns, 1, at) for at, call in enumerate(run.calls)]
                       + [(max(call.end_ns, call.start_ns + 1), 0, at) for at, call in enumerate(run.calls)])  # fmt: skip
        holds: dict[int, Hold] = {}
        for at_ns, starting, at in edges:
            call = run.calls[at]
            if not starting:
                actual = {"budget": call.cost_usd, "tokens": Decimal(call.tokens), "iterations": Decimal(1)}
                account.settle(holds.pop(at), actual)
                continue
            needs = {"budget": call.reserved_usd, "tokens": Decimal(call.reserved_tokens), "iterations": Decimal(1), "concurrency": Decimal(1)}  # fmt: skip
            hold = account.reserve(needs)
            if isinstance(hold, Refusal):
                return run.stopped({"budget": "budget_usd"}.get(meter, meter), limit, at_ns)
            holds[at] = hold
        return None

    return replay


def _seconds(run: Recording, limit: float) -> Stop | None:
    return None if run.timeless else run.stopped("seconds", limit, run.start_ns + round(limit * 1e9))


def _fanout(run: Recording, limit: float) -> Stop | None:
    rows = run.spans.sort("start_ns", "span_id").to_dicts()
    alarms = replay_fanout(run.run_id, rows, run.contents, FanoutLimits(live=int(limit))).alarms
    return run.stopped("fanout", limit, alarms[0][0], at_once=True) if alarms else None


def _deadlock(run: Recording, limit: float) -> Stop | None:
    """The finding runs the guard's core, and knows the wait that closed the circle."""
    moments = [f.data["closing"]["at_ns"] for f in run.findings if f.kind == "deadlock" and f.data.get("closing")]
    return run.stopped("deadlock", limit, min(moments), at_once=True) if moments else None


def _state_bytes(run: Recording, limit: float) -> Stop | None:
    large = run.spans.filter((pl.col("kind") == SpanKind.STATE_WRITE) & (pl.col("value_bytes") > limit)).sort(
        "start_ns"
    )
    return run.stopped("state_bytes", limit, int(large["start_ns"][0]), at_once=True) if large.height else None


GUARDS: Final[Mapping[str, Callable[[Recording, float], Stop | None]]] = {
    "loop": _loop,
    "budget_usd": _metered("budget", "usd"),
    "tokens": _metered("tokens", "tokens"),
    "iterations": _metered("iterations", "calls"),
    "concurrency": _metered("concurrency", "calls"),
    "seconds": _seconds,
    "fanout": _fanout,
    "deadlock": _deadlock,
    "state_bytes": _state_bytes,
}
"""guards of one run, by the names of `tracer.guard`; the windows over all processes are in `windows`"""
