"""A sampler's probability is kept with what it let through, from the SDK and from OTLP, and given away again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from tracer.capture.processor import RecordingProcessor
from tracer.capture.sampled import state_of
from tracer.normalise.otlp import decode_traces
from tracer.semconv import Stored
from tracer.testing import MemoryWriter


@pytest.mark.parametrize(
    ("sampler", "state"),
    [
        (TraceIdRatioBased(0.25), "ot=th:c"),
        (ParentBased(TraceIdRatioBased(0.5)), "ot=th:8"),
        (TraceIdRatioBased(1.0), ""), (ALWAYS_ON, ""), (DEFAULT_ON, ""), (None, ""),
    ],
)  # fmt: skip
def test_samplers_that_write_nothing(sampler: Sampler | None, state: str) -> None:
    """The ratio stands in their description; it becomes the trace state that OTel gives it."""
    assert state_of(sampler) == state


def test_roots_of_a_sampled_provider_say_so() -> None:
    """Its children do not repeat it; a caller's trace state is kept on every span."""
    writer = MemoryWriter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RecordingProcessor(writer, sampled="ot=th:c"))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("child"):
        pass
    caller = SpanContext(1, 2, True, TraceFlags(1), TraceState([("x", "y"), ("ot", "th:8")]))
    with tracer.start_as_current_span("called", context=set_span_in_context(NonRecordingSpan(caller))):
        pass
    states = {span.name: span.attributes.get(Stored.TRACE_STATE) for span in writer.spans}
    assert states == {"root": "ot=th:c", "child": None, "called": "ot=th:8"}


@pytest.mark.parametrize("state", ["ot=th:c", "x=y,ot=rv:1;th:8", "", "x=y"])
def test_trace_state_of_otlp(state: str) -> None:
    """What a sampler wrote is among the span's own facts; other vendors' states are not."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name, span.trace_state = b"a" * 16, b"b" * 8, "s", state
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2
    [raw] = decode_traces(request.SerializeToString())
    assert raw.attributes.get(Stored.TRACE_STATE) == (state if "ot=" in state else None)


def test_trace_state_of_otlp_json(tmp_path: Any) -> None:
    """`traceState` of a file is read, and stands in the file that is exported again."""
    from dashboard.cli import main

    span = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "name": "s", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "traceState": "ot=th:c"}  # fmt: skip
    given, store, made = tmp_path / "in.json", tmp_path / "t.duckdb", tmp_path / "out.json"
    given.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    assert main(["import", str(given), "--store", str(store)]) == 0
    assert main(["export", "--format", "otlp", "-o", str(made), "--store", str(store)]) == 0
    [out] = json.loads(made.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert out["traceState"] == "ot=th:c"
    assert out["attributes"] == []
