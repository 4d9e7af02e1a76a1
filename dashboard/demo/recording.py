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


def record(store: Path, *, seed: int, epoch_ns: int, done: Callable[[str], None] = lambda _: None) -> list[Played]:
    """Play `plan()` into `store`; `done` is told the title of each part when it ends.

    Args:
        epoch_ns: when the virtual clock of each part starts.
    """
    belongs = {twin.name: incident.name for incident in INCIDENTS for twin in incident.twins}
    played: list[Played] = []
    tracer.init(store, service=SERVICE, fold_at_exit=False)
    try:
        for part in plan():
            batch = part.build(seed, clock=VirtualClock(epoch_ns))
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


def record_and_tell(sending: Connection, store: Path, seed: int, epoch_ns: int) -> None:
    """`record`, in a process of its own: sends the title of each part when it ends, and at last the list of all."""
    sending.send(record(store, seed=seed, epoch_ns=epoch_ns, done=sending.send))


def play(batch: Batch) -> None:
    """Instrument every runtime of the batch, run it, and take the instrumentation off again."""
    handles = [tracer.instrument(planned.runtime) for planned in batch.runs]
    try:
        batch.play()
    finally:
        for handle in reversed(handles):
            handle.uninstrument()
