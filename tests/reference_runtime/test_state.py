"""Shared state of the runtime: versions, pruning, events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reference_runtime.clock import VirtualClock
from reference_runtime.errors import (
    StateConflictError,
)
from reference_runtime.events import EventSourcedState
from reference_runtime.state import SharedState, State, UnprotectedState, size_bytes


def _state_run(state_of: Callable[[VirtualClock], State], body: Callable[[State], Awaitable[Any]]) -> Any:
    clock = VirtualClock()
    return clock.run(body(state_of(clock)))  # type: ignore[arg-type]


@pytest.mark.parametrize("state_of", [SharedState, EventSourcedState], ids=["shared", "events"])
def test_optimistic_concurrency(state_of: Callable[[VirtualClock], State]) -> None:
    """Of two writers from one version the second is refused, and told what is current."""

    async def body(state: State) -> StateConflictError:
        await state.write("A", "k", {"n": 1}, expected_version=0)
        assert await state.write("A", "k", {"n": 2}, expected_version=1) == 2
        with pytest.raises(StateConflictError) as caught:
            await state.write("B", "k", {"n": 3}, expected_version=1)
        assert (await state.read("B", "k")).value == {"n": 2}
        assert await state.write("B", "k", {"n": 4}) == 3
        return caught.value

    error = _state_run(state_of, body)

    assert (error.key, error.expected, error.current) == ("k", 1, 2)


@pytest.mark.parametrize(
    ("state_of", "seen"), [(SharedState, [1]), (EventSourcedState, [1]), (UnprotectedState, [1, 2])]
)
def test_values_changed_in_place(state_of: Callable[[VirtualClock], State], seen: list[int]) -> None:
    """Only the unprotected state hands out the very object it keeps."""

    async def body(state: State) -> Any:
        await state.write("A", "k", [1])
        (await state.read("B", "k")).value.append(2)
        return state.peek("k").value

    assert _state_run(state_of, body) == seen


@pytest.mark.parametrize("state_of", [SharedState, UnprotectedState])
def test_prune_forgets_the_oldest_keys(state_of: Callable[[VirtualClock], State]) -> None:
    """What was written last stays; the state gets smaller."""

    async def body(state: State) -> Any:
        for key in ("a", "b", "c", "a"):
            await state.write("A", key, "x" * 100)
        before = size_bytes(state)
        gone = await state.prune("A", keep=2)
        return gone, state.keys(), size_bytes(state) < before

    assert _state_run(state_of, body) == (("b",), ("c", "a"), True)


def test_events_add_up_and_survive_pruning() -> None:
    """Appends from everybody are kept; pruning folds old events without changing value or version."""
    clock = VirtualClock()
    state = EventSourcedState(clock, lambda value, event: [*(value or []), event])

    async def body() -> tuple[Any, ...]:
        await asyncio.gather(*(state.append(agent, "log", agent) for agent in "ABCD"))
        before = await state.read("A", "log")
        await state.prune("A", keep=1)
        after = await state.read("A", "log")
        return before, after, len(state.history("log")), await state.append("E", "log", "E")

    before, after, left, version = clock.run(body())

    assert before == after
    assert sorted(before.value) == ["A", "B", "C", "D"]
    assert (before.version, left, version) == (4, 1, 5)
