"""Locks, events and queues whose waits are recorded: who waits, for what, and what it holds meanwhile."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import tracer
from tracer.errors import BadInput, BudgetExceeded
from tracer.semconv import Tracehound
from tracer.testing import Recorder, recorder

__all__ = ["recorder"]  # the fixture


def waits(recorder: Recorder) -> list[tuple[Any, ...]]:
    """(agent, waited for, held, outcome) of each recorded wait."""
    keys = (Tracehound.AGENT, Tracehound.WAIT_FOR, Tracehound.WAIT_HOLDS, Tracehound.WAIT_OUTCOME)
    return [tuple(span.attributes.get(key) for key in keys) for span in recorder.of_kind("wait")]


def in_thread(recorder: Recorder, work: Callable[[], None], until: Callable[[], bool]) -> threading.Thread:
    """`work` in a thread of its own, which has come as far as `until` says."""
    thread = threading.Thread(target=work)
    thread.start()
    while not until():
        pass
    return thread


def test_only_a_lock_that_is_taken_is_waited_for(recorder: Recorder) -> None:
    """A free lock leaves no trace; a taken one a wait with what is held, its end and its thread."""
    orders, ledger = tracer.lock("orders"), tracer.lock("ledger", threading.RLock())

    def clerk() -> None:
        with tracer.agent("clerk"), orders, ledger:
            pass

    with tracer.agent("booker"), ledger, ledger:
        thread = in_thread(recorder, clerk, lambda: bool(recorder.running) and _waits_now(recorder))
        assert orders.locked()
        assert "locked" in repr(ledger)
    thread.join()
    assert not orders.locked()
    assert waits(recorder) == [("clerk", ["ledger"], ["orders"], "met")]
    (wait,) = recorder.of_kind("wait")
    assert str(wait.attributes[Tracehound.WAIT_PLACE]).startswith("thread Thread-")
    assert wait.attributes[Tracehound.REASON] == "lock"


def _waits_now(recorder: Recorder) -> bool:
    return any(span.attributes[Tracehound.KIND] == "wait" for span in recorder.running)


def test_a_lock_behaves_as_the_one_it_wraps(recorder: Recorder) -> None:
    """Return values, time-outs, wrong releases; a condition over it; and a release by another thread forgets what was held."""
    lock = tracer.lock("orders")
    assert lock.acquire()
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0)
    assert not lock.acquire(timeout=0.001)
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError):
        lock.release()
    with tracer.wait("somebody"):
        pass
    assert waits(recorder) == [(None, ["orders"], ["orders"], "timed_out"), (None, ["somebody"], None, "met")]
    condition = threading.Condition(tracer.lock("news"))
    with condition:
        assert not condition.wait(0.001)
        condition.notify_all()


def test_tasks_hold_what_they_took_themselves(recorder: Recorder) -> None:
    """Two tasks of one thread; a task that is cancelled while it waits holds nothing more."""
    orders, ledger = tracer.lock("orders", asyncio.Lock()), tracer.lock("ledger", asyncio.Lock())

    async def clerk() -> None:
        async with tracer.agent("clerk"), orders, ledger:
            pass

    async def booker() -> None:
        async with tracer.agent("booker"), ledger:
            task = asyncio.create_task(clerk(), name="clerk-1")
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with orders:
            assert ledger.locked() is False

    asyncio.run(booker())
    assert waits(recorder) == [("clerk", ["ledger"], ["orders"], "cancelled")]
    assert recorder.of_kind("wait")[0].attributes[Tracehound.WAIT_PLACE] == "task clerk-1"


def test_instances_of_one_agent_are_told_apart_by_a_guard(recorder: Recorder) -> None:
    """Two workers take two locks in opposite order: the second is refused, lets go of the first lock, and the other goes on."""
    orders, ledger = tracer.lock("orders", asyncio.Lock()), tracer.lock("ledger", asyncio.Lock())

    async def worker(first: Any, second: Any) -> str:
        async with tracer.agent("worker"), first:
            await asyncio.sleep(0)
            async with second:
                return "done"

    async def both() -> list[Any]:
        return list(await asyncio.gather(worker(orders, ledger), worker(ledger, orders), return_exceptions=True))

    with tracer.guard(deadlock=True) as guard:
        done, stop = asyncio.run(both())
    assert done == "done"
    assert isinstance(stop, BudgetExceeded)
    assert "holds ledger and waits for orders" in stop.message
    assert guard.stopped is not None


def test_a_name_of_several_instances_is_nobodys(recorder: Recorder) -> None:
    """Two desks at work: one that waits for "desk" may be answered by the other, and an id names one of them."""

    async def desk(given: str, other: str) -> str:
        async with tracer.agent("desk", agent_id=given):
            await asyncio.sleep(0)
            async with tracer.wait(other):
                await asyncio.sleep(0)
            return given

    async def both(*others: str) -> list[Any]:
        return list(await asyncio.gather(desk("d1", others[0]), desk("d2", others[1]), return_exceptions=True))

    with tracer.guard(deadlock=True):
        assert asyncio.run(both("desk", "desk")) == ["d1", "d2"]
        first, second = asyncio.run(both("d2", "d1"))
    assert first == "d1"
    assert isinstance(second, BudgetExceeded)
    assert "desk (d2) would wait for ever: desk (d1) waits for d2, desk (d2) waits for d1" in second.message


def test_what_is_there_already_is_no_wait(recorder: Recorder) -> None:
    """Queues, events, threads: only who really blocks is recorded, with its time-out; the object stays what it was."""
    inbox = tracer.awaited(queue.Queue[str](), "planner")
    ready = tracer.awaited(threading.Event(), "planner", "critic")
    assert isinstance(inbox, queue.Queue)
    with tracer.agent("writer"):
        inbox.put("plan")
        assert inbox.get() == "plan"
        with pytest.raises(queue.Empty):
            inbox.get(timeout=0.001)
        with pytest.raises(queue.Empty):
            inbox.get_nowait()
        with pytest.raises(queue.Empty):
            inbox.get(False)
        assert not ready.wait(0.001)
        ready.set()
        assert ready.wait()
    assert waits(recorder) == [
        ("writer", ["planner"], None, "timed_out"),
        ("writer", ["planner", "critic"], None, "timed_out"),
    ]


def test_what_asyncio_waits_for(recorder: Recorder) -> None:
    """A queue of asyncio: the second item is waited for."""

    async def writer() -> list[str]:
        inbox = tracer.awaited(asyncio.Queue[str](), "planner")
        inbox.put_nowait("plan")
        async with tracer.agent("writer"):
            first = await inbox.get()
            asyncio.get_running_loop().call_soon(inbox.put_nowait, "more")
            return [first, await inbox.get()]

    assert asyncio.run(writer()) == ["plan", "more"]
    assert waits(recorder) == [("writer", ["planner"], None, "met")]


@pytest.mark.parametrize("wrong", [threading.Semaphore(2), asyncio.Semaphore(2), threading.Condition(), "orders"])
def test_what_is_no_lock_is_refused(wrong: Any) -> None:
    """What several can hold at once, and what is no lock at all."""
    with pytest.raises(BadInput, match=type(wrong).__name__):
        tracer.lock("orders", wrong)


@pytest.mark.parametrize(("thing", "by"), [(threading.Event(), ()), (threading.Lock(), ("planner",))])
def test_what_cannot_be_awaited_is_refused(thing: Any, by: tuple[str, ...]) -> None:
    """Nobody is named, or nothing blocks in it that belongs to somebody."""
    with pytest.raises(BadInput, match="awaited"):
        tracer.awaited(thing, *by)
