"""The wait-for graph of agents that may wait several times at once, and for resources that others hold while they wait.

    A waits for "ledger" and holds "orders"      "ledger" is nobody's: A's wait can still be met
    B waits for "orders" and holds "ledger"      both names are replaced by their holders: A and B are stuck

The offline detector replaces holders looking back at the whole run; this does it again whenever somebody begins to hold
something. An agent's newest wait counts; when it ends, the one around it does.

Several instances of one agent are waiters of their own. A name that several of them bear is nobody's: whoever waits for it may be
answered by the one that does not wait.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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
    instance: str | None = None
    """which of the agents of that name"""
    is_lock: bool = False
    """the targets are resources that one waiter at most holds, never agents"""

    @property
    def node(self) -> str:
        return instance_name(self.who, self.instance)


def instance_name(agent: str, instance: str | None) -> str:
    """How one of several instances of an agent is told: `worker#2`, `worker (thread Thread-2)`."""
    if instance is None or instance.startswith(f"{agent}#"):
        return instance or agent
    return agent if instance == agent else f"{agent} ({instance})"


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


@dataclass(slots=True)
class HeldWaits:
    """Fed with waits as they start and end, and with agents as they do."""

    _graph: WaitGraph = field(default_factory=WaitGraph)
    _open: dict[str, list[OpenWait]] = field(default_factory=dict[str, list[OpenWait]])
    """by waiter"""
    _agents: set[str] = field(default_factory=set[str])
    _alive: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """agent -> its instances at work"""

    def is_agent(self, name: str, instance: str | None = None) -> None:
        """`name` is an agent, never a resource, and one instance of it begins."""
        self._agents.add(name)
        if instance is not None:
            self._alive[name].add(instance)

    def has_ended(self, name: str, instance: str) -> None:
        """That instance is no longer at work."""
        self._alive[name].discard(instance)

    def start(
        self,
        who: str,
        targets: Collection[str],
        mode: WaitMode = "all",
        holds: Sequence[str] = (),
        *,
        instance: str | None = None,
        is_lock: bool = False,
    ) -> tuple[OpenWait, DeadlockAlarm | None]:
        """`who` begins to wait; an alarm where this closes a deadlock that `who` is part of."""
        self._agents |= {who} if instance is None else {who, instance}
        wait = OpenWait(who, tuple(targets), mode, tuple(holds), instance, is_lock)
        self._open.setdefault(wait.node, []).append(wait)
        for other, waits in self._open.items():
            newest = waits[-1]
            if other != wait.node and any(t in (who, instance, *wait.holds) for t in newest.targets):
                self._show(newest)
        return wait, self._show(wait)

    def end(self, wait: OpenWait) -> None:
        """It is over: met, timed out or cancelled. Doing it twice is the same as once."""
        waits = self._open.get(wait.node, [])
        if wait not in waits:
            return
        waits.remove(wait)
        self._graph.end(wait.node)
        if waits:
            self._show(waits[-1])
        else:
            del self._open[wait.node]

    def _show(self, wait: OpenWait) -> DeadlockAlarm | None:
        if not wait.targets:
            return None  # a timer or a limit of rates: nobody is waited for
        found: list[str] = []
        for target in wait.targets:
            if target in self._agents and not wait.is_lock:
                found.append(self._agent(target))
            elif wait.is_lock and target in wait.holds:
                found.append(wait.node)
            else:
                found += self._holders(target, wait.node) or [f"{target} (held by nobody who waits)"]
        return self._graph.start(wait.node, found, wait.mode)

    def told(self, alarm: DeadlockAlarm) -> str:
        """`Clerk would wait for ever: Booker holds ledger and waits for orders, Clerk ...`; instances only where names do not suffice."""
        newest = {node: self._open[node][-1] for node in alarm.stuck}
        often = Counter(wait.who for wait in newest.values())
        names = {node: wait.who if often[wait.who] == 1 else node for node, wait in newest.items()}
        parts = [
            f"{names[node]} {f'holds {_and(wait.holds)} and ' if wait.holds else ''}waits for {_and(wait.targets)}"
            for node, wait in sorted(newest.items())
        ]
        return f"{names[alarm.closing]} would wait for ever: {', '.join(parts)}"

    def _agent(self, name: str) -> str:
        """The waiter of that name, where there is one and nobody else of that name is at work."""
        waiting = [node for node, waits in self._open.items() if name in (waits[-1].who, waits[-1].instance)]
        if len(waiting) > 1 or len(self._alive.get(name, ())) > 1:
            return f"{name} (one of several)"
        return waiting[0] if waiting else name

    def _holders(self, resource: str, but: str) -> list[str]:
        return sorted(
            node for node, waits in self._open.items() if node != but and any(resource in w.holds for w in waits)
        )
