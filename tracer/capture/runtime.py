"""`tracer.instrument(runtime)`: records a runtime from outside, by replacing methods on its parts.

The runtime is known by its shape only (fixtures/reference_runtime/README.md says which methods there are); it is never
imported. Parts and methods that are not there are passed over. Wrappers add no await of their own, so a run takes the same
steps in the same order with and without them, and times are read from the runtime's clock.

    one run = one trace: workflow > agent > llm, tool, message, handoff, decision, state, wait, escalation, guard trip
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ..errors import BadInput, shorten
from . import shim_coordination as coordination
from . import shim_work as work
from .shim import Patches, WatchedState, notes
from .shim_state import StateShim


class Instrumented:
    """A runtime that is recorded until `uninstrument`, which also the end of a `with` block calls."""

    def __init__(self, runtime: Any, patches: Patches) -> None:
        self.runtime = runtime
        self._patches = patches

    def uninstrument(self) -> None:
        """Give every part its own methods back; what runs at the moment is recorded to its end."""
        self._patches.undo()

    def __enter__(self) -> Instrumented:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.uninstrument()


def instrument(runtime: Any) -> Instrumented:
    """Record everything that `runtime` does. Parts shared with another instrumented runtime are wrapped once.

    Raises:
        BadInput: `runtime` has not the shape of one.
    """
    missing = [name for name in ("run", "invoke", "workflow", "clock", "model") if not hasattr(runtime, name)]
    if missing:
        raise BadInput(
            f"{shorten(repr(runtime))} cannot be instrumented: it has no {', '.join(missing)}.",
            hint="hand over the runtime object itself; for your own agents use the decorators (tracer.agent ...).",
        )
    patches = Patches()
    patches.replace(runtime, "run", work.run(runtime))
    patches.replace(runtime, "invoke", work.invoke(runtime))
    patches.replace(runtime.model, "complete", work.complete(runtime.model))
    tools, bus, human = _part(runtime, "tools"), _part(runtime, "bus"), _part(runtime, "human")
    patches.replace(tools, "call", work.call_tool)
    patches.replace(bus, "send", coordination.send)
    patches.replace(bus, "receive", coordination.receive(bus, runtime))
    recovery = _part(runtime, "recovery")
    patches.replace(recovery, "retrying", work.retrying)
    patches.replace(recovery, "attempt", work.attempt)
    patches.replace(recovery, "back_off", work.back_off(runtime))
    patches.replace(recovery, "fall_back", work.fall_back)
    together = _part(runtime, "coordination")
    patches.replace(together, "wait", coordination.wait_for(runtime))
    patches.replace(together, "decide", coordination.decide)
    patches.replace(together, "carry_out", coordination.carry_out)
    patches.replace(together, "handoff", coordination.hand_off)
    patches.replace(together, "report_progress", coordination.report_progress)
    cost, breaker = _part(runtime, "cost"), _part(runtime, "breaker")
    patches.replace(cost, "charge", coordination.charge)
    patches.replace(cost, "check", coordination.check_budget)
    patches.replace(breaker, "check", coordination.check_breaker)
    patches.replace(human, "ask", coordination.ask(human, runtime))
    patches.replace(human, "hand_over", coordination.hand_over(human))
    _instrument_state(patches, runtime)
    return Instrumented(runtime, patches)


def _instrument_state(patches: Patches, runtime: Any) -> None:
    state = _part(runtime, "state")
    if not all(hasattr(state, name) for name in ("peek", "keys", "read", "write")):
        return
    shim = StateShim(state, WatchedState.of(state))
    for name in ("read", "write", "append", "prune"):
        patches.replace(state, name, getattr(shim, name))
    # Whoever pauses has done something before: the moment to see what it changed in place, and to know who it was.
    patches.replace(runtime.clock, "sleep", _looking)


def _looking(original: Any) -> Any:
    async def traced(seconds: float) -> Any:
        notes().look()
        return await original(seconds)

    return traced


def _part(runtime: Any, name: str) -> Any:
    return getattr(runtime, name, None)
