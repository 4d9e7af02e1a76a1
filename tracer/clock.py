"""The one place time is read; tests and the reference runtime's virtual clock replace it."""

from __future__ import annotations

import time
from typing import Final, Protocol

NO_CLOCK_NS: Final = 946_684_800 * 10**9
"""2000-01-01 UTC: where a run begins whose source has no times, one second a message. No trace is that old, so nobody takes it for a real time"""
NO_CLOCK_END_NS: Final = NO_CLOCK_NS + 366 * 86_400 * 10**9
"""the end of that year"""


def has_clock(start_ns: int) -> bool:
    """Whether a run that begins at `start_ns` has times; without them its moments keep the order and measure nothing."""
    return not NO_CLOCK_NS <= start_ns < NO_CLOCK_END_NS


class Clock(Protocol):
    """Anything that tells the time in nanoseconds since the Unix epoch."""

    def now_ns(self) -> int: ...


class SystemClock:
    """The wall clock."""

    def now_ns(self) -> int:
        return time.time_ns()


class TickingClock:
    """A clock for tests: every reading is `step_ns` later than the one before."""

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000, step_ns: int = 1_000_000) -> None:
        self._next_ns, self.step_ns = start_ns, step_ns

    def now_ns(self) -> int:
        now, self._next_ns = self._next_ns, self._next_ns + self.step_ns
        return now
