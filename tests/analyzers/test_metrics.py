"""Metrics per agent, workflow and on coordination, against a plain Python oracle."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.metrics import metrics
from analyzers.metrics.agents import invocations_over_time
from analyzers.metrics.guards import guard_metrics
from tests.drawn import Drawn, Node, agent, escalation, frames, guard_trip, handoff, llm, run, state_write, tool, wait

USED = {"input_tokens": 100, "output_tokens": 20, "cost": "0.01"}
FAILED = {"status": "error", "error_type": "Timeout"}


def agents_of(*runs: Drawn) -> dict[str | None, dict[str, Any]]:
    return {row["agent"]: row for row in metrics(frames(*runs)).to_json()["agents"]}


def workflow_of(*runs: Drawn) -> dict[str, Any]:
    (row,) = metrics(frames(*runs)).to_json()["workflows"]
    return row


def test_a_retried_invocation_is_one_success_with_errors() -> None:
    """Three attempts of which the last went well: one call, success 1, errors counted, latency from the first to the last."""
    first = agent("a", 0, 1, id="t1", **FAILED)
    second = agent("a", 2, 3, id="t2", retry_of="t1", **FAILED)
    third = agent("a", 4, 6, llm(4, 5, **USED), id="t3", retry_of="t2")
    row = agents_of(run("w", first, second, third))["a"]

    assert (row["calls"], row["attempts"], row["success_rate"]) == (1, 3, 1.0)
    assert row["error_rate"] == pytest.approx(2 / 4)
    assert row["latency_mean_s"] == 6.0


def test_running_is_no_success_and_interrupted_is_a_failure() -> None:
    """Open invocations are counted apart; ones that died ended without success."""
    row = agents_of(
        run("w", agent("a", 0, 1), agent("a", 2, None), agent("a", 4, None, status="interrupted"), outcome="running")
    )["a"]

    assert (row["calls"], row["running"], row["success_rate"]) == (3, 1, 0.5)
    assert row["latency_mean_s"] == 1.0


def test_waits_are_part_of_latency_and_shown_apart() -> None:
    """An invocation of ten seconds of which it waited four."""
    row = agents_of(run("w", agent("a", 0, 10, wait("b", 2, 6)), agent("a", 10, 12)))["a"]

    assert (row["latency_mean_s"], row["wait_mean_s"]) == (6.0, 2.0)
    assert agents_of(run("w", agent("a", 0, 10)))["a"]["wait_mean_s"] == 0.0


def test_synthetic_times_give_no_latency() -> None:
    """A transcript has an order, not a clock."""
    drawn = run("w", agent("a", 0, 1, derived=["start_ns", "end_ns"]), derived=["start_ns", "end_ns"])

    assert agents_of(drawn)["a"]["latency_mean_s"] is None
    assert agents_of(drawn)["a"]["success_rate"] == 1.0
    assert workflow_of(drawn)["latency_mean_s"] is None


def test_duplicates_and_unknown_prices() -> None:
    """A duplicate is left out of every number; an unknown price is null, and coverage says so."""
    calls = [
        llm(1, 2, id="x", **USED),
        llm(1, 2, duplicate_of="x", **USED),
        llm(3, 4, input_tokens=5, output_tokens=5),
        llm(5, 6),
    ]
    rows = agents_of(run("w", agent("a", 0, 9, *calls), agent("b", 0, 9, llm(1, 2))))

    assert (rows["a"]["llm_calls"], rows["a"]["cost_usd"], rows["a"]["input_tokens"]) == (3, 0.01, 105)
    assert rows["a"]["coverage"] == pytest.approx(1 / 3)
    assert rows["b"]["cost_usd"] is None


def test_calls_without_an_agent_stand_in_a_row_of_their_own() -> None:
    """Nothing is lost from the totals."""
    rows = agents_of(run("w", llm(1, 2, **USED)))

    assert rows[None]["llm_calls"] == 1
    assert rows[None]["success_rate"] is None


def test_workflow_rates_leave_running_and_unknown_apart() -> None:
    """Rates are over runs that ended."""
    outcomes = ["completed", "completed", "failed", "running", "unknown"]
    drawn = [
        run("w", agent("a", 0, 1, llm(0, 1, **USED)), id=str(n), outcome=outcome) for n, outcome in enumerate(outcomes)
    ]
    row = workflow_of(*drawn, run("w", agent("a", 0, 1), escalation("human", 1), id="e", outcome="escalated"))

    assert (row["runs"], row["running"], row["unknown"], row["completed"]) == (6, 1, 1, 2)
    assert row["completion_rate"] == pytest.approx(2 / 4)
    assert row["escalation_rate"] == pytest.approx(1 / 4)
    assert row["cost_total_usd"] == pytest.approx(0.05)


def test_coordination_counts() -> None:
    """Handoffs, refused and lost writes, loops and stops; a warning is no trip, and loops are null when not looked for."""
    drawn = run(
        "w", agent("a", 0, 5, handoff("a", "b", 1), handoff("a", "c", 2), state_write("k", 3, cas="conflict"),
                   guard_trip("budget", 4, level="warn"), guard_trip("budget", 4.5)),
    )  # fmt: skip
    loop, lost = (
        Finding(
            kind=kind,
            severity="warning",
            confidence=1,
            title="",
            explanation="",
            suggestion="",
            trace_id=drawn.run_id,
            spans=("x",),
        )
        for kind in ("loop", "lost_update")
    )
    (counted,) = metrics(frames(drawn), [loop, lost]).to_json()["coordination"]
    (unasked,) = metrics(frames(drawn)).to_json()["coordination"]

    assert {k: counted[k] for k in ("handoffs_per_run", "loops", "state_conflicts", "breaker_trips")} == {
        "handoffs_per_run": 2.0, "loops": 1, "state_conflicts": 2, "breaker_trips": 1,
    }  # fmt: skip
    assert unasked["loops"] is None


def test_empty_frames_give_empty_tables() -> None:
    """No runs, no rows, no errors."""
    assert metrics(Frames.of([])).to_json() == {
        name: [] for name in ("agents", "workflows", "coordination", "variance", "trends", "slopes")
    }


NAMES = st.sampled_from(["a", "b", "c"])
STATUS = st.sampled_from(["ok", "error", "interrupted"])


@st.composite
def runs(draw: st.DrawFn) -> Drawn:
    """A run of a few agents with calls, tools, duplicates and errors, times in whole seconds."""
    items: list[Node] = []
    for _ in range(draw(st.integers(0, 4))):
        start, lasts = draw(st.integers(0, 20)), draw(st.integers(0, 9))
        inside: list[Node] = []
        for _ in range(draw(st.integers(0, 3))):
            cost = draw(st.sampled_from(["0.01", "0.002", None]))
            duplicate = draw(st.sampled_from([None, None, "elsewhere"]))
            tokens = draw(st.sampled_from([None, 7, 100]))
            inside.append(
                llm(
                    start,
                    start + 1,
                    cost=cost,
                    input_tokens=tokens,
                    output_tokens=tokens,
                    duplicate_of=duplicate,
                    status=draw(STATUS),
                )
            )
        inside += [tool("t", start, start + 1, status=draw(STATUS)) for _ in range(draw(st.integers(0, 2)))]
        items.append(agent(draw(NAMES), start, start + lasts, *inside, status=draw(STATUS)))
    outcome = draw(st.sampled_from(["completed", "failed", "escalated", "unknown"]))
    return run("w", *items, id=str(draw(st.integers(0, 10**9))), outcome=outcome)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(runs(), min_size=1, max_size=4, unique_by=lambda drawn: drawn.run_id))
def test_tables_equal_a_plain_count(drawn: list[Drawn]) -> None:
    """The set-based answer is the one a loop over the spans gives, and costs add up to the bill."""
    spans = [span for one in drawn for span in one.spans if span.duplicate_of is None]
    invocations: dict[str | None, list[Any]] = defaultdict(list)
    worked: dict[str | None, list[Any]] = defaultdict(list)
    calls: dict[str | None, list[Any]] = defaultdict(list)
    for span in spans:
        if span.kind == "agent":
            invocations[span.agent].append(span)
        if span.kind in ("agent", "llm", "tool"):
            worked[span.agent].append(span)
        if span.kind == "llm":
            calls[span.agent].append(span)

    table = metrics(frames(*drawn))
    rows = {row["agent"]: row for row in table.agents.to_dicts()}

    assert set(rows) == {*invocations, *calls}
    for name, row in rows.items():
        times = [(s.end_ns - s.start_ns) / 1e9 for s in invocations[name]]
        known = [s.cost_usd for s in calls[name] if s.cost_usd is not None]
        assert row["calls"] == len(invocations[name])
        assert row["latency_mean_s"] == pytest.approx(mean(times)) if times else row["latency_mean_s"] is None
        assert row["success_rate"] == pytest.approx(mean(s.status == "ok" for s in invocations[name]))
        assert row["error_rate"] == pytest.approx(mean(s.status == "error" for s in worked[name]))
        assert row["cost_usd"] == (sum(known, Decimal(0)) if known else None)
        assert row["input_tokens"] == sum(s.input_tokens or 0 for s in calls[name])
    bill = sum((span.cost_usd for held in calls.values() for span in held if span.cost_usd is not None), Decimal(0))
    assert sum((row["cost_usd"] or Decimal(0) for row in rows.values()), Decimal(0)) == bill
    assert sum((row["cost_total_usd"] or Decimal(0) for row in table.workflows.to_dicts()), Decimal(0)) == bill


def test_invocations_over_time_count_repeats_once_and_running_ones_apart() -> None:
    """Two tries of one task are one invocation of the bucket it began in; what still runs has not ended; another agent is not counted."""
    one = run(
        "a",
        agent("W", 0, 2, id="first", status="error"), agent("W", 3, 5, retry_of="first"), agent("W", 8, 9, status="error"),
        agent("W", 12, 16), agent("W", 13, None), agent("V", 1, 2),
    )  # fmt: skip
    start = one.spans[0].start_ns
    assert start % (10 * 10**9) == 0
    rows = invocations_over_time(frames(one), "W", bucket_ns=10 * 10**9).to_dicts()
    assert rows == [
        {"start_ns": start, "calls": 2, "ended": 2, "ok": 1, "p50_s": 3.0, "p95_s": pytest.approx(4.8)},
        {"start_ns": start + 10 * 10**9, "calls": 2, "ended": 1, "ok": 1, "p50_s": 4.0, "p95_s": 4.0},
    ]


def test_guards_are_counted_by_what_they_did() -> None:
    """A warning is no stop; a guard is named with whom it acted on."""
    one = run(
        "a",
        agent("W", 0, 9, guard_trip("budget", 1, level="warn"), guard_trip("budget", 2)),
        agent("V", 0, 9, guard_trip("loop", 3)),
    )
    other = run("b", agent("V", 20, 29, guard_trip("budget", 21)), id="b")
    rows = guard_metrics(frames(one, other))
    assert rows.select("guard", "stopped", "warned", "runs", "agents").rows() == [
        ("budget", 2, 1, 2, ["V", "W"]),
        ("loop", 1, 0, 1, ["V"]),
    ]
