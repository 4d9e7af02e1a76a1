"""The wait-for graph of agents that may wait several times at once, and for resources that others hold while they wait.

    A waits for "ledger" and holds "orders"      "ledger" is nobody's: A's wait can still be met
    B waits for "orders" and holds "ledger"      both names are replaced by their holders: A and B are stuck

The offline detector replaces holders looking back at the whole run; this does it again whenever somebody begins to hold
something. An agent's newest wait counts; when it ends, the one around it does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from .waits import DeadlockAlarm, WaitGraph, WaitMode


@dataclass(frozen=True, slots=True, eq=False)
class OpenWait:
    """One wait under way; `end` wants it back."""

    who: str
    targets: tuple[str, ...]
    """agents or resources"""
    mode: WaitMode
    holds: tuple[str, ...] = ()


@dataclass(slots=True)
class HeldWaits:
    """Fed with waits as they start and end, and with the names of agents."""

    _graph: WaitGraph = field(default_factory=WaitGraph)
    _open: dict[str, list[OpenWait]] = field(default_factory=dict[str, list[OpenWait]])
    _agents: set[str] = field(default_factory=set[str])

    def is_agent(self, name: str) -> None:
        """`name` is an agent, never a resource."""
        self._agents.add(name)

    def start(
        self, who: str, targets: Collection[str], mode: WaitMode = "all", holds: Sequence[str] = ()
    ) -> tuple[OpenWait, DeadlockAlarm | None]:
        """`who` begins to wait; an alarm where this closes a deadlock that `who` is part of."""
        self._agents.add(who)
        wait = OpenWait(who, tuple(targets), mode, tuple(holds))
        self._open.setdefault(who, []).append(wait)
        if wait.holds:
            for other, waits in self._open.items():
                if other != who and any(target in wait.holds for target in waits[-1].targets):
                    self._show(waits[-1])
        return wait, self._show(wait)

    def end(self, wait: OpenWait) -> None:
        """It is over: met, timed out or cancelled. Doing it twice is the same as once."""
        waits = self._open.get(wait.who, [])
        if wait not in waits:
            return
        waits.remove(wait)
        self._graph.end(wait.who)
        if waits:
            self._show(waits[-1])
        else:
            del self._open[wait.who]

    def _show(self, wait: OpenWait) -> DeadlockAlarm | None:
        if not wait.targets:
            return None  # a timer or a limit of rates: nobody is waited for
        found: list[str] = []
        for target in wait.targets:
            holders = [] if target in self._agents else self._holders(target, wait.who)
            found += holders or [target]
        return self._graph.start(wait.who, found, wait.mode)

    def _holders(self, resource: str, but: str) -> list[str]:
        return sorted(
            who for who, waits in self._open.items() if who != but and any(resource in wait.holds for wait in waits)
        )
