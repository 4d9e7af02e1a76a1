"""Single spans: which convention gives which column, messages in one shape, nothing thrown away."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.normalise.drawn import genai, oi, raw
from tracer.model import RawEvent, RawSpan, Span
from tracer.normalise import Batch, normalise, resolve


def one(**fields: Any) -> tuple[Span, Batch]:
    """The row of one span with attributes `a`, and its batch."""
    batch = normalise([raw("span", 0, 1, **fields)])
    return batch.spans[0], batch


def texts(batch: Batch, refs: list[int] | None) -> list[Any]:
    """The stored messages behind `refs`."""
    return [json.loads(batch.contents[ref]) for ref in refs or []]


KINDS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"tracehound.kind": "decision"} | oi("LLM") | genai("chat"), "decision", "tracehound"),
    (oi("TOOL") | genai("chat"), "tool", "openinference"),
    (oi("CHAIN"), "other", "openinference"),
    (oi("SOMETHING_NEW"), "other", "openinference"),
    (oi("RERANKER"), "retriever", "openinference"),
    (genai("generate_content"), "llm", "otel_genai"),
    (genai("embeddings"), "embedding", "otel_genai"),
    (genai("invoke_workflow"), "workflow", "otel_genai"),
    (genai("create_agent"), "other", "otel_genai"),
    (genai("something_new", request__model="m"), "llm", "otel_genai"),
    ({"gen_ai.tool.name": "t"}, "tool", "otel_genai"),
    ({"traceloop.span.kind": "agent"} | genai("chat"), "agent", "openllmetry"),
    ({"traceloop.span.kind": "task"} | genai("invoke_agent"), "other", "openllmetry"),
    ({"tracehound.kind": "nonsense"} | genai("chat"), "llm", "otel_genai"),
    ({"http.method": "GET"}, "other", None),
    ({}, "other", None),
]


@pytest.mark.parametrize(("attributes", "kind", "convention"), KINDS)
def test_kind_and_convention(attributes: dict[str, Any], kind: str, convention: str | None) -> None:
    """The order of authority: own attribute, OpenInference, OpenLLMetry, GenAI operation."""
    span, _ = one(a=attributes)

    assert (kind, convention) == (span.kind, span.convention)


COLUMNS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        genai(
            "chat", system="openai", usage__prompt_tokens="12", usage__completion_tokens=3.0, request__model="gpt-4o"
        ),
        {"provider": "openai", "input_tokens": 12, "output_tokens": 3, "model": "gpt-4o"},
    ),
    (
        genai(
            "chat",
            response__model="b",
            request__model="a",
            response__finish_reasons='["stop"]',
            response__time_to_first_chunk=0.25,
        ),
        {"model": "b", "finish_reason": "stop", "ttft_ns": 250_000_000},
    ),
    (
        genai("chat", usage__input_tokens=10, usage__cache_creation__input_tokens=4, usage__reasoning_tokens=2),
        {"cache_write_tokens": 4, "reasoning_tokens": 2},
    ),
    (
        # Anthropic's raw numbers: cached tokens are not part of the input there.
        genai("chat", usage__input_tokens=10, usage__output_tokens=1, usage__cache_read__input_tokens=90),
        {"input_tokens": 100, "cached_tokens": 90, "derived": ["input_tokens"]},
    ),
    (
        oi("LLM", llm__model_name="m", llm__invocation_parameters='{"temperature": 0.5}', llm__token_count__prompt=9),
        {"model": "m", "temperature": 0.5, "input_tokens": 9},
    ),
    (
        genai("chat", usage__input_tokens="many", usage__output_tokens=-1, request__temperature="hot"),
        {"input_tokens": None, "output_tokens": None, "temperature": None},
    ),
    (
        {
            "tracehound.kind": "wait",
            "tracehound.wait.for": ["a", "b"],
            "tracehound.wait.mode": "all",
            "tracehound.reason": "peer",
        },
        {"wait_for": ["a", "b"], "wait_mode": "all", "reason": "peer"},
    ),
    (
        {
            "tracehound.kind": "state_write",
            "tracehound.state.key": "plan",
            "tracehound.state.version_read": 3,
            "tracehound.progress": True,
        },
        {"state_key": "plan", "version_read": 3, "progress": True, "user_visible": False},
    ),
    ({"session.id": "s", "user.id": "u"}, {"session_id": "s", "user_id": "u"}),
    (
        genai("chat", request__model="m") | {"tracehound.llm.cost_usd": "0.25"},
        {"cost_usd": Decimal("0.25"), "cost_source": "recorder"},
    ),
    (oi("LLM", llm__cost__total=0.5), {"cost_usd": Decimal("0.5"), "cost_source": "producer"}),
    (oi("LLM", llm__cost__total=0), {"cost_usd": None, "cost_source": None}),
]


@pytest.mark.parametrize(("attributes", "columns"), COLUMNS)
def test_columns(attributes: dict[str, Any], columns: dict[str, Any]) -> None:
    """Every spelling ends in the same column; values of the wrong type leave it empty."""
    span, _ = one(a=attributes)

    assert columns == {name: getattr(span, name) for name in columns}


MESSAGES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "parts in a JSON string, with system instructions": (
        genai(
            "chat",
            system_instructions='[{"type": "text", "content": "Be kind."}]',
            input__messages='[{"role": "user", "parts": [{"type": "text", "content": "hi"}], "name": null}]',
        ),
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}],
    ),
    "parts as a structure": (
        genai("chat", input__messages=[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]),
        [{"role": "user", "content": "hi"}],
    ),
    "tool call and results": (
        genai(
            "chat",
            input__messages=json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": '{"x": 1}'}],
                    },
                    {
                        "role": "tool",
                        "parts": [
                            {"type": "tool_call_response", "id": "1", "result": "one"},
                            {"type": "tool_call_response", "id": "2", "response": "two"},
                        ],
                    },
                ]
            ),
        ),
        [
            {"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": {"x": 1}}]},
            {"role": "tool", "content": "one", "tool_call_id": "1"},
            {"role": "tool", "content": "two", "tool_call_id": "2"},
        ],
    ),
    "flattened, out of order, beyond nine": (
        oi(
            "LLM",
            **{
                f"llm__input_messages__{n}__message__{key}": value
                for n in (10, 2, 0)
                for key, value in (("role", "user"), ("content", f"m{n}"))
            },
        ),
        [{"role": "user", "content": f"m{n}"} for n in (0, 2, 10)],
    ),
    "flattened with contents, calls and an unknown key": (
        oi(
            "LLM",
            llm__input_messages__0__message__role="assistant",
            llm__input_messages__0__message__contents__0__message_content__type="text",
            llm__input_messages__0__message__contents__0__message_content__text="hm",
            llm__input_messages__0__message__tool_calls__0__tool_call__function__name="f",
            llm__input_messages__0__message__tool_calls__0__tool_call__function__arguments="{}",
            llm__input_messages__0__message__mood="good",
        ),
        [{"role": "assistant", "content": "hm", "tool_calls": [{"name": "f", "arguments": {}}], "mood": "good"}],
    ),
    "OpenAI messages": (
        genai(
            "chat",
            input__messages='[{"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}]',
        ),
        [{"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": {}}]}],
    ),
    "an image stays a part": (
        genai(
            "chat",
            input__messages=[
                {"role": "user", "parts": [{"type": "text", "content": "see"}, {"type": "uri", "uri": "x.png"}]}
            ],
        ),
        [{"role": "user", "content": [{"type": "text", "content": "see"}, {"type": "uri", "uri": "x.png"}]}],
    ),
    "old flattened prompts": (
        {
            "llm.request.type": "chat",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "hi",
            "gen_ai.system": "openai",
        },
        [{"role": "user", "content": "hi"}],
    ),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_messages_have_one_shape(case: str) -> None:
    """Whoever wrote them, the messages sent are stored one by one in the same form."""
    attributes, expected = MESSAGES[case]
    span, batch = one(a=attributes)

    assert span.kind == "llm"
    assert expected == texts(batch, span.input_refs)


def test_answer_and_history_are_the_same_message() -> None:
    """An answer that comes back as history has the same id, though only the answer says why it ended."""
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "ok"}]}
    first, _ = one(a=genai("chat", output__messages=[answer | {"finish_reason": "stop"}]))
    second, _ = one(a=genai("chat", input__messages=[answer]))

    assert first.output_refs == second.input_refs
    assert first.finish_reason == "stop"


EVENTS: dict[str, list[RawEvent]] = {
    "message events with attributes": [
        RawEvent(name="gen_ai.user.message", time_ns=1, attributes={"gen_ai.system": "x", "content": "hi"}),
        RawEvent(
            name="gen_ai.choice",
            time_ns=2,
            attributes={"index": 0, "finish_reason": "stop", "message": '{"content": "yo"}'},
        ),
    ],
    "message events with bodies": [
        RawEvent(name="gen_ai.user.message", time_ns=1, body={"content": "hi"}),
        RawEvent(name="gen_ai.choice", time_ns=2, body={"index": 0, "message": {"role": "assistant", "content": "yo"}}),
    ],
    "the details event": [
        RawEvent(
            name="gen_ai.client.inference.operation.details",
            time_ns=1,
            attributes={
                "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
                "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "yo"}]}],
            },
        )
    ],
}


@pytest.mark.parametrize("as_logs", [False, True])
@pytest.mark.parametrize("case", EVENTS)
def test_messages_in_events(case: str, as_logs: bool) -> None:
    """Messages in span events, or in log records that name the span, are those of the span."""
    events = EVENTS[case]
    span = RawSpan(trace_id="1" * 32, span_id="2" * 16, name="chat", start_ns=1, end_ns=2, attributes=genai("chat"))
    if as_logs:
        logs = [
            RawEvent(
                name=e.name,
                time_ns=e.time_ns,
                attributes=e.attributes,
                body=e.body,
                trace_id="1" * 32,
                span_id="2" * 16,
            )
            for e in events
        ]
        batch = normalise([span], logs)
    else:
        span.events = events
        batch = normalise([span])
    row = resolve(batch.spans, batch.events)[0]

    assert texts(batch, row.input_refs) == [{"role": "user", "content": "hi"}]
    assert texts(batch, row.output_refs) == [{"role": "assistant", "content": "yo"}]
    assert [row] == resolve([row])  # the next fold may not see the events again


def test_nothing_is_thrown_away() -> None:
    """All attributes are kept; long texts and messages stand as references, odd values as text."""
    long = "x" * 600
    span, batch = one(
        a=genai("chat", input__messages='[{"role": "user", "content": "hi"}]')
        | {"my.long": long, "my.nan": float("nan"), "my.list": [1, long], "lone": "\ud800"},
        scope="my.scope",
        resource={"service.name": "shop", "host.name": "h"},
    )
    stored = json.loads(span.attributes)

    assert long == batch.contents[stored["my.long"]["$content"]] == batch.contents[stored["my.list"][1]["$content"]]
    assert (stored["my.nan"], stored["lone"], stored["otel.scope.name"]) == ("nan", "?", "my.scope")
    assert span.input_refs == stored["gen_ai.input.messages"]["$messages"]
    assert json.loads(batch.contents[stored["otel.resource"]["$content"]]) == {"host.name": "h"}
    assert span.service == "shop"


def test_recorder_slots_are_references() -> None:
    """What our recorder stored already is referred to; equal arguments hash as elsewhere."""
    body = '{"q":"refund"}'
    from tracer.ids import content_id

    recorded = RawSpan(
        trace_id="1" * 32,
        span_id="2" * 16,
        name="t",
        start_ns=1,
        end_ns=2,
        attributes={"tracehound.kind": "tool"},
        content={"input": [content_id(body)], "output": [5]},
    )
    row = normalise([recorded]).spans[0]
    imported, _ = one(a=genai("execute_tool", tool__name="t", tool__call__arguments='{"q": "refund"}'))

    assert ([content_id(body)], [5]) == (row.input_refs, row.output_refs)
    assert row.args_hash == imported.args_hash is not None


def test_running_span() -> None:
    """A span without an end is running and has no price yet."""
    row = normalise([raw("chat", 0, None, a=genai("chat", request__model="gpt-4o", usage__input_tokens=5))]).spans[0]

    assert (row.status, row.end_ns, row.cost_usd) == ("running", None, None)


def test_an_operation_that_is_no_text_does_not_cost_the_span() -> None:
    """A list where a name belongs, as OTLP allows: the span is read as far as it goes."""
    [span] = normalise([raw("a", 0, 1, a={"gen_ai.operation.name": ["chat"], "gen_ai.request.model": "m"})]).spans
    assert (span.kind, span.model) == ("llm", "m")
