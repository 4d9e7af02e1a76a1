"""Pauses that would squash the work of a run."""

from __future__ import annotations

from dashboard.figures.idle import idle_gaps
from dashboard.figures.tree import build_tree
from tests.drawn import Drawn, agent, frames, llm, run, tool, wait

HOUR_NS = 3_600_000_000_000


def gaps(drawn: Drawn) -> list[tuple[int, int]]:
    return idle_gaps(build_tree(frames(drawn)))


def test_a_wait_for_a_person_is_one_pause() -> None:
    """From the last work before it to the first after it, whoever encloses the wait."""
    asked = run("w", agent("clerk", 0, 3_604, llm(0, 2), wait("lead", 2, 3_602), llm(3_602, 3_604)))
    assert gaps(asked) == [(2_000_000_000, 3_602_000_000_000)]


def test_work_elsewhere_is_no_pause() -> None:
    """While one agent waits another works; only where nobody does, time is folded."""
    beside = run(
        "w", agent("a", 0, 7_200, wait("b", 0, 7_200)), agent("b", 0, 7_200, tool("crawl", 0, 3_600, result=""))
    )
    assert gaps(beside) == [(HOUR_NS, 2 * HOUR_NS)]


def test_short_and_usual_pauses_stay() -> None:
    """A poll every half minute keeps its rhythm, a run of seconds its scale, and much work is not squashed by a pause."""
    assert gaps(run("poll", *(tool("status", 30 * n, 30 * n + 1) for n in range(25)))) == []
    assert gaps(run("quick", llm(0, 0.2), llm(9, 9.2))) == []
    assert gaps(run("long", llm(0, 600), llm(700, 1300))) == []
