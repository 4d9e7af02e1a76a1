"""LangGraph's pauses for a person: `interrupt()` raises GraphInterrupt through the node, and the run ends for now.

The exception stands in an event of a span that is OK (OpenInference) or is the error of the span (others). The answer
comes in a trace of its own, in the same thread.
"""

from __future__ import annotations

from tracer.model import RawSpan
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_text
from tracer.semconv import Common

PAUSED = "paused for a person"
"""`finish_reason` of a span through which an interrupt passed"""
_INTERRUPTS = frozenset({"GraphInterrupt", "NodeInterrupt"})


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    if raw.status == "error" and (
        _is_interrupt(raw.attributes.get(Common.ERROR_TYPE)) or raw.status_message.split("(", 1)[0] in _INTERRUPTS
    ):
        return True
    for event in raw.events:
        if event.name == Common.EXCEPTION_EVENT and _is_interrupt(event.attributes.get(Common.EXCEPTION_TYPE)):
            return True
    return False


def kind(raw: RawSpan) -> str | None:
    return None


def read(reading: Reading) -> None:
    reading.span.finish_reason = PAUSED


def _is_interrupt(value: object) -> bool:
    return (as_text(value) or "").rsplit(".", 1)[-1] in _INTERRUPTS


ADAPTER = Adapter("langgraph", recognises, kind, read)
