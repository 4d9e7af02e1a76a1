"""LangSmith's OpenTelemetry export, drawn from its documentation."""

from __future__ import annotations

import json
from typing import Any

from tests.normalise.drawn import raw, read, texts, tokens


def langsmith(kind: str, **more: Any) -> dict[str, Any]:
    return {"langsmith.span.kind": kind, **{k.replace("__", "."): v for k, v in more.items()}}


def test_langsmith() -> None:
    """Chain spans repeat the tokens of their call; the project is no session, the thread is; LangChain's texts are read."""
    usage = {"gen_ai__usage__input_tokens": 40, "gen_ai__usage__output_tokens": 6}
    human = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "hi"}}
    answer = {"text": "yo", "message": {"lc": 1, "id": ["x", "AIMessage"], "kwargs": {"content": "yo", "type": "ai"}}}
    rows, batch = read(
        raw("graph", 0, 9, a=langsmith("chain", **usage, langsmith__trace__session_name="my-project")),
        raw(
            "writer",
            1,
            8,
            "graph",
            a=langsmith("chain", **usage, langsmith__metadata__langgraph_checkpoint_ns="writer:1"),
        ),
        raw(
            "ChatOpenAI",
            2,
            3,
            "writer",
            a=langsmith(
                "llm",
                **usage,
                gen_ai__system="langchain",
                gen_ai__request__model="gpt-4o",
                gen_ai__usage__input_token_details='{"cache_read": 30}',
                gen_ai__usage__output_token_details='{"reasoning": 2}',
                langsmith__metadata__ls_provider="openai",
                langsmith__metadata__ls_temperature=0.3,
                langsmith__metadata__thread_id="t-1",
                langsmith__metadata__langgraph_checkpoint_ns="writer:1|model:2",
                gen_ai__prompt=json.dumps({"messages": [[human]]}),
                gen_ai__completion=json.dumps({"generations": [[answer]]}),
            ),
        ),
        raw(
            "search",
            4,
            5,
            "writer",
            a=langsmith("tool", gen_ai__prompt='{"input": "refund"}', gen_ai__completion='{"output": "30 days"}'),
        ),
    )
    call, tool = rows["ChatOpenAI"], rows["search"]

    assert tokens(rows) == (40, 6)
    assert (call.cached_tokens, call.reasoning_tokens, call.provider, call.temperature) == (30, 2, "openai", 0.3)
    assert {row.session_id for row in rows.values()} == {"t-1"}
    assert {rows[name].agent for name in ("ChatOpenAI", "search")} == {"writer"}
    assert texts(batch, call.input_refs) == [{"role": "user", "content": "hi"}]
    assert texts(batch, call.output_refs) == [{"role": "assistant", "content": "yo"}]
    assert (tool.tool_name, batch.contents[(tool.output_refs or [0])[0]]) == ("search", "30 days")
