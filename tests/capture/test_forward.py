"""`init(forward=...)`: another back-end gets what is recorded, and recording never waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import tracer
from tests.capture.spool import read_spool
from tests.receiver.backends import Backend, backend
from tracer.capture.forward import Forwarder, Item, Target
from tracer.capture.tee import Tee
from tracer.errors import BadInput
from tracer.receiver.payload import read
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter
from tracer.testing import recording_to, tmp_store


def told(other: Backend) -> dict[str, Any]:
    """The spans that a back-end took, by name."""
    found: dict[str, Any] = {}
    for path, body, _ in other.taken:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        assert read(body, "protobuf", logs=False).rejected == 0
        spans = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
        found |= {span.name: span for span in spans}
    return found


def test_init_forwards(tmp_path: Path) -> None:
    """The whole way: `init(forward=...)` in a program of its own."""
    program = "import sys, tracer\ntracer.init('a.duckdb', forward=sys.argv[1], fold_at_exit=False)\nwith tracer.workflow('w'): pass\n"
    with backend() as other:
        subprocess.run([sys.executable, "-c", program, other.url], cwd=tmp_path, check=True, timeout=60)
    assert set(told(other)) == {"w"}
    assert [span.name for span in read_spool(tmp_path / "a.duckdb").spans] == ["w"]


def test_the_other_back_end_gets_every_ended_span_with_its_texts(tmp_path: Path) -> None:
    """Ids, parents, status, events, and messages where the conventions put them, masked; texts of earlier spans come again."""
    chat = [{"role": "user", "content": "hello sk-" + "a" * 30}]
    with backend() as other:
        tee = Tee(SegmentWriter(tmp_store(tmp_path)), other.url, {"X-Key": "k"})
        with recording_to(tee), tracer.workflow("w"):
            with tracer.llm_call("m", messages=chat) as first:
                first.completion("hi")
            with pytest.raises(ValueError), tracer.tool("t", arguments={"q": [1]}):
                raise ValueError("no")
            with tracer.llm_call("n", messages=chat):
                pass
    found = told(other)
    assert set(found) == {"w", "chat m", "t", "chat n"}
    assert found["t"].parent_span_id == found["w"].span_id
    assert (found["t"].status.code, found["t"].events[0].name) == (2, "exception")
    attributes = {pair.key: pair.value.string_value for pair in found["chat n"].attributes}
    [message] = json.loads(attributes["gen_ai.input.messages"])
    assert message == {"role": "user", "parts": [{"type": "text", "content": "hello [redacted]"}]}
    assert {pair.key: pair.value.string_value for pair in found["t"].attributes}["tracehound.input"] == '{"q":[1]}'
    assert other.taken[0][2]["X-Key"] == "k"
    assert (tee.counts["forward_spans_total"], tee.dropped) == (4, 0)


def test_recording_does_not_wait_for_a_back_end_that_does_not_answer(tmp_path: Path) -> None:
    """While the first request hangs everything is written; once it is answered the rest follows in few requests."""
    with backend(silent=True) as other:
        tee = Tee(SegmentWriter(tmp_store(tmp_path)), other.url)
        with recording_to(tee), tracer.workflow("w"):
            for number in range(300):
                with tracer.tool(f"t{number}"):
                    pass
            assert len(read_spool(tmp_store(tmp_path)).spans) == 300
            assert not other.taken
            other.open.set()
    assert len(told(other)) == 301
    assert len(other.taken) < 10


class Unreadable:
    """What no recorder can take."""

    def keys(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.slow
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1/otel"])
def test_a_back_end_that_is_away_costs_its_copies_alone(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything is in the store, what was not forwarded is counted and told once at the end."""
    monkeypatch.setattr("tracer.capture.tee.GRACE_S", 0.01)
    tee = Tee(SegmentWriter(tmp_store(tmp_path)), url)
    with recording_to(tee), tracer.workflow("w"), tracer.tool("t") as span:
        span.set(Unreadable())  # type: ignore[arg-type]
    assert len(read_spool(tmp_store(tmp_path)).spans) == 2
    store = Store(tmp_store(tmp_path))
    store.fold()
    counted = reads.counters(store)
    assert (counted["forward_dropped_spans"], counted["shim_errors"]) == (2, 1)
    assert tee.dropped == 2
    assert [record.message for record in caplog.records if "forwarded" in record.message] == [
        "tracehound: 2 spans could not be forwarded to 127.0.0.1; they are in the store"
    ]


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is dropped and counted, not held."""
    monkeypatch.setattr("tracer.capture.tee.QUEUE_BYTES", 6_000)
    with backend(silent=True) as other:
        tee = Tee(SegmentWriter(tmp_store(tmp_path)), other.url)
        with recording_to(tee), tracer.workflow("w"):
            for number in range(10):
                with tracer.tool(f"t{number}"):
                    pass
            other.open.set()
    assert tee.dropped == 11 - len(told(other))
    assert 1 <= len(told(other)) <= 5


class Waiting(Forwarder):
    """Notes how long it would wait, and does not."""

    waits: list[float]

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return True


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [("7", 7, 7), ("", 0.5, 0.75), ("nonsense", 0.5, 0.75), ("100000", 30, 30), ("date", 10, 21), ("-1", 0.5, 0.75)],
)
def test_a_back_end_that_is_too_busy_says_when_to_come_back(retry_after: str, least: float, most: float) -> None:
    """429 with Retry-After, in seconds or as a date, is waited for, up to half a minute; then the batch is sent again."""
    if retry_after == "date":
        retry_after = formatdate(time.time() + 20, usegmt=True)
    counts: dict[str, float] = {}
    with backend(429, retry_after=retry_after) as other:
        forwarder = Waiting(Target(other.url, {}), 1_000, lambda name, number: counts.update({name: number}))
        forwarder.waits = []
        forwarder.start()
        forwarder.offer(Item("traces", b"body", {}, 1))
        for _ in range(2):
            assert other.asked.acquire(timeout=20)
        forwarder.stop(10)
    assert (len(other.taken), counts["forward_retries_total"], counts["forward_spans_total"]) == (1, 1, 1)
    [waited] = forwarder.waits
    assert least <= waited <= most


def test_an_address_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    """A typing error is told where it was made, before anything is recorded."""
    with pytest.raises(BadInput, match="no http"):
        Tee(SegmentWriter(tmp_store(tmp_path)), "localhost:4318")
