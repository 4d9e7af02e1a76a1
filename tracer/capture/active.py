"""Where spans go at the moment, and which clock tells their times. Imports no SDK, so that decorators stay light."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace

from ..clock import Clock
from ..semconv import SCOPE_NAME

if TYPE_CHECKING:
    from .light import LightTracer
    from .processor import RecordingProcessor


@dataclass(frozen=True, slots=True)
class Target:
    """Where our own spans are made and, if we record here, the processor that keeps their contents."""

    tracer: trace.Tracer
    processor: RecordingProcessor | None = None
    clock: Clock | None = None
    light: LightTracer | None = None
    """starts spans without the SDK where nobody else listens"""


_targets: list[Target] = []
_run_clock: ContextVar[Clock | None] = ContextVar("tracehound_clock", default=None)


def target() -> Target:
    """The newest target; before `init`, whatever global tracer provider the host has (none: spans go nowhere)."""
    return _targets[-1] if _targets else Target(trace.get_tracer(SCOPE_NAME))


def push(new: Target) -> None:
    _targets.append(new)


def remove(old: Target) -> None:
    if old in _targets:
        _targets.remove(old)


def now_ns(where: Target) -> int | None:
    """The time by the clock of the run around us, else of the target; None lets the SDK read the wall clock."""
    clock = _run_clock.get() or where.clock
    return clock.now_ns() if clock is not None else None


run_clock = _run_clock
"""Set it (and reset it) around a run whose time is not the wall clock's."""
