"""What was checked is measured, not recited: for every kind, another input gives other entries in `data.checked`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzers.detectors import DETECTORS
from analyzers.finding import Finding
from analyzers.frames import Frames
from tests.analyzers import (
    test_conflicting_decisions,
    test_context_growth,
    test_cost_anomaly,
    test_data_quality,
    test_deadlock,
    test_divergent_views,
    test_drift,
    test_duplicate_calls,
    test_duplicate_calls_across_runs,
    test_error_cascade,
    test_guard_trip,
    test_hidden_calls,
    test_loop,
    test_lost_update,
    test_no_answer,
    test_orphan_task,
    test_ping_pong,
    test_retry_storm,
    test_run_rate,
    test_runaway_fanout,
    test_serial_bottleneck,
    test_spend_rate,
    test_stale_read,
    test_state_growth,
    test_write_skew,
)
from tests.drawn import Node, agent, frames, llm, run, state_read, tool, wait

FIND = {detector.name: detector.find for detector in DETECTORS}
Pair = tuple[Callable[[], Frames], Callable[[], Frames], set[str]]
"""one input, another, and the rules whose value or side must differ between their findings"""


def drawn(*items: Node, outcome: str = "completed") -> Callable[[], Frames]:
    return lambda: frames(run("w", *items, outcome=outcome))


def asked(queries: int, cost: str) -> Callable[[], Frames]:
    held = [(f"question {n % 5}", f"answer {n % 5}") for n in range(queries)]
    return lambda: frames(*test_duplicate_calls_across_runs.runs(held, cost=cost))


def drifting(*after: float) -> Callable[[], Frames]:
    level = test_drift.Level
    change = test_drift.step(level(version="1"), level(version="2", completed=after[0]), 60)
    return lambda: test_drift.series(change, 120, seed=4)


def storming(runs: int, cost: float) -> Callable[[], Frames]:
    return lambda: frames(*test_spend_rate.weeks(14, 4), *test_spend_rate.storm(14, runs, cost=cost))


def costing(*costs: float) -> Callable[[], Frames]:
    return lambda: frames(*(test_cost_anomaly.conversation(n, cost) for n, cost in enumerate(costs)))


def bursting(count: int) -> Callable[[], Frames]:
    burst = [48 * test_run_rate.HOUR + n * 30 for n in range(count)]
    return lambda: frames(*test_run_rate.runs(test_run_rate.QUIET + burst))


TIMED_OUT = {"deadline": 35, **test_no_answer.TIMED_OUT}
WAITED = test_no_answer.clerk(wait("Archive", 5, 35, **TIMED_OUT))
LOST = test_lost_update.LOST
REFUND = test_conflicting_decisions.rivals("approve", "reject")
PAIRS: dict[str, Pair] = {
    "loop": (lambda: frames(test_loop.quarrel(8)), lambda: frames(test_loop.quarrel(12)), {"repeats without progress", "same request made"}),
    "ping_pong": (drawn(*test_ping_pong.bounce(4)), drawn(*test_ping_pong.bounce(6)), {"returns to the first sender"}),
    "retry_storm": (drawn(agent("C", 0, 99, *test_retry_storm.nested(3, 3))), drawn(agent("C", 0, 99, *test_retry_storm.nested(4, 3))), {"tries of the same call", "failed tries"}),
    "duplicate_calls": (
        drawn(*(agent(f"S{n}", n, n + 1, test_duplicate_calls.look(n)) for n in range(6))),
        drawn(*(agent(f"S{n}", n, n + 1, test_duplicate_calls.look(n)) for n in range(8))), {"equal calls in the largest group", "calls that were not needed"},
    ),
    "context_growth": (drawn(agent("a", 0, 99, *test_context_growth.chat(24))), drawn(agent("a", 0, 99, *test_context_growth.chat(24, cached=0.5))), {"tokens sent again at full price"}),
    "deadlock": (
        lambda: frames(test_deadlock.POSITIVES["cycle of two"][0]), lambda: frames(test_deadlock.POSITIVES["cycle of five"][0]), {"agents left after reduction of the wait-for graph"},
    ),
    "orphan_task": (
        drawn(test_orphan_task.started(30, llm(12, 13, cost="0.5"))), drawn(test_orphan_task.started(60, llm(12, 13, cost="0.5"))), {"longest time beyond the creator, seconds"},
    ),
    "runaway_fanout": (
        drawn(agent("Lead", 0, 100, *test_runaway_fanout.tree(2, 4))), drawn(agent("Lead", 0, 100, *test_runaway_fanout.tree(3, 4))), {"agents at work at once"},
    ),
    "no_answer": (drawn(WAITED), drawn(WAITED, agent("Archive", 6, 30, llm(7, 8))), {"spans of those waited for meanwhile"}),
    "error_cascade": (
        drawn(*test_error_cascade.chain("A", "B", "C"), outcome="failed"), drawn(*test_error_cascade.chain("A", "B", "C", "D"), outcome="failed"), {"agents with a failure of their own", "of them after the origin on a recorded path"},
    ),
    "serial_bottleneck": (drawn(*test_serial_bottleneck.queue()), drawn(*test_serial_bottleneck.queue(waits=False)), {"waits for it were recorded"}),
    "lost_update": (drawn(*LOST["versions and values"]), drawn(*LOST["versions only"]), {"fields of others that the write did not keep"}),
    "stale_read": (
        drawn(*test_stale_read.case(tool("invoice", 6, 7))), drawn(*test_stale_read.case(tool("invoice", 6, 7), tool("mail", 8, 9))), {"uses of the value before it was read again"},
    ),
    "write_skew": (drawn(*test_write_skew.on_call()), drawn(*test_write_skew.on_call(versions=False)), {"versions were recorded"}),
    "divergent_views": (drawn(*test_divergent_views.split()), drawn(*test_divergent_views.split(acted_on=True)), {"both were carried out"}),
    "state_growth": (
        drawn(agent("a", 0, 99, *test_state_growth.writes(test_state_growth.GROWING))),
        drawn(agent("a", 0, 99, *test_state_growth.writes(test_state_growth.GROWING), state_read("log", 60))), {"keys never read again"},
    ),
    "conflicting_decisions": (
        drawn(*REFUND), drawn(*test_conflicting_decisions.rivals("approve", "reject", acted_on=True)), {"both were acted on"},
    ),
    "cost_anomaly": (costing(*[0.10, 0.11] * 10, 1.0), costing(*[0.10, 0.11] * 3, 2.0), {"cost over the median of the other runs", "robust z of log cost", "other runs to compare with"}),
    "hidden_calls": (
        lambda: frames(test_hidden_calls.chat("route", "parse_repair", "memory")), lambda: frames(test_hidden_calls.chat("route", "memory", turns=8)), {"calls per visible message", "orchestration calls"},
    ),
    "guard_trip": (
        lambda: frames(test_guard_trip.budget("stopped_by_guard", "stop")),
        lambda: frames(test_guard_trip.budget("stopped_by_guard", "stop", answer=["part"])), {"ruled out: a partial result was handed back"},
    ),
    "data_quality": (
        lambda: frames(test_data_quality.flawed(*test_data_quality.CASES["clock_skew"][0])),
        lambda: frames(test_data_quality.flawed(*test_data_quality.CASES["untold_tokens"][0])), {"clock skew", "untold tokens"},
    ),
    "spend_rate": (storming(100, 1.5), storming(12, 15.0), {"spend in 24 hours over the median of the windows before", "median run cost over the one before"}),
    "drift": (drifting(0.5), drifting(0.2), {"completed: difference of after and before"}),
    "run_rate": (bursting(90), bursting(180), {"runs in one hour over the median of the windows before"}),
    "duplicate_calls_across_runs": (asked(40, "0.2"), asked(60, "0.001"), {"runs that repeat another", "cost of asking again in USD"}),
}  # fmt: skip


SLOW = ("spend_rate", "drift", "run_rate")
"""these need a store of runs"""


def checked(kind: str, given: Frames) -> dict[str, tuple[object, bool]]:
    found = [one for one in FIND[kind](given) if isinstance(one, Finding)]

    assert found
    return {check.rule: (check.value, check.passed) for check in found[0].checked}


def test_every_kind_has_a_pair() -> None:
    """No kind goes without."""
    assert set(PAIRS) == set(FIND)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in PAIRS]
)
def test_what_was_checked_follows_the_input(kind: str) -> None:
    """The rules that the change is about have another value, or came out on the other side."""
    one, other, rules = PAIRS[kind]
    before, after = checked(kind, one()), checked(kind, other())
    changed = {rule for rule in {**before, **after} if before.get(rule) != after.get(rule)}

    assert rules <= changed
