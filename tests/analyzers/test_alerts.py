"""What rules say of drawn runs, and what of it is told: levels, events, cooldown, no data, and a whole history again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.alerts.evaluate import Observed, Reading, evaluate
from analyzers.alerts.parsing import default_rules, rules_of
from analyzers.alerts.replay import replay
from analyzers.alerts.rules import Rule
from analyzers.alerts.states import Alert, State, advance
from analyzers.finding import Finding
from analyzers.run import analyse
from analyzers.toml_tables import TomlFile
from tests.dashboard.stores import looping
from tests.drawn import Drawn, agent, frames, guard_trip, llm, ns, run

RULES = {rule.name: rule for rule in default_rules()}


def one(number: int, *, at: float, cost: str = "0.01", seconds: float = 5, status: str = "ok", workflow: str = "desk") -> Drawn:  # fmt: skip
    """A run of one agent with one call."""
    outcome = "completed" if status == "ok" else "failed"
    return run(workflow, agent("Clerk", 0, seconds, llm(0, seconds - 1, cost=cost, input_tokens=10, output_tokens=5), status=status),
               id=f"{workflow}-{number}", at=at, outcome=outcome)  # fmt: skip


def said(rule: str, *runs: Drawn, now: float, findings: Sequence[Finding] = (), **observed: object) -> list[Reading]:
    """What one default rule reads off `runs` at second `now`."""
    return evaluate([RULES[rule]], Observed(frames=frames(*runs), findings=findings, **observed), ns(now))  # type: ignore[arg-type]


def test_a_success_rate_below_eighty_per_cent_is_critical() -> None:
    """7 of 10 is too few, 8 of 10 is not; 9 runs say nothing; an hour later the window is empty."""
    many = [one(i, at=10.0 * i, status="error" if i < 3 else "ok") for i in range(10)]
    [reading] = said("agent-success-rate", *many, now=200)
    [workflow] = said("completion-rate", *many, now=200)

    assert (reading.status, reading.agent, reading.value, reading.samples) == ("critical", "Clerk", 0.7, 10)
    assert reading.sentence == "Agent 'Clerk': success rate is 70 % in the last 1 h (10 invocations); at least 80 % was expected."  # fmt: skip
    assert (workflow.status, workflow.workflow) == ("critical", "desk")
    assert said("agent-success-rate", *many[1:], one(99, at=150), now=200)[0].status == "ok"
    assert said("agent-success-rate", *many[:9], now=200)[0].status == "no_data"
    assert said("agent-success-rate", *many, now=7_200)[0].status == "no_data"


def test_a_run_is_compared_with_the_runs_of_its_workflow_before_it() -> None:
    """$0.03 after ten runs of $0.01 is 3x; after nine it is not judged; the dear run itself and other workflows are no baseline."""
    cheap = [one(i, at=10.0 * i) for i in range(10)]
    others = [one(i, at=1 + 10.0 * i, cost="9", workflow="research") for i in range(3)]
    [reading] = said("run-cost", *cheap, *others, one(10, at=200, cost="0.03"), now=300)

    assert (reading.status, reading.samples, reading.value) == ("warning", 10, pytest.approx(3))
    assert "3x the median of 10 usual runs ($0.01); more than 2x is too much" in reading.sentence
    assert reading.attached == ("not found: cost_anomaly, loop, context_growth and retry_storm",)
    assert said("run-cost", *cheap[1:], one(10, at=200, cost="0.03"), now=300) == []
    assert said("run-cost", *cheap, one(10, at=200, cost="0.02"), now=300) == []
    assert said("run-cost", *cheap, one(10, at=9 * 86_400, cost="0.03"), now=9 * 86_400 + 60) == []


def test_a_baseline_stands_for_the_runs_before() -> None:
    """Ten runs of the main branch at one cent: the first run of a branch can be judged."""
    main = pl.DataFrame({"workflow": ["desk"] * 10, "cost_usd": [0.01] * 10})

    assert [r.status for r in said("run-cost", one(1, at=0, cost="0.05"), now=60, baseline=main)] == ["warning"]
    assert said("run-cost", one(1, at=0, cost="0.015"), now=60, baseline=main) == []


def test_a_slow_run_comes_with_the_answer_of_the_loop_detector() -> None:
    """Also one that has not ended: it has taken as long as it goes on."""
    loop, short = looping(), one(1, at=100)
    hung = run("desk", agent("Clerk", 0, None), id="hung", at=100, outcome="running")
    found = analyse(frames(loop, short)).findings
    first, second = said("run-latency", loop, short, hung, now=140, findings=found)

    assert first.attached[0].startswith("loop: Researcher → Analyst")
    assert "took 36 s, longer than 30 s" in first.sentence
    assert (second.run_id, second.attached) == (hung.run_id, ("not found: loop, ping_pong and deadlock",))
    assert "has been going on for 40 s" in second.sentence


def test_a_breaker_trip_a_critical_finding_and_lost_records_are_events() -> None:
    """A guard that only warned is none."""
    stopped = run("desk", agent("Clerk", 0, 5, guard_trip("budget", 4, limit=5, spent=5.1, unit="usd")), id="s", outcome="stopped_by_guard")  # fmt: skip
    warned = run("desk", agent("Clerk", 0, 5, guard_trip("budget", 4, level="warn", limit=5, spent=4, unit="usd")), id="w")  # fmt: skip
    found = analyse(frames(stopped, warned, looping())).findings
    [trip] = said("breaker-trip", stopped, warned, now=60, findings=found)
    [loop] = said("critical-finding", stopped, looping(), now=60, findings=found)
    [lost] = said("lost-data", now=60, lost_records=12)

    assert (trip.run_id, trip.status) == (stopped.run_id, "critical")
    assert "budget stopped Clerk" in trip.sentence
    assert loop.sentence.startswith("loop: ")
    assert "12 spans were dropped" in lost.sentence
    assert said("lost-data", now=60) == []


def test_rules_can_look_at_some_workflows_and_agents_only() -> None:
    """Patterns, and ! to leave out."""
    text = '[[rule]]\nname = "run-latency"\nwarning = 1\nworkflow = ["d*", "!desk"]\n'
    rules = [rule for rule in rules_of(TomlFile(text, "f")) if rule.name == "run-latency"]
    found = evaluate(rules, Observed(frames=frames(one(1, at=0), one(2, at=0, workflow="dock"))), ns(60))

    assert [reading.workflow for reading in found] == ["dock"]


def spend(limit: float, **columns: object) -> Rule:
    return replace(RULES["completion-rate"], name="r", critical=limit, cooldown_ns=100, **columns)  # type: ignore[arg-type]


def level(status: str, **columns: object) -> Reading:
    return Reading(rule="r", status=status, workflow="w", sentence=status, **columns)  # type: ignore[arg-type]


def played(rule: Rule, looks: Sequence[tuple[int, str]]) -> list[tuple[int, str, str]]:
    """(moment, fired or resolved, level) of the alerts over looks of (moment, status)."""
    states: dict[str, State] = {}
    told: list[tuple[int, str, str]] = []
    for at, status in looks:
        step = advance([rule], states, [level(status)], at)
        states = {key: State.of_json(state.to_json()) for key, state in step.states.items()}
        told += [(at, alert.kind, alert.level) for alert in step.alerts]
    return told


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        pytest.param([(0, "ok"), (1, "critical"), (2, "critical"), (3, "ok")], [(1, "fired", "critical"), (3, "resolved", "critical")], id="begins and ends"),
        pytest.param([(0, "warning"), (1, "critical"), (2, "warning")], [(0, "fired", "warning"), (1, "fired", "critical")], id="graver does not wait, milder is no news"),
        pytest.param([(0, "critical"), (1, "ok"), (2, "critical"), (50, "critical"), (100, "critical")],
                     [(0, "fired", "critical"), (1, "resolved", "critical"), (100, "fired", "critical")], id="cooldown over, still on"),
        pytest.param([(0, "critical"), (1, "ok"), (2, "critical"), (3, "ok")], [(0, "fired", "critical"), (1, "resolved", "critical")], id="within the cooldown"),
        pytest.param([(0, "critical"), (1, "no_data"), (2, "ok")], [(0, "fired", "critical"), (1, "resolved", "critical")], id="no data ends it"),
    ],
)  # fmt: skip
def test_levels_over_time(looks: list[tuple[int, str]], told: list[tuple[int, str, str]]) -> None:
    """Told once when they begin, once when they end; quiet within the cooldown."""
    assert played(spend(0.8), looks) == told


def test_no_data_can_keep_what_is_on_or_be_an_alert() -> None:
    """Three policies, one look each."""
    looks = [(0, "critical"), (1, "no_data"), (2, "critical")]

    assert played(spend(0.8, no_data="keep"), looks) == [(0, "fired", "critical")]
    assert played(spend(0.8, no_data="alert"), [(0, "no_data"), (1, "ok")]) == [(0, "fired", "warning"), (1, "resolved", "warning")]  # fmt: skip


@pytest.mark.slow
@given(
    st.lists(st.lists(st.sampled_from(["warning", "critical"]), max_size=4), min_size=1, max_size=12), st.integers(0, 6)
)
def test_every_event_is_told_exactly_once(looks: list[list[str]], cooldown: int) -> None:
    """Whatever comes when: all sentences are told once, by the look after the last cooldown, and never the same twice."""
    rule = replace(RULES["run-latency"], name="r", cooldown_ns=cooldown, window_ns=1_000)
    states: dict[str, State] = {}
    alerts: list[Alert] = []
    names: list[str] = []
    for at, levels in enumerate([*looks, *([[]] * 8)]):
        readings = [level(status, event=True, run_id=f"{at}-{i}", at_ns=at) for i, status in enumerate(levels)]
        names += [reading.run_id or "" for reading in readings]
        step = advance([rule], states, [*readings, *readings], at)
        states = {key: State.of_json(state.to_json()) for key, state in step.states.items()}
        alerts += step.alerts

    assert sorted(run_id for alert in alerts for run_id in alert.runs) == sorted(names)
    assert sum(alert.samples for alert in alerts) == len(names)
    assert all(later.at_ns - earlier.at_ns >= cooldown or later.level == "critical" != earlier.level
               for earlier, later in pairwise(alerts))  # fmt: skip


def test_a_history_gives_the_alerts_it_would_have_given() -> None:
    """Ten good runs, then five that fail within the hour, then good ones again: one page, one end, at the right moments."""
    runs = [one(i, at=60.0 * i, status="error" if 10 <= i < 15 else "ok") for i in range(30)]
    told = replay([RULES["completion-rate"]], Observed(frames=frames(*runs)))

    assert [(alert.kind, alert.at_ns) for alert in told] == [("fired", ns(60 * 12 + 5)), ("resolved", ns(60 * 24 + 5))]
    assert told[0].value == pytest.approx(10 / 13)
