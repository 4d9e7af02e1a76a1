"""How soon a live guard would have spoken: the online core is fed the run as it was recorded, event by event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from analyzers.events import recorded_events
from tests.benchmarks.scenarios.playing import Case
from tracer.online.loop import LoopCore


@dataclass(frozen=True, slots=True)
class Reaction:
    """The first alarm about what repeats."""

    repetitions: int
    """begun when it was raised, the first included"""
    spent_usd: float
    """by the calls of the repetition until then"""
    of_usd: float
    """what all repetitions cost"""


def reaction(case: Case, contents: Mapping[int, str]) -> Reaction | None:
    """None where the core stays silent once the repetition has begun."""
    if case.rows is None or not case.repetitions:
        return None
    start_of = dict(case.rows.select("span_id", "start_ns").iter_rows())
    begun = sorted(start_of[span] for span in case.repetitions if span in start_of)
    if not begun:
        return None
    recorded = recorded_events(case.rows, contents)
    core = LoopCore()
    for one in recorded:
        if core.feed(one.event) and one.at_ns >= begun[0]:
            calls = [r for r in recorded if r.is_call and r.event.id in case.keys]
            spent = sum(float(r.cost_usd or 0) for r in calls if r.at_ns <= one.at_ns)
            total = sum(float(r.cost_usd or 0) for r in calls)
            return Reaction(sum(start <= one.at_ns for start in begun), spent, total)
    return None


def cpu_of_events(case: Case, contents: Mapping[int, str]) -> tuple[int, float]:
    """(events, CPU seconds) of the online core over the run."""
    if case.rows is None:
        return 0, 0.0
    events = [one.event for one in recorded_events(case.rows, contents)]
    core, started = LoopCore(), time.process_time()
    for event in events:
        core.feed(event)
    return len(events), time.process_time() - started
