"""Plays the bundled incidents and their healthy twins under the real shim, into a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import tracer
from reference_runtime.batch import Batch
from reference_runtime.clock import VirtualClock
from reference_runtime.healthy import HEALTHY
from reference_runtime.incidents import INCIDENTS
from reference_runtime.truth import Incident, Truth, Twin

SERVICE = "tracehound-demo"
HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
NINE_NS = 9 * HOUR_NS
LEAD_NS = 6 * HOUR_NS
"""Room for the longest single run: a person is asked and answers after more than three hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One incident or healthy twin, as it was recorded."""

    name: str
    title: str
    explanation: str
    """what is wrong, or why nothing is"""
    incident: str | None
    """name of the incident a twin belongs to; None for the incident itself and for general twins"""
    healthy: bool
    truths: tuple[Truth, ...]
    run_ids: tuple[str, ...]
    """the runtime's own ids; the store keeps them as source_id"""
    workflows: frozenset[str]


def plan() -> list[Incident | Twin]:
    """Everything the demo plays, in order: each incident, then its twins, then the twins of no incident."""
    planned: list[Incident | Twin] = []
    for incident in INCIDENTS:
        planned += [incident, *incident.twins]
    return [*planned, *HEALTHY]


def record(store: Path, *, seed: int, now_ns: int, done: Callable[[str], None] = lambda _: None) -> list[Played]:
    """Play `plan()` into `store`; `done` is told the title of each part when it ends.

    Args:
        now_ns: all parts are dated so that they ended before this moment.
    """
    belongs = {twin.name: incident.name for incident in INCIDENTS for twin in incident.twins}
    played: list[Played] = []
    tracer.init(store, service=SERVICE, fold_at_exit=False)
    try:
        for part in plan():
            batch = part.build(seed, clock=VirtualClock(start_ns(part, seed, now_ns)))
            play(batch)
            played.append(
                Played(
                    name=part.name,
                    title=part.title,
                    explanation=part.what_is_wrong if isinstance(part, Incident) else part.why_healthy,
                    incident=belongs.get(part.name),
                    healthy=isinstance(part, Twin),
                    truths=tuple(batch.truths),
                    run_ids=tuple(planned.runtime.run_id for planned in batch.runs),
                    workflows=frozenset(planned.runtime.workflow.name for planned in batch.runs),
                )
            )
            done(part.title)
    finally:
        tracer.shutdown()
    return played


def start_ns(part: Incident | Twin, seed: int, now_ns: int) -> int:
    """When the clock of `part` starts: a few hours ago, or, where it covers days, at nine UTC on a Monday early enough."""
    lasts_ns = round(max(planned.start_at_s for planned in part.build(seed).runs) * 1e9)
    if lasts_ns < DAY_NS:
        return now_ns - LEAD_NS
    latest = now_ns - LEAD_NS - lasts_ns
    days = latest // DAY_NS
    monday = days - (days + 3) % 7  # day 0 of the epoch was a Thursday
    start = monday * DAY_NS + NINE_NS
    return start if start <= latest else start - 7 * DAY_NS


def record_and_tell(sending: Connection, store: Path, seed: int, now_ns: int) -> None:
    """`record`, in a process of its own: sends the title of each part when it ends, and at last the list of all."""
    sending.send(record(store, seed=seed, now_ns=now_ns, done=sending.send))


def play(batch: Batch) -> None:
    """Instrument every runtime of the batch, run it, and take the instrumentation off again."""
    handles = [tracer.instrument(planned.runtime) for planned in batch.runs]
    try:
        batch.play()
    finally:
        for handle in reversed(handles):
            handle.uninstrument()
