"""Guards over all runs of a store: money per hour or day, runs per hour, runs at once. A refused call is not made, and frees the window."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from analyzers.backtest.guards import Recording, Stop
from tracer.online.ledger import DAY_NS, HOUR_NS

WINDOWS_NS: Final[Mapping[str, int]] = {"per_hour_usd": HOUR_NS, "per_day_usd": DAY_NS, "runs_per_hour": HOUR_NS, "concurrent_runs": 0}  # fmt: skip


def replay_window(runs: Sequence[Recording], guard: str, limit: float) -> dict[str, Stop]:
    """Run id -> where it would have been stopped; runs without times are left out. O(calls log calls)."""
    timed = [run for run in runs if not run.timeless]
    return _money(timed, guard, limit) if guard.endswith("_usd") else _starts(timed, guard, limit)


def _money(runs: Sequence[Recording], guard: str, limit: float) -> dict[str, Stop]:
    length, cap = WINDOWS_NS[guard], Decimal(str(limit))
    calls = sorted((call.start_ns, at, number) for at, run in enumerate(runs) for number, call in enumerate(run.calls))
    held: deque[tuple[int, Decimal]] = deque()
    spent = Decimal(0)
    stopped: dict[str, Stop] = {}
    for at_ns, at, number in calls:
        run = runs[at]
        if run.run_id in stopped:
            continue
        while held and held[0][0] <= at_ns - length:
            spent -= held.popleft()[1]
        call = run.calls[number]
        if spent >= cap or spent + call.reserved_usd > cap:
            stop = run.stopped(guard, limit, at_ns)
            if stop is not None:
                stopped[run.run_id] = stop
            continue
        held.append((at_ns, call.cost_usd))
        spent += call.cost_usd
    return stopped


def _starts(runs: Sequence[Recording], guard: str, limit: float) -> dict[str, Stop]:
    """A run that is one too many does not begin."""
    length = WINDOWS_NS[guard]
    going: list[tuple[int, int]] = []
    stopped: dict[str, Stop] = {}
    for run in sorted(runs, key=lambda one: (one.start_ns, one.run_id)):
        if length:
            going = [(start, end) for start, end in going if start > run.start_ns - length]
        else:
            going = [(start, end) for start, end in going if end > run.start_ns]
        if len(going) >= limit:
            stop = run.stopped(guard, limit, run.start_ns, at_once=True)
            if stop is not None:
                stopped[run.run_id] = stop
        else:
            going.append((run.start_ns, run.end_ns))
    return stopped
