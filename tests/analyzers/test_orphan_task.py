"""Work that nobody owns, or nobody took up."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.orphan_task import find_orphan_tasks
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, handoff, llm, message, run


def found(*items: Node, outcome: str = "completed", end: float | None = None) -> list[Finding]:
    return find_orphan_tasks(frames(run("w", *items, outcome=outcome, end=end)))


def started(child_end: float | None, *calls: Node, **fields: Any) -> Node:
    """planner |=====| 0 to 10, worker from 5 on inside it."""
    return agent("planner", 0, 10, agent("worker", 5, child_end, *calls, id="w", **fields))


@pytest.mark.parametrize(
    ("node", "severity"),
    [
        (started(10), None),
        (started(10.5), None),
        (started(30), "info"),
        (started(30, llm(12, 13, cost="0.5", input_tokens=9, output_tokens=1)), "warning"),
        (started(None, status="interrupted"), "warning"),
    ],
)
def test_an_agent_that_outlives_its_creator(node: Node, severity: str | None) -> None:
    """A second beyond is an orphan; one that spends money or never ends is a warning."""
    findings = found(node)

    assert [f.severity for f in findings] == ([severity] if severity else [])
    assert all(f.spans == ("w",) and f.agents == ("worker",) for f in findings)


def test_only_what_is_spent_after_the_creator_ended_is_charged() -> None:
    """The call before the end was wanted, the one after it was not."""
    (finding,) = found(started(30, llm(6, 7, cost="0.3"), llm(12, 13, cost="0.5")))

    assert float(finding.wasted_usd or 0) == 0.5


def test_a_task_that_nobody_takes_up() -> None:
    """A handover by name to an agent that does nothing afterwards."""
    (finding,) = found(agent("planner", 0, 10, handoff("planner", "auditor", 5, task_id="t7", id="h")))

    assert finding.severity == "warning"
    assert finding.spans == ("h",)
    assert finding.data["tasks"] == ["t7"]


NEGATIVES: dict[str, list[Node]] = {
    "taken up": [agent("planner", 0, 4, handoff("planner", "auditor", 3, task_id="t")), agent("auditor", 4, 9)],
    "taken up by one that was there": [
        agent("auditor", 0, 9),
        agent("planner", 0, 4, handoff("planner", "auditor", 3, task_id="t")),
    ],
    "to a person": [agent("planner", 0, 4, handoff("planner", "user", 3, task_id="t"))],
    "the run is over": [agent("planner", 0, 4, handoff("planner", "__end__", 3))],
    "a message": [agent("planner", 0, 4, message("planner", "auditor", 3, "fyi"))],
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_work_with_an_owner_is_left_alone(case: str) -> None:
    """Tasks that were taken, went to people, or were never tasks."""
    assert found(*NEGATIVES[case]) == []


def test_a_run_that_goes_on_may_still_take_it_up() -> None:
    """While the run is running, nothing is called abandoned."""
    assert found(agent("planner", 0, None, handoff("planner", "auditor", 5, task_id="t")), outcome="running") == []


def test_checks_follow_the_input() -> None:
    """How long and how many show in what was checked."""
    (late,) = found(started(30))
    (cut,) = found(started(None, status="interrupted"))

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    assert values(late)["longest time beyond the creator, seconds"] == 20.0
    assert values(late)["of them never ended"] == 0
    assert values(cut)["of them never ended"] == 1


@pytest.mark.parametrize("outcome", ["failed", "stopped_by_guard", "timed_out"])
def test_a_run_that_was_stopped_did_not_get_to_it(outcome: str) -> None:
    """The last handoff before a stop is no orphan."""
    assert found(agent("planner", 0, 10, handoff("planner", "auditor", 5, task_id="t")), outcome=outcome) == []


def test_a_task_without_a_name_is_missed_only_where_its_receiver_never_appears() -> None:
    """An agent of which nothing at all is recorded; one that had been at work before may have been told in passing."""
    (finding,) = found(agent("planner", 0, 4, handoff("planner", "auditor", 3, id="h")))

    assert finding.spans == ("h",)
    assert finding.confidence < 0.8
    assert found(agent("auditor", 0, 1), agent("planner", 1, 4, handoff("planner", "auditor", 3))) == []


def test_a_task_on_its_way_back_is_no_orphan() -> None:
    """A run may end with a result handed back, or in the middle of a task that goes to and fro."""
    taken = [
        agent("planner", 0, 4, handoff("planner", "auditor", 3, task_id="t")),
        agent("auditor", 4, 9, handoff("auditor", "planner", 8, task_id="t")),
    ]
    again = agent("planner", 9, 12, handoff("planner", "auditor", 11, task_id="t"))

    assert found(*taken) == []
    assert found(*taken, again) == []


def test_where_spans_were_lost_the_receivers_may_be_among_them() -> None:
    """A receiver that appears in the run counts as able to take the task up."""
    items = [agent("auditor", 0, 1), agent("planner", 1, 4, handoff("planner", "auditor", 3, task_id="t"))]

    assert len(found(*items)) == 1
    assert found(*items, llm(2, 3, parent_span_id="gone")) == []
