"""A program that sets a TracerProvider of its own, after ours was set for it, gets what it asked for.

Its provider becomes the global one and our processor joins it; spans that instrumentors go on making with ours are also
given to its exporters, which would have seen them had the program called the instrumentor first.
"""

from __future__ import annotations

import functools
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from ..complaints import complain
from ..recording import Recording
from .imports import logger


def keep_host_provider(recording: Recording) -> None:
    """Let a later `set_tracer_provider` of the program win over the provider of `recording`."""
    original: Any = trace.set_tracer_provider
    if recording.joined or hasattr(original, "__tracehound__"):
        return
    state = {"open": True}

    @functools.wraps(original)
    def set_tracer_provider(tracer_provider: trace.TracerProvider) -> None:
        if state["open"] and tracer_provider is not recording.provider and recording.pid:
            state["open"] = False
            _reopen()
            if isinstance(tracer_provider, TracerProvider):
                recording.provider.add_span_processor(_ToHost(tracer_provider, recording.processor))
                tracer_provider.add_span_processor(recording.processor)
                logger.info("tracehound: joined the TracerProvider that the program set")
        original(tracer_provider)

    vars(set_tracer_provider)["__tracehound__"] = True
    trace.set_tracer_provider = set_tracer_provider


def _reopen() -> None:
    """Make the API forget that a provider was set."""
    once: Any = getattr(trace, "_TRACER_PROVIDER_SET_ONCE")  # noqa: B009 - the API has no public way
    once._done = False


class _ToHost(SpanProcessor):
    """Passes spans on to the processors of the program's provider, also those that it adds later; not to our own."""

    def __init__(self, provider: TracerProvider, ours: SpanProcessor) -> None:
        self._provider = provider
        self._ours = ours

    def _others(self) -> list[Any]:
        active: Any = getattr(self._provider, "_active_span_processor", None)
        return [each for each in getattr(active, "_span_processors", ()) if each is not self._ours]

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        try:
            for each in self._others():
                each.on_start(span, parent_context)
        except Exception:  # noqa: BLE001 - an exporter of the host; logged once
            complain("passing a span on to the program's own exporters")

    def on_end(self, span: ReadableSpan) -> None:
        try:
            for each in self._others():
                each.on_end(span)
        except Exception:  # noqa: BLE001 - an exporter of the host; logged once
            complain("passing a span on to the program's own exporters")
