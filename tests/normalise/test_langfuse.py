"""Langfuse's attributes, drawn from its documentation."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.normalise.drawn import raw, read, texts, tokens


def langfuse(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "langfuse.observation.type": kind,
        **{f"langfuse.observation.{k.replace('__', '.')}": v for k, v in more.items()},
    }


def test_langfuse() -> None:
    """Observation types, JSON usage and cost, level ERROR, names of trace, session and user."""
    rows, batch = read(
        raw(
            "answer question",
            0,
            9,
            a={"langfuse.trace.name": "qa-bot", "session.id": "s", "user.id": "u", "langfuse.environment": "prod"}
            | langfuse("span"),
        ),
        raw("planner", 1, 8, "answer question", a=langfuse("agent")),
        raw(
            "gpt",
            2,
            3,
            "planner",
            a=langfuse(
                "generation",
                model__name="gpt-4o",
                model__parameters='{"temperature": 0.7}',
                usage_details='{"input": 40, "input_cached_tokens": 60, "output": 15, "output_reasoning_tokens": 5, "total": 120}',
                cost_details='{"input": 0.001, "output": 0.002}',
                prompt__name="qa",
                prompt__version=3,
                completion_start_time='"2001-09-09T01:46:42.500Z"',
                input='[{"role": "user", "content": "hi"}]',
                output='{"role": "assistant", "content": "yo"}',
            ),
        ),
        raw(
            "lookup",
            4,
            5,
            "planner",
            a=langfuse("tool", level="ERROR", status_message="down", input='{"id": 1}'),
        ),
    )
    call, tool = rows["gpt"], rows["lookup"]

    assert tokens(rows) == (100, 20)
    assert (call.cached_tokens, call.reasoning_tokens) == (60, 5)
    assert (call.cost_usd, call.cost_source, call.temperature) == (Decimal("0.003"), "producer", 0.7)
    assert (call.prompt_name, call.prompt_version, call.ttft_ns) == ("qa", "3", 500_000_000)
    assert texts(batch, call.output_refs) == [{"role": "assistant", "content": "yo"}]
    assert (tool.status, tool.error_message, tool.tool_name, tool.agent) == ("error", "down", "lookup", "planner")
    assert {(row.workflow, row.session_id) for row in rows.values()} == {("qa-bot", "s")}
    assert rows["answer question"].environment == "prod"


USAGE: list[tuple[dict[str, Any], tuple[int | None, int | None]]] = [
    ({"input": 10, "output": 2}, (10, 2)),
    ({"input": 10, "output": 2, "input_cached_tokens": 4, "total": 12}, (10, 2)),
    ({"input": 6, "output": 2, "input_cached_tokens": 4, "total": 12}, (10, 2)),
    ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}, (10, 2)),
    ({"input": "many"}, (None, None)),
]


def test_usage_as_openai_writes_it() -> None:
    """Langfuse's wrapper of the client passes on its usage, where the parts lie a level deeper."""
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }
    rows, _ = read(raw("g", 0, 1, a=langfuse("generation", model__name="gpt-4o-mini", usage_details=json.dumps(usage))))
    call = rows["g"]

    assert (call.input_tokens, call.output_tokens, call.cached_tokens, call.reasoning_tokens) == (1000, 200, 400, 50)
    assert call.cost_usd == Decimal("0.000240000")


@pytest.mark.parametrize(("usage", "expected"), USAGE)
def test_langfuse_buckets(usage: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    """Buckets exclude each other, unless the total says that they do not."""
    rows, _ = read(raw("g", 0, 1, a=langfuse("generation", usage_details=json.dumps(usage))))

    assert (rows["g"].input_tokens, rows["g"].output_tokens) == expected
