"""What a recording lacks."""

from __future__ import annotations

import pytest

from analyzers.detectors.data_quality import ISSUES, find_data_quality
from analyzers.remarks import MANY
from analyzers.run import analyse
from tests.drawn import Drawn, Node, agent, frames, llm, node, run
from tracer.semconv import Tracehound

GOOD = {"input_tokens": 10, "output_tokens": 5, "cost": "0.01"}


def flawed(*items: Node, **fields: object) -> Drawn:
    return run("w", agent("a", 0, 9, llm(1, 2, **GOOD)), *items, **fields)  # type: ignore[arg-type]


CASES: dict[str, tuple[list[Node], str]] = {
    "missing_parents": ([agent("b", 1, 2, id="bad", parent_span_id="gone")], "warning"),
    "clock_skew": ([agent("b", 5, 8, llm(1, 6, id="bad", **GOOD))], "warning"),
    "dropped_attributes": ([agent("b", 1, 2, id="bad", dropped_attributes=3)], "warning"),
    "interrupted": ([agent("b", 1, None, id="bad", status="interrupted")], "warning"),
    "untold_tokens": ([llm(3, 4, id="bad")], "warning"),
    "unknown_price": ([llm(3, 4, id="bad", input_tokens=1, output_tokens=1)], "info"),
    "duplicates": ([llm(3, 4, id="one", **GOOD), llm(3, 4, id="bad", duplicate_of="one", **GOOD)], "info"),
    "no_times": ([agent("b", 3, 4, derived=["start_ns", "end_ns"])], "info"),
    "parent_cycles": ([node("other", "x", 1, 2, id="bad", parent_span_id="y"), node("other", "y", 1, 2, id="y", parent_span_id="bad")], "warning"),
}  # fmt: skip


def test_every_issue_has_a_case() -> None:
    """No kind of flaw goes untested."""
    assert set(CASES) == set(ISSUES)


@pytest.mark.parametrize("issue", CASES)
def test_each_flaw_is_counted_with_its_spans(issue: str) -> None:
    """One finding per run names the flaw, its spans, and whether numbers are wrong because of it."""
    items, severity = CASES[issue]
    (finding,) = find_data_quality(frames(flawed(*items)))

    assert set(finding.data["issues"]) == {issue}
    assert finding.severity == severity
    assert issue == "no_times" or "bad" in finding.spans
    assert {c.rule.replace(" ", "_") for c in finding.checked if c.passed} == {issue}


def test_a_clean_recording_is_silent() -> None:
    """Running spans, children that outlive their parent and rounding are no flaws."""
    late = agent("b", 1, 3, llm(2, 4, **GOOD), llm(0.998, 1.5, **GOOD))
    assert find_data_quality(frames(flawed(late, agent("c", 3, None)))) == []


def test_a_remote_starter_is_no_alarm() -> None:
    """A run that a traced program outside of the store started is only information."""
    drawn = run("w", agent("a", 0, 9), parent_span_id="outside")
    (finding,) = find_data_quality(frames(drawn))

    assert finding.severity == "info"


def test_few_untold_calls_among_many_are_information() -> None:
    """One call in five without tokens does not make the run's cost meaningless."""
    drawn = flawed(llm(3, 4), *(llm(n, n + 1, **GOOD) for n in range(4, 8)))
    (finding,) = find_data_quality(frames(drawn))

    assert finding.severity == "info"


def test_failed_calls_need_no_tokens() -> None:
    """A call that failed has no usage to tell."""
    assert find_data_quality(frames(flawed(llm(3, 4, status="error", error_type="Timeout")))) == []


def test_an_agent_that_tells_no_tokens_is_a_warning_among_many_that_do() -> None:
    """Five calls of one agent without tokens, twenty of others with them: that agent's cost means nothing."""
    told = [llm(n, n + 0.5, **GOOD) for n in range(20)]
    (finding,) = find_data_quality(
        frames(flawed(*told, agent("mute", 20, 30, *(llm(n, n + 0.5) for n in range(20, 25)))))
    )

    assert finding.severity == "warning"


def test_a_call_that_was_recorded_when_it_was_over_shows_no_clock_skew() -> None:
    """Its start was told, not taken from a clock."""
    given = {Tracehound.START_GIVEN: True}
    told = agent("b", 5, 8, llm(1, 4, attributes=given, **GOOD))
    measured = agent("b", 5, 8, llm(1, 4, **GOOD))

    assert find_data_quality(frames(flawed(told))) == []
    (finding,) = find_data_quality(frames(flawed(measured)))
    assert "clock_skew" in finding.data["issues"]


@pytest.mark.parametrize(("issue", "runs"), [("no_times", MANY), ("no_times", MANY - 1), ("interrupted", MANY)])
def test_what_all_runs_of_a_workflow_have_is_said_once(issue: str, runs: int) -> None:
    """Ten transcripts without a clock are one remark about their workflow; fewer, and warnings, stay with their runs."""
    items, severity = CASES[issue]
    analysis = analyse(frames(*(flawed(*items, id=f"run {n}") for n in range(runs))))
    single = [f for f in analysis.findings if f.kind == "data_quality"]
    told = [f for f in analysis.fleet if f.kind == "data_quality"]

    if runs < MANY or severity == "warning":
        assert (len(single), told) == (runs, [])
    else:
        (one,) = told
        assert single == []
        assert one.data["runs"] == len(set(one.data["run_ids"])) == runs
        assert one.data["issues"] == {"no_times": runs}
        assert "10 spans without real times, in 10 runs of 'w'" in one.title
