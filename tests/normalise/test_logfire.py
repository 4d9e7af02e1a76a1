"""Logfire's integrations, drawn from its code; OpenAI Agents and streams are captured."""

from __future__ import annotations

import json
from typing import Any

from tests.normalise.drawn import raw, read, texts
from tracer.normalise import resolve

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "yo"}
CALL = {"gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o", "gen_ai.operation.name": "chat"}


def test_the_answer_is_what_the_model_said_last() -> None:
    """Chat completions under OpenAI Agents: all messages in one list; of a client by older versions: the answer apart."""
    rows, batch = read(
        raw(
            "Chat completion with {gen_ai.request.model!r}",
            0,
            1,
            scope="logfire.openai_agents",
            a=CALL | {"request_data": json.dumps({"model": "gpt-4o", "messages": [USER, ANSWER]})},
        ),
        raw(
            "Chat Completion with {request_data[model]!r}",
            2,
            3,
            scope="logfire.openai",
            a=CALL
            | {
                "logfire.msg": "Chat Completion with 'gpt-4o'",
                "request_data": json.dumps({"model": "gpt-4o", "messages": [USER]}),
                "response_data": json.dumps({"message": ANSWER}),
            },
        ),
    )

    assert rows.keys() == {"Chat completion with {gen_ai.request.model!r}", "Chat Completion with 'gpt-4o'"}
    for row in rows.values():
        assert (row.kind, texts(batch, row.input_refs), texts(batch, row.output_refs)) == ("llm", [USER], [ANSWER])


def test_streams_side_by_side_are_told_apart() -> None:
    """Each log goes to the call that was open when it began, with the messages it had; a call without a log stays alone."""

    def chat(name: str, start: float, end: float, text: str, **more: Any) -> Any:
        sent = {"gen_ai.input.messages": json.dumps([{"role": "user", "content": text}])}
        a = {k: v for k, v in CALL.items() if k != "gen_ai.response.model"} | sent | more
        return raw(name, start, end, "desk", scope="logfire.openai", a={"logfire.span_type": "span"} | a)

    def log(number: int, at: float, text: str) -> Any:
        usage = {"gen_ai.usage.input_tokens": number, "gen_ai.usage.output_tokens": 1, "duration": 2.0}
        return chat(f"streaming response from {number}", at, at, text, **usage)

    rows, batch = read(
        raw("desk", 0, 20, scope="logfire"),
        chat("one", 1, 2, "a"),
        chat("two", 1.5, 2, "b"),
        chat("again", 6, 7, "a"),
        chat("never ended", 8, 9, "a"),
        log(200, 5, "b"),
        log(100, 6, "a"),
        log(300, 10, "a"),
    )

    assert [rows[name].input_tokens for name in ("one", "two", "again", "never ended")] == [100, 200, None, 300]
    assert [row.duplicate_of for row in rows.values() if row.name.startswith("streaming")] == [
        rows[name].span_id for name in ("two", "one", "never ended")
    ]
    assert resolve(list(rows.values())) == list(rows.values()) == resolve(batch.spans)
