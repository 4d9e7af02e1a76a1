"""The agents below one guard, counted: how they multiply, and who waits for whom.

The cores are the offline detectors' own, fed with the same events.
"""

from __future__ import annotations

from typing import Final

from ...online.fanout import FanoutAlarm, FanoutCore, FanoutLimits
from ...online.held_waits import HeldWaits, OpenWait
from ...online.limits import Limits
from ...online.waits import DeadlockAlarm
from ...semconv import Tracehound
from ..scope import Spec

_ROOT: Final = ""
"""what the guard is put around, in its own core"""


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


def fanout_sentence(alarm: FanoutAlarm) -> str:
    """Why an agent was refused."""
    why = {
        "live": f"{alarm.value} agents would be at work at once, {alarm.limit} are allowed",
        "depth": f"agents start each other {alarm.value} levels deep, {alarm.limit} are allowed",
        "doublings": f"{alarm.value} generations of agents in a row at least doubled",
        "growing": f"{alarm.value} generations of agents in a row grew while fewer than half had ended",
    }[alarm.rule]
    return f"{why}; {alarm.started} were started, {alarm.live} of them at work"
