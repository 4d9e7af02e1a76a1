"""Instances of one agent name: told apart where their invocations overlap and nothing else tells them apart."""

from __future__ import annotations

import polars as pl

from analyzers.causality import HappensBefore
from tests.normalise.drawn import genai, raw, rows
from tracer.model import RawSpan
from tracer.normalise import normalise, resolve
from tracer.store.columns import frame_of


def worker(name: str, start: float, end: float | None, parent: str = "run", **more: str) -> RawSpan:
    return raw(name, start, end, parent, a=genai("invoke_agent", agent__name="worker", **more))


def ids(*spans: RawSpan) -> dict[str, str | None]:
    found = rows(raw("run", 0, 20, a=genai("invoke_workflow", workflow__name="run")), *spans)
    return {name: row.agent_id for name, row in found.items() if name != "run"}


def test_invocations_that_overlap_are_numbered() -> None:
    """A number is free again when its invocation has ended; what an instance does bears its number, what it asks of others does not."""
    assert ids(
        worker("one", 1, 4), worker("two", 2, 8), worker("three", 5, 7), worker("four", 6, None),
        raw("chat", 2, 3, "two", a=genai("chat", request__model="m")),
        raw("clerk", 3, 4, "two", a=genai("invoke_agent", agent__name="clerk")),
    ) == {
        "one": "worker#1", "two": "worker#2", "three": "worker#1", "four": "worker#3", "chat": "worker#2", "clerk": None,
    }  # fmt: skip


def test_one_after_the_other_inside_each_other_or_named_is_left_alone() -> None:
    """None of these needs a number."""
    assert ids(worker("one", 1, 4), worker("two", 4, 8)) == {"one": None, "two": None}
    assert ids(worker("one", 1, 9), worker("two", 2, 8, "one")) == {"one": None, "two": None}
    assert ids(worker("one", 1, 9, agent__id="a"), worker("two", 2, 8, agent__id="b")) == {"one": "a", "two": "b"}


def test_instances_do_not_know_of_each_other() -> None:
    """By the name alone, the tool of the second would follow on the call of the first."""
    spans = [
        raw("run", 0, 20, a=genai("invoke_workflow", workflow__name="run")),
        worker("one", 1, 9),
        worker("two", 1, 9),
    ]
    calls = [
        raw("chat", 2, 3, "one", a=genai("chat", request__model="m")),
        raw("tool", 4, 5, "two", a=genai("execute_tool", tool__name="t")),
    ]
    resolved = resolve(normalise([*spans, *calls]).spans)
    named = {row.name: row.span_id for row in resolved}
    relation = HappensBefore(frame_of("spans", resolved))
    assert relation.concurrent(named["chat"], named["tool"])
    alone = frame_of("spans", resolved).with_columns(agent_id=pl.lit(None, pl.String))
    assert HappensBefore(alone).before(named["chat"], named["tool"])
