"""tracehound's recording side: what a program says about its agents.

    import tracer
    tracer.init()

    @tracer.agent("planner")
    def plan(goal: str) -> str: ...

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .capture.auto.http import join
    from .capture.awaited import awaited
    from .capture.guard import Guard, guard
    from .capture.live import LiveSpan
    from .capture.locks import lock
    from .capture.marks import decision, escalate, guard_trip, handoff, message, progress, wait
    from .capture.runtime import instrument
    from .capture.setup import flush, init, shutdown
    from .capture.spans import agent, current_span, llm_call, record_llm_call, tool, workflow
    from .capture.states import state_read, state_write
    from .capture.tracked import TrackedState, state
    from .capture.verdicts import mark, score

__all__ = [
    "Guard",
    "LiveSpan",
    "TrackedState",
    "agent",
    "awaited",
    "current_span",
    "decision",
    "escalate",
    "flush",
    "guard",
    "guard_trip",
    "handoff",
    "init",
    "instrument",
    "join",
    "llm_call",
    "lock",
    "mark",
    "message",
    "progress",
    "record_llm_call",
    "score",
    "shutdown",
    "state",
    "state_read",
    "state_write",
    "tool",
    "wait",
    "workflow",
]

_HOMES = {
    "guard": ("Guard", "guard"),
    "auto.http": ("join",),
    "awaited": ("awaited",),
    "live": ("LiveSpan",),
    "locks": ("lock",),
    "marks": ("decision", "escalate", "guard_trip", "handoff", "message", "progress", "wait"),
    "runtime": ("instrument",),
    "setup": ("flush", "init", "shutdown"),
    "spans": ("agent", "current_span", "llm_call", "record_llm_call", "tool", "workflow"),
    "states": ("state_read", "state_write"),
    "tracked": ("TrackedState", "state"),
    "verdicts": ("mark", "score"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".capture.{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
