"""Has the real shim record a run: a clock that the scenario moves, and ids that tell the runs of a store apart."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from opentelemetry import trace

from tests.benchmarks.scenarios.knobs import Text
from tracer.capture.privacy import CaptureContent
from tracer.model import RawSpan
from tracer.semconv import Tracehound
from tracer.testing import recording


class StageClock:
    """A clock that stands still until the scenario moves it."""

    def __init__(self, now_ns: int) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns


@contextmanager
def recorded_run(
    clock: StageClock, text: Text, number: int
) -> Generator[tuple[Recorded, Callable[[str], trace.Tracer]]]:
    """Record what happens in the block under ids of its own; `number` tells the runs of a store apart.

    What is given beside it makes the tracer of another instrumentation, by the name of its library.
    """
    run = Recorded()
    capture: CaptureContent = {"full": True, "hashed": "hashed", "none": False}[text]  # type: ignore[assignment]
    with recording(clock=clock, capture_content=capture) as kept:
        yield run, kept.provider.get_tracer
        running = kept.running
    run.spans = [_renumbered(span, number) for span in kept.writer.spans]
    run.starts = [_renumbered(span, number) for span in running]
    run.contents = kept.writer.contents


def span_id_in(span_id: str, number: int) -> str:
    """The span id that run `number` of a store has instead of one that every recorder begins with."""
    return f"{(int(span_id, 16) + (number << 40)) % 2**64:016x}"


def _renumbered(span: RawSpan, number: int) -> RawSpan:
    def moved(trace_id: str) -> str:
        return f"{(int(trace_id, 16) + (number << 80)) % 2**128:032x}"

    named = (Tracehound.RETRY_OF, Tracehound.FALLBACK_OF)
    return replace(
        span,
        trace_id=moved(span.trace_id),
        span_id=span_id_in(span.span_id, number),
        parent_span_id=None if span.parent_span_id is None else span_id_in(span.parent_span_id, number),
        attributes={k: span_id_in(v, number) if k in named else v for k, v in span.attributes.items()},
        links=[
            replace(link, trace_id=moved(link.trace_id), span_id=span_id_in(link.span_id, number))
            for link in span.links
        ],
    )


@dataclass
class Recorded:
    """One run as the shim wrote it."""

    spans: list[RawSpan] = field(default_factory=list[RawSpan])
    starts: list[RawSpan] = field(default_factory=list[RawSpan])
    contents: dict[int, str] = field(default_factory=dict[int, str])
