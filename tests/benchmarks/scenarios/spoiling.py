"""What happens to a run between its recorder and the store: spans get lost, clocks differ, batches come late and in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from tests.benchmarks.scenarios.knobs import Knobs
from tests.benchmarks.scenarios.recording import Recorded
from tracer.model import RawSpan
from tracer.semconv import Resource, Tracehound
from tracer.store.segment import SegmentWriter

FRAME = 60
"""spans a recorder writes at once"""
LATE_SHARE = 0.2


def spoiled(recorded: Recorded, knobs: Knobs, rng: random.Random) -> Recorded:
    """The run as it leaves its processes: without the spans that were lost, with the clock of every second agent off, which then is
    another process's."""
    spans = [s for s in recorded.spans if s.parent_span_id is None or rng.random() >= knobs.missing]
    starts = [s for s in recorded.starts if rng.random() >= knobs.missing]
    if knobs.skew_ns:
        spans = [_shifted(s, knobs.skew_ns) for s in spans]
        starts = [_shifted(s, knobs.skew_ns) for s in starts]
    return Recorded(spans, starts, recorded.contents)


def _shifted(span: RawSpan, skew_ns: int) -> RawSpan:
    agent = str(span.attributes.get(Tracehound.AGENT, ""))
    elsewhere = bool(agent) and not crc32(agent.encode()) % 2
    resource = {**span.resource, Resource.PROCESS_PID: 2_000 if elsewhere else 1_000}
    if not elsewhere:
        return replace(span, resource=resource)
    return replace(
        span,
        resource=resource,
        start_ns=span.start_ns + skew_ns,
        end_ns=None if span.end_ns is None else span.end_ns + skew_ns,
        events=[replace(event, time_ns=event.time_ns + skew_ns) for event in span.events],
    )


def deliver(recorded: Recorded, knobs: Knobs, rng: random.Random, writer: SegmentWriter) -> list[RawSpan]:
    """Write the run to the spool; what comes back is to be written after the first fold."""
    spans = list(recorded.spans)
    late: list[RawSpan] = []
    if knobs.arrival != "ordered":
        rng.shuffle(spans)
    if knobs.arrival == "late":
        cut = round(len(spans) * LATE_SHARE)
        late, spans = spans[:cut], spans[cut:]
    write(spans, writer, starts=recorded.starts, contents=recorded.contents)
    return late


def write(
    spans: Sequence[RawSpan],
    writer: SegmentWriter,
    *,
    starts: Sequence[RawSpan] = (),
    contents: dict[int, str] | None = None,
) -> None:
    """In frames of the size that recorders use."""
    writer.write_spans([], starts=starts, contents=contents or {})
    for at in range(0, len(spans), FRAME):
        writer.write_spans(spans[at : at + FRAME])
