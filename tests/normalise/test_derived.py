"""Facts told from what frameworks write for other purposes: state of graphs, choices in tool calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import pytest

from tests.normalise.drawn import raw
from tracer.model import RawSpan, Span
from tracer.normalise import normalise, resolve, summarise
from tracer.normalise.graph_state import changed_paths
from tracer.normalise.settings import settled

State = Mapping[str, Any]


def node(
    name: str, step: int, given: Any, got: Any, *, at: int = 0, path: str = "__pregel_pull", **more: Any
) -> RawSpan:
    """One execution of a LangGraph node as OpenInference writes it, in superstep `step`."""
    told = {
        "ls_integration": "langgraph", "langgraph_node": name, "langgraph_step": step, "langgraph_path": [path, name],
        "langgraph_checkpoint_ns": f"{name}:00000000-0000-0000-0000-{step:012d}", **more,
    }  # fmt: skip
    return raw(name, step * 10 + at, step * 10 + at + 5, "graph", a=written(given, got, told))


def graph(given: State, got: State) -> RawSpan:
    return raw("graph", 0, 1000, a=written(given, got, {"ls_integration": "langgraph"}))


def written(given: Any, got: Any, told: State) -> dict[str, Any]:
    return {
        "openinference.span.kind": "CHAIN", "metadata": json.dumps(told), "input.value": json.dumps(given),
        "output.value": got if isinstance(got, str) else json.dumps(got),
    }  # fmt: skip


def state_rows(spans: Sequence[RawSpan]) -> list[Span]:
    return [row for row in resolve(normalise(spans).spans) if row.kind.startswith("state_")]


def told(spans: Sequence[RawSpan]) -> set[tuple[Any, ...]]:
    """(r or w, node, key, version, how the write went)"""
    return {
        ("r", row.agent, row.state_key, row.version_read, None)
        if row.kind == "state_read"
        else ("w", row.agent, row.state_key, row.version_written, row.cas_outcome)
        for row in state_rows(spans)
    }


LOST = [
    graph({"doc": {}}, {"doc": {"b": 1}}),
    node("a", 1, {"doc": {}}, {"doc": {"a": 1}}),
    node("b", 1, {"doc": {}}, {"doc": {"b": 1}}, at=1),
]


def test_the_last_of_two_writes_wins() -> None:
    """Both nodes read version 1; what the graph gave back says that b's write came after a's."""
    assert told(LOST) == {
        ("r", "a", "doc", 1, None), ("r", "b", "doc", 1, None), ("w", "a", "doc", 2, "unchecked"),
        ("w", "b", "doc", 3, "unchecked"), ("r", None, "doc", 3, None),
    }  # fmt: skip


def test_the_winner_need_not_be_the_one_that_ended_last() -> None:
    """LangGraph applies the writes of a step in an order of its own."""
    spans = [graph({"doc": {}}, {"doc": {"a": 1}}), *LOST[1:]]
    assert ("w", "a", "doc", 3, "unchecked") in told(spans)


def test_a_reducer_that_merges_loses_nothing() -> None:
    """What came of the two writes is neither of them."""
    spans = [graph({"doc": {}}, {"doc": {"a": 1, "b": 1}}), *LOST[1:]]
    assert {row[-1] for row in told(spans) if row[0] == "w"} == {"ok"}


def test_writes_that_nobody_saw_again_are_not_judged() -> None:
    """Without a later read nobody knows which write won."""
    assert {row[-1] for row in told(LOST[1:]) if row[0] == "w"} == {"unversioned"}


def test_a_task_may_be_sent_an_old_value() -> None:
    """The task's copy of the price is version 1, although version 2 is there and is read later."""
    spans = [
        graph({"price": 1}, {"price": 2}),
        node("pricer", 1, {"price": 1}, {"price": 2}),
        node("booker", 2, {"price": 1}, {"booked": ["x"]}, path="__pregel_push"),
    ]
    assert ("r", "booker", "price", 1, None) in told(spans)


def test_a_value_that_a_reducer_kept_is_not_stale() -> None:
    """The largest wins: the smaller write is never seen again, so the old value is the newest."""
    spans = [
        graph({"best": 5}, {"best": 7}),
        node("a", 1, {"best": 5}, {"best": 3}),
        node("b", 2, {"best": 5}, {"best": 7}),
    ]
    reads = {row.agent: row.version_read for row in state_rows(spans) if row.kind == "state_read"}
    writes = {row.agent: row.version_written for row in state_rows(spans) if row.kind == "state_write"}
    assert reads["b"] == writes["b"] - 1


def test_nodes_that_write_different_keys_read_nothing_of_each_other() -> None:
    """Every node is shown the whole state, which says nothing of what it looked at."""
    spans = [node("a", 1, {"x": 1, "y": 1}, {"x": 2}), node("b", 1, {"x": 1, "y": 1}, {"y": 2})]
    assert {row[:3] for row in told(spans)} == {("r", "a", "x"), ("w", "a", "x"), ("r", "b", "y"), ("w", "b", "y")}


def test_messages_are_appended() -> None:
    """LangGraph's own reducer keeps every message: a write that says so, and no read."""
    spans = [node("a", 1, {"messages": []}, {"messages": [{"type": "ai", "data": {"content": "hi"}}]})]
    [row] = state_rows(spans)
    assert (row.kind, row.state_key, json.loads(row.attributes)["tracehound.state.merge"]) == (
        "state_write", "messages", "append",
    )  # fmt: skip


def test_a_key_that_was_left_out_is_told_by_the_next_read() -> None:
    """OpenInference writes {"title": "Offer"} as Offer."""
    spans = [graph({"title": ""}, {"title": "Offer"}), node("a", 1, {"title": ""}, "Offer")]
    assert ("w", "a", "title", 1, "unchecked") in told(spans)


@pytest.mark.parametrize(
    "span",
    [
        node("router", 1, {"x": 1}, {"x": 2}, checkpoint_ns="router:00000000-0000-0000-0000-000000000001"),
        node("tools", 1, {"__type": "tool_call_with_context", "state": {}}, {"x": 1}),
        raw("should_continue", 1, 2, a=written({"x": 1}, {"x": 2}, {"ls_integration": "langgraph", "langgraph_node": "a",
            "langgraph_checkpoint_ns": "a:1"})),
    ],
    ids=["what runs inside a node", "a tool call sent to a node", "a router"],
)  # fmt: skip
def test_only_nodes_have_state(span: RawSpan) -> None:
    """Reads of the tool call's own input and of routers are none."""
    assert [row.state_key for row in state_rows([span]) if row.kind == "state_read"] == []


def test_made_rows_are_counted_nowhere() -> None:
    """The run has the spans and the agents that it sent."""
    summary = summarise(resolve(normalise(LOST).spans))
    assert (summary.spans, summary.agents) == (3, 0)


def test_any_order_and_any_number_of_times() -> None:
    """Derived rows have ids of their own, so a span that is delivered twice adds none."""
    expected = resolve(normalise(LOST).spans)
    for order in permutations([*LOST, LOST[1]]):
        assert resolve(normalise(order).spans) == expected
    assert resolve(expected) == expected


def test_changed_paths_name_the_leaves() -> None:
    """Lists and scalars differ as a whole, a container that became a scalar too."""
    assert changed_paths({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"b": 2, "c": [1]}, "e": 1}) == ["a.b", "d", "e"]
    assert changed_paths({"a": {"b": 1}}, {"a": 1}) == ["a"]
    assert changed_paths(1, True) == [""]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("set_status", {"order_id": "A-1", "status": "paid"}, ("set_status(order_id=A-1): status", "paid")),
        ("update_order", {"id": 7, "b": 1, "a": 2}, ("update_order(id=7): a, b", '{"a":2,"b":1}')),
        ("add_comment", {"order_id": "A-1", "text": "hello"}, None),
        ("get_order", {"order_id": "A-1", "full": True}, None),
        ("set_mood", {"mood": "good"}, None),
        ("set_text", {"page_id": "1", "text": "x" * 300}, None),
        (None, {"order_id": "A-1", "status": "paid"}, None),
        ("set_status", "A-1", None),
    ],
)
def test_what_a_tool_call_settles(tool: str | None, arguments: Any, expected: tuple[str, str] | None) -> None:
    """Only calls that replace a value of an object with an id; the fields set are part of the scope."""
    assert settled(tool, arguments) == expected
