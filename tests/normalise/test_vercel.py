"""Vercel AI SDK, versions 3 to 7, drawn from its documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.normalise.drawn import genai, raw, read, texts, tokens
from tracer.normalise import resolve, summarise


def ai(operation: str, **more: Any) -> dict[str, Any]:
    return {"ai.operationId": operation, **{f"ai.{k.replace('__', '.')}": v for k, v in more.items()}}


VERCEL_USAGE: dict[str, dict[str, Any]] = {
    "v4": {"usage__promptTokens": 100, "usage__completionTokens": 20},
    "v5": {
        "usage__inputTokens": 100,
        "usage__outputTokens": 20,
        "usage__cachedInputTokens": 60,
        "usage__reasoningTokens": 5,
    },
    "v6": {
        "usage__inputTokens": 100,
        "usage__outputTokens": 20,
        "usage__inputTokenDetails__cacheReadTokens": 60,
        "usage__outputTokenDetails__reasoningTokens": 5,
    },
}


@pytest.mark.parametrize("version", VERCEL_USAGE)
def test_vercel(version: str) -> None:
    """The outer span is the agent and repeats the sum; only do* spans count; a tool that calls another agent delegates."""
    usage = VERCEL_USAGE[version]
    call = {"gen_ai.system": "openai.chat", "gen_ai.request.model": "gpt-4o"} if version == "v6" else {}
    shared = {"telemetry__functionId": "support", "telemetry__metadata__sessionId": "chat-7"}
    history = [
        {"role": "user", "content": [{"type": "text", "text": "refund?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "ask", "args": {"q": "refund"}}],
        },
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "ask", "result": "30 days"}],
        },
    ]
    rows, batch = read(
        raw("ai.generateText support", 0, 9, a=ai("ai.generateText", **shared, **usage)),
        raw(
            "ai.generateText.doGenerate support",
            1,
            2,
            "ai.generateText support",
            a=call
            | ai(
                "ai.generateText.doGenerate",
                **shared,
                **usage,
                model__id="gpt-4o",
                model__provider="openai.chat",
                prompt__messages=json.dumps(history[:1]),
                response__toolCalls='[{"toolCallId": "c1", "toolName": "ask", "args": {"q": "refund"}}]',
                response__finishReason="tool-calls",
                response__msToFirstChunk=250.5,
                settings__temperature=0.2,
            ),
        ),
        raw(
            "ai.toolCall support",
            2,
            5,
            "ai.generateText support",
            a=ai("ai.toolCall", **shared, toolCall__name="ask", toolCall__id="c1", toolCall__args='{"q": "refund"}'),
        ),
        raw(
            "ai.generateText lookup",
            3,
            4,
            "ai.toolCall support",
            a=ai("ai.generateText", telemetry__functionId="lookup"),
        ),
        raw(
            "ai.streamText.doStream support",
            6,
            7,
            "ai.generateText support",
            a=ai("ai.streamText.doStream", **shared, prompt__messages=json.dumps(history), response__text="30 days"),
        ),
    )
    first, tool, last = (
        rows[name]
        for name in ("ai.generateText.doGenerate support", "ai.toolCall support", "ai.streamText.doStream support")
    )

    assert {name: row.kind for name, row in rows.items() if row.kind != "llm"} == {
        "ai.generateText support": "agent",
        "ai.toolCall support": "tool",
        "ai.generateText lookup": "agent",
    }
    assert (tool.tool_name, tool.tool_call_id, tool.target_agent) == ("ask", "c1", "lookup")
    assert tokens(rows) == (100, 20)
    assert (first.cached_tokens, first.reasoning_tokens) == ((None, None) if version == "v4" else (60, 5))
    assert (first.model, first.finish_reason, first.ttft_ns, first.temperature) == (
        "gpt-4o",
        "tool-calls",
        250_500_000,
        0.2,
    )
    assert first.cost_usd is not None
    assert (first.session_id, first.agent) == ("chat-7", "support")
    asked = {"role": "assistant", "tool_calls": [{"id": "c1", "name": "ask", "arguments": {"q": "refund"}}]}
    assert texts(batch, last.input_refs) == [
        {"role": "user", "content": "refund?"},
        asked,
        {"role": "tool", "content": "30 days", "tool_call_id": "c1"},
    ]
    assert first.output_refs == (last.input_refs or [])[1:2]
    assert texts(batch, last.output_refs) == [{"role": "assistant", "content": "30 days"}]


def test_vercel_embedding_and_prompt() -> None:
    """Embeddings count their tokens; a prompt with a system text becomes two messages."""
    rows, batch = read(
        raw("ai.embed.doEmbed", 0, 1, a=ai("ai.embed.doEmbed", usage__tokens=7, model__id="text-embedding-3-small")),
        raw("ai.generateText", 2, 3, a=ai("ai.generateText", prompt='{"system": "Be kind.", "prompt": "hi"}')),
    )

    assert (rows["ai.embed.doEmbed"].kind, rows["ai.embed.doEmbed"].input_tokens) == ("embedding", 7)
    assert [message["role"] for message in texts(batch, rows["ai.generateText"].input_refs)] == ["system", "user"]


def test_a_call_named_by_its_model_is_no_agent() -> None:
    """Version 7 calls the whole `invoke_agent` and its model where nobody gave it a name."""
    rows, _ = read(
        raw("invoke_agent gpt-4o", 0, 9, a=genai("invoke_agent", request__model="gpt-4o")),
        raw(
            "chat gpt-4o",
            1,
            2,
            "invoke_agent gpt-4o",
            a=genai("chat", request__model="gpt-4o", client__operation__time_to_first_chunk=0.25),
        ),
        raw(
            "named", 3, 4, "invoke_agent gpt-4o", a=genai("invoke_agent", request__model="gpt-4o", agent__name="gpt-4o")
        ),
    )

    assert [(row.kind, row.agent) for row in rows.values()] == [
        ("workflow", None),
        ("llm", "gpt-4o"),
        ("agent", "gpt-4o"),
    ]
    assert rows["chat gpt-4o"].ttft_ns == 250_000_000


def test_an_aborted_run_was_interrupted() -> None:
    """A JavaScript AbortSignal is asyncio's cancellation."""
    batch = read(
        raw(
            "ai.generateText desk",
            0,
            9,
            a=ai("ai.generateText", telemetry__functionId="desk") | {"error.type": "AbortError"},
            status="error",
            message="This operation was aborted",
        )
    )[1]

    assert summarise(resolve(batch.spans)).outcome == "interrupted"
