"""What a loop is once it is found: its events, its rounds, the cycle it goes through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from analyzers.events import Recorded
from tracer.online.memory import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One loop in one run."""

    events: tuple[Recorded, ...]
    """from the first occurrence to the end of the last round, in causal order"""
    rounds: tuple[tuple[int, int], ...]
    """[start, end) of each round as indices into `events`"""
    symbol: Symbol
    """what comes round"""
    path: tuple[str, ...]
    """agents of one cycle, or the tools of one agent's"""
    period: int
    signals: tuple[str, ...]
    critical: bool
    alarm_round: int
    """1-based round by which the step that comes round had raised its first alarm"""
    novelty: tuple[float, ...]
    """share of new words for each round after the first, as seen at the time"""
    new_items: tuple[int, ...]
    stale_rounds: int
    marks: int
    """explicit progress marks inside"""
    polled_rounds: int
    repeats: int
    """most often repeated request"""
    errors: int
    """most often repeated error"""
    lanes: int

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.event.agent for r in self.events if r.event.agent))


def cut(events: Sequence[Recorded], starts: set[str]) -> tuple[tuple[int, int], ...]:
    """[start, end) of each round; `starts` are the ids of the events that open one."""
    return tuple(pairwise([*(i for i, r in enumerate(events) if r.event.id in starts), len(events)]))


def cycle_of(events: Sequence[Recorded], rounds: Sequence[tuple[int, int]]) -> tuple[tuple[str, ...], int]:
    """The commonest cycle and its length: agents by turn, or one agent's tools; messages where the run is a transcript."""
    agents = {r.event.agent for r in events} - {""}
    transcript = all(r.step is not None for r in events)

    def cycle(low: int, high: int) -> tuple[str, ...]:
        part = events[low:high]
        if transcript:
            return tuple(r.event.agent for r in part)
        if len(agents) > 1:
            return tuple(
                r.event.agent for i, r in enumerate(part) if i == 0 or part[i - 1].event.agent != r.event.agent
            )
        tools = tuple(r.event.name for r in part if r.event.kind == "tool")
        return tools or tuple(dict.fromkeys(r.event.agent for r in part))

    cycles = Counter(cycle(low, high) for low, high in rounds)
    path = min(cycles, key=lambda c: (-cycles[c], len(c), c))
    if transcript and len(rounds) > 1:
        return path, int(median(b[0] - a[0] for a, b in pairwise(rounds)))
    return path, len(path)
