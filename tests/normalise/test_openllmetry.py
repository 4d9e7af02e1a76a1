"""OpenLLMetry as it wrote before it took over the GenAI names."""

from __future__ import annotations

from tests.normalise.drawn import raw, read, texts


def test_old_openllmetry() -> None:
    """Flattened prompts, completions with calls and finish reason, old names of usage."""
    rows, batch = read(
        raw(
            "openai.chat",
            0,
            1,
            a={
                "llm.request.type": "chat",
                "llm.usage.total_tokens": 12,
                "gen_ai.system": "OpenAI",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.prompt_tokens": 10,
                "gen_ai.usage.completion_tokens": 2,
                "gen_ai.usage.cache_read_input_tokens": 8,
                "gen_ai.prompt.0.role": "system",
                "gen_ai.prompt.0.content": "Be kind.",
                "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": "hi",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.finish_reason": "tool_calls",
                "gen_ai.completion.0.tool_calls.0.id": "c1",
                "gen_ai.completion.0.tool_calls.0.name": "search",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"q": 1}',
            },
        )
    )
    call = rows["openai.chat"]

    assert (call.kind, call.convention, call.finish_reason) == ("llm", "openllmetry", "tool_calls")
    assert (call.input_tokens, call.output_tokens, call.cached_tokens) == (10, 2, 8)
    assert [message["role"] for message in texts(batch, call.input_refs)] == ["system", "user"]
    assert texts(batch, call.output_refs)[0]["tool_calls"] == [{"id": "c1", "name": "search", "arguments": {"q": 1}}]
