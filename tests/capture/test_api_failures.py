"""What hand-written code raises, abandons or hands over: recorded as far as that goes, and passed on as it was."""

from __future__ import annotations

import contextvars
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace

import tracer
from tests.capture.forms import run
from tracer.semconv import Common
from tracer.testing import Recorder, recorder

__all__ = ["recorder"]  # the fixture


class Boom(Exception):
    """Whatever."""


def failing_sync() -> None:
    raise Boom("no")


async def failing_async() -> None:
    raise Boom("no")


def failing_stream() -> Iterator[int]:
    yield 1
    raise Boom("no")


async def failing_async_stream() -> AsyncIterator[int]:
    yield 1
    raise Boom("no")


@pytest.mark.parametrize(
    "form", [failing_sync, failing_async, failing_stream, failing_async_stream], ids=lambda form: form.__name__
)
def test_an_exception_is_recorded_and_raised_again(form: Callable[..., Any], recorder: Recorder) -> None:
    """The very same exception arrives, and the span says its type and message."""
    with pytest.raises(Boom) as caught:
        run(tracer.agent("a")(form))
    assert caught.value.args == ("no",)
    span = recorder.one("a")
    assert (span.status, span.status_message, span.attributes[Common.ERROR_TYPE]) == ("error", "no", "Boom")
    assert span.events[0].attributes[Common.EXCEPTION_MESSAGE] == "no"


def test_a_block_records_an_exception_and_lets_it_pass(recorder: Recorder) -> None:
    """An error inside a block marks every block it passes through."""
    with pytest.raises(Boom), tracer.workflow("w"), tracer.agent("a"):
        raise Boom("no")
    assert {span.name: span.status for span in recorder.spans} == {"w": "error", "a": "error"}


def test_an_exception_thrown_into_a_generator_reaches_it(recorder: Recorder) -> None:
    """The wrapper passes `throw`, `send` and `return` on, like `yield from`."""

    @tracer.tool
    def echo() -> Any:
        got = yield "ready"
        try:
            yield got
        except Boom:
            yield "caught"
        return "done"

    generator = echo()
    assert (next(generator), generator.send("hi"), generator.throw(Boom())) == ("ready", "hi", "caught")
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "done"
    assert [span.status for span in recorder.of_kind("tool")] == ["unset"]


def test_an_abandoned_generator_ends_its_span_when_it_is_collected(recorder: Recorder) -> None:
    """Closing early is no failure, wherever it happens."""

    @tracer.llm_call("m")
    def stream(prompt: str) -> Iterator[str]:
        yield "a"
        yield "b"

    with tracer.workflow("w"):
        first = next(iter(stream("x")))
    gc.collect()
    span = recorder.of_kind("llm")[0]
    assert (first, span.status) == ("a", "unset")
    assert recorder.values(span, "output") == [{"role": "assistant", "content": "a"}]


def test_a_block_in_a_generator_closed_in_another_context_is_quiet(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is logged and nothing raised where the context that was attached is another one by now."""

    def work() -> Iterator[int]:
        with tracer.agent("a"):
            yield 1

    generator = work()
    contextvars.copy_context().run(next, generator)
    generator.close()
    assert recorder.one("a").status == "unset"
    assert not caplog.records
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_nothing_the_recorder_chokes_on_reaches_the_program(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Objects that cannot be encoded, shown or compared are recorded as far as that goes."""

    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    circle: list[Any] = []
    circle.append(circle)
    with tracer.agent("a", input=Hostile()) as span:
        span.set({"odd": {1: Hostile()}})
        span.output(circle, {1: 2, "a": object()})
    with tracer.llm_call("m", messages=[Hostile(), {"role": "user", "content": Hostile()}]):
        pass
    assert [span.name for span in recorder.spans] == ["a", "chat m"]
    assert "repr failed" in recorder.bodies(recorder.spans[0], "input")[0]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
