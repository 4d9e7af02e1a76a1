"""Rival decisions, and what only looks like them."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.conflicting_decisions import find_conflicting_decisions
from analyzers.finding import Finding
from tests.drawn import Node, agent, decision, frames, handoff, message, run, tool

KEY = "refund-17"


def found(*items: Node) -> list[Finding]:
    return find_conflicting_decisions(frames(run("w", *items)))


def rivals(one: str, other: str, **fields: Any) -> list[Node]:
    """
    a  |-- d1 --|
    b   |-- d2 --|
    """
    return [
        agent("a", 0, 9, decision(KEY, one, 2, id="d1", **fields)),
        agent("b", 1, 9, decision(KEY, other, 3, id="d2", **fields)),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("approve", "reject"),
        ("100", "120"),
        ("pay INV-7 in full within thirty days of today", "pay INV-8 in full within thirty days of today"),
    ],
)
def test_concurrent_different_choices_conflict(one: str, other: str) -> None:
    """Two choices that neither agent could know of are a conflict with both decisions as evidence."""
    (finding,) = found(*rivals(one, other))

    assert finding.spans == ("d1", "d2")
    assert finding.agents == ("a", "b")
    assert finding.severity == "warning"
    assert finding.data["resolution"] == "last wins"


HEALTHY: dict[str, list[Node]] = {
    "same choice": rivals("approve", "Approve."),
    "same number": rivals("100", "100.00"),
    "votes": rivals("approve", "reject", mode="vote"),
    "revision after a message": [
        agent("a", 0, 9, decision(KEY, "approve", 2), message("a", "b", 3)), agent("b", 1, 9, decision(KEY, "reject", 4))],
    "one after the other": [agent("a", 0, 3, decision(KEY, "approve", 2)), agent("b", 4, 9, decision(KEY, "reject", 5))],
    "different scopes": [agent("a", 0, 9, decision("x", "approve", 2)), agent("b", 1, 9, decision("y", "reject", 3))],
    "an agent changes its mind": [agent("a", 0, 9, decision(KEY, "approve", 2), decision(KEY, "reject", 3))],
    "planned fan-out of one task": [agent("a", 0, 9, *(handoff("a", f"worker {n}", n, task_id="t") for n in range(1, 5)))],
}  # fmt: skip


@pytest.mark.parametrize("case", HEALTHY)
def test_silent_on_agreement_votes_and_revisions(case: str) -> None:
    """Agreement, votes, revisions and fan-out are no conflicts."""
    assert found(*HEALTHY[case]) == []


def test_both_acted_on_is_critical() -> None:
    """Two side effects make it critical, and they are part of the evidence."""
    (marked,) = found(*rivals("approve", "reject", acted_on=True))
    (seen,) = found(
        agent("a", 0, 9, decision(KEY, "pay", 2, id="d1"), tool("pay", 4, 5, id="paid")),
        agent("b", 1, 9, decision(KEY, "refuse", 3, id="d2"), tool("refuse", 5, 6, id="refused")),
    )

    assert (marked.severity, seen.severity) == ("critical", "critical")
    assert seen.spans == ("d1", "d2", "paid", "refused")
    assert "Both were acted on." in seen.explanation


def test_a_coordinator_that_settles_it_makes_it_information() -> None:
    """A later decision that could know both is named; the check changes sides."""
    (open_,) = found(*rivals("approve", "reject"))
    (settled,) = found(*rivals("approve", "reject"), agent("boss", 10, 12, decision(KEY, "approve", 11, id="final")))
    checks = [next(c for c in f.checked if c.rule.startswith("settled")).passed for f in (open_, settled)]

    assert settled.severity == "info"
    assert settled.data["settled_by"] == "final"
    assert checks == [True, False]


def test_handoffs_of_one_task_by_two_agents() -> None:
    """Without decision spans, one task sent to two places at once is a likely conflict."""
    (finding,) = found(
        agent("a", 0, 9, handoff("a", "c", 2, task_id="t")), agent("b", 1, 9, handoff("b", "d", 3, task_id="t"))
    )

    assert finding.confidence < 0.7
    assert finding.data["key"] == "t"


def test_free_text_without_items_is_only_possible() -> None:
    """Two long wordings are not called a conflict with certainty."""
    (finding,) = found(
        *rivals(
            "we should answer the customer with a friendly apology",
            "it would be best to ask the customer for more time",
        )
    )

    assert finding.severity == "info"
    assert finding.confidence < 0.5


@pytest.mark.parametrize(
    ("last", "how"),
    [
        (None, "last wins"),
        (agent("boss", 10, 12, decision(KEY, "approve", 11)), "coordinator"),
        (agent("boss", 10, 12, decision(KEY, "half", 11)), "merged"),
        (agent("a", 10, 12, decision(KEY, "reject", 11)), "later decision"),
        (agent("boss", 10, 12, decision(KEY, "half", 11, resolution="vote of the board")), "vote of the board"),
    ],
)
def test_the_way_it_was_settled_is_told(last: Node | None, how: str) -> None:
    """Coordinator, merge, a rival's own second thought, or nothing at all: then the last one stands, and is named."""
    (finding,) = found(*rivals("approve", "reject"), *([last] if last else []))

    assert finding.data["resolution"] == how
    assert how in finding.explanation
    assert ("b's 'reject' (last wins)" in finding.explanation) is (last is None)


def test_checks_follow_the_input() -> None:
    """Revisions, concurrent pairs and effects show in what was checked."""

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    (two,) = found(*rivals("approve", "reject"))
    (three,) = found(*rivals("approve", "reject", acted_on=True), agent("c", 0, 9, decision(KEY, "wait", 4)))
    (revised,) = found(*rivals("approve", "reject"), agent("d", 10, 12, decision(KEY, "wait", 11)))

    pairs = "concurrent pairs (neither could have read the other)"
    assert (values(two)[pairs], values(three)[pairs]) == (1, 3)
    assert (values(two)["both were acted on"], values(three)["both were acted on"]) == (False, True)
    assert values(revised)["ruled out: revisions (the later one could have read the earlier)"] == 2
