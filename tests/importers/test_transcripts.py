"""Transcripts: who spoke, what tools answered, what calls of models cost, and when, in the shapes that frameworks write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.importers.conftest import Importing
from tests.importers.samples import MAGENTIC, text
from tracer.importers.turns import agent_of


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("Orchestrator (thought)", ("Orchestrator", None, "thought")),
        ("Orchestrator (-> WebSurfer)", ("Orchestrator", "WebSurfer", None)),
        ("Orchestrator (termination condition)", ("Orchestrator", None, "termination condition")),
        ("Assistant (GPT-4)", ("Assistant (GPT-4)", None, None)),
        (" WebSurfer ", ("WebSurfer", None, None)),
    ],
)
def test_authors(author: str, expected: tuple[str, str | None, str | None]) -> None:
    """Asides and addressees are taken off an author's name, model names are not."""
    assert expected == agent_of(author)


def test_transcript_of_agents(importing: Importing) -> None:
    """One run: a turn per agent, a message per entry with its step, the addressee, the source's own id and verdict."""
    report, rows = importing(text(MAGENTIC), "logs.jsonl")
    steps = [(r["step"], r["kind"], r["agent"], r["target_agent"]) for r in rows if r["step"] is not None]

    assert (report.format, report.read, report.skipped, report.problems) == ("transcript", 1, 0, [])
    assert steps == [
        (0, "message", "human", None),
        (1, "message", "Orchestrator", None),
        (2, "message", "Orchestrator", "WebSurfer"),
        (3, "message", "WebSurfer", None),
    ]
    assert [r["agent"] for r in rows if r["kind"] == "agent"] == ["Orchestrator", "WebSurfer"]
    assert {"logs"} == {r["workflow"] for r in rows}
    assert all({"start_ns", "end_ns"} <= set(r["derived"]) for r in rows)
    assert json.loads(next(r for r in rows if r["kind"] == "workflow")["attributes"])["tracehound.source.id"] == "run-7"


def test_transcript_with_tools(importing: Importing) -> None:
    """A tool's answer becomes a tool call of the agent that asked, with the arguments of its request."""
    call = {"id": "c1", "type": "function", "function": {"name": "find_user", "arguments": '{"zip": "19122"}'}}
    report, rows = importing(
        json.dumps(
            [
                {
                    "task_id": 3,
                    "trial": t,
                    "reward": float(t),
                    "traj": [
                        {"role": "system", "content": "Policy"},
                        {"role": "user", "content": "Hi"},
                        {"role": "assistant", "content": None, "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c1", "name": "find_user", "content": "yusuf"},
                    ],
                }
                for t in (0, 1)
            ]
        )
    )
    tools = [r for r in rows if r["kind"] == "tool"]

    assert report.read == 2
    assert [(r["tool_name"], r["agent"], r["step"]) for r in tools] == [("find_user", "assistant", 3)] * 2
    assert len({r["args_hash"] for r in tools}) == 1
    assert {"3/0", "3/1"} == {
        json.loads(r["attributes"])["tracehound.source.id"] for r in rows if r["kind"] == "workflow"
    }


def logged(kind: str, second: int, **fields: Any) -> dict[str, Any]:
    """An entry of ChatDev's log, as its converter writes it."""
    return {"ts": f"2025-05-13T09:10:{second:02}", "level": "INFO", "type": kind, **fields}


def spoken(second: int, agent: str, turn: int = 0) -> dict[str, Any]:
    return logged("message", second, agent=agent, pair=["Coder", "Chief"], turn=turn, content=f"{agent} {second}")


def billed(second: int, sent: int, made: int, cost: float | None) -> dict[str, Any]:
    return logged("llm_usage", second, prompt_tokens=sent, completion_tokens=made, total_tokens=sent + made) | (
        {} if cost is None else {"cost_usd": cost}
    )


def test_a_log_that_tells_calls_apart_from_messages(importing: Importing) -> None:
    """ChatDev: calls wait for the messages they made, in order, with the model of their phase; a message without a call has none.

    Its log shows both messages of a turn when the second call is over; each is dated by its own call.
    """
    events = [
        logged("phase_start", 0, phase="Plan", model="ModelType.GPT_3_5_TURBO"),
        logged("start_chat", 0, agent="Chief", content="Make a plan."),
        billed(4, 466, 104, 0.0016),
        billed(5, 610, 72, None),
        spoken(5, "Coder"), spoken(5, "Chief"),
        logged("phase_start", 6, phase="Code", model="ModelType.GPT_4O"),
        logged("start_chat", 6, agent="Chief", content="Code it."),
        billed(20, 638, 1_100, 0.0142),
        spoken(20, "Coder"), spoken(21, "Chief", 1),
        billed(25, 700, 9, 0.002),
    ]  # fmt: skip
    report, rows = importing(json.dumps({"id": "CD-1", "task": "a game", "events": events}))
    calls = [r for r in rows if r["kind"] == "llm"]
    turns = {r["span_id"]: (r["agent"], r["start_ns"], r["end_ns"]) for r in rows if r["kind"] == "agent"}
    told = [(r["agent"], r["model"], r["input_tokens"], r["output_tokens"], r["end_ns"] // 10**9 % 60) for r in calls]

    assert told == [
        ("Coder", "gpt-3.5-turbo", 466, 104, 4),
        ("Chief", "gpt-3.5-turbo", 610, 72, 5),
        ("Coder", "gpt-4o", 638, 1_100, 20),
        ("Chief", "gpt-4o", 700, 9, 25),  # made after the last message: it is counted with it
    ]
    assert [(str(r["cost_usd"]), r["cost_source"]) for r in calls if r["model"] == "gpt-4o"] == [
        ("0.0142", "recorder"), ("0.002", "recorder"),
    ]  # fmt: skip
    assert calls[1]["cost_usd"] is not None
    assert calls[1]["cost_source"].startswith("genai-prices")
    for call in calls:
        agent, start_ns, end_ns = turns[call["parent_span_id"]]
        assert agent == call["agent"]
        assert start_ns <= call["start_ns"] <= call["end_ns"] <= end_ns
    assert "2 of 8 entries have no author or no text" in report.problems[0].reason


def test_two_who_talk_address_each_other(importing: Importing) -> None:
    """ChatDev: a message names its pair; what opens a phase goes to the other one, and what names no pair to nobody."""
    events = [
        logged("start_chat", 0, agent="Chief", phase="Plan", content="Make a plan."),
        logged("message", 1, agent="Coder", pair=["Coder", "Chief"], phase="Plan", content="A plan."),
        logged("message", 2, agent="Chief", pair=["Coder", "Chief"], phase="Plan", content="Good."),
        logged("start_chat", 3, agent="Chief", phase="Ship", content="Ship it."),
        logged("message", 4, agent="Chief", to="Tester", pair=["Coder", "Chief"], content="Test it."),
    ]
    _, rows = importing(json.dumps({"id": "CD-2", "events": events}))
    spoken = [(r["agent"], r["target_agent"]) for r in rows if r["kind"] == "message"]
    assert spoken == [
        ("Chief", "Coder"), ("Coder", "Chief"), ("Chief", "Coder"), ("Chief", None), ("Chief", "Tester"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"models_usage": {"prompt_tokens": 50, "completion_tokens": 7}}, (None, 50, 7)),
        ({"usage": {"input_tokens": 5, "output_tokens": 0, "cost": 0.5}, "model": "house"}, ("house", 5, 0)),
        ({"usage_metadata": {"input_tokens": 3}}, (None, 3, None)),
        ({"models_usage": None}, None),
        ({"usage": {"prompt_tokens": "many"}}, None),
        ({"usage": {"prompt_tokens": -1}}, None),
        ({"usage": "much"}, None),
    ],
)
def test_usage_on_the_message_itself(
    importing: Importing, usage: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """AutoGen, LangChain and others: one call a message, none where nothing is counted; people make no calls."""
    messages = [
        {"source": "user", "content": "Hi", "usage": {"input_tokens": 1}},
        {"source": "x", "content": "a", **usage},
    ]
    report, rows = importing(json.dumps({"messages": messages}))
    calls = [(r["model"], r["input_tokens"], r["output_tokens"]) for r in rows if r["kind"] == "llm"]

    assert calls == ([] if expected is None else [expected])
    assert (report.read, report.problems) == (1, [])


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({"content": "Error: user not found"}, "Error: user not found"),
        ({"content": "ValueError: no such date"}, "ValueError: no such date"),
        ({"content": "Traceback (most recent call last):\n  x"}, "Traceback (most recent call last):\n  x"),
        ({"content": '{"error": "rate limited"}'}, "rate limited"),
        ({"content": "down", "is_error": True}, "down"),
        ({"content": "down", "status": "error"}, "down"),
        ({"content": "", "error": "timed out"}, "timed out"),
        ({"content": "The log says: Error: user not found"}, None),
        ({"content": "Errors were none"}, None),
        ({"content": '{"error": null, "rows": 3}'}, None),
        ({"content": '{"error": "partial", "rows": 3}'}, None),
        ({"content": '{"error": '}, None),
        ({"content": "fine", "status": "success"}, None),
    ],
)
def test_a_tool_that_says_it_failed(importing: Importing, fields: dict[str, Any], failed: str | None) -> None:
    """As tau-bench and others write it; an answer that only speaks of errors is none."""
    call = {"id": "c1", "function": {"name": "find", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", **fields},
    ]
    _, rows = importing(json.dumps({"traj": messages}))
    [tool] = [r for r in rows if r["kind"] == "tool"]

    assert (tool["status"], tool["error_message"]) == (("ok", None) if failed is None else ("error", failed))


TRANSCRIPTS: dict[str, tuple[str, int, list[str | None]]] = {
    "bare messages": ('[{"role": "user", "content": "a"}, {"name": "x", "content": "b"}]', 1, ["user", "x"]),
    "a message a line": ('{"source": "x", "content": "a"}\n{"source": "y", "content": "b"}\n', 1, ["x", "y"]),
    "nested list": ('{"id": 1, "result": {"messages": [{"role": "x", "content": "a"}]}}', 1, ["x"]),
    "pretty-printed": (json.dumps({"messages": [{"agent": "x", "content": "a"}]}, indent=2), 1, ["x"]),
    "content as parts": ('{"messages": [{"role": "x", "content": [{"type": "text", "text": "a"}]}]}', 1, ["x"]),
    "entries without author": (
        '{"history": [{"role": "x", "content": "a"}, {"content": "b"}, 5, {"role": "y", "content": "c"}]}',
        1,
        ["x", "y"],
    ),
}


@pytest.mark.parametrize("case", TRANSCRIPTS)
def test_shapes_of_transcripts(importing: Importing, case: str) -> None:
    """The list of messages is found wherever it is; entries that are none keep their number free."""
    content, read, agents = TRANSCRIPTS[case]
    report, rows = importing(content)

    assert read == report.read
    assert agents == [r["agent"] for r in rows if r["step"] is not None]
    if case == "entries without author":
        assert [r["step"] for r in rows if r["step"] is not None] == [0, 3]
        assert "2 of 4 entries" in report.problems[0].reason


def test_transcript_times(importing: Importing) -> None:
    """Times of the source are used where every message has one in order; a message is made after the one before it."""
    messages = [{"role": "x", "content": str(n), "timestamp": f"2025-05-13T09:08:{n:02}"} for n in (1, 4, 4)]
    _, rows = importing(json.dumps({"messages": messages}))
    steps = [r for r in rows if r["step"] is not None]

    assert [r["derived"] for r in steps] == [None] * 3
    assert steps[0]["end_ns"] == steps[1]["start_ns"] == 1_747_127_281 * 10**9 + 1_000
    assert [r["end_ns"] // 10**9 for r in steps[1:]] == [1_747_127_284] * 2
    assert steps[2]["end_ns"] - steps[2]["start_ns"] == 1_000


SAID = [("user", "hi"), ("A", "yo")]
SHAPES: dict[str, Any] = {
    "deeper down": {"id": "x", "log": {"data": {"history": [{"role": "user", "content": "hi"}, {"name": "A", "content": "yo"}]}}},
    "as text": {"id": "x", "history": '[{"role": "user", "content": "hi"}, {"name": "A", "content": "yo"}]'},
    "numbered": {"id": "x", "trajectory": {"0": {"role": "user", "content": "hi"}, "1": {"agent_name": "A", "content": "yo"}}},
    "langchain": {"id": "x", "messages": [{"type": "human", "content": "hi"}, {"type": "ai", "name": "A", "content": "yo"}]},
    "langchain, stored": {"id": "x", "messages": [{"type": "human", "data": {"content": "hi"}}, {"type": "ai", "data": {"content": "yo", "name": "A"}}]},
    "langchain, dumped": {"id": "x", "messages": [
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {"content": "hi"}},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": {"content": "yo", "name": "A"}}]},
    "authors with a role": {"id": "x", "conversation": [
        {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["hi"]}},
        {"author": {"role": "assistant", "name": "A"}, "content": {"content_type": "text", "parts": ["yo"]}}]},
    "other names": {"id": "x", "dialogue": [{"speaker_name": "user", "utterance": "hi"}, {"speaker_name": "A", "msg": "yo"}]},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_messages(importing: Importing, shape: str) -> None:
    """The same talk in the words of other writers, with the source's own id."""
    report, rows = importing(json.dumps(SHAPES[shape]), "log.json")
    steps = [(r["step"], r["agent"]) for r in rows if r["kind"] == "message"]

    assert (report.read, report.problems) == (1, [])
    assert steps == [(0, "user"), (1, "A")]
    root = next(r for r in rows if r["kind"] == "workflow")
    assert json.loads(root["attributes"])["tracehound.source.id"] == "x"


def test_calls_in_parts_of_a_message(importing: Importing) -> None:
    """Anthropic's parts: two calls in one message, both answers in the next, each a tool call of the agent that asked."""
    calls = [{"type": "tool_use", "id": f"t{n}", "name": "look", "input": {"n": n}} for n in (1, 2)]
    answers: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "down"}], "is_error": True},
        {"type": "tool_result", "tool_use_id": "t1", "content": "fine"},
    ]
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "looking"}, *calls]},
        {"role": "user", "content": answers},
    ]
    _, rows = importing(json.dumps({"messages": talk}), "log.json")
    tools = [r for r in rows if r["kind"] == "tool"]

    assert [(r["tool_name"], r["agent"], r["step"], r["status"]) for r in tools] == [
        ("look", "assistant", 2, "error"),
        ("look", "assistant", 2, "ok"),
    ]
    assert len({r["args_hash"] for r in tools}) == 2


def test_an_id_used_twice_is_the_call_before(importing: Importing) -> None:
    """Some providers number calls from 1 in every answer: an answer belongs to the last call of that id before it."""
    talk: list[dict[str, Any]] = []
    for city in ("Ulm", "Bonn"):
        call = {"id": "1", "function": {"name": "weather", "arguments": {"city": city}}}
        talk += [{"role": "assistant", "content": None, "tool_calls": [call]}]
        talk += [{"role": "tool", "tool_call_id": "1", "content": "rain"}]
    _, rows = importing(json.dumps({"messages": talk}), "log.json")

    assert len({r["args_hash"] for r in rows if r["kind"] == "tool"}) == 2


def test_counts_as_text_and_beside(importing: Importing) -> None:
    """Usage as text, as floats, and in the metadata of a message."""
    talk = [
        {"agent": "A", "content": "x", "usage": {"prompt_tokens": "12", "completion_tokens": 5.0, "cost": "0.001"}},
        {"agent": "B", "content": "y", "response_metadata": {"token_usage": {"prompt_tokens": 7, "completion_tokens": 3}, "model_name": "m"}},
    ]  # fmt: skip
    _, rows = importing(json.dumps({"messages": talk}), "log.json")

    assert [(r["agent"], r["model"], r["input_tokens"], r["output_tokens"]) for r in rows if r["kind"] == "llm"] == [
        ("A", None, 12, 5),
        ("B", "m", 7, 3),
    ]


def test_numbers_that_are_texts_are_no_counts(importing: Importing) -> None:
    """What was asked and answered may be a number; only under a name for usage it says how many tokens."""
    talk = [{"agent": "A", "input": "6 * 7", "output": "42"}, {"agent": "B", "prompt": "7", "output": "6"}]
    _, rows = importing(json.dumps({"messages": talk}), "log.json")

    assert [r["agent"] for r in rows if r["kind"] == "agent"] == ["A", "B"]
    assert [r for r in rows if r["output_tokens"] is not None or r["input_tokens"] is not None] == []


def test_lines_of_several_conversations(importing: Importing) -> None:
    """A first line that tells of the file, then bare messages of two conversations, mixed."""
    lines: list[dict[str, Any]] = [{"version": 1, "workflow": "desk", "success": True}]
    lines += [{"agent": "A", "content": str(n), "conversation_id": name} for n, name in enumerate("xyx")]
    report, rows = importing("\n".join(map(json.dumps, lines)), "log.jsonl")
    roots = [r for r in rows if r["kind"] == "workflow"]

    assert (report.read, report.problems) == (2, [])
    assert sorted(json.loads(r["attributes"])["tracehound.source.id"] for r in roots) == ["x", "y"]
    assert {r["workflow"] for r in rows} == {"desk"}
