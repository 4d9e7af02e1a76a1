"""What is repeated or replaced, as recorded by `tracer.instrument`, also where retries lie in retries."""

from __future__ import annotations

from typing import Any

import pytest

import tracer
from reference_runtime.clock import VirtualClock
from reference_runtime.errors import ToolFailed
from reference_runtime.recovery import RetryPolicy
from reference_runtime.runtime import Runtime
from reference_runtime.scripted import ScriptedModel, in_turn
from reference_runtime.tools import Tool, Tools
from tests.reference_runtime.workflows import Steps
from tracer.semconv import GenAI, Tracehound
from tracer.testing import recording

TWICE = RetryPolicy(attempts=2)


def tries(*, inner: bool, outer: int, fallback_retried: bool = False) -> list[tuple[str, int | None, str | None]]:
    """(tool, attempt, what it repeats or replaces) of each call; the tool "main" always fails, "spare" fails once."""
    left = [1]

    def fail(_: Any) -> str:
        raise ToolFailed("main", "down")

    def fail_once(_: Any) -> str:
        if fallback_retried and left:
            left.pop()
            raise ToolFailed("spare", "down")
        return "there"

    async def body(runtime: Runtime) -> str:
        async def main() -> str:
            return await runtime.tools.call("A", "main", {})

        async def spare() -> str:
            return await runtime.tools.call("A", "spare", {})

        async def main_retried() -> str:
            return await runtime.recovery.retrying("A", "inner", main, policy=TWICE)

        async def spare_retried() -> str:
            return await runtime.recovery.retrying("A", "inner", spare, policy=TWICE)

        return await runtime.recovery.retrying(
            "A", "outer", main_retried if inner else main, policy=RetryPolicy(attempts=outer),
            fallbacks=[("spare", spare_retried if fallback_retried else spare)],
        )  # fmt: skip

    clock = VirtualClock()
    tools = tuple(Tool(name=name, description=name, function=f) for name, f in (("main", fail), ("spare", fail_once)))
    model = ScriptedModel(in_turn("yes"), clock=clock)
    runtime = Runtime(workflow=Steps(body), clock=clock, model=model, tools=Tools(clock, tools))
    with recording() as found:
        tracer.instrument(runtime)
        assert clock.run(runtime.run("go")).output == "there"
    calls = found.of_kind("tool")
    names = {call.span_id: f"{place}" for place, call in enumerate(calls)}
    told: list[tuple[str, int | None, str | None]] = []
    for call in calls:
        said = call.attributes
        retried, replaced = said.get(Tracehound.RETRY_OF), said.get(Tracehound.FALLBACK_OF)
        before = f"retry of {names[retried]}" if retried else f"fallback of {names[replaced]}" if replaced else None
        told.append((str(said[GenAI.TOOL_NAME]), said.get(Tracehound.ATTEMPT), before))
    return told


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ({"inner": False, "outer": 2}, [("main", 1, None), ("main", 2, "retry of 0"), ("spare", None, "fallback of 1")]),
        ({"inner": True, "outer": 1}, [("main", 1, None), ("main", 2, "retry of 0"), ("spare", None, "fallback of 1")]),
        (
            {"inner": True, "outer": 2},
            [("main", 1, None), ("main", 2, "retry of 0"), ("main", 1, None), ("main", 2, "retry of 2"), ("spare", None, "fallback of 3")],
        ),
        (
            {"inner": True, "outer": 1, "fallback_retried": True},
            [("main", 1, None), ("main", 2, "retry of 0"), ("spare", 1, "fallback of 1"), ("spare", 2, "retry of 2")],
        ),
    ],
)  # fmt: skip
def test_a_fallback_names_the_last_try_before_it(
    program: dict[str, Any], expected: list[tuple[str, int | None, str | None]]
) -> None:
    """Also after retriers within retriers, and where the fallback is retried itself."""
    assert tries(**program) == expected
