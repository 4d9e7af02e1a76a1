"""People, messages and waits of the runtime."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reference_runtime.bus import Bus, Message
from reference_runtime.clock import VirtualClock
from reference_runtime.coordination import Coordination
from reference_runtime.errors import (
    WaitTimedOut,
)
from reference_runtime.human import Human
from reference_runtime.runtime import Runtime
from tests.reference_runtime.workflows import run


def test_human_answers_or_does_not() -> None:
    """An answer takes as long as it takes; without one, only the timeout ends the wait."""
    clock = VirtualClock()
    quick = Human(clock, lambda question: (30.0, question.options[0]))
    gone = Human(clock, lambda _question: None)

    async def body() -> tuple[str, float]:
        answer = await quick.ask("A", "Go on?", options=("yes", "no"))
        with pytest.raises(WaitTimedOut):
            await gone.ask("A", "Anyone?", timeout_s=60)
        return answer.text, answer.waited_s

    assert clock.run(body()) == ("yes", 30.0)
    assert clock.elapsed_s == 90.0


def test_hand_over_ends_the_run_as_escalated() -> None:
    """The person takes over; the agents are done."""

    async def body(runtime: Runtime) -> str:
        await runtime.human.hand_over("A", reason="out of my depth", summary="refund")
        return "not reached"

    result = run(body)

    assert (result.outcome, result.output) == ("escalated", "")
    assert "out of my depth" in result.reason


def test_bus_keeps_order_and_waits() -> None:
    """Messages arrive in order, by sender where one is named; an empty box waits until the timeout."""
    clock = VirtualClock()
    bus = Bus(clock)

    def message(number: int, sender: str) -> Message:
        return Message(id=f"m{number}", sender=sender, recipient="C", content="...")

    async def body() -> list[str]:
        reader = asyncio.create_task(bus.receive("C", sender="B"))
        for number, sender in enumerate(("A", "A", "B")):
            await bus.send(message(number, sender))
        got = [(await reader).id, (await bus.receive("C")).id, (await bus.receive("C")).id]
        with pytest.raises(WaitTimedOut):
            await bus.receive("C", timeout_s=5)
        return got

    assert clock.run(body()) == ["m2", "m0", "m1"]
    assert bus.unread("C") == 0


@pytest.mark.parametrize(
    ("mode", "timeout_s", "outcome", "met_by", "waited_s"),
    [
        ("all", None, "met", ("A", "B"), 20),
        ("any", None, "met", ("A",), 10),
        ("all", 15, "timed_out", ("A",), 15),
    ],
)
def test_waits(mode: Any, timeout_s: float | None, outcome: str, met_by: tuple[str, ...], waited_s: float) -> None:
    """`all` takes the slowest, `any` the fastest, a timeout ends either and says who had come."""
    clock = VirtualClock()
    coordination = Coordination(clock)

    async def finish(agent: str, after_s: float) -> None:
        await clock.sleep(after_s)
        coordination.signal(agent)

    async def body() -> Any:
        workers = [asyncio.create_task(finish("A", 10)), asyncio.create_task(finish("B", 20))]
        result = await coordination.wait("C", ("A", "B"), mode=mode, timeout_s=timeout_s)
        await asyncio.gather(*workers)
        return result

    result = clock.run(body())

    assert (result.outcome, result.met_by, result.waited_s) == (outcome, met_by, pytest.approx(waited_s))


def test_a_resource_has_one_holder_at_a_time() -> None:
    """Three agents take turns; nobody gets in while another holds it."""
    clock = VirtualClock()
    coordination = Coordination(clock)
    inside: list[str] = []

    async def use(agent: str) -> float:
        await coordination.acquire(agent, "printer")
        inside.append(agent)
        assert len(inside) == 1
        await clock.sleep(5)
        inside.remove(agent)
        coordination.release(agent, "printer")
        return clock.elapsed_s

    async def body() -> list[float]:
        return list(await asyncio.gather(use("A"), use("B"), use("C")))

    assert sorted(clock.run(body())) == [5.0, 10.0, 15.0]
