"""Guards over all runs of a store: money per hour or day, runs per hour, runs at once. A refused call is not made, and frees the window.

All windows of a policy are played together, and a run that a guard of its own stops ends there: what it does not do any more counts in none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from analyzers.backtest.guards import Call, Recording, Stop
from tracer.online.ledger import DAY_NS, HOUR_NS

WINDOWS_NS: Final[Mapping[str, int]] = {"per_hour_usd": HOUR_NS, "per_day_usd": DAY_NS, "runs_per_hour": HOUR_NS, "concurrent_runs": 0}  # fmt: skip


@dataclass
class _Money:
    """What was spent in the last `length_ns`."""

    cap: Decimal
    length_ns: int
    held: deque[tuple[int, Decimal]] = field(default_factory=deque[tuple[int, Decimal]])
    spent: Decimal = Decimal(0)

    def takes(self, call: Call) -> bool:
        while self.held and self.held[0][0] <= call.start_ns - self.length_ns:
            self.spent -= self.held.popleft()[1]
        return self.spent < self.cap and self.spent + call.reserved_usd <= self.cap

    def book(self, call: Call) -> None:
        self.held.append((call.start_ns, call.cost_usd))
        self.spent += call.cost_usd


def replay_windows(runs: Sequence[Recording], limits: Mapping[str, float], ended: Mapping[str, int] | None = None) -> dict[str, Stop]:  # fmt: skip
    """Run id -> where a window would have stopped it; runs without times are left out.

    Args:
        limits: names of `WINDOWS_NS` and their limits.
        ended: run id -> the moment (ns) at which a guard of the run itself has stopped it.
    """
    timed = [run for run in runs if not run.timeless]
    until = dict(ended or {})
    money = {name: _Money(Decimal(str(limit)), WINDOWS_NS[name]) for name, limit in limits.items() if name.endswith("_usd")}  # fmt: skip
    starts = [(run.start_ns, 0, run.run_id, at, -1) for at, run in enumerate(timed)]
    calls = [(call.start_ns, 1, run.run_id, at, number) for at, run in enumerate(timed) for number, call in enumerate(run.calls)]  # fmt: skip
    begun: list[Recording] = []
    stopped: dict[str, Stop] = {}

    def stop(run: Recording, guard: str, at_ns: int, *, at_once: bool) -> None:
        found = run.stopped(guard, limits[guard], at_ns, at_once=at_once)
        if found is not None:
            stopped[run.run_id] = found
            until[run.run_id] = at_ns

    for at_ns, _, run_id, at, number in sorted(starts + calls):
        run = timed[at]
        if at_ns >= until.get(run_id, at_ns + 1):
            continue
        if number < 0:
            full = _full(begun, limits, at_ns, until)
            if full is None:
                begun.append(run)
            else:
                stop(run, full, at_ns, at_once=True)
            continue
        call = run.calls[number]
        refusing = next((name for name, window in money.items() if not window.takes(call)), None)
        if refusing is not None:
            stop(run, refusing, at_ns, at_once=False)
            continue
        for window in money.values():
            window.book(call)
    return stopped


def _full(begun: list[Recording], limits: Mapping[str, float], now_ns: int, until: Mapping[str, int]) -> str | None:
    """The window of starts that has no room for one more run; runs that no window sees any more are forgotten."""
    begun[:] = [run for run in begun if run.start_ns > now_ns - HOUR_NS or min(run.end_ns, until.get(run.run_id, run.end_ns)) > now_ns]  # fmt: skip
    for name in ("runs_per_hour", "concurrent_runs"):
        if name in limits:
            length = WINDOWS_NS[name]
            seen = [run for run in begun if (run.start_ns > now_ns - length if length else min(run.end_ns, until.get(run.run_id, run.end_ns)) > now_ns)]  # fmt: skip
            if len(seen) >= limits[name]:
                return name
    return None
