"""Who waits for whom, and who can never go on: the wait-for graph, kept current as waits start and end.

A wait needs all of its targets ("all") or one of them ("any"). Whoever does not wait is running and can still release
others. *Reduction* lets every waiter go whose need can be met by somebody who runs or was let go; whoever is left is
deadlocked. This is exact for "all" (a cycle), "any" (a knot) and mixtures. O(waiters + targets) per reduction.

    A --all--> B --all--> C --all--> A      all three are stuck
    A --any--> {B, X},  B --all--> A        nobody is: X runs, so A can go on, then B

Source: Holt 1972 (general resource graphs), Knapp 1987 (survey of models); we see every wait, so probes are not needed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

WaitMode = Literal["all", "any"]


@dataclass(frozen=True, slots=True)
class Wait:
    """What one waiter needs."""

    targets: frozenset[str]
    mode: WaitMode = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlockAlarm:
    """The wait that closed a deadlock, and everybody in it."""

    closing: str
    """whose wait made it final"""
    stuck: frozenset[str]


def stuck_waiters(waits: Mapping[str, Wait]) -> frozenset[str]:
    """The waiters that nobody can ever release. A target that does not wait counts as running.

    A wait for nobody is met at once for "all" and never for "any" (there is nobody to meet it).
    """
    needs = {who: (len(wait.targets) if wait.mode == "all" else 1) for who, wait in waits.items()}
    waiting_for: dict[str, list[str]] = defaultdict(list)
    free: deque[str] = deque()
    for who, wait in waits.items():
        for target in wait.targets:
            waiting_for[target].append(who)
        running = sum(target not in waits for target in wait.targets)
        needs[who] -= running
        if needs[who] <= 0:
            free.append(who)
    released: set[str] = set()
    while free:
        who = free.popleft()
        if who in released:
            continue
        released.add(who)
        for waiter in waiting_for.get(who, ()):
            needs[waiter] -= 1
            if needs[waiter] <= 0 and waiter not in released:
                free.append(waiter)
    return frozenset(waits.keys() - released)


@dataclass(slots=True)
class WaitGraph:
    """The waits of a running system; `start` answers at once when a wait can never end."""

    _waits: dict[str, Wait] = field(default_factory=dict[str, Wait])

    def start(self, who: str, targets: Collection[str], mode: WaitMode = "all") -> DeadlockAlarm | None:
        """`who` begins to wait. An alarm where this wait closes a deadlock that `who` is part of.

        Only what the new wait can reach is looked at: a search from its targets that stops at whoever runs.
        """
        self._waits[who] = Wait(frozenset(targets), mode)
        reach = self._reachable(who)
        if len(reach) < 2 and who not in targets:
            return None
        stuck = stuck_waiters({name: self._waits[name] for name in reach})
        return DeadlockAlarm(closing=who, stuck=stuck) if who in stuck else None

    def end(self, who: str) -> None:
        """`who` no longer waits: met, timed out or cancelled."""
        self._waits.pop(who, None)

    @property
    def waiting(self) -> Mapping[str, Wait]:
        """Who waits now."""
        return dict(self._waits)

    def _reachable(self, who: str) -> set[str]:
        seen = {who}
        queue = [who]
        while queue:
            for target in self._waits[queue.pop()].targets:
                if target in self._waits and target not in seen:
                    seen.add(target)
                    queue.append(target)
        return seen
