"""Guards on agents that multiply and agents that wait for each other."""

from __future__ import annotations

import asyncio
import contextvars
import random
from typing import Any

import pytest

import tracer
from analyzers.detectors.runaway_fanout import replay_fanout
from analyzers.waiting import RecordedWait, find_episodes
from tracer.capture.guard import guards_from_options, install, uninstall
from tracer.errors import BadInput, BudgetExceeded
from tracer.model import RawSpan
from tracer.online.fanout import FanoutLimits
from tracer.online.held_waits import HeldWaits
from tracer.semconv import Tracehound
from tracer.testing import Recorder, recorder

__all__ = ["recorder"]  # the fixture


async def crowd(size: int, at_work: list[int]) -> None:
    """Agents that all work at the same time."""
    done = asyncio.Event()

    async def work() -> None:
        with tracer.agent("worker"):
            at_work.append(1)
            await done.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(size):
            group.create_task(work())
        for _ in range(3):
            await asyncio.sleep(0)
        done.set()


def test_the_agent_that_is_one_too_many_does_not_start(recorder: Recorder) -> None:
    """Exactly as many as are allowed work at once; the reason and its span say what, and the guard stays closed."""
    at_work: list[int] = []
    with tracer.guard(fanout=5) as guard:
        with pytest.raises(BaseExceptionGroup) as raised:
            asyncio.run(crowd(9, at_work))
        assert raised.group_contains(BudgetExceeded)
        with pytest.raises(BudgetExceeded), tracer.agent("late"):
            pass
    assert len(at_work) == 5
    stopped = guard.stopped
    assert stopped is not None
    assert (stopped.guard, stopped.limit, stopped.spent, stopped.unit) == ("fan-out", 5, 6, "agents")
    assert [s.attributes[Tracehound.GUARD] for s in recorder.of_kind("guard_trip")] == ["fan-out"]
    assert len(recorder.of_kind("agent")) == 5


def test_agents_one_after_the_other_are_no_crowd(recorder: Recorder) -> None:
    """Only agents at work count, and a plan (a wait that names them) allows as many more."""
    at_work: list[int] = []
    with tracer.guard(fanout=5, deadlock=True) as guard:
        for _ in range(20):
            asyncio.run(crowd(4, at_work))
        with tracer.wait(for_=[f"part {number}" for number in range(4)]):
            asyncio.run(crowd(9, at_work))
    assert guard.stopped is None
    assert len(at_work) == 89
    assert not recorder.of_kind("guard_trip")


def test_a_recursion_is_stopped_by_its_depth(recorder: Recorder) -> None:
    """However few are at work: the ninth level is refused, by the option of the command line as well."""
    levels: list[int] = []

    @tracer.agent
    def deeper() -> None:
        levels.append(1)
        deeper()

    guard = guards_from_options(["fanout=40"])
    install(guard)
    try:
        with pytest.raises(BudgetExceeded, match="9 levels deep"):
            deeper()
    finally:
        uninstall(guard)
    assert len(levels) == 8


@pytest.mark.parametrize("seed", range(12))
def test_the_same_alarms_as_the_detector(seed: int, recorder: Recorder) -> None:
    """Drawn trees of agents: a guard that is told to go on each time stops where the detector sees it in the recording."""
    draw = random.Random(seed)
    stops: list[tuple[float, float]] = []

    def go_on(stop: BudgetExceeded) -> bool:
        stops.append((stop.limit or 0, stop.spent or 0))
        return True

    with tracer.workflow("w") as run, tracer.guard(fanout=10, escalate=go_on):
        here = contextvars.copy_context()
        open_agents: list[tuple[contextvars.Context, Any]] = []
        for _ in range(draw.choice([30, 60])):
            if open_agents and draw.random() < 0.3:
                context, scope = open_agents.pop(draw.randrange(len(open_agents)))
                context.run(scope.__exit__, None, None, None)
                continue
            recent = open_agents[-draw.choice([1, 4, 40]) :]
            context = (draw.choice(recent)[0] if recent and draw.random() < 0.9 else here).copy()
            scope = tracer.agent("a")
            context.run(scope.__enter__)
            open_agents.append((context, scope))
        for context, scope in reversed(open_agents):
            context.run(scope.__exit__, None, None, None)
    rows = [_row(span) for span in recorder.spans]
    rows.sort(key=lambda row: row["start_ns"])
    replay = replay_fanout(run.span_id, rows, {}, FanoutLimits(live=10))
    assert stops == [(alarm.limit, alarm.value) for _, alarm in replay.alarms]


def _row(span: RawSpan) -> dict[str, Any]:
    return {
        "span_id": span.span_id, "parent_span_id": span.parent_span_id, "kind": span.attributes[Tracehound.KIND],
        "start_ns": span.start_ns, "end_ns": span.end_ns, "wait_for": None, "output_refs": None,
    }  # fmt: skip


def test_the_wait_that_closes_a_deadlock_is_refused(recorder: Recorder) -> None:
    """The last of three does not begin to wait; its error lets the others go on, and nobody hangs."""
    names = ["Ledger", "Payroll", "Audit"]

    async def work(place: int, ended: list[asyncio.Event]) -> None:
        try:
            with tracer.agent(names[place]), tracer.wait(names[(place + 1) % 3]):
                await ended[(place + 1) % 3].wait()
        finally:
            ended[place].set()

    async def all_three() -> list[Any]:
        ended = [asyncio.Event() for _ in names]
        return await asyncio.gather(*(work(place, ended) for place in range(3)), return_exceptions=True)

    with tracer.guard(deadlock=True) as guard:
        results = asyncio.run(all_three())
    assert [type(result) for result in results] == [type(None), type(None), BudgetExceeded]
    assert guard.stopped is not None
    assert guard.stopped.guard == "deadlock"
    assert "Audit would wait for ever: Audit waits for Ledger, Ledger waits for Payroll" in guard.stopped.message
    assert len(recorder.of_kind("wait")) == 2
    assert len(recorder.of_kind("guard_trip")) == 1


@pytest.mark.parametrize("seed", range(12))
def test_the_same_deadlocks_as_the_detector(seed: int, recorder: Recorder) -> None:
    """Drawn waits for all and for any, none of them met: the first that is refused is the closing one of the detector's first."""
    draw = random.Random(seed)
    names = ["A", "B", "C", "D", "E"]
    closing: list[str] = []

    def go_on(stop: BudgetExceeded) -> bool:
        closing.append(stop.message.split("): ")[1].split(" ")[0])
        return True

    with tracer.guard(deadlock=True, escalate=go_on):
        contexts = {name: contextvars.copy_context() for name in names}
        waiting: dict[str, Any] = {}
        for _ in range(draw.choice([6, 14, 30])):
            name = draw.choice(names)
            if name in waiting:
                contexts[name].run(waiting.pop(name).__exit__, TimeoutError, TimeoutError(), None)
                continue
            targets = draw.sample([each for each in names if each != name], draw.choice([1, 1, 2]))
            scope = tracer.wait(for_=targets, mode=draw.choice(["all", "any"]), agent=name)
            contexts[name].run(scope.__enter__)
            waiting[name] = scope
        for name, scope in waiting.items():
            contexts[name].run(scope.__exit__, TimeoutError, TimeoutError(), None)
    recorded = [
        RecordedWait(
            span_id=span.span_id, agent=str(span.attributes[Tracehound.AGENT]), targets=tuple(span.attributes[Tracehound.WAIT_FOR]),
            mode=span.attributes[Tracehound.WAIT_MODE], start_ns=span.start_ns, end_ns=span.end_ns, met=False, outcome="timed_out",
        )
        for span in recorder.of_kind("wait")
    ]  # fmt: skip
    episodes, _ = find_episodes(recorded, {}, 0)
    first = min(episodes, key=lambda each: each.closing.start_ns, default=None)
    assert closing[:1] == ([] if first is None else [first.closing.agent])


def test_what_agents_hold_counts_however_it_comes_about() -> None:
    """A resource stands for whoever holds it while waiting, also where that begins later; an ended wait releases."""
    waits = HeldWaits()
    first, alarm = waits.start("A", ["ledger"], holds=["orders"])
    assert alarm is None
    second, alarm = waits.start("B", ["orders"], holds=["ledger"])
    assert alarm is not None
    assert alarm.stuck == {"A", "B"}
    waits.end(second)
    waits.end(second)
    inner, alarm = waits.start("A", ["B"])
    assert alarm is None
    waits.end(inner)
    assert waits.start("B", ["orders"], holds=["ledger"])[1] is not None
    waits.end(first)
    assert waits.start("C", ["A", "B"])[1] is None
    assert waits.start("D", [], "any")[1] is None


@pytest.mark.parametrize("option", ["deadlock=maybe", "fanout=0", "fanout=2.5", "fanout=some"])
def test_options_that_mean_nothing_are_refused(option: str) -> None:
    """Whole numbers above zero, and true or false."""
    with pytest.raises(BadInput, match=option.split("=")[0]):
        guards_from_options([option])
