"""Loops found in different lanes that are one: recorded twice, in sibling branches, or two sides of one conversation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from analyzers.loop_shapes import Loop, cut, cycle_of
from tracer.online.loop import SPEECH

SAME_LOOP = 0.5
"""overlap, as a share of the shorter, that makes two alarms one loop"""
ALTERNATING = 0.8
"""share of turns that must go from one to the other to take two lanes for one conversation"""


def merged_across_lanes(loops: Sequence[Loop]) -> list[Loop]:
    """Loops in different lanes at the same time whose agents address each other, or that are the same, become one."""
    merged: list[Loop] = []
    for loop in sorted(loops, key=lambda x: (-len(x.rounds), x.events[0].at_ns, x.events[0].event.id)):
        for i, other in enumerate(merged):
            if _same_time(loop, other) and (
                _address_each_other(loop, other)
                or _parallel(loop, other)
                or _alternate(loop, other)
                or _same_agents(loop, other)
            ):
                merged[i] = _joined(other, loop)
                break
        else:
            merged.append(loop)
    return merged


def _same_time(a: Loop, b: Loop) -> bool:
    (a0, a1), (b0, b1) = (_window(a), _window(b))
    return min(a1, b1) - max(a0, b0) >= SAME_LOOP * min(a1 - a0, b1 - b0)


def _window(loop: Loop) -> tuple[int, int]:
    return loop.events[0].at_ns, max(r.end_ns for r in loop.events)


def _address_each_other(a: Loop, b: Loop) -> bool:
    return bool(_targets(a) & set(b.agents)) and bool(_targets(b) & set(a.agents))


def _targets(loop: Loop) -> set[str]:
    return {r.target for r in loop.events if r.target} | {
        r.event.name for r in loop.events if r.event.kind in SPEECH and r.event.name
    }


def _same_agents(a: Loop, b: Loop) -> bool:
    """The same agents going round at the same time, recorded twice: as invocations here, as model calls there."""
    return set(a.agents) <= set(b.agents) or set(b.agents) <= set(a.agents)


def _parallel(a: Loop, b: Loop) -> bool:
    """The same step going round in sibling branches: `/fetch#0` beside `/fetch#1`."""
    lane_a, lane_b = a.events[0].event.lane, b.events[0].event.lane
    return a.symbol == b.symbol and lane_a.rpartition("#")[0] == lane_b.rpartition("#")[0]


def _alternate(a: Loop, b: Loop) -> bool:
    """One goes round between the rounds of the other and never beside it: turns of one conversation in two lanes."""
    rounds = sorted(
        [(a.events[low].start_ns, a.events[high - 1].end_ns, 0) for low, high in a.rounds]
        + [(b.events[low].start_ns, b.events[high - 1].end_ns, 1) for low, high in b.rounds]
    )
    turns = sum(one[2] != other[2] and one[1] <= other[0] for one, other in pairwise(rounds))
    return turns >= ALTERNATING * (len(rounds) - 1)


def _joined(main: Loop, other: Loop) -> Loop:
    """`main` with the events of `other` woven in by time; its rounds are cut anew."""
    starts = {main.events[low].event.id for low, _ in main.rounds}
    events = tuple(
        sorted(
            {r.event.id: r for r in (*main.events, *other.events)}.values(),
            key=lambda r: (r.at_ns, r.start_ns, r.event.id),
        )
    )
    rounds = cut(events, starts)
    path, period = (main.path, main.period) if _parallel(main, other) else cycle_of(events, rounds)
    return Loop(
        events=events,
        rounds=rounds,
        symbol=main.symbol,
        path=path,
        period=period,
        signals=tuple(sorted({*main.signals, *other.signals})),
        critical=main.critical or other.critical,
        alarm_round=main.alarm_round,
        novelty=main.novelty,
        new_items=main.new_items,
        stale_rounds=main.stale_rounds,
        marks=main.marks + other.marks,
        polled_rounds=main.polled_rounds,
        repeats=max(main.repeats, other.repeats),
        errors=max(main.errors, other.errors),
        lanes=main.lanes + other.lanes,
    )
