"""Guards and the agents that multiply or wait: `tracer.agent` and `tracer.wait` are refused where they go too far.

An agent is refused before it starts, a wait before it blocks. What is seen are the agents and waits of hand-written code
and of `tracer.instrument`, and the agents of `framework_agents`; what each guard counts of them is its `Crowd`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ...online.held_waits import OpenWait
from ..scope import Spec, who_in
from .core import Guard
from .crowd import Crowd

_INVOCATION: Final = otel_context.create_key("tracehound-guarded-agent")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One agent at work, and the crowds that count it."""

    who: str
    name: str
    crowds: tuple[Crowd, ...]


def invocation() -> Invocation | None:
    """The guarded agent around the current code."""
    found = otel_context.get_value(_INVOCATION)
    return found if isinstance(found, Invocation) else None


def admit_agent(spec: Spec, guards: Sequence[Guard]) -> tuple[Callable[[Context], Context], Callable[..., None]]:
    """Count an agent that is about to start in each of the guards; raises where one of them refuses."""
    around = invocation()
    name = spec.agent or spec.name
    made = Invocation(str(next(_numbers)), name, tuple(guard.crowd for guard in guards if guard.crowd is not None))

    def over(*_: Any) -> None:
        for guard in guards:
            guard.agent_ended(made.who)

    try:
        for guard in guards:
            above = around.who if around is not None and guard.crowd in around.crowds else None
            guard.agent_starts(made.who, name, above)
    except BaseException:
        over()
        raise
    return (lambda context: otel_context.set_value(_INVOCATION, made, context)), over


def admit_wait(spec: Spec, guards: Sequence[Guard]) -> tuple[Callable[[Context], Context], Callable[..., None]]:
    """Enter a wait that is about to begin into each of the guards; raises where it could never end."""
    around = invocation()
    entered: list[tuple[Guard, OpenWait]] = []

    def over(*_: Any) -> None:
        for guard, wait in entered:
            guard.wait_ended(wait)

    try:
        for guard in guards:
            above = around.who if around is not None and guard.crowd in around.crowds else None
            guard.wait_starts(spec, spec.agent or who_in().agent, above, entered)
    except BaseException:
        over()
        raise
    return (lambda context: context), over
