"""Guards that stopped or warned, and limits of frameworks."""

from __future__ import annotations

import pytest

from analyzers.detectors.guard_trip import find_guard_trip
from analyzers.finding import Finding
from tests.drawn import Drawn, agent, frames, guard_trip, llm, run


def found(*runs: Drawn) -> list[Finding]:
    return find_guard_trip(frames(*runs))


def budget(outcome: str, *trips: str, answer: list[str] | None = None) -> Drawn:
    levels = [guard_trip("budget", 5 + n, level=level, limit=1.0, spent=0.75 if level == "warn" else 1.02, unit="usd", id=f"g{n}")
              for n, level in enumerate(trips)]  # fmt: skip
    return run(
        "w",
        agent("a", 0, 9, llm(1, 4, cost="1.02", input_tokens=10, output_tokens=5), *levels),
        outcome=outcome,
        outputs=answer or [],
    )


@pytest.mark.parametrize(
    ("outcome", "trips", "answer", "severity", "lost"),
    [
        ("stopped_by_guard", ("warn", "stop"), None, "critical", 1.02),
        ("stopped_by_guard", ("warn", "stop"), ["what we have so far"], "warning", None),
        ("completed", ("warn",), ["done"], "info", None),
        ("failed", ("warn",), None, "warning", None),
        ("completed", ("stop",), ["done"], "warning", None),
    ],
)  # fmt: skip
def test_severity_follows_what_was_lost(
    outcome: str, trips: tuple[str, ...], answer: list[str] | None, severity: str, lost: float | None
) -> None:
    """A stop without a result is critical and charges the run; a warning in a run that completed is information."""
    (finding,) = found(budget(outcome, *trips, answer=answer))

    assert finding.severity == severity
    assert (None if finding.wasted_usd is None else float(finding.wasted_usd)) == lost
    assert finding.spans == tuple(f"g{n}" for n in range(len(trips)))


def test_says_limit_and_spent() -> None:
    """The numbers of the guard stand in title, explanation and data."""
    (finding,) = found(budget("stopped_by_guard", "warn", "stop"))

    assert "$1.02 of $1.00 (102%)" in finding.title
    assert "warned 1 time before" in finding.explanation
    assert (finding.data["limit"], finding.data["spent"], finding.data["unit"]) == (1.0, 1.02, "usd")


ERRORS = {
    "GraphRecursionError": "recursion limit",
    "langgraph.errors.GraphRecursionError": "recursion limit",
    "MaxTurnsExceeded": "max turns",
    "pydantic_ai.exceptions.UsageLimitExceeded": "usage limit",
    "UnexpectedModelBehavior": "result retries",
    "OutputGuardrailTripwireTriggered": "guardrail",
    "AgentMaxStepsError": "max steps",
    "MaxIterationsExceeded": "max iterations",
    "BudgetExceeded": "budget",
    "CircuitBreakerOpen": "circuit breaker",
}


@pytest.mark.parametrize("error", ERRORS)
def test_framework_limits_count_as_guards(error: str) -> None:
    """A limit inside a framework is named; the error's way up through the spans is one trip."""
    inner = agent("b", 1, 2, id="inner", status="error", error_type=error, error_message="too many")
    outer = agent("a", 0, 3, inner, status="error", error_type=error)
    (finding,) = found(run("w", outer, outcome="stopped_by_guard", status="error", error_type=error))

    assert finding.spans == ("inner",)
    assert finding.data["guard"] == ERRORS[error]
    assert "2 s into the run" in finding.explanation


@pytest.mark.parametrize(
    ("reason", "guard", "severity"),
    [
        ("Max turns exceeded: {'max_turns': 8}", "max turns", "critical"),
        ("Maximum number of messages 14 reached, current message count: 14", "max messages", "critical"),
        ("Guardrail tripwire triggered: {'guardrail': 'no_pii'}", "guardrail", "warning"),
        ("something of its own", "run limit", "critical"),
    ],
)
def test_a_limit_that_only_the_outcome_tells(reason: str, guard: str, severity: str) -> None:
    """Where no span carries the error, the run's outcome is the source, and its last span the evidence."""
    (finding,) = found(run("w", agent("a", 0, 3, llm(1, 2)), id="x", outcome="stopped_by_guard", outcome_reason=reason))

    assert (finding.data["guard"], finding.severity) == (guard, severity)
    assert reason in finding.explanation
    assert len(finding.spans) == 1
    # A guardrail is no limit that could be used up or raised.
    assert ("used up" in finding.suggestion) == (guard != "guardrail")


def test_an_inner_agent_that_ran_out_of_steps() -> None:
    """A managed agent of smolagents answers from what there is, and the run completes: a warning that names the agent."""
    inner = agent("scout", 1, 8, finish_reason="Reached max steps", answer="the best I have")
    (finding,) = find_guard_trip(frames(run("w", agent("boss", 0, 9, inner, answer="done"))))

    assert (finding.severity, finding.agents, len(finding.spans)) == ("warning", ("scout",), 1)
    assert finding.title == "max steps stopped scout"


def test_silent_without_trips() -> None:
    """Ordinary errors are no guards."""
    assert found(run("w", agent("a", 0, 3, status="error", error_type="ValueError"))) == []


def test_checks_follow_the_input() -> None:
    """The entry on the partial result changes sides when there is one."""
    lost, kept = (
        found(budget("stopped_by_guard", "stop"))[0],
        found(budget("stopped_by_guard", "stop", answer=["part"]))[0],
    )

    assert [next(c.passed for c in f.checked if "partial result" in c.rule) for f in (lost, kept)] == [True, False]
