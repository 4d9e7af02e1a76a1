"""The span processor: what is written when, what is lost, and that the program never feels it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import tracer
from tests.capture.spool import read_spool
from tracer.capture.processor import RecordingProcessor
from tracer.capture.writer import MemoryWriter
from tracer.model import RawSpan
from tracer.semconv import Tracehound
from tracer.store.segment import SegmentWriter
from tracer.testing import recording, recording_to, segment_writer, tmp_store


def test_an_ended_span_is_in_the_file_when_the_block_is_left(tmp_path: Path) -> None:
    """Ended means acknowledged: no flush is needed."""
    with recording_to(segment_writer(tmp_path)), tracer.workflow("w"):
        with tracer.llm_call("m", messages=[{"role": "user", "content": "hi"}]) as span:
            span.completion("yo")
        found = read_spool(tmp_store(tmp_path))
        assert [one.name for one in found.spans] == ["chat m"]
        assert [one.name for one in found.starts] == ["w"]
        ids = found.spans[0].content
        assert [found.contents[named] for named in ids["input"] + ids["output"]] == [
            '{"content":"hi","role":"user"}',
            '{"content":"yo","role":"assistant"}',
        ]


def test_a_run_is_known_when_it_has_started() -> None:
    """The start of a root is written at once, with what went in."""
    writer = MemoryWriter()
    with recording_to(writer), tracer.workflow("w", input="goal"):
        start = writer.starts[0]
        assert (start.name, start.end_ns, start.attributes[Tracehound.WORKFLOW]) == ("w", None, "w")
        assert [writer.contents[named] for named in start.content["input"]] == ["goal"]


def test_a_running_span_becomes_visible_by_itself() -> None:
    """The background thread announces a span that goes on, and not one that has ended meanwhile."""

    class Waiting(MemoryWriter):
        announced = threading.Event()

        def write_spans(self, spans: Sequence[RawSpan], **more: Any) -> None:
            super().write_spans(spans, **more)
            if any(start.name == "slow" for start in self.starts):
                self.announced.set()

    writer = Waiting()
    with recording_to(writer, start_delay_s=0.01), tracer.workflow("w"), tracer.agent("slow"):
        assert writer.announced.wait(10)
    assert [start.name for start in writer.starts] == ["w", "slow"]


def test_starts_of_short_spans_are_never_written_and_no_written_span_lacks_its_parent() -> None:
    """A leaf costs one record; the spans above it are announced together with the first that ends."""
    writer = MemoryWriter()
    with recording_to(writer), tracer.workflow("w"), tracer.agent("a"):
        for _ in range(3):
            with tracer.tool("t"):
                pass
        assert [start.name for start in writer.starts] == ["w", "a"]
        known = {span.span_id for span in [*writer.starts, *writer.spans]}
        assert {span.parent_span_id for span in writer.spans} <= known


def test_flush_announces_everything() -> None:
    """After a flush every running span is known."""
    with recording() as found, tracer.workflow("w"), tracer.agent("a"):
        assert found.processor.force_flush()
        assert [span.name for span in found.running] == ["w", "a"]


class Failing(MemoryWriter):
    """A disk that is full while `full` says so."""

    full = True

    def write_spans(
        self, spans: Sequence[RawSpan], *, starts: Sequence[RawSpan] = (), contents: Mapping[int, str] | None = None
    ) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write_spans(spans, starts=starts, contents=contents)


@pytest.mark.parametrize("write_delay_s", [0.0, 3600.0], ids=["at once", "delayed"])
def test_a_full_disk_is_counted_logged_once_and_not_felt(
    write_delay_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The program goes on; when there is room again recording goes on too, with all the texts its spans refer to."""
    writer = Failing()
    with recording_to(writer, write_delay_s=write_delay_s) as (processor, _), tracer.workflow("w"):
        message = {"role": "user", "content": "same"}
        for _ in range(3):
            with tracer.llm_call("t", messages=[message]):
                pass
        processor.force_flush()
        assert processor.dropped == 4
        writer.full = False
        with tracer.llm_call("t", messages=[message]):
            pass
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [span.name for span in writer.spans] == ["chat t", "w"]
    [named] = writer.spans[0].content["input"]
    assert writer.contents[named] == '{"content":"same","role":"user"}'


def test_a_span_ended_by_a_finaliser_inside_a_write_is_kept() -> None:
    """The collector may run anything anywhere, also our own code within our own write: no deadlock, nothing lost."""

    class Collecting(MemoryWriter):
        def write_spans(self, spans: Sequence[RawSpan], **more: Any) -> None:
            if any(span.name == "t" for span in spans):
                gc.collect()
            super().write_spans(spans, **more)

    def stream() -> Any:
        with tracer.agent("left behind"):
            yield 1

    writer = Collecting()
    with recording_to(writer), tracer.workflow("w"):
        circle: dict[str, Any] = {"generator": stream()}
        circle["self"] = circle
        next(circle["generator"])
        del circle
        with tracer.tool("t"):
            pass
    assert sorted(span.name for span in writer.spans) == ["left behind", "t", "w"]


def test_many_threads_lose_nothing() -> None:
    """Threads that end spans at once each find theirs written when `end` returns."""
    writer = MemoryWriter()
    missing: list[str] = []

    def work(number: int) -> None:
        for each in range(50):
            with tracer.agent(f"{number}-{each}") as span:
                pass
            if span.span_id not in {one.span_id for one in list(writer.spans)}:
                missing.append(span.span_id)

    with recording_to(writer):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(writer.spans), missing) == (200, [])


def test_spans_of_other_instrumentors_are_recorded_as_they_are() -> None:
    """Attributes, events and links of any span of the provider arrive; dropped attributes are counted."""
    writer = MemoryWriter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RecordingProcessor(writer))
    foreign = provider.get_tracer("openinference.instrumentation.x")
    with foreign.start_as_current_span("first") as first:
        pass
    with foreign.start_as_current_span("llm", attributes={"tags": ("a", "b"), "raw": b"\xff", "n": 1}) as span:
        span.add_link(first.get_span_context(), {"why": "x"})
        span.add_event("chunk", {"i": 0}, timestamp=5)
        for number in range(130):
            span.set_attribute(f"k{number}", number)
    raw = writer.spans[1]
    assert (raw.scope, raw.dropped_attributes, raw.attributes["k129"]) == ("openinference.instrumentation.x", 5, 129)
    assert (raw.events[0].name, raw.events[0].time_ns, raw.events[0].attributes) == ("chunk", 5, {"i": 0})
    assert (raw.links[0].span_id, raw.links[0].attributes) == (writer.spans[0].span_id, {"why": "x"})
    assert raw.resource["service.name"]


@pytest.mark.parametrize(
    ("capture", "named", "kept"), [(True, True, True), ("hashed", True, False), (False, False, False)]
)
def test_content_can_be_on_hashed_or_off(capture: Any, named: bool, kept: bool) -> None:
    """Off: no text and no name of one. Hashed: names only, so that equal texts stay recognisable."""
    with recording(capture_content=capture) as found, tracer.tool("t", arguments={"q": 1}) as span:
        span.output("secret")
        span.set({"input.value": "secret"})
    raw = found.one("t")
    assert (bool(raw.content), bool(found.writer.contents)) == (named, kept)
    assert ("input.value" in raw.attributes) == kept


def test_redaction_covers_attributes_events_and_status() -> None:
    """A secret in a reason, an exception or a message is masked before anything is written."""
    with recording(redact=r"sk-\d+") as found:
        with tracer.agent("a", reason="has sk-1", input="sk-2") as span:
            span.event("e", text="sk-3")
        with pytest.raises(ValueError, match="sk-4"), tracer.agent("b"):
            raise ValueError("sk-4")
    assert "[redacted]" in found.one("b").status_message
    assert "sk-" not in repr((found.spans, found.writer.contents))


def test_a_writer_that_is_used_after_shutdown_is_not_written_to(tmp_path: Path) -> None:
    """Spans that end after the shutdown are ignored."""
    with recording_to(SegmentWriter(tmp_store(tmp_path))) as (processor, _):
        with tracer.agent("before"):
            pass
        processor.shutdown()
        with tracer.agent("after"):
            pass
    assert [span.name for span in read_spool(tmp_store(tmp_path)).spans] == ["before"]


def test_delayed_spans_are_written_in_the_background_as_they_were() -> None:
    """Nothing is written by the program's thread; what it changes meanwhile does not show; a flush brings everything at once."""
    writing = set[int]()

    class Watching(MemoryWriter):
        def write_spans(self, spans: Sequence[RawSpan], **more: Any) -> None:
            writing.add(threading.get_ident())
            super().write_spans(spans, **more)

    writer = Watching()
    with recording_to(writer, write_delay_s=0.01) as (processor, _), tracer.workflow("w"):
        message = {"role": "user", "content": "before"}
        with tracer.llm_call("m", messages=[message]) as span:
            span.completion("sk-" + "a" * 30)
        message["content"] = "after"
        for _ in range(500):
            if writer.spans:
                break
            threading.Event().wait(0.01)
        assert [each.name for each in writer.spans] == ["chat m"]
        assert threading.get_ident() not in writing
        with tracer.tool("t", arguments={"q": "x"}):
            pass
        assert processor.force_flush()
        assert [each.name for each in writer.spans] == ["chat m", "t"]
    [asked] = writer.spans[0].content["input"]
    assert writer.contents[asked] == '{"content":"before","role":"user"}'
    assert "sk-" not in repr(writer.contents)
    assert [each.name for each in writer.spans] == ["chat m", "t", "w"]
    assert processor.dropped == 0


def test_a_full_waiting_room_is_emptied_by_the_program_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded where spans end faster than the background thread comes round; order and number hold."""
    monkeypatch.setattr("tracer.capture.processor.MAX_WAITING", 3)
    writer = MemoryWriter()
    with recording_to(writer, write_delay_s=3600.0):
        for number in range(10):
            with tracer.tool(f"{number}"):
                pass
        assert [span.name for span in writer.spans] == [f"{number}" for number in range(8)]
    assert [span.name for span in writer.spans] == [f"{number}" for number in range(10)]


def test_a_span_that_was_cancelled_says_so() -> None:
    """asyncio's cancellation passes through spans without an error; what begins while it is handled is not cancelled."""

    writer = MemoryWriter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RecordingProcessor(writer))
    otel = provider.get_tracer("framework")

    async def program() -> None:
        async def work() -> None:
            try:
                with otel.start_as_current_span("cancelled"):
                    await asyncio.sleep(60)
            except asyncio.CancelledError:
                with otel.start_as_current_span("clean-up"):
                    pass
                raise

        with otel.start_as_current_span("whole"), suppress(TimeoutError):
            await asyncio.wait_for(work(), 0.01)

    asyncio.run(program())
    said = {span.name: span.attributes.get(Tracehound.CANCELLED) for span in writer.spans}
    assert said == {"cancelled": True, "clean-up": None, "whole": None}
