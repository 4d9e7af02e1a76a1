"""A run of the runtime that is just a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from reference_runtime.clock import VirtualClock
from reference_runtime.runtime import RunResult, Runtime
from reference_runtime.scripted import ScriptedModel, in_turn


@dataclass(frozen=True)
class Steps:
    """A workflow that is just a function."""

    body: Callable[[Runtime], Awaitable[str]]
    name: str = "steps"

    async def run(self, runtime: Runtime, goal: str) -> str:
        return await self.body(runtime)


def run(body: Callable[[Runtime], Awaitable[str]], *, deadline_s: float | None = None, **parts: Any) -> RunResult:
    clock = VirtualClock()
    runtime = Runtime(workflow=Steps(body), clock=clock, model=ScriptedModel(in_turn("yes"), clock=clock), **parts)
    return clock.run(runtime.run("go", deadline_s=deadline_s))
