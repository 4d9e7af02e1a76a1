"""Time in the runtime: virtual clocks, deadlines, deadlocks, threads."""

from __future__ import annotations

import asyncio
import time

import pytest

from reference_runtime.clock import DEFAULT_EPOCH_NS, RealClock, Stalled, VirtualClock
from reference_runtime.patterns import PATTERNS
from reference_runtime.runtime import RunResult, Runtime
from reference_runtime.scripted import ScriptedModel, in_turn
from tests.reference_runtime.workflows import Steps, run


def test_virtual_sleeps_take_no_time_and_overlap() -> None:
    """Two sleeps of a week side by side are one week of virtual time and no real time."""
    clock = VirtualClock()

    async def main() -> list[int]:
        await asyncio.gather(clock.sleep(604_800), clock.sleep(604_799))
        return [clock.now_ns()]

    before = time.monotonic()

    assert clock.run(main()) == [DEFAULT_EPOCH_NS + 604_800 * 10**9]
    assert time.monotonic() - before < 2


def test_timers_fire_in_order_and_work_between_them_is_concurrent() -> None:
    """Virtual time keeps asyncio's semantics: who sleeps less comes first."""
    clock = VirtualClock()
    seen: list[str] = []

    async def step(name: str, *delays: float) -> None:
        for delay in delays:
            await clock.sleep(delay)
            seen.append(f"{name}{clock.elapsed_s:g}")

    async def main() -> None:
        await asyncio.gather(step("a", 1, 2), step("b", 2, 2))

    clock.run(main())

    assert seen == ["a1", "b2", "a3", "b4"]


def test_work_in_threads_takes_no_virtual_time() -> None:
    """While a thread works, the clock stands still, although a timer is due."""
    clock = VirtualClock()

    async def main() -> float:
        timer = asyncio.create_task(clock.sleep(5))
        await asyncio.to_thread(sum, range(1000))
        after = clock.elapsed_s
        await timer
        return after

    assert clock.run(main()) == 0.0


def test_true_deadlock_ends_the_run_and_not_the_others() -> None:
    """A run that waits for an event nobody sets fails with a reason, after the others are through."""
    clock = VirtualClock(patience_s=60)

    async def hang(runtime: Runtime) -> str:
        await runtime.coordination.wait("A", ("B",))
        return "never"

    async def fine(runtime: Runtime) -> str:
        await runtime.clock.sleep(30)
        return "fine"

    model = ScriptedModel(in_turn("yes"), clock=clock)
    runtimes = [Runtime(workflow=Steps(body), clock=clock, model=model) for body in (hang, fine)]

    async def main() -> list[RunResult]:
        return list(await asyncio.gather(*(runtime.run("go") for runtime in runtimes)))

    hung, completed = clock.run(main())

    assert (hung.outcome, completed.outcome) == ("failed", "completed")
    assert "deadlock" in hung.reason
    assert hung.ended_ns - hung.started_ns == 90 * 10**9


def test_deadlock_outside_of_a_run_is_an_error() -> None:
    """There is nothing to end, so the program is told."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        VirtualClock().run(main())


def test_deadline_ends_a_run() -> None:
    """The run's own deadline gives the outcome timed_out."""

    async def slow(runtime: Runtime) -> str:
        await runtime.clock.sleep(100)
        return "late"

    result = run(slow, deadline_s=10)

    assert (result.outcome, result.ended_ns - result.started_ns) == ("timed_out", 10 * 10**9)


def test_programming_errors_are_raised() -> None:
    """A bug in a workflow is not an outcome."""

    async def wrong(_runtime: Runtime) -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(wrong)


def test_real_clock_runs_the_same_workflows() -> None:
    """Real time works too; only the speed of the sleeps is scaled here."""
    batch = PATTERNS[0].build(1, clock=RealClock(speed=2000))

    assert [result.outcome for result in batch.play()] == ["completed"]
