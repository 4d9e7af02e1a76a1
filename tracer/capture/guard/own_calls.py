"""Guards and what hand-written agents say themselves.

`tracer.llm_call` is refused and charged, agents and waits are counted (see `agents`), state writes are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ...model import SpanKind
from ...online.sizes import chars_in
from ...semconv import GenAI, Tracehound
from ..live import LiveSpan, LlmSpan
from ..scope import Spec, gate_with
from .agents import admit_agent, admit_wait
from .calls import TICKET, Ticket, admit, charge
from .core import current
from .reading import Answered, Asked, newest_of, used_from

Ended = Callable[[LiveSpan, BaseException | None], None]


class OwnCalls:
    """What `scope` asks before it begins a span and tells when one has ended."""

    def admit(self, spec: Spec) -> tuple[Callable[[Context], Context], Ended] | None:
        """For what is under guard: how its context is marked, and what is called at its end. Raises where a guard refuses."""
        guard = current()
        if guard is None:
            return None
        if spec.kind is SpanKind.AGENT or spec.kind is SpanKind.WAIT:
            guards = [each for each in guard.chain() if each.crowd is not None]
            if not guards or spec.start_ns is not None:
                return None
            return admit_agent(spec, guards) if spec.kind is SpanKind.AGENT else admit_wait(spec, guards)
        if spec.kind is not SpanKind.LLM:
            return None
        asked = _asked(spec)
        if spec.start_ns is not None:  # over already, as with `record_llm_call`
            return (lambda context: context), (lambda span, error: charge(asked, _answered(span)))
        ticket = admit(asked)
        if ticket is None:
            return None
        return _marking(ticket), (lambda span, error: ticket.settle(_answered(span), None, error))

    def recorded(self, spec: Spec) -> None:
        """A fact was recorded. Raises where a value of shared state is larger than a guard allows."""
        if spec.kind is not SpanKind.STATE_WRITE:
            return
        guard, size = current(), spec.attributes.get(Tracehound.VALUE_BYTES)
        if guard is not None and isinstance(size, int):
            for each in guard.chain():
                each.state_written(str(spec.attributes.get(Tracehound.STATE_KEY)), size)


def _marking(ticket: Ticket) -> Callable[[Context], Context]:
    return lambda context: otel_context.set_value(TICKET, ticket, context)


def _asked(spec: Spec) -> Asked:
    model: Any = spec.attributes.get(GenAI.REQUEST_MODEL)
    messages = list(spec.messages or ())
    return Asked(model=model, chars=chars_in(messages) if messages else 0, newest=newest_of(messages))


def _answered(span: LiveSpan) -> Answered:
    if not isinstance(span, LlmSpan):
        return Answered()
    told = span.told
    return Answered(
        used=used_from(
            told.get("input_tokens"),
            told.get("output_tokens"),
            told.get("cached_tokens"),
            told.get("cache_write_tokens"),
        ),
        text=told.get("text", ""),
        cost_usd=None if told.get("cost_usd") is None else Decimal(str(told["cost_usd"])),
    )


def watch() -> None:
    """From now on guards are asked."""
    gate_with(OwnCalls())
