"""Runs that are far too dear, and costs that are only spread."""

from __future__ import annotations

import random

import pytest

from analyzers.detectors.cost_anomaly import find_cost_anomaly
from analyzers.finding import Finding, Skipped
from tests.drawn import Drawn, agent, frames, llm, run


def conversation(
    number: int, cost: float, *, calls: int = 2, tokens: int = 1000, workflow: str = "w", outcome: str = "completed"
) -> Drawn:
    """A run whose writer makes `calls` calls that cost `cost` together."""
    each = [
        llm(n, n + 1, input_tokens=tokens, output_tokens=0, cost=f"{cost / calls:.6f}", id=f"{workflow}{number}-{n}")
        for n in range(calls)
    ]
    return run(workflow, agent("writer", 0, calls, *each), id=f"{workflow}{number}", at=number * 100.0, outcome=outcome)


def ask(costs: list[float], **last: int) -> list[Finding | Skipped]:
    usual = [conversation(n, cost) for n, cost in enumerate(costs[:-1])]
    return find_cost_anomaly(frames(*usual, conversation(len(costs), costs[-1], **last)))  # type: ignore[arg-type]


def test_a_run_ten_times_as_dear_is_found_with_its_cause() -> None:
    """The excess is split into calls, tokens and price, and laid to an agent."""
    (finding,) = ask([1.0, 1.1, 0.9] * 5 + [10.0], calls=20)

    assert isinstance(finding, Finding)
    assert finding.severity == "critical"
    assert finding.data["factors"]["calls"] == pytest.approx(10.0)
    assert finding.data["factors"]["tokens_per_call"] == pytest.approx(1.0)
    assert finding.data["by_agent"][0]["agent"] == "writer"
    assert len(finding.spans) == 10
    assert "10 times the LLM calls" in finding.explanation


@pytest.mark.parametrize(
    ("case", "costs"),
    [
        ("all alike", [1.0] * 20),
        ("dear, but less than 3 times", [1.0] * 15 + [2.9]),
        (
            "3.2 times, where costs are spread that widely",
            [0.2, 0.5, 1.0, 2.0, 4.0, 0.3, 0.7, 1.5, 3.0, 0.25, 0.9, 1.1, 3.2],
        ),
        ("few runs, little above the dearest", [1.0, 1.0, 3.0, 3.5]),
    ],
)
def test_silent_on_ordinary_costs(case: str, costs: list[float]) -> None:
    """Both rules must agree."""
    assert ask(costs) == [], case


def test_few_runs_give_low_confidence() -> None:
    """With three other runs only a clear case is told, and told as unsure; the check says why."""
    (finding,) = ask([1.0, 1.1, 0.9, 8.0])

    assert isinstance(finding, Finding)
    assert (finding.severity, finding.confidence) == ("warning", 0.5)
    assert not next(c for c in finding.checked if c.rule.startswith("other runs")).passed


def test_too_few_runs_are_skipped_with_a_reason() -> None:
    """Two runs have no usual cost."""
    (answer,) = ask([1.0, 50.0])

    assert isinstance(answer, Skipped)
    assert "2 runs of 'w'" in answer.reason


def test_a_running_run_is_compared_but_is_no_baseline() -> None:
    """What is still running can already be too dear."""
    usual = [conversation(n, 1.0) for n in range(12)]
    (finding,) = find_cost_anomaly(frames(*usual, conversation(99, 20.0, outcome="running")))

    assert isinstance(finding, Finding)
    assert finding.data["runs"] == 12


def test_workflows_are_compared_with_themselves() -> None:
    """A dear workflow is not an anomaly of a cheap one."""
    cheap = [conversation(n, 0.01, workflow="cheap") for n in range(12)]
    dear = [conversation(n, 5.0, workflow="dear") for n in range(12)]

    assert find_cost_anomaly(frames(*cheap, *dear)) == []


def test_false_alarms_are_rare_on_log_normal_costs() -> None:
    """At most 1 in 100 healthy runs with a spread of 0.3 is flagged."""
    rng = random.Random(7)
    drawn = [conversation(n, rng.lognormvariate(0, 0.3), calls=1) for n in range(400)]

    assert len(find_cost_anomaly(frames(*drawn))) <= 4
