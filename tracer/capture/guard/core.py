"""One guard: its limits, what it has counted, and the stop that closes it for good.

Guards nest: whatever a call costs is charged to every guard around it, and the tightest one refuses. A guard that has
stopped stays closed, because a framework that catches the error asks again: each later call is refused at once and no
request is made, so that its retries run out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from ...clock import Clock
from ...errors import BudgetExceeded, HardStop
from ...online.budget import Account, Meter, NearLimit, Refusal
from ...online.held_waits import OpenWait
from ...online.ledger import DAY_NS, HOUR_NS, Ledger, WindowFull, WindowLimit
from ...online.limits import Limits
from ...online.loop import Alarm, Event, LoopCore, LoopThresholds
from ...online.tariff import ASSUMED_OUTPUT, Tariff
from .. import marks
from ..complaints import complain
from ..scope import Spec, who_in
from .crowd import Crowd, fanout_sentence

logger = logging.getLogger("tracehound")

Escalate = Callable[[BudgetExceeded], bool | None]
"""Called instead of stopping. False stops after all; anything else allows one portion more of what ran out."""

GUARD: Final = otel_context.create_key("tracehound-guard")
_everywhere: list[Guard] = []


def current() -> Guard | None:
    """The innermost guard around the current code, else the one of the whole process."""
    found = otel_context.get_value(GUARD)
    if isinstance(found, Guard):
        return found
    return _everywhere[-1] if _everywhere else None


def everywhere() -> tuple[Guard, ...]:
    """The guards of the whole process."""
    return tuple(_everywhere)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a guard behaves, besides its limits."""

    name: str = "guard"
    escalate: Escalate | None = None
    hard: bool = False
    warn_at: Decimal | None = Decimal("0.75")
    assumed_output: int = ASSUMED_OUTPUT
    tariff: Tariff = field(default_factory=Tariff)
    store: Path | None = None
    clock: Clock | None = None
    """for time and windows; without one the monotonic clock and the wall clock"""


class Guard:
    """Made by `tracer.guard`. `stopped` says why it closed, `spent` what it has counted."""

    def __init__(self, limits: Limits, options: Options, ledger: Ledger | None = None) -> None:
        self.limits = limits
        self.options = options
        self.name = options.name
        self.parent: Guard | None = None
        self.account = Account(options.name, _meters(limits, options))
        self.ledger = ledger
        self.windows, self.run_windows = _windows(limits)
        self.estimated_usd = Decimal(0)
        """how much of the spending is an estimate: a model without a price, an answer without token counts"""
        self.reopens = False
        """a window that is full closes it only while it is full; for a guard that lives as long as the process"""
        self._stop: dict[str, Any] | None = None
        self._partial: Any = None
        self._lifted: set[str] = set()
        self._portions = 1
        self._lock = threading.RLock()
        self._loops = _loop_core(limits)
        self._alarm: Alarm | None = None
        self.crowd = Crowd(limits) if limits.fanout is not None or limits.deadlock else None
        """the agents below it; None where it does not look at them"""
        self.since_ns: int | None = None
        """monotonic; when its time began to run"""

    # what a program asks it

    @property
    def stopped(self) -> BudgetExceeded | None:
        """Why it closed; None while it is open."""
        return self._error() if self._stop is not None else None

    @property
    def spent(self) -> Mapping[str, Decimal]:
        """What was counted so far, by meter: budget (USD), tokens, iterations."""
        return {name: meter.spent for name, meter in self.account.meters.items() if name != "concurrency"}

    def keep(self, partial: Any) -> None:
        """Remember a result that is good enough to return should the work be stopped."""
        self._partial = partial

    def check(self) -> None:
        """Raise if this guard or one around it is closed or its time is up; for long work without LLM calls."""
        for guard in self.chain():
            guard.refuse_if_closed()

    def chain(self) -> Iterator[Guard]:
        guard: Guard | None = self
        while guard is not None:
            yield guard
            guard = guard.parent

    # what happens to it

    def begin(self, parent: Guard | None) -> None:
        """The first use: time starts to run, and what is around it is charged as well."""
        if self.since_ns is None:
            self.since_ns = self.now_ns()
            if parent is not self:
                self.parent = parent
                self.account.parent = parent.account if parent is not None else None

    def heritable(self) -> Options:
        """The options that another process can have: callbacks and clocks stay here."""
        return replace(self.options, escalate=None, clock=None)

    def now_ns(self) -> int:
        clock = self.options.clock
        return clock.now_ns() if clock is not None else time.monotonic_ns()

    def refuse_if_closed(self) -> None:
        if self._stop is not None:
            raise self._raised()
        if self._alarm is not None:
            alarm, self._alarm = self._alarm, None
            # Equal repeats weigh more, so that they may stop before the number of rounds is reached.
            allowed = alarm.count - 1 if isinstance(self.limits.loop, str) else int(self.limits.loop or 0)
            self.trip(
                "loop", "rounds", min(allowed, alarm.count), alarm.count,
                f"{alarm.count} rounds without anything new ({alarm.signal})",
            )  # fmt: skip
        if self.limits.seconds is not None and self.since_ns is not None:
            seconds = (self.now_ns() - self.since_ns) / 1e9
            limit = self.limits.seconds * self._portions
            if seconds >= limit and self.trip("time", "s", limit, seconds, f"{seconds:.1f} s of {limit:g} s are over"):
                self._portions += 1

    def refused(self, refusal: Refusal) -> None:
        """A reservation on this guard's own account was not made; returns where somebody allowed more."""
        name, unit = refusal.meter, refusal.unit
        promised = f", {_amount(refusal.reserved, unit)} promised to calls under way" if refusal.reserved else ""
        sentence = (
            f"{_amount(refusal.spent, unit)} of {_amount(refusal.limit, unit)} spent{promised}, "
            f"the next call needs {_amount(refusal.needed, unit)}"
        )
        if name == "concurrency":
            sentence = f"{int(refusal.reserved)} calls at once, {int(refusal.limit)} are allowed"
        elif name == "iterations":
            under_way = f", {int(refusal.reserved)} under way" if refusal.reserved else ""
            sentence = f"{int(refusal.spent)} LLM calls made{under_way}, {int(refusal.limit)} are allowed"
        if self.trip(name, unit, refusal.limit, refusal.spent, sentence, reserved=refusal.reserved):
            self.account.extend(name)

    def window_full(self, full: WindowFull) -> None:
        """A window of the store is full; returns where somebody allowed to go on."""
        window = full.window
        unit = "usd" if window.name.startswith("per_") else "runs"
        sentence = (
            f"{_amount(full.spent, unit)} of {_amount(window.limit, unit)} spent by all processes of this store, "
            f"the next call needs {_amount(full.needed, unit)}"
            if unit == "usd"
            else f"{int(full.spent)} runs, {int(window.limit)} are allowed"
        )
        kind = window.name.replace("_", " ")
        if self.trip(kind, unit, window.limit, full.spent, sentence, reserved=full.reserved, latch=not self.reopens):
            self._lifted.add(window.name)

    def open_windows(self, windows: tuple[WindowLimit, ...]) -> tuple[WindowLimit, ...]:
        """Those that nobody has lifted."""
        return tuple(w for w in windows if w.name not in self._lifted) if self._lifted else windows

    def state_written(self, key: str, size: int) -> None:
        """A value of shared state was written; raises where it is larger than allowed."""
        limit = self.limits.state_bytes
        if limit is not None and size > limit and "state" not in self._lifted:
            if self._stop is not None:
                raise self._raised()
            if self.trip("state size", "bytes", limit, size, f"{key!r} has {size} bytes, {limit} are allowed"):
                self._lifted.add("state")

    def agent_starts(self, who: str, name: str, above: str | None) -> None:
        """An agent is about to start; raises where agents multiply without bound."""
        with self._lock:
            self.refuse_if_closed()
            alarm = self.crowd.start(who, name, above) if self.crowd is not None else None
            if alarm is not None:
                unit = "agents" if alarm.rule == "live" else "levels" if alarm.rule == "depth" else "generations"
                self.trip("fan-out", unit, alarm.limit, alarm.value, fanout_sentence(alarm))

    def agent_ended(self, who: str) -> None:
        with self._lock:
            if self.crowd is not None:
                self.crowd.end(who)

    def wait_starts(self, spec: Spec, agent: str | None, above: str | None, into: list[tuple[Guard, OpenWait]]) -> None:
        """A wait is about to begin, noted in `into`; raises where it would close a deadlock."""
        with self._lock:
            self.refuse_if_closed()
            if self.crowd is None:
                return
            wait, alarm = self.crowd.wait(spec, agent, above)
            if wait is not None:
                into.append((self, wait))
            if alarm is not None:
                self.trip("deadlock", "agents", 0, len(alarm.stuck), self.crowd.told(alarm))

    def wait_ended(self, wait: OpenWait) -> None:
        with self._lock:
            if self.crowd is not None:
                self.crowd.over(wait)

    def feed(self, event: Event) -> None:
        """Let the loop breaker see what happened; the next call is refused where it goes round in circles."""
        if self._loops is None or "loop" in self._lifted:
            return
        with self._lock:
            for alarm in self._loops.feed(event):
                if alarm.level == self.limits.loop or alarm.level == "critical":
                    self._alarm = self._alarm or alarm

    def heard(self, text: str, estimated_usd: Decimal) -> None:
        """An answer came."""
        self.estimated_usd += estimated_usd
        if text and self._stop is None:
            self._last = text

    _last: str | None = None

    def warn(self, warning: NearLimit) -> None:
        sentence = f"{_amount(warning.spent, warning.unit)} of {_amount(warning.limit, warning.unit)} spent"
        logger.warning("tracehound guard %s: %s", self.name, sentence)
        self._record(warning.meter, "warn", warning.limit, warning.spent, warning.unit, sentence)

    # the stop

    def trip(
        self,
        kind: str,
        unit: str,
        limit: Decimal | float,
        spent: Decimal | float,
        sentence: str,
        *,
        reserved: Decimal = Decimal(0),
        latch: bool = True,
    ) -> bool:
        """Stop: raises. Where `escalate` allows to go on, True."""
        with self._lock:
            if self._stop is not None:
                raise self._raised()
            estimate = f" (${self.estimated_usd:.4f} of it estimated)" if self.estimated_usd and unit == "usd" else ""
            stop: dict[str, Any] = {
                "message": f"guard {self.name!r} stopped the work ({kind}): {sentence}{estimate}",
                "guard": kind,
                "scope": self.name,
                "limit": float(limit),
                "spent": float(spent),
                "unit": unit,
                "reserved": float(reserved),
            }
            here = f"{trace.get_current_span().get_span_context().span_id:016x}"
            asked = self.options.escalate
            span = self._record(kind, "stop" if asked is None else "warn", limit, spent, unit, f"{sentence}{estimate}")
            stop["span_ids"] = tuple(each for each in (here, span) if each and each.strip("0"))
            if asked is not None:
                marks.escalate(getattr(asked, "__name__", "escalate"), reason=stop["message"]).record()
                if asked(self._built(stop)) is not False:
                    if kind == "loop":
                        self._loops = _loop_core(self.limits)
                    return True
                self._record(kind, "stop", limit, spent, unit, f"{sentence}; going on was refused")
            if latch:
                self._stop = stop
            raise self._as_raised(self._built(stop))

    def reset(self) -> None:
        """Open a closed guard again; what was counted stays counted."""
        self._stop = None

    def _record(
        self, kind: str, level: str, limit: Decimal | float, spent: Decimal | float, unit: str, reason: str
    ) -> str:
        try:
            span = marks.guard_trip(
                kind, level=level, limit=float(limit), spent=float(spent), unit=unit, reason=f"{self.name}: {reason}",
                agent=who_in().agent,
            ).record()  # fmt: skip
        except Exception:  # noqa: BLE001 - a stop must not fail because it could not be written down; logged once
            complain("recording a guard trip")
            return ""
        return span.span_id

    def _built(self, stop: dict[str, Any]) -> BudgetExceeded:
        return BudgetExceeded(**stop, partial=self._last if self._partial is None else self._partial)

    def _error(self) -> BudgetExceeded:
        return self._built(self._stop or {})

    def _raised(self) -> BaseException:
        return self._as_raised(self._error())

    def _as_raised(self, error: BudgetExceeded) -> BaseException:
        return HardStop(error) if self.options.hard else error


def install(guard: Guard) -> None:
    """Make `guard` hold for every call of the process that has no guard of its own around it; those count against it, too."""
    guard.begin(_everywhere[-1] if _everywhere else None)
    guard.reopens = True
    _everywhere.append(guard)


def uninstall(guard: Guard) -> None:
    """End `install`; doing it twice is the same as once."""
    if guard in _everywhere:
        _everywhere.remove(guard)


def _loop_core(limits: Limits) -> LoopCore | None:
    """The loop detector's own core, with its thresholds, or those of a number of rounds."""
    if limits.loop is None:
        return None
    return LoopCore() if isinstance(limits.loop, str) else LoopCore(LoopThresholds.stopping_at(limits.loop))


def _meters(limits: Limits, options: Options) -> dict[str, Meter]:
    warn = options.warn_at
    meters = {
        "budget": Meter("budget", "usd", limits.budget_usd, warn) if limits.budget_usd is not None else None,
        "tokens": Meter("tokens", "tokens", Decimal(limits.tokens), warn) if limits.tokens is not None else None,
        "iterations": Meter("iterations", "calls", Decimal(limits.iterations), warn) if limits.iterations else None,
        "concurrency": Meter("concurrency", "calls", Decimal(limits.concurrency), None) if limits.concurrency else None,
    }
    return {name: meter for name, meter in meters.items() if meter is not None}


def _windows(limits: Limits) -> tuple[tuple[WindowLimit, ...], tuple[WindowLimit, ...]]:
    """(for money, for runs)"""
    money = (("per_hour", limits.per_hour_usd, HOUR_NS), ("per_day", limits.per_day_usd, DAY_NS))
    runs = (("runs_per_hour", limits.runs_per_hour, HOUR_NS), ("concurrent_runs", limits.concurrent_runs, 0))
    made = [
        tuple(
            WindowLimit(name=name, limit=Decimal(limit), length_ns=length)
            for name, limit, length in rows
            if limit is not None
        )
        for rows in (money, runs)
    ]
    return made[0], made[1]


def _amount(value: Decimal, unit: str) -> str:
    return f"${value:.4f}" if unit == "usd" else f"{value:g} {unit}"
