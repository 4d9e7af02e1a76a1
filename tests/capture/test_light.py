"""Spans that do not go through the SDK are recorded like those that do, and only where nobody else would see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, ParentBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState

import tracer
from tracer.capture.light import LightSpan, RecordingProvider, light_tracer
from tracer.capture.processor import RecordingProcessor
from tracer.capture.writer import MemoryWriter
from tracer.model import RawSpan
from tracer.testing import recording_to


class Colour:
    def __str__(self) -> str:
        return "red"


def nested() -> None:
    with tracer.workflow("w", session_id="s", tags=["a", "b"]) as run, tracer.agent("a", reason="why", input="in"):
        with tracer.llm_call("m", messages=["hello", {"role": "user", "content": [1]}], temperature=0.5) as call:
            call.completion("answer")
            call.usage(input_tokens=3, output_tokens=4, cost_usd="0.1")
            call.response(finish_reason="stop", first_token_s=0.25)
        tracer.handoff("b", payload={"x": 1})
        run.outcome("completed")


def errors() -> None:
    with pytest.raises(KeyError), tracer.tool("t"):
        raise KeyError("missing")
    with tracer.tool("fails softly") as span:
        span.fail("no luck")
    with tracer.tool("u") as span:
        span.fail(ValueError("told"))
        span.otel.set_status(Status(StatusCode.OK))
        span.otel.set_status(StatusCode.ERROR, "too late")


def api() -> None:
    """What a host or an instrumentor may call on the current span."""
    with tracer.agent("a"):
        span: Any = trace.get_current_span()
        span.update_name("renamed")
        span.set_attribute("k", ("x", "y"))
        span.set_attribute("k", [1, 2.5, None])
        span.set_attributes({"bytes": b"\xff", "nested": {"a": [True]}, "object": Colour(), "none": None, "": 1})
        span.add_event("e", {"i": (1, 2)}, timestamp=7)
        span.add_link(SpanContext(5, 6, True), {"why": "x"})
        span.add_link(SpanContext(0, 0, True))
        span.record_exception(RuntimeError("seen"), {"more": 1}, timestamp=9)
        span.set_status(StatusCode.UNSET)
        span.set_status(StatusCode.OK, None)
    span.set_attribute("late", 1)
    span.add_event("late", timestamp=1)
    span.update_name("late")
    span.end(99)


def linked() -> None:
    links = [Link(SpanContext(7, 8, True), {"n": 1})]
    parent = SpanContext(3, 4, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("vendor", "1")]))
    token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(parent)))
    try:
        with tracer.agent("child of a remote span", links=links) as span:
            assert span.otel.get_span_context().trace_state.get("vendor") == "1"
    finally:
        otel_context.detach(token)


def unsampled() -> None:
    parent = SpanContext(3, 4, True, TraceFlags(TraceFlags.DEFAULT))
    token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(parent)))
    try:
        with tracer.agent("child"):
            pass
    finally:
        otel_context.detach(token)


def instrumented() -> None:
    """Spans of an instrumentor above and below our own."""
    theirs = _providers[-1].get_tracer("lib")
    with theirs.start_as_current_span("outer"), tracer.agent("ours"), theirs.start_as_current_span("inner"):
        pass


_providers: list[TracerProvider] = []


class Stranger(SpanProcessor):
    """Somebody else who listens."""


def told(program: Callable[[], None], *, through_the_sdk: bool) -> tuple[list[RawSpan], list[RawSpan], dict[int, str]]:
    writer = MemoryWriter()
    with recording_to(writer) as (_, provider):
        _providers[:] = [provider]
        if through_the_sdk:
            provider.add_span_processor(Stranger())
        program()
    return writer.spans, writer.starts, writer.contents


@pytest.mark.parametrize("program", [nested, errors, api, linked, unsampled, instrumented], ids=lambda p: p.__name__)
def test_a_light_span_is_recorded_like_one_of_the_sdk(program: Callable[[], None]) -> None:
    """Ids, parents, attributes, events, links, status, contents, starts: all the same, stack traces aside."""
    light, sdk = told(program, through_the_sdk=False), told(program, through_the_sdk=True)

    assert light[2] == sdk[2]
    for ours, theirs in zip(light[:2], sdk[:2], strict=True):
        assert [_comparable(span) for span in ours] == [_comparable(span) for span in theirs]


def _comparable(span: RawSpan) -> dict[str, Any]:
    found = asdict(span)
    for event in found["events"]:
        event["attributes"].pop("exception.stacktrace", None)
    if span.scope == "lib":  # by the wall clock
        found["start_ns"] = found["end_ns"] = None
    return found


def test_light_spans_are_made_until_somebody_else_listens() -> None:
    """An exporter that the host adds to our provider sees every span that starts from then on."""
    with recording_to(MemoryWriter()) as (_, provider):
        with tracer.agent("before") as before:
            pass
        provider.add_span_processor(Stranger())
        with tracer.agent("after") as after:
            pass

    assert isinstance(before.otel, LightSpan)
    assert not isinstance(after.otel, LightSpan)


@pytest.mark.parametrize(
    ("sampler", "environment", "light"),
    [
        pytest.param(None, {}, True, id="as init sets it up"),
        pytest.param(DEFAULT_ON, {}, True, id="parent decides"),
        pytest.param(ALWAYS_ON, {}, True, id="always"),
        pytest.param(ALWAYS_OFF, {}, False, id="never"),
        pytest.param(ParentBased(ALWAYS_OFF), {}, False, id="a sampler of its own"),
        pytest.param(None, {"OTEL_TRACES_SAMPLER": "traceidratio"}, False, id="a sampler from the environment"),
        pytest.param(None, {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"}, False, id="short values"),
        pytest.param(None, {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"}, False, id="short values of spans"),
        pytest.param(None, {"OTEL_SDK_DISABLED": "true"}, False, id="switched off"),
    ],
)
def test_what_only_the_sdk_can_do_is_left_to_it(
    sampler: Any, environment: dict[str, str], light: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samplers, limits on values and the off switch hold for our spans as well."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    provider = RecordingProvider(Resource({}), sampler=sampler)
    assert (light_tracer(provider, RecordingProcessor(MemoryWriter()), "s") is not None) is light


def test_a_provider_of_the_host_makes_its_own_spans() -> None:
    """Joined: the host's sampler, limits and processors hold."""
    assert light_tracer(TracerProvider(shutdown_on_exit=False), RecordingProcessor(MemoryWriter()), "s") is None


def test_more_attributes_events_and_links_than_allowed_drop_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like the SDK's limits: the newest stay, dropped attributes are counted."""
    for name, limit in (("MAX_ATTRIBUTES", 4), ("MAX_EVENTS", 2), ("MAX_LINKS", 1)):
        monkeypatch.setattr(f"tracer.capture.light.{name}", limit)
    writer = MemoryWriter()
    with recording_to(writer), tracer.agent("a") as span:
        span.set({f"k{number}": number for number in range(5)})
        for number in range(3):
            span.event(f"e{number}")
            span.otel.add_link(SpanContext(1, number + 1, True))
    [raw] = writer.spans
    assert (list(raw.attributes), raw.dropped_attributes) == (["k1", "k2", "k3", "k4"], 4)
    assert [event.name for event in raw.events] == ["e1", "e2"]
    assert [link.span_id for link in raw.links] == [f"{3:016x}"]
