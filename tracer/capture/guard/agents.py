"""Guards and the agents that multiply or wait: `tracer.agent` and `tracer.wait` are refused where they go too far.

An agent is refused before it starts, a wait before it blocks. What is seen are the agents and waits of hand-written code
and of `tracer.instrument`, and the agents of `framework_agents`; the cores are the offline detectors' own, fed with the same events.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ...online.fanout import FanoutAlarm, FanoutCore, FanoutLimits
from ...online.held_waits import HeldWaits, OpenWait
from ...online.limits import Limits
from ...online.waits import DeadlockAlarm
from ...semconv import Tracehound
from ..scope import Spec, who_in

if TYPE_CHECKING:
    from .core import Guard

_INVOCATION: Final = otel_context.create_key("tracehound-guarded-agent")
_numbers = itertools.count(1)
_ROOT: Final = ""
"""what the guard is put around, in its own core"""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One agent at work, and the crowds that count it."""

    who: str
    name: str
    crowds: tuple[Crowd, ...]


class Crowd:
    """The agents below one guard: who started whom, and who waits for whom. Not thread-safe; its guard locks."""

    def __init__(self, limits: Limits) -> None:
        self._fanout = FanoutCore(FanoutLimits(live=limits.fanout)) if limits.fanout is not None else None
        if self._fanout is not None:
            self._fanout.start(_ROOT, None)
        self._waits = HeldWaits() if limits.deadlock else None
        self._instances: dict[str, tuple[str, str]] = {}
        """invocation -> its agent, and the invocation of that agent that it is part of: one inside itself is one instance"""

    def start(self, who: str, name: str, above: str | None) -> FanoutAlarm | None:
        """`above` is the invocation that starts this one, None for the guard itself."""
        if self._waits is not None:
            around = self._instances.get(above or "")
            instance = around[1] if around is not None and around[0] == name else who
            self._instances[who] = (name, instance)
            self._waits.is_agent(name, instance)
        return self._fanout.start(who, above or _ROOT) if self._fanout is not None else None

    def end(self, who: str) -> None:
        name, instance = self._instances.pop(who, ("", ""))
        if self._waits is not None and instance == who:
            self._waits.has_ended(name, instance)
        if self._fanout is not None:
            self._fanout.end(who)

    def wait(self, spec: Spec, agent: str | None, above: str | None) -> tuple[OpenWait | None, DeadlockAlarm | None]:
        """A wait that names many agents is a plan for as many."""
        targets: list[str] = spec.attributes.get(Tracehound.WAIT_FOR) or []
        if self._fanout is not None:
            self._fanout.plan(above or _ROOT, len(targets))
        place, given = spec.attributes.get(Tracehound.WAIT_PLACE), spec.attributes.get(Tracehound.AGENT_ID)
        agent = agent or place  # a thread or task that works for no agent can hold a lock, too
        if self._waits is None or agent is None:
            return None, None
        mode = "any" if spec.attributes.get(Tracehound.WAIT_MODE) == "any" else "all"
        holds = spec.attributes.get(Tracehound.WAIT_HOLDS) or ()
        return self._waits.start(
            agent,
            targets,
            mode,
            holds,
            instance=place or given or self._instance(agent, above),
            is_lock=place is not None,
        )

    def _instance(self, agent: str, above: str | None) -> str | None:
        """Which of several instances at work begins to wait; None where there is but one."""
        name, instance = self._instances.get(above or "", ("", ""))
        several = sum(a == agent for a, _ in {*self._instances.values()}) > 1
        return f"invocation {instance}" if several and name == agent else None

    def told(self, alarm: DeadlockAlarm) -> str:
        """Who would wait for ever, and why."""
        return self._waits.told(alarm) if self._waits is not None else ""

    def over(self, wait: OpenWait) -> None:
        if self._waits is not None:
            self._waits.end(wait)


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


def fanout_sentence(alarm: FanoutAlarm) -> str:
    """Why an agent was refused."""
    why = {
        "live": f"{alarm.value} agents would be at work at once, {alarm.limit} are allowed",
        "depth": f"agents start each other {alarm.value} levels deep, {alarm.limit} are allowed",
        "doublings": f"{alarm.value} generations of agents in a row at least doubled",
        "growing": f"{alarm.value} generations of agents in a row grew while fewer than half had ended",
    }[alarm.rule]
    return f"{why}; {alarm.started} were started, {alarm.live} of them at work"
