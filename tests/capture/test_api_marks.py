"""Marks, waits, answers of models and calls that are over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import tracer
from tracer.semconv import GenAI, Tracehound
from tracer.testing import Recorder, recorder

__all__ = ["recorder"]  # the fixture


def test_a_mark_is_recorded_by_the_statement_that_makes_it(recorder: Recorder) -> None:
    """Without a block or a variable: at once, below the current span, without duration."""
    with tracer.agent("a"):
        tracer.message("hi", to="b", user_visible=True)
        assert [span.name for span in recorder.spans] == ["message to b"]
        tracer.decision("vendor", choice="B", options=["A", "B"], inputs={"plan": 2})
        tracer.guard_trip("budget", level="warn", limit=5, spent=4, unit="usd")
    message, decision, guard, agent = recorder.spans
    assert {span.parent_span_id for span in (message, decision, guard)} == {agent.span_id}
    assert all(span.start_ns == span.end_ns for span in (message, decision, guard))
    assert message.attributes[Tracehound.AGENT] == "a"
    assert recorder.bodies(message, "input") == ["hi"]
    assert recorder.values(decision, "input") == [{"plan": 2}]
    assert recorder.bodies(decision, "output") == ["A", "B"]
    assert (guard.attributes[Tracehound.GUARD_LEVEL], guard.attributes[Tracehound.GUARD_LIMIT]) == ("warn", 5)


def test_a_mark_keeps_what_it_was_given_then(recorder: Recorder) -> None:
    """A mark held in a variable is recorded later with the content and the time of its making."""
    payload = {"state": "before"}
    with tracer.workflow("w"):
        held = tracer.message(payload, to="b")
        payload["state"] = "after"
        tracer.progress()
        del held
    progress, message = recorder.spans[:2]
    assert message.start_ns < progress.start_ns
    assert recorder.values(message, "input") == [{"state": "before"}]


def test_a_block_gives_a_mark_a_duration(recorder: Recorder) -> None:
    """An escalation lasts until its answer, a decision until it is made; nothing is recorded twice."""
    with tracer.escalate("ops", question="may I?") as asked:
        asked.answer("yes", by="eve")
    with tracer.decision("vendor") as decision:
        decision.choose("B", reason="cheaper")
    escalation, decided = recorder.spans
    assert escalation.end_ns is not None
    assert escalation.end_ns > escalation.start_ns
    assert recorder.bodies(escalation, "output") == ["yes"]
    assert escalation.attributes[Tracehound.ESCALATION_BY] == "eve"
    assert decided.attributes[Tracehound.CHOICE] == "B"


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "met"), (TimeoutError, "timed_out"), (asyncio.CancelledError, "cancelled")]
)
def test_a_wait_knows_how_it_ended(error: type[BaseException] | None, outcome: str, recorder: Recorder) -> None:
    """Without a word from the program, from what passes through the block."""
    try:
        with tracer.wait("b", "c", mode="any", deadline_ns=7, holds=["lock"]):
            if error is not None:
                raise error
    except (TimeoutError, asyncio.CancelledError):
        assert error is not None
    span = recorder.one("wait for b, c")
    assert span.attributes[Tracehound.WAIT_OUTCOME] == outcome
    assert span.attributes[Tracehound.WAIT_FOR] == ["b", "c"]
    assert (span.attributes[Tracehound.WAIT_DEADLINE_NS], span.attributes[Tracehound.WAIT_HOLDS]) == (7, ["lock"])


class Usage:
    prompt_tokens = 11
    completion_tokens = 5
    prompt_tokens_details = {"cached_tokens": 3}  # noqa: RUF012 - as a client library has it


RESPONSES = {
    "chat completion": {
        "id": "r1", "model": "m-1", "usage": Usage(),
        "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    },
    "message": {
        "id": "r1", "model": "m-1", "role": "assistant", "content": "hi", "stop_reason": "stop",
        "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "output_tokens": 5},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RESPONSES)
def test_an_llm_response_is_read_by_its_field_names(name: str, recorder: Recorder) -> None:
    """Text, tokens (cached ones inside the input), model, id and finish reason, whichever library answered."""

    @tracer.llm_call("m", provider="p", temperature=0.5)
    def ask(messages: list[dict[str, str]]) -> Any:
        return RESPONSES[name]

    ask([{"role": "user", "content": "q"}])
    span = recorder.one("chat m")
    wanted = {
        GenAI.REQUEST_MODEL: "m", GenAI.PROVIDER[0]: "p", GenAI.TEMPERATURE: 0.5, GenAI.RESPONSE_MODEL: "m-1",
        GenAI.INPUT_TOKENS[0]: 11, GenAI.CACHED_TOKENS[0]: 3, GenAI.OUTPUT_TOKENS[0]: 5, GenAI.RESPONSE_ID: "r1",
        GenAI.FINISH_REASONS: ["stop"],
    }  # fmt: skip
    assert wanted.items() <= span.attributes.items()
    assert recorder.values(span, "input") == [{"role": "user", "content": "q"}]
    assert recorder.values(span, "output") == [{"role": "assistant", "content": "hi"}]


def test_a_call_that_is_over_is_recorded_with_its_own_times(recorder: Recorder) -> None:
    """Times, attempt and error are the caller's; nothing is read from a clock."""
    first = tracer.record_llm_call("m", messages=["q"], start_ns=10, end_ns=20, error="429", attempt=1)
    tracer.record_llm_call(
        "m", messages=["q"], completion="a", start_ns=30, end_ns=45, input_tokens=1, attempt=2, retry_of=first
    )
    failed, done = recorder.spans
    assert [(span.start_ns, span.end_ns, span.status) for span in (failed, done)] == [
        (10, 20, "error"),
        (30, 45, "unset"),
    ]
    assert done.attributes[Tracehound.RETRY_OF] == failed.span_id
    assert done.content["input"] == failed.content["input"]
