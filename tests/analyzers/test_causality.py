"""Happens-before of one run."""

from __future__ import annotations

import pytest

from analyzers.causality import HappensBefore
from tests.drawn import Node, agent, frames, handoff, llm, message, run, state_read, state_write

CASES: dict[str, tuple[list[Node], bool]] = {
    "parallel siblings": ([agent("a", 0, 5, id="x"), agent("b", 1, 4, id="y")], False),
    "one after the other under one parent": ([agent("a", 0, 2, id="x"), agent("b", 3, 4, id="y")], True),
    "message in between": (
        [agent("a", 0, 9, llm(1, 2, id="x"), message("a", "b", 3)), agent("b", 1, 9, llm(4, 5, id="y"))], True,
    ),
    "message to somebody else": (
        [agent("a", 0, 9, llm(1, 2, id="x"), message("a", "c", 3)), agent("b", 1, 9, llm(4, 5, id="y"))], False,
    ),
    "handoff in between": (
        [agent("a", 0, 9, llm(1, 2, id="x"), handoff("a", "b", 3)), agent("b", 3.5, 9, llm(4, 5, id="y"))], True,
    ),
    "version written and read": (
        [agent("a", 0, 9, llm(1, 2, id="x"), state_write("k", 3, version=2)), agent("b", 1, 9, state_read("k", 4, version=2), llm(5, 6, id="y"))], True,
    ),
    "an older version read": (
        [agent("a", 0, 9, llm(1, 2, id="x"), state_write("k", 3, version=2)), agent("b", 1, 9, state_read("k", 4, version=1), llm(5, 6, id="y"))], False,
    ),
    "linked": ([agent("a", 0, 9, llm(1, 2, id="x")), agent("b", 1, 9, llm(4, 5, id="y", links=["x"]))], True),
    "inner before outer ends": ([agent("b", 0, 9, agent("a", 1, 2, id="x"), id="y")], True),
    "other process, within the clock error": ([agent("a", 0, 2, id="x", pid=1), agent("b", 2.01, 4, id="y", pid=2)], False),
    "other process, well after": ([agent("a", 0, 2, id="x", pid=1), agent("b", 3, 4, id="y", pid=2)], True),
    "two marks at one moment": ([message("a", "b", 1, id="x"), message("a", "c", 1, id="y")], False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_who_could_have_known(case: str) -> None:
    """Order follows recorded causes; it never holds both ways."""
    items, expected = CASES[case]
    drawn = frames(run("w", *items))
    relation = HappensBefore(drawn.spans, drawn.links)

    assert relation.before("x", "y") is expected
    assert not relation.before("y", "x")
    assert relation.concurrent("x", "y") is not expected


def test_deep_traces_need_no_recursion() -> None:
    """A chain of thousands of nested spans is searched."""
    inner = agent("a", 0, 1, id="deep")
    for _ in range(900):
        inner = agent("a", 0, 1, inner)
    drawn = frames(run("w", inner, agent("b", 2, 3, id="after")))

    assert HappensBefore(drawn.spans).before("deep", "after")
