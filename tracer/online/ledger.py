"""What all processes of a store spend and start: one file beside it, appended to under a lock.

    traces.guards/ledger       a hold before a call, a payment after it, a run's start and end (see `journal`)

A process that is killed leaves holds and open runs behind. Its runs end when its lock is found free; its holds count as
paid at the time they were made (the provider may have charged them) and leave the window like every payment.
The file is rewritten without what has left all windows once it has grown.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..clock import Clock
from .journal import Journal

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS


def ledger_path(store_path: str | os.PathLike[str]) -> Path:
    """The folder of the ledger that belongs to a database file: `traces.duckdb` -> `traces.guards`."""
    path = Path(os.path.realpath(store_path))
    return path.with_suffix(".guards") if path.suffix == ".duckdb" else path.with_name(path.name + ".guards")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimit:
    """At most `limit` in any `length_ns`; for runs at once the length is 0."""

    name: str
    """per_hour, per_day, runs_per_hour, concurrent_runs"""
    limit: Decimal
    length_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFull:
    """Why a window did not admit."""

    window: WindowLimit
    spent: Decimal
    reserved: Decimal
    needed: Decimal


@dataclass(slots=True)
class Rolling:
    """The sum of what happened in the last `length_ns`. Amortised O(1); entries come about in order of time."""

    length_ns: int
    total: Decimal = Decimal(0)
    _entries: deque[tuple[int, Decimal]] = field(default_factory=deque[tuple[int, Decimal]])

    def add(self, at_ns: int, amount: Decimal) -> None:
        self._entries.append((at_ns, amount))
        self.total += amount

    def at(self, now_ns: int) -> Decimal:
        """The sum at `now_ns`, which does not go back."""
        while self._entries and self._entries[0][0] <= now_ns - self.length_ns:
            self.total -= self._entries.popleft()[1]
        return self.total

    def entries(self) -> Sequence[tuple[int, Decimal]]:
        return tuple(self._entries)


@dataclass(slots=True)
class _Books:
    """The ledger as read so far."""

    paid: dict[int, Rolling] = field(default_factory=lambda: {n: Rolling(n) for n in (HOUR_NS, DAY_NS)})
    started: Rolling = field(default_factory=lambda: Rolling(HOUR_NS))
    holds: dict[str, tuple[int, str, Decimal]] = field(default_factory=dict[str, tuple[int, str, Decimal]])
    """id -> (time, owner, USD)"""
    runs: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """id -> (time, owner)"""

    @property
    def held(self) -> Decimal:
        return sum((amount for _, _, amount in self.holds.values()), Decimal(0))

    def pay(self, at_ns: int, amount: Decimal) -> None:
        for rolling in self.paid.values():
            rolling.add(at_ns, amount)

    def take(self, entry: dict[str, Any]) -> None:
        kind, at_ns, name = entry["k"], int(entry["t"]), str(entry["i"])
        if kind == "hold":
            self.holds[name] = (at_ns, str(entry["o"]), Decimal(entry["a"]))
        elif kind == "pay":
            self.holds.pop(name, None)
            self.pay(at_ns, Decimal(entry["a"]))
        elif kind == "run":
            self.started.add(at_ns, Decimal(1))
            self.runs[name] = (at_ns, str(entry["o"]))
        elif kind == "started":  # what a compaction keeps of a run that is over
            self.started.add(at_ns, Decimal(1))
        elif kind == "end":
            self.runs.pop(name, None)


class Ledger(Journal):
    """One process's view of the shared file; thread-safe. Nothing is created before the first use.

    Methods raise OSError where the folder cannot be used.
    """

    def __init__(self, folder: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        super().__init__(folder, "ledger", clock=clock)

    def _start_books(self) -> None:
        self._books = _Books()

    def _take(self, entry: dict[str, Any]) -> None:
        self._books.take(entry)

    # what guards ask

    def hold(self, usd: Decimal, windows: Sequence[WindowLimit]) -> str | WindowFull:
        """Reserve `usd` if it fits into every window; the hold's id, or the window that is full."""
        with self._exclusive() as now_ns:
            for attempt in (1, 2):
                full = next((f for w in windows if (f := self._full(w, usd, now_ns))), None)
                if full is None:
                    return self._append("hold", now_ns, a=str(usd))
                if attempt == 1 and not self._bury_dead(now_ns):
                    break
            return full

    def pay(self, hold: str, usd: Decimal) -> None:
        """Replace a hold by what was really spent, 0 where the call was not made."""
        with self._exclusive() as now_ns:
            self._append("pay", now_ns, hold, a=str(usd))

    def start_run(self, windows: Sequence[WindowLimit]) -> str | WindowFull:
        """Count a run if there is room for it in the rate and beside those that run now; its id, or what is full."""
        with self._exclusive() as now_ns:
            for attempt in (1, 2):
                full = next((f for w in windows if (f := self._full(w, Decimal(1), now_ns))), None)
                if full is None:
                    return self._append("run", now_ns)
                if attempt == 1 and not self._bury_dead(now_ns):
                    break
            return full

    def end_run(self, run: str) -> None:
        with self._exclusive() as now_ns:
            self._append("end", now_ns, run)

    def spent(self, length_ns: int) -> Decimal:
        """USD paid within the last hour or day (HOUR_NS, DAY_NS), by all processes."""
        with self._exclusive() as now_ns:
            return self._books.paid[length_ns].at(now_ns)

    # inside; everything below runs under both locks

    def _full(self, window: WindowLimit, needed: Decimal, now_ns: int) -> WindowFull | None:
        reserved = Decimal(0)
        if window.name == "concurrent_runs":
            spent = Decimal(len(self._books.runs))
        elif window.name == "runs_per_hour":
            spent = self._books.started.at(now_ns)
        else:
            spent, reserved = self._books.paid[window.length_ns].at(now_ns), self._books.held
        if spent < window.limit and spent + reserved + needed <= window.limit:
            return None
        return WindowFull(window=window, spent=spent, reserved=reserved, needed=needed)

    def _bury_dead(self, now_ns: int) -> bool:
        """Close what killed processes left open; True where that changed something."""
        books = self._books
        owners = {owner for _, owner, _ in books.holds.values()} | {owner for _, owner in books.runs.values()}
        dead = {owner for owner in owners if owner != self._owner and not self._lives(owner)}
        if not dead:
            return False
        for name, (at_ns, owner, amount) in list(books.holds.items()):
            if owner in dead:
                self._append("pay", at_ns, name, a=str(amount))
        for name, (_, owner) in list(books.runs.items()):
            if owner in dead:
                self._append("end", now_ns, name)
        for owner in dead:
            self._live_path(owner).unlink(missing_ok=True)
        return True

    def _kept(self, now_ns: int) -> list[dict[str, Any]]:
        books = self._books
        for rolling in (*books.paid.values(), books.started):
            rolling.at(now_ns)
        open_runs = {at for at, _ in books.runs.values()}
        return [
            *({"k": "pay", "t": at, "i": "", "a": str(amount)} for at, amount in books.paid[DAY_NS].entries()),
            *({"k": "started", "t": at, "i": ""} for at, _ in books.started.entries() if at not in open_runs),
            *({"k": "run", "t": at, "i": n, "o": owner} for n, (at, owner) in books.runs.items()),
            *(
                {"k": "hold", "t": at, "i": n, "o": owner, "a": str(amount)}
                for n, (at, owner, amount) in books.holds.items()
            ),
        ]
