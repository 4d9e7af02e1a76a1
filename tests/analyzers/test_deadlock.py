"""Deadlocks: who waits for whom on one consistent cut, and what only looks like it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.detectors.deadlock import DeadlockThresholds, find_deadlocks
from analyzers.finding import Finding
from analyzers.frames import Frames
from tests.drawn import Drawn, Node, agent, frames, llm, message, node, ns, run, wait
from tracer.online.waits import WaitGraph
from tracer.semconv import Tracehound


def held(target: str | list[str], start: float, end: float | None, outcome: str | None = None, **fields: Any) -> Node:
    """A wait whose outcome and held resources are recorded."""
    holds = fields.pop("holds", None)
    said = {Tracehound.WAIT_OUTCOME: outcome, Tracehound.WAIT_HOLDS: holds}
    return wait(target, start, end, attributes={k: v for k, v in said.items() if v is not None}, **fields)


def of(*runs: Drawn) -> list[Finding]:
    return [f for f in find_deadlocks(frames(*runs)) if isinstance(f, Finding)]


def team(*waits: tuple[str, Node], end: float | None = 100.0, outcome: str = "completed", id: str = "") -> Drawn:
    """Agents that live from 0 to `end`, each with its waits."""
    names = dict.fromkeys(name for name, _ in waits)
    return run(
        "team",
        *(agent(name, 0, end, *(w for owner, w in waits if owner == name)) for name in names),
        outcome=outcome,
        id=id,
    )


# who waits for whom (start, end, how it ended); everybody else runs
#
#   A |--waits B-------X        A |----any B,C------      A |--any B,X--|
#   B    |--waits C-----        B   |--all A--------      B   |--all A-----|
#   C       |--waits A--        C     |--all A------      X works
POSITIVES = {
    "cycle of two": (
        team(("A", held("B", 1, None)), ("B", held("A", 2, None)), end=None, outcome="running"),
        {"cycle": ["A", "B"], "shape": "cycle", "release": ["A"]},
    ),
    "cycle of three": (
        team(
            ("A", held("B", 1, None)), ("B", held("C", 2, None)), ("C", held("A", 3, None)), end=None, outcome="running"
        ),
        {"cycle": ["A", "B", "C"], "shape": "cycle", "release": ["A"]},
    ),
    "cycle of five": (
        team(
            *((x, held(y, 1 + i, None)) for i, (x, y) in enumerate(["AB", "BC", "CD", "DE", "EA"])),
            end=None,
            outcome="running",
        ),
        {"cycle": list("ABCDE"), "shape": "cycle", "release": ["A"]},
    ),
    "knot of any": (
        team(
            ("A", held(["B", "C"], 1, None, mode="any")),
            ("B", held(["A", "C"], 2, None, mode="any")),
            ("C", held(["A", "B"], 3, None, mode="any")),
            end=None,
            outcome="running",
        ),
        {"shape": "knot", "release": ["A"]},
    ),
    "all and any mixed": (
        team(
            ("A", held(["B", "C"], 1, None, mode="any")),
            ("B", held(["A", "C"], 2, None)),
            ("C", held("A", 3, None)),
            end=None,
            outcome="running",
        ),
        {"shape": "mixture"},
    ),
    "agent waits for itself": (team(("A", held("A", 1, None)), end=None, outcome="running"), {"cycle": ["A"]}),
    "two hands to let go": (
        team(
            ("A", held(["B", "C"], 1, None)),
            ("B", held(["A", "C"], 2, None)),
            ("C", held(["A", "B"], 3, None)),
            end=None,
            outcome="running",
        ),
        {"release": ["A", "B"]},
    ),
}

NEGATIVES = {
    "any with one running": team(("A", held(["B", "X"], 1, 20, "met", mode="any")), ("B", held("A", 2, 21, "met"))),
    "any with one running, seen live": team(
        ("A", held(["B", "X"], 1, None, mode="any")), ("B", held("A", 2, None)), end=None, outcome="running"
    ),
    "long wait for somebody who works": team(("A", held("B", 1, 90_000, "met")), ("B", llm(1, 90_000)), end=90_001.0),
    "hierarchy": team(("A", held("B", 1, 50, "met")), ("B", held("C", 2, 49, "met")), ("C", held("D", 3, 48, "met"))),
    "one after the other": team(("A", held("B", 1, 5, "met")), ("B", held("A", 5, 9, "met"))),
    "phantom: met while it looked closed": team(("A", held("B", 1, 10, "met")), ("B", held("A", 5, 30, "met"))),
    "phantom: still at work": team(("A", held("B", 1, 40)), ("A", llm(10, 20)), ("B", held("A", 5, 30, "timed_out"))),
    "waits for a person": team(("A", held("human", 1, 5_000, "met", reason="human")), end=5_001.0),
    "waits for nothing in particular": team(("A", held([], 1, 5, "met", reason="timer")), ("B", held([], 1, 5, "met"))),
}


@pytest.mark.parametrize("name", POSITIVES)
def test_agents_that_wait_for_each_other_are_found(name: str) -> None:
    """Cycles, knots and mixtures are one critical finding with the waits as evidence."""
    drawn, expected = POSITIVES[name]

    (found,) = of(drawn)

    assert found.severity == "critical"
    assert {key: found.data[key] for key in expected} == expected
    assert set(found.spans) == {s.span_id for s in drawn.spans if s.kind == "wait"}


@pytest.mark.parametrize("name", NEGATIVES)
def test_waits_that_can_end_are_no_deadlock(name: str) -> None:
    """A wait that somebody can still meet, or that was met, is never reported."""
    assert of(NEGATIVES[name]) == []


def test_closing_edge_holdings_and_victims_are_named() -> None:
    """The last wait to start closes the cycle; what each holds and who queues behind is told."""
    drawn = team(
        ("Ledger", held("Payroll", 1, None, holds=["journal"])),
        ("Payroll", held("Ledger", 4, None, holds=["payslips"])),
        ("Report", held("Ledger", 9, None)),
        end=None,
        outcome="running",
    )

    (found,) = of(drawn)

    assert (found.data["closing"]["agent"], found.data["closing"]["at_ns"]) == ("Payroll", ns(4))
    assert found.data["holds"] == {"Ledger": ["journal"], "Payroll": ["payslips"]}
    assert found.data["victims"] == ["Report"]
    assert found.data["since_ns"] == ns(4)


def test_resources_are_followed_to_whoever_holds_them() -> None:
    """A wait for a lock is a wait for the agent that holds it while it waits itself."""
    drawn = team(
        ("A", held("lock-2", 1, None, holds=["lock-1"])),
        ("B", held("lock-1", 2, None, holds=["lock-2"])),
        end=None,
        outcome="running",
    )

    (found,) = of(drawn)

    assert found.data["cycle"] == ["A", "B"]


@pytest.mark.parametrize(("seconds", "outcome", "severity"), [(20, "completed", "warning"), (20, "failed", "critical"), (2700, "completed", "critical")])  # fmt: skip
def test_timeout_that_broke_a_cycle_is_told_with_its_price(seconds: float, outcome: str, severity: str) -> None:
    """A cycle that a timeout broke is a warning unless it took long or the run went bad."""
    drawn = team(
        ("A", held("B", 1, 1 + seconds + 1, "timed_out")),
        ("B", held("A", 2, 3 + seconds, "met")),
        end=5000.0,
        outcome=outcome,
    )

    (found,) = of(drawn)

    assert found.severity == severity
    assert found.data["lost_s"] == seconds
    assert found.data["resolved_by"]["how"] == "timeout"
    assert f"after {'45 min' if seconds == 2700 else '20 s'}" in found.title


def test_cancelling_the_whole_run_solves_nothing() -> None:
    """Where all waits end cancelled, the deadlock lasted until somebody killed the run: critical, resolved by nobody."""
    (found,) = of(team(("A", held("B", 1, 9, "cancelled")), ("B", held("A", 2, 9, "cancelled"))))

    assert (found.severity, found.data["resolved_by"], found.data["lost_s"]) == ("critical", None, 7.0)
    assert "cancelled after 7 s" in found.title


def test_the_same_agents_stuck_again_are_one_finding() -> None:
    """Retries that run into the same cycle are counted, not listed."""
    drawn = team(
        ("A", held("B", 1, 10, "timed_out")), ("B", held("A", 2, 11, "met")),
        ("A", held("B", 21, 30, "timed_out")), ("B", held("A", 22, 31, "met")),
    )  # fmt: skip

    (found,) = of(drawn)

    assert (found.data["episodes"], found.data["lost_s"], len(found.spans)) == (2, 16.0, 4)


def test_waits_of_several_processes_must_outlast_their_clocks_difference() -> None:
    """An overlap shorter than the clock skew between two processes proves nothing."""
    waits = (("A", held("B", 1, 3, "timed_out", pid=1)), ("B", held("A", 2, 3.5, "timed_out", pid=2)))

    assert of(team(*waits)) == []
    near = find_deadlocks(frames(team(*waits)), DeadlockThresholds(skew_ns=0))
    assert [f.kind for f in near if isinstance(f, Finding)] == ["deadlock"]


def test_unanswered_requests_are_a_guess_only_where_no_wait_is_recorded() -> None:
    """Open agents that each last asked the next one: medium confidence; one answer and there is nothing to say."""
    asks = [agent("A", 0, None, message("A", "B", 1)), agent("B", 0, None, message("B", "C", 2)), agent("C", 0, None, message("C", "A", 3))]  # fmt: skip
    stuck = run("quiet", *asks, outcome="interrupted")
    answered = run("quiet", *asks, node("message", "B -> A", 4, 4, agent="B", target_agent="A"), outcome="interrupted")

    (found,) = of(stuck)

    assert (found.severity, found.confidence, found.agents) == ("warning", 0.5, ("A", "B", "C"))
    assert of(answered) == []


def test_arrival_names_clock_and_neighbours_change_nothing() -> None:
    """Shuffled rows, a shifted clock and an unrelated run give the same finding and id; frames stay as they were."""
    drawn = POSITIVES["cycle of three"][0]
    base = frames(drawn)
    before = base.spans.clone()
    (expected,) = of(drawn)

    shuffled = Frames(base.spans.sample(fraction=1.0, shuffle=True, seed=4), base.traces, base.contents)
    shifted = Frames(
        base.spans.with_columns(pl.col("start_ns") + 10**12, pl.col("end_ns") + 10**12), base.traces, base.contents
    )
    renamed = team(
        ("X", held("Y", 1, None)), ("Y", held("Z", 2, None)), ("Z", held("X", 3, None)), end=None, outcome="running"
    )

    assert find_deadlocks(shuffled) == [expected]
    assert [f.id for f in find_deadlocks(shifted) if isinstance(f, Finding)] == [expected.id]
    assert expected in of(drawn, team(("P", held("Q", 1, 50, "met")), ("Q", held("A", 2, None)), id="another run"))
    assert of(renamed)[0].id == expected.id
    assert base.spans.equals(before)


def test_removing_one_wait_removes_the_finding() -> None:
    """Without the closing edge nothing is stuck, and no frames give no findings."""
    base = frames(POSITIVES["cycle of three"][0])
    without = base.spans.filter(~((pl.col("kind") == "wait") & (pl.col("agent") == "C")))

    assert find_deadlocks(Frames(without, base.traces, base.contents)) == []
    assert find_deadlocks(frames()) == []


@st.composite
def waits_in_time(draw: st.DrawFn) -> list[tuple[str, list[str], str]]:
    """Up to six agents that come to wait one after the other, each for some of the others, all or any; nobody lets go."""
    names = draw(st.lists(st.sampled_from("ABCDEF"), unique=True, min_size=2, max_size=6))
    return [
        (
            name,
            draw(st.lists(st.sampled_from([n for n in "ABCDEF" if n != name]), unique=True, min_size=1, max_size=3)),
            draw(st.sampled_from(["all", "any"])),
        )
        for name in names
    ]


@pytest.mark.slow
@given(waits_in_time())
@settings(max_examples=30, deadline=None)
def test_a_live_graph_says_what_the_recording_says(waits: list[tuple[str, list[str], str]]) -> None:
    """Fed with the same waits as they start, the guard's graph alarms exactly where the recording has a deadlock, at the same wait."""
    graph = WaitGraph()
    alarms = [
        alarm for who, targets, mode in waits if (alarm := graph.start(who, targets, "any" if mode == "any" else "all"))
    ]
    drawn = team(
        *((who, held(targets, at, None, mode=mode)) for at, (who, targets, mode) in enumerate(waits, 1)),
        end=None,
        outcome="running",
    )
    findings = sorted(of(drawn), key=lambda f: f.data["closing"]["at_ns"])

    assert bool(findings) is bool(alarms)
    if alarms:
        assert findings[0].data["closing"]["agent"] == alarms[0].closing
        assert set(findings[0].agents) <= alarms[0].stuck | alarms[-1].stuck


def test_checks_follow_the_input() -> None:
    """How many are left, for how long, and look-alikes before it show in what was checked."""

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    left, overlap = (
        "agents left after reduction of the wait-for graph",
        "all waits overlap on one cut, seconds (across processes more than the clock skew)",
    )
    (two,) = of(team(("A", held("B", 1, 40, "timed_out")), ("B", held("A", 2, 41))))
    (three,) = of(team(("A", held("B", 1, 90, "timed_out")), ("B", held("C", 2, 91)), ("C", held("A", 3, 92))))
    phantom = [("A", held("B", 1, 3, "met")), ("B", held("A", 2, 4, "met"))]
    (again,) = of(team(*phantom, ("A", held("B", 10, 40, "timed_out")), ("B", held("A", 11, 41))))

    assert (values(two)[left], values(three)[left]) == (2, 3)
    assert (values(two)[overlap], values(three)[overlap]) == (38.0, 87.0)
    assert values(two)["earlier look-alikes of these agents ruled out"] == 0
    assert "got what it waited for" in str(values(again)["earlier look-alikes of these agents ruled out"])


def test_where_a_wait_was_lost_a_silent_agent_is_suspected() -> None:
    """A waits for B in vain, B does nothing all the while, the run failed and spans are missing; none of it without the gap."""
    waits = ("A", held("B", 10, 90, "cancelled"))
    gap = node("other", "loose", 2, 3, parent_span_id="gone")

    def team_of(*extra: Node, outcome: str = "failed") -> Drawn:
        return run("team", agent("A", 0, 91, waits[1]), agent("B", 0, 91, id="b"), *extra, outcome=outcome)

    (finding,) = of(team_of(gap))
    assert finding.confidence == 0.5
    assert finding.severity == "warning"
    assert "b" in finding.spans
    assert of(team_of()) == []
    assert of(team_of(gap, outcome="completed")) == []
    assert of(team_of(gap, llm(40, 41, agent="B"))) == []
