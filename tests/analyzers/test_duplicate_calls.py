"""Calls made again: which were needless, which were not."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.duplicate_calls import find_duplicate_calls
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, llm, run, state_write, tool, wait


def look(at: float, q: str = "ACME", result: str = "12 hits", **fields: Any) -> Node:
    return tool("search", at, at + 0.5, args={"q": q}, result=result, **fields)


def think(at: float, prompt: str, answer: str, cost: str = "0.10") -> Node:
    return llm(at, at + 0.5, prompt=prompt, answer=answer, cost=cost, input_tokens=50, output_tokens=5)


def found(*items: Node) -> list[Finding]:
    return find_duplicate_calls(frames(run("w", agent("a", 0, 99, *items))))


@pytest.mark.parametrize(("times", "severity"), [(2, None), (3, "info"), (5, "info"), (6, "warning")])
def test_equal_calls_with_equal_results_are_counted(times: int, severity: str | None) -> None:
    """Three equal calls are remarked on, five needless ones are a warning."""
    assert [f.severity for f in found(*(look(n) for n in range(times)))] == ([severity] if severity else [])


def test_model_calls_are_charged_without_the_first() -> None:
    """The same messages and the same answer: all but the first are waste, and a fifth of the run's money warns."""
    (finding,) = found(*(think(n, "Classify this.", "spam") for n in range(3)), think(5, "Write it up.", "done"))

    assert finding.severity == "warning"
    assert float(finding.wasted_usd or 0) == pytest.approx(0.20)
    assert len(finding.data["wasted_spans"]) == 2
    assert {c.rule: c.value for c in finding.checked}["share of the run's money"] == 0.5


NEGATIVES: dict[str, list[Node]] = {
    "other arguments": [look(n, q=f"ACME {n}") for n in range(9)],
    "other results": [look(n, result=f"{n} hits") for n in range(9)],
    "sampling": [think(n, "Give an idea.", f"idea {n}") for n in range(9)],
    "retries of a failure": [look(n, status="error") for n in range(9)],
    "polling with waits": [x for n in range(9) for x in (look(n), wait([], n + 0.6, n + 0.9, reason="timer"))],
    "polling without recorded waits": [look(3 * n) for n in range(9)],
    "after writes": [x for n in range(9) for x in (look(n), state_write("plan", n + 0.6, value={"n": n}))],
    "edit and test": [x for n in range(9) for x in (
        look(n), tool("edit_file", n + 0.6, n + 0.8, args={"n": n}, result="ok"))],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_calls_that_may_be_made_again_are_left_alone(case: str) -> None:
    """Anything that could change the answer, or was meant to wait for it, excuses the call."""
    assert found(*NEGATIVES[case]) == []


def test_the_finding_names_the_calls() -> None:
    """Groups with their counts, spans in order, the first call not among the waste."""
    (finding,) = found(*(look(n) for n in range(6)), *(look(n + 0.25, q="BETA", result="none") for n in range(4)))

    assert [(g["name"], g["times"]) for g in finding.data["groups"]] == [("search", 6), ("search", 4)]
    assert finding.data["calls"] == 8
    assert len(finding.spans) == 10
    assert "8 calls" in finding.title


def test_nothing_done_in_the_world_changes_what_a_model_answers() -> None:
    """The same messages and the same answer are waste whatever tools are called in between; a tool's answer may have changed."""
    between = [tool("update_order", n + 0.6, n + 0.8, args={"n": n}, result="ok") for n in range(4)]

    assert len(found(*(think(n, "Classify this.", "spam") for n in range(4)), *between)) == 1
    assert found(*(look(n) for n in range(4)), *between) == []


def test_where_spans_were_lost_a_pair_is_enough() -> None:
    """One more of the calls may be among those that did not arrive."""
    lost = llm(4, 4.5, parent_span_id="gone")

    assert found(look(0), look(1)) == []
    (finding,) = found(look(0), look(1), lost)
    assert finding.confidence < 0.95
