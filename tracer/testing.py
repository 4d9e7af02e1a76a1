"""Public helpers for tests of traced programs: record in memory, with a clock and ids that are the same every time.

    from tracer.testing import recorder      # a pytest fixture; import it into a conftest or a test module

    def test_the_planner_hands_over(recorder):
        run_my_agents()
        assert [s.name for s in recorder.of_kind("handoff")] == ["handoff to writer"]

Without pytest: `with recording() as recorder: ...`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource as OtelResource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from .capture.active import Target, push, remove
from .capture.light import RecordingProvider, light_tracer
from .capture.privacy import CaptureContent, Privacy, Redact
from .capture.processor import RecordingProcessor
from .capture.writer import MemoryWriter, SpanWriter
from .clock import Clock, TickingClock
from .model import RawEvent, RawSpan
from .semconv import SCOPE_NAME, Resource, Tracehound

if TYPE_CHECKING:
    from .store.segment import SegmentWriter

__all__ = [
    "IncrementalIds",
    "MemoryWriter",
    "Recorder",
    "TickingClock",
    "recorder",
    "recording",
    "recording_to",
    "tmp_store",
]


class IncrementalIds(IdGenerator):
    """Trace ids and span ids 1, 2, 3 ... in order of asking."""

    def __init__(self) -> None:
        self._span = 0
        self._trace = 0

    def generate_span_id(self) -> int:
        self._span += 1
        return self._span

    def generate_trace_id(self) -> int:
        self._trace += 1
        return self._trace

    def is_trace_id_random(self) -> bool:
        return False


class Recorder:
    """What was recorded in memory since `recording` began."""

    def __init__(self, writer: MemoryWriter, processor: RecordingProcessor, provider: TracerProvider) -> None:
        self.writer = writer
        self.processor = processor
        self.provider = provider
        """for instrumentors that want one"""

    @property
    def spans(self) -> list[RawSpan]:
        """Ended spans, in order of their end."""
        return self.writer.spans

    @property
    def events(self) -> list[RawEvent]:
        """Scores and marks, in order; each names the span it is about."""
        from .normalise.otlp import decode_logs

        return [event for request in self.writer.log_requests for event in decode_logs(request)]

    @property
    def running(self) -> list[RawSpan]:
        """Spans whose start is written and whose end is not."""
        self.processor.force_flush()
        ended = {span.span_id for span in self.writer.spans}
        return [span for span in self.writer.starts if span.span_id not in ended]

    @property
    def dropped(self) -> int:
        return self.processor.dropped

    def of_kind(self, kind: str) -> list[RawSpan]:
        """Ended spans of one kind ("agent", "llm" ...), in order of their start."""
        found = [span for span in self.spans if span.attributes.get(Tracehound.KIND) == kind]
        return sorted(found, key=lambda span: (span.start_ns, span.span_id))

    def one(self, name: str) -> RawSpan:
        """The one ended span of that name; AssertionError names what there is instead."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans are called {name!r}; there are {[s.name for s in self.spans]}"
        return found[0]

    def children(self, parent: RawSpan) -> list[RawSpan]:
        """Ended spans directly below `parent`, in order of their start."""
        found = [s for s in self.spans if s.trace_id == parent.trace_id and s.parent_span_id == parent.span_id]
        return sorted(found, key=lambda span: (span.start_ns, span.span_id))

    def bodies(self, span: RawSpan, slot: str) -> list[str]:
        """The texts in a slot ("input" or "output") of a span, as stored."""
        return [self.writer.contents[named] for named in span.content.get(slot, [])]

    def values(self, span: RawSpan, slot: str) -> list[Any]:
        """The same, decoded where they are JSON."""
        return [_decoded(body) for body in self.bodies(span, slot)]


@contextmanager
def recording(
    *,
    clock: Clock | None = None,
    capture_content: CaptureContent = True,
    redact: Redact | None = None,
    start_delay_s: float = 3600.0,
) -> Generator[Recorder]:
    """Record in memory what runs in the block. The global tracer provider stays as it is; blocks may be nested.

    `clock` is a `TickingClock` by default. Starts are written with the first child that ends, or when `running` is read.
    """
    writer = MemoryWriter()
    privacy = Privacy(capture_content, redact)
    with recording_to(writer, clock=clock, privacy=privacy, start_delay_s=start_delay_s) as (processor, provider):
        yield Recorder(writer, processor, provider)


@contextmanager
def recording_to(
    writer: SpanWriter,
    *,
    clock: Clock | None = None,
    privacy: Privacy | None = None,
    start_delay_s: float = 3600.0,
    write_delay_s: float = 0.0,
) -> Generator[tuple[RecordingProcessor, TracerProvider]]:
    """The same into any writer, for instance `SegmentWriter(tmp_store(tmp_path))`; it is closed at the end."""
    processor = RecordingProcessor(writer, privacy=privacy, start_delay_s=start_delay_s, write_delay_s=write_delay_s)
    provider = RecordingProvider(
        OtelResource({Resource.SERVICE_NAME: "test"}), sampler=ALWAYS_ON, id_generator=IncrementalIds()
    )
    provider.add_span_processor(processor)
    where = Target(
        provider.get_tracer(SCOPE_NAME),
        processor,
        clock or TickingClock(),
        light_tracer(provider, processor, SCOPE_NAME),
    )
    push(where)
    try:
        yield processor, provider
    finally:
        remove(where)
        processor.shutdown()


def tmp_store(directory: Path) -> Path:
    """Where a test's store lies; nothing is created."""
    return directory / "traces.duckdb"


def segment_writer(directory: Path) -> SegmentWriter:
    """A real writer of segment files into `tmp_store(directory)`."""
    from .store.segment import SegmentWriter

    return SegmentWriter(tmp_store(directory))


def _decoded(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _fixture(function: Callable[[], Iterator[Recorder]]) -> Any:
    """`function` as a pytest fixture, if pytest is there; the other helpers work without it."""
    try:
        import pytest
    except ImportError:
        return function
    return pytest.fixture(function)


@_fixture
def recorder() -> Iterator[Recorder]:
    """A pytest fixture: what the test records, in memory."""
    with recording() as found:
        yield found
