"""Pydantic AI and Logfire: every instrumentation version, and spans sent at a start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.normalise.drawn import genai, raw, rows, texts
from tracer.model import RawSpan
from tracer.normalise import normalise, resolve, summarise
from tracer.normalise.otlp import decode_traces


def test_logfire_pending_span_is_a_start() -> None:
    """The pending span becomes the running span it announces; when that ends there is one span."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    pending, ended = scope.spans.add(), scope.spans.add()
    for span, number, parent, end in ((pending, b"\x09", b"\x02", 1_000), (ended, b"\x02", b"\x01", 9_000)):
        span.trace_id, span.span_id, span.parent_span_id = b"\x07" * 16, number * 8, parent * 8
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = "chat", 1_000, end
    for key, text in (("logfire.span_type", "pending_span"), ("logfire.pending_parent_id", "01" * 8)):
        attribute = pending.attributes.add()
        attribute.key, attribute.value.string_value = key, text
    start, whole = decode_traces(request.SerializeToString())

    assert (start.span_id, start.parent_span_id, start.end_ns) == (whole.span_id, whole.parent_span_id, None)
    assert [row.status for row in resolve(normalise([start]).spans)] == ["running"]
    assert [row.end_ns for row in resolve(normalise([start, whole]).spans)] == [9_000]


PYDANTIC: dict[str, tuple[RawSpan, ...]] = {
    "version 1": (
        raw(
            "agent run",
            0,
            9,
            scope="pydantic-ai",
            a={
                "agent_name": "helper",
                "model_name": "gpt-4o",
                "gen_ai.usage.input_tokens": 30,
                "final_result": "30 days",
                "all_messages_events": '[{"content": "refund?", "role": "user", "event.name": "gen_ai.user.message"}]',
            },
        ),
        raw(
            "chat gpt-4o",
            1,
            2,
            "agent run",
            scope="pydantic-ai",
            a=genai("chat", system="openai", request__model="gpt-4o", usage__input_tokens=30)
            | {
                "events": json.dumps(
                    [
                        {"content": "refund?", "role": "user", "event.name": "gen_ai.user.message"},
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "30 days"},
                            "event.name": "gen_ai.choice",
                        },
                    ]
                )
            },
        ),
        raw("running 1 tool", 3, 6, "agent run", scope="pydantic-ai", a={"tools": ["search"]}),
        raw(
            "running tool: search",
            4,
            5,
            "running 1 tool",
            scope="pydantic-ai",
            a={"gen_ai.tool.name": "search", "tool_arguments": '{"q": 1}', "tool_response": "12 hits"},
        ),
    ),
    "version 3": (
        raw(
            "invoke_agent helper",
            0,
            9,
            scope="pydantic-ai",
            a=genai("invoke_agent", agent__name="helper", aggregated_usage__input_tokens=30)
            | {
                "pydantic_ai.all_messages": '[{"role": "user", "parts": [{"type": "text", "content": "refund?"}]}]',
                "final_result": "30 days",
            },
        ),
        raw(
            "chat gpt-4o",
            1,
            2,
            "invoke_agent helper",
            scope="pydantic-ai",
            a=genai(
                "chat",
                request__model="gpt-4o",
                usage__input_tokens=30,
                input__messages='[{"role": "user", "parts": [{"type": "text", "content": "refund?"}]}]',
                output__messages='[{"role": "assistant", "parts": [{"type": "text", "content": "30 days"}]}]',
            ),
        ),
        raw("running tools", 3, 6, "invoke_agent helper", scope="pydantic-ai", a={"logfire.msg": "running 1 tool"}),
        raw(
            "execute_tool search",
            4,
            5,
            "running tools",
            scope="pydantic-ai",
            a=genai(
                "execute_tool", tool__name="search", tool__call__arguments='{"q": 1}', tool__call__result="12 hits"
            ),
        ),
    ),
}


@pytest.mark.parametrize("version", PYDANTIC)
def test_pydantic_ai_versions(version: str) -> None:
    """Old and new instrumentation give the same agent, call, tool and texts."""
    batch = normalise(PYDANTIC[version])
    agent, call, step, tool = resolve(batch.spans)

    assert [row.kind for row in (agent, call, step, tool)] == ["agent", "llm", "other", "tool"]
    assert {row.agent for row in (agent, call, tool)} == {"helper"}
    assert texts(batch, agent.input_refs) == texts(batch, call.input_refs) == [{"role": "user", "content": "refund?"}]
    assert texts(batch, call.output_refs) == [{"role": "assistant", "content": "30 days"}]
    assert (tool.tool_name, tool.args_hash is not None, tool.result_hash is not None) == ("search", True, True)
    assert summarise([agent, call, step, tool]).input_tokens == 30


def test_a_tool_that_asks_for_another_try_is_retried_by_its_next_call() -> None:
    """The retry may have other arguments; a call of another tool, or one after a success, is none."""

    def tool(name: str, at: float, tries: int | None = None, **more: Any) -> RawSpan:
        marks = {"pydantic_ai.tool.retry.attempt": tries} if tries else {}
        told = genai("execute_tool", tool__name=name.split()[0])
        return raw(name, at, at + 1, "agent", scope="pydantic-ai", a={**told, **marks}, **more)

    asked = {"status": "error", "message": "ToolRetryError: no such order"}
    found = rows(
        raw("agent", 0, 9, scope="pydantic-ai", a=genai("invoke_agent", agent__name="clerk")),
        tool("order 1", 1, 1, **asked), tool("stock 1", 2), tool("order 2", 3, 2, **asked), tool("order 3", 4), tool("order 4", 5),
    )  # fmt: skip
    assert {name: (row.retry_of, row.attempt) for name, row in found.items() if row.kind == "tool"} == {
        "order 1": (None, 1), "stock 1": (None, None), "order 2": (found["order 1"].span_id, 2),
        "order 3": (found["order 2"].span_id, 3), "order 4": (None, None),
    }  # fmt: skip
