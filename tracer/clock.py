"""The one place time is read; tests and the reference runtime's virtual clock replace it."""

from __future__ import annotations

import time
from typing import Protocol


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
