"""Agents that start agents without bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzers.detectors.runaway_fanout import FanoutThresholds, find_runaway_fanout, replay_fanout
from analyzers.finding import Finding
from tests.drawn import Drawn, Node, agent, frames, llm, run, wait
from tracer.model import SpanKind
from tracer.online.fanout import FanoutCore, FanoutLimits


def tree(branching: int, generations: int, at: float = 0.0, name: str = "Scout", **fields: Any) -> list[Node]:
    """`branching` agents a second after `at`, each of which starts as many again; all go on to second 100."""
    if generations == 0:
        return []
    return [
        agent(name, at + 1 + n / 10, 100, llm(at + 1.2, at + 1.3, cost="0.01", input_tokens=10, output_tokens=5),
              *tree(branching, generations - 1, at + 1, name), **fields)
        for n in range(branching)
    ]  # fmt: skip


def found(*items: Node, **fields: Any) -> list[Finding]:
    return find_runaway_fanout(frames(run("w", *items, **fields)))


def test_a_recursion_is_told_with_what_came_after_the_alarm() -> None:
    """2, 4, 8, 16, 32: alarm while the third generation is started; what started later was waste."""
    (finding,) = found(agent("Lead", 0, 100, *tree(2, 4)))

    assert finding.severity == "critical"
    assert finding.data["generations"] == [1, 1, 2, 4, 8, 16]
    assert finding.data["rules"][0] == "growing"
    assert finding.agents[0] == "Scout"
    late = [n for n in range(31) if n]  # not all of them
    assert 0 < float(finding.wasted_usd or 0) < 0.01 * len(late)
    assert finding.data["alarm_span"] in finding.spans
    assert "Lead → Scout → Scout" in finding.explanation


def crowd(size: int, **fields: Any) -> list[Node]:
    return [agent(f"W{n}", 5, 20, **fields) for n in range(size)]


PLAN = json.dumps({"parts": [f"part {n}" for n in range(100)]})
NEGATIVES: dict[str, list[Node]] = {
    "a map below the limit": crowd(60),
    "a map as long as its recorded plan": [llm(1, 2, agent="Planner", answer=PLAN), *crowd(100)],
    "a map that is waited for by name": [*crowd(100), wait([f"W{n}" for n in range(100)], 6, 21, agent="Planner")],
    "one after the other": [agent(f"W{n}", n, n + 1) for n in range(300)],
    "teams of teams": [agent("Lead", 0, 99, *tree(3, 2))],
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_planned_and_small_fanout_is_left_alone(case: str) -> None:
    """Maps with a plan, queues, small trees."""
    assert found(*NEGATIVES[case]) == []


def test_a_crowd_without_a_plan_is_a_warning() -> None:
    """100 at once that nobody announced; a plan that was recorded only afterwards does not count."""
    (finding,) = found(*crowd(100), llm(30, 31, agent="Planner", answer=PLAN))

    assert (finding.severity, finding.data["rules"], finding.data["peak"]) == ("warning", ["live"], 100)


def test_what_other_runs_need_is_usual() -> None:
    """A workflow whose runs all have 80 at once is healthy with 100, not with 300."""
    usual = [run("w", *crowd(80), id=f"usual{n}") for n in range(21)]

    def told(size: int) -> list[str | None]:
        odd = run("w", *crowd(size), id="odd")
        return [f.trace_id for f in find_runaway_fanout(frames(*usual, odd))]

    assert told(100) == []
    assert told(300) == [run("w", *crowd(1), id="odd").run_id]


def test_the_replay_says_what_a_live_core_says() -> None:
    """Fed with the same starts and ends as they happen, a guard's core gives the same alarms at the same agents."""
    drawn: Drawn = run("w", agent("Lead", 0, 100, *tree(3, 3)))
    replay = replay_fanout(drawn.run_id, frames(drawn).spans.to_dicts(), {}, FanoutLimits())
    live = FanoutCore()
    live.start(drawn.run_id, None)
    alarms = [
        alarm
        for span in drawn.spans
        if span.kind == SpanKind.AGENT
        for alarm in [live.start(span.span_id, replay.above[span.span_id])]
        if alarm
    ]

    assert alarms == [alarm for _, alarm in replay.alarms]
    assert alarms


def test_checks_follow_the_input() -> None:
    """Peak, depth, plan and rules show in what was checked."""

    def values(finding: Finding) -> dict[str, tuple[object, bool]]:
        return {check.rule: (check.value, check.passed) for check in finding.checked}

    (deep,) = found(agent("Lead", 0, 100, *tree(2, 4)))
    (wide,) = found(*crowd(70))
    (planned,) = found(llm(1, 2, agent="Planner", answer=json.dumps([1, 2, 3])), *crowd(70))

    assert values(deep)["generations in a row that grew without ending"] == (3, True)
    assert values(wide)["generations in a row that grew without ending"] == (0, False)
    assert values(deep)["levels of agents"] == (5, False)
    assert values(wide)["agents at work at once"] == (70, True)
    assert values(wide)["ruled out: a plan of so many parts"] == (0, True)
    assert values(planned)["ruled out: a plan of so many parts"] == (3, True)
    assert FanoutThresholds().limits == FanoutLimits()
