"""Recorded runs through guards: the moment of the stop, what came after it, and that it is what the live core says."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import polars as pl
import pytest

from analyzers.backtest.guards import Recording, recordings
from analyzers.backtest.policy import good_runs, run_guard, run_policy, tally
from analyzers.events import COLUMNS, recorded_events
from analyzers.frames import Frames
from analyzers.run import analyse
from tests.dashboard import stores
from tests.drawn import Drawn, agent, frames, llm, ns, run, state_write
from tracer.online.loop import LoopCore, LoopThresholds


def replayed(guard: str, limit: float, *runs: Drawn) -> dict[str, tuple[int, int, Decimal]]:
    """run -> (calls made, calls saved, money saved) of the runs that are stopped."""
    held = frames(*runs)
    stops = run_guard(recordings(held, analyse(held).findings), guard, limit)
    return {run_id: (stop.step, stop.calls_saved, stop.usd_saved) for run_id, stop in stops.items()}


def spending(name: str = "spend", *, at: float = 0.0, calls: int = 5, cost: str = "1.00") -> Drawn:
    """Calls of two seconds, one after the other; gpt-4o reserves a little over a cent for each."""
    parts = [llm(3 * i, 3 * i + 2, cost=cost, input_tokens=1_000, output_tokens=100, id=f"{name}{i}") for i in range(calls)]  # fmt: skip
    return run("desk", agent("Clerk", 0, 3 * calls, *parts), id=name, at=at)


@pytest.mark.parametrize(
    ("guard", "limit", "made"),
    [
        ("budget_usd", 2.5, 3),
        ("budget_usd", 3.0, 3),
        ("budget_usd", 1.01, 1),
        ("budget_usd", 5.1, None),
        ("tokens", 2_500, 1),
        ("tokens", 3_500, 2),
        ("tokens", 10_000, None),
        ("iterations", 2, 2),
        ("iterations", 5, None),
        ("seconds", 7, 3),
        ("seconds", 6, 2),
        ("seconds", 13, None),
    ],
)
def test_a_limit_stops_before_the_call_that_does_not_fit(guard: str, limit: float, made: int | None) -> None:
    """Five calls of $1 and 1,100 tokens; a live guard reserves 1,024 tokens for an answer, and time is looked at before a call."""
    expected = {} if made is None else {spending().run_id: (made, 5 - made, Decimal(5 - made))}
    assert replayed(guard, limit, spending()) == expected


def test_calls_under_way_count_against_a_budget_and_a_limit_at_once() -> None:
    """Three calls begin together: with two at once the third is refused; all three promise before any is paid."""
    together = run("desk", agent("Clerk", 0, 9, *(llm(i * 0.1, 8, cost="1", input_tokens=0, output_tokens=0) for i in range(3))), id="t")  # fmt: skip

    assert replayed("concurrency", 2, together) == {together.run_id: (2, 1, Decimal(1))}
    assert replayed("concurrency", 3, together) == {}
    assert replayed("budget_usd", 0.025, together) == {together.run_id: (2, 1, Decimal(1))}


def test_a_call_without_a_price_is_charged_by_estimate_and_saves_nothing_known() -> None:
    """A guard is never blind; what it would have saved is not invented."""
    unknown = run("desk", agent("Clerk", 0, 9, *(llm(2 * i, 2 * i + 1, model="house", input_tokens=1_000_000, output_tokens=1) for i in range(3))), id="u")  # fmt: skip

    assert replayed("budget_usd", 20, unknown) == {unknown.run_id: (1, 2, Decimal(0))}


def first_stop(one: Recording, thresholds: LoopThresholds) -> int | None:
    """When the next call after the first critical alarm of a live core begins."""
    core = LoopCore(thresholds)
    for recorded in recorded_events(one.spans.select(COLUMNS), one.contents):
        if any(alarm.level == "critical" for alarm in core.feed(recorded.event)):
            return next((call.start_ns for call in one.calls if call.start_ns >= recorded.at_ns), None)
    return None


def varied(number: int) -> Drawn:
    """Two agents who repeat each other in other words, with some news now and then, and a tool that fails."""
    turns = []
    for i in range(14):
        news = f" Source {number}-{i} says {i * 37} million in {1990 + i}." if i % (number + 3) == 0 else ""
        words = ("I still need context", "Context is missing", "Please add the context first", "Without context I cannot")[(i * number) % 4]  # fmt: skip
        turns += [agent("A", 4 * i, 4 * i + 2, llm(4 * i, 4 * i + 1, prompt=f"p{i}", answer=words + news, cost="0.01")),
                  agent("B", 4 * i + 2, 4 * i + 4, llm(4 * i + 2, 4 * i + 3, prompt=words, answer="Send me the data then." + news, cost="0.01"))]  # fmt: skip
    return run("talk", *turns, id=f"talk{number}")


@pytest.mark.parametrize("drawn", [stores.looping(rounds=20), *(varied(i) for i in range(1, 5))], ids=lambda d: d.run_id[:6])  # fmt: skip
def test_one_replay_says_what_a_live_breaker_of_any_threshold_does(drawn: Drawn) -> None:
    """The same core at each threshold, event by event, stops at the same call."""
    [one] = recordings(frames(drawn))
    for rounds in (3, 4, 5, 6, 7.5, 8, 12):
        stops = run_guard([one], "loop", rounds)
        assert (stops[one.run_id].at_ns if stops else None) == first_stop(one, LoopThresholds.stopping_at(rounds)), rounds  # fmt: skip


def test_the_named_levels_are_numbers_of_rounds() -> None:
    """`loop="critical"` is five, "warning" is three: nothing else changes."""
    assert LoopThresholds.stopping_at(5) == LoopThresholds()
    [one] = recordings(frames(stores.looping(rounds=20)))
    assert run_policy([one], {"loop": "critical"}).keys() == run_guard([one], "loop", 5).keys() == {one.run_id}
    assert run_policy([one], {"loop": "critical"})[one.run_id].at_ns == run_guard([one], "loop", 5)[one.run_id].at_ns


def test_agents_that_multiply_deadlocks_and_large_values_are_stopped_where_they_happen() -> None:
    """The agent that is one too many, the wait that closes the circle, the value that is too large; not at the next call."""
    crowd = run("map", agent("Lead", 0, 30, *(agent(f"W{i}", 1 + i, 29, llm(1.5 + i, 28, cost="0.5")) for i in range(6))), id="crowd")  # fmt: skip
    stuck = stores.abandoned()
    grown = run("s", agent("A", 0, 9, state_write("notes", 2, value="x" * 50), state_write("notes", 5, value="x" * 500), llm(6, 7, cost="1")), id="grown")  # fmt: skip

    assert replayed("fanout", 4, crowd) == {crowd.run_id: (3, 3, Decimal("1.5"))}
    assert replayed("deadlock", 1, stuck, crowd) == {stuck.run_id: (0, 0, Decimal(0))}
    assert replayed("state_bytes", 100, grown) == {grown.run_id: (0, 1, Decimal(1))}


def test_a_daily_budget_stops_many_ordinary_runs() -> None:
    """Ten conversations of $2 in an hour under $6.05 a day: three go through; a day later there is room again."""
    many = [spending(f"c{i}", at=300.0 * i, calls=2) for i in range(10)]
    later = spending("next-day", at=90_000, calls=2)

    assert list(replayed("per_day_usd", 6.05, *many, later)) == [one.run_id for one in many[3:]]
    assert list(replayed("runs_per_hour", 8, *many, later)) == [one.run_id for one in many[8:]]
    assert replayed("concurrent_runs", 1, *many) == {}


def test_good_runs_are_told_from_bad_ones_and_a_mark_decides() -> None:
    """Good: completed, without a critical finding. The tally keeps money saved and money lost apart."""
    held = stores.examples(healthy=20)
    found = analyse(held).findings
    good = good_runs(held, found)
    runs = recordings(held, found)
    result = tally(runs, run_policy(runs, {"iterations": 0.5}), good)

    assert (result.runs, result.good, result.stopped, result.good_stopped) == (23, 19, 22, 19)
    assert result.usd_saved + result.usd_lost == sum((c.cost_usd for r in runs for c in r.calls if c.known), Decimal(0))
    assert (result.wrong_rate, round(result.wrong_low, 2)) == (1.0, 0.83)
    mark = {"run_id": stores.looping().run_id, "time_ns": ns(0), "verdict": "ok", "note": None}
    marks = pl.DataFrame([mark], schema=held.marks.schema)
    marked = Frames(spans=held.spans, traces=held.traces, contents=held.contents, marks=marks)
    assert good_runs(marked, found) - good == {stores.looping().run_id}


@pytest.mark.slow
def test_a_stop_after_the_last_call_is_none() -> None:
    """A guard speaks at the next call; a run that is over cannot be stopped."""
    assert replayed("seconds", 12.5, spending()) == {}
    calls: Sequence[int] = [replayed("seconds", s, spending())[spending().run_id][0] for s in (0.5, 3, 11)]
    assert calls == [1, 1, 4]
