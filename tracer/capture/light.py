"""Spans of our own decorators that do not go through the SDK, where nobody but our recorder would see them.

The SDK copies and checks every attribute, takes two locks a call and builds a second span object at the end, which costs more
than recording does. Nothing of that is needed between our decorators and our recorder, so they meet here:

    provider set by `init`, our recorder its only processor,
    everything sampled, no limit on the length of values          -> LightSpan
    anything else (a provider of the host, an exporter added to
    ours, a sampler, a remote parent that is not sampled ...)     -> the SDK's own span, looked at anew for every span

A `LightSpan` is a complete `opentelemetry.trace.Span`: instrumentors find it as the current span, set attributes on it and
become its children. What is recorded is the same either way.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, Sequence
from time import time_ns
from types import MappingProxyType
from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource as OtelResource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes

from ..model import RawEvent, RawLink, RawSpan
from ..semconv import Stored
from .content import Name
from .raw import STATUS, plain, plain_attributes

MAX_ATTRIBUTES: Final = 10_000
"""The SDK drops the oldest of more than 128 attributes, which a flattened chat history passes after 30 messages."""
MAX_EVENTS: Final = 10_000
MAX_LINKS: Final = 1_000
_PLAIN = frozenset({str, int, float, bool})
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class RecordingProvider(TracerProvider):
    """A provider of ours: raised limits, left alone by the SDK at exit, and aware of who listens besides us."""

    def __init__(
        self, resource: OtelResource, *, sampler: Sampler | None = None, id_generator: IdGenerator | None = None
    ) -> None:
        self.others_listen = False
        """True once somebody else's span processor was added"""
        super().__init__(
            sampler=sampler,
            resource=resource,
            shutdown_on_exit=False,
            id_generator=id_generator,
            span_limits=SpanLimits(max_span_attributes=MAX_ATTRIBUTES, max_events=MAX_EVENTS, max_links=MAX_LINKS),
        )

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        if not getattr(span_processor, "takes_light_spans", False):
            self.others_listen = True
        super().add_span_processor(span_processor)


class Recorder(Protocol):
    """Who is told of light spans, and writes them down."""

    def started(self, entry: LightSpan, /) -> None: ...

    def finished(self, span: LightSpan, end_ns: int, /) -> None: ...


class LightTracer:
    """Starts spans of `provider` that `processor` alone records."""

    def __init__(self, provider: RecordingProvider, processor: Recorder, scope: str) -> None:
        self._provider = provider
        self._processor = processor
        self._scope = scope
        ids: Any = provider.id_generator
        self._ids: IdGenerator = ids
        says_random = getattr(ids, "is_trace_id_random", None)  # the SDK asks since 1.41
        random_flag = int(getattr(TraceFlags, "RANDOM_TRACE_ID", 0)) if says_random is not None and says_random() else 0
        self._root_flags = TraceFlags(TraceFlags.SAMPLED | random_flag)

    def start(
        self,
        name: str,
        context: Context,
        attributes: dict[str, Any],
        links: Sequence[Link],
        start_ns: int | None,
        content: dict[str, list[Name]] | None,
    ) -> LightSpan | None:
        """A started span, the child of the current one of `context`; None where the SDK has to make it. Keeps `attributes`."""
        if self._provider.others_listen:
            return None
        ids = self._ids
        parent = trace.get_current_span(context).get_span_context()
        if not parent.is_valid:
            parent = None
            mine = SpanContext(ids.generate_trace_id(), ids.generate_span_id(), False, self._root_flags)
        elif parent.trace_flags & _SAMPLED:
            mine = SpanContext(parent.trace_id, ids.generate_span_id(), False, parent.trace_flags, parent.trace_state)
        else:
            return None
        span = LightSpan(name, mine, parent, self._processor, self._provider.resource, self._scope)
        span.set_attributes(attributes)
        for link in links:
            span.add_link(link.context, link.attributes)
        if content:
            span.content = content
        span.start_ns = start_ns if start_ns is not None else time_ns()
        self._processor.started(span)
        return span


def light_tracer(provider: TracerProvider, processor: Recorder, scope: str) -> LightTracer | None:
    """What starts light spans for `provider`; None where each must go through the SDK."""
    if not isinstance(provider, RecordingProvider) or provider.sampler not in (DEFAULT_ON, ALWAYS_ON):
        return None
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    limits = SpanLimits()  # as the environment says
    if limits.max_attribute_length is not None or limits.max_span_attribute_length is not None:
        return None
    return LightTracer(provider, processor, scope)


class LightSpan(trace.Span):
    """An open span of ours, and the entry that the recorder keeps of it."""

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        processor: Recorder,
        resource: OtelResource,
        scope: str,
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.resource = resource
        self.span_id: int = context[1]
        self.parent_id: int = parent[1] if parent is not None else 0
        self.content: dict[str, list[Name]] = {}
        self.announced = False
        self.start_ns = 0
        self.end_ns: int | None = None
        self.kind = trace.SpanKind.INTERNAL
        self._processor = processor
        self._scope = scope
        self._attributes: dict[str, Any] = {}
        self._dropped = 0
        self._events: list[RawEvent] = []
        self._links: list[RawLink] = []
        self._status = StatusCode.UNSET
        self._status_message = ""

    # what the API asks for

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return self.end_ns is None

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        if self.end_ns is not None:
            return
        mine = self._attributes
        for key, value in attributes.items():
            if not key or type(key) is not str:
                self._dropped += 1
            else:
                mine[key] = value if type(value) in _PLAIN else plain(value)
        while len(mine) > MAX_ATTRIBUTES:
            del mine[next(iter(mine))]
            self._dropped += 1

    def set_attribute(self, key: str, value: Any) -> None:
        self.set_attributes({key: value})

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self.end_ns is None:
            at = timestamp if timestamp is not None else time_ns()
            self._events.append(RawEvent(name=name, time_ns=at, attributes=plain_attributes(attributes)))
            del self._events[:-MAX_EVENTS]

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self.end_ns is not None or not (context.is_valid or attributes or context.trace_state):
            return
        self._links.append(
            RawLink(
                trace_id=f"{context.trace_id:032x}",
                span_id=f"{context.span_id:016x}",
                attributes=plain_attributes(attributes),
            )
        )
        del self._links[:-MAX_LINKS]

    def update_name(self, name: str) -> None:
        if self.end_ns is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if isinstance(status, Status):
            status, description = status.status_code, status.description
        if self.end_ns is None and self._status is not StatusCode.OK and status is not StatusCode.UNSET:
            self._status = status
            self._status_message = (description or "") if status is StatusCode.ERROR else ""

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        kind = type(exception)
        module = kind.__module__
        told: dict[str, Any] = {
            "exception.type": kind.__qualname__ if module in ("", "builtins") else f"{module}.{kind.__qualname__}",
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**told, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it at `end_time` (ns since the epoch) or now; only the first call does anything."""
        self._processor.finished(self, end_time if end_time is not None else time_ns())

    # what readers of SDK spans look for

    @property
    def attributes(self) -> Mapping[str, Any]:
        return MappingProxyType(self._attributes)

    @property
    def status(self) -> Status:
        return Status(self._status, self._status_message or None)

    @property
    def start_time(self) -> int:
        return self.start_ns

    @property
    def end_time(self) -> int | None:
        return self.end_ns

    # what the recorder asks for

    def record(self, resource: dict[str, Any], *, ended: bool) -> tuple[RawSpan, dict[str, list[Name]]]:
        """The span as it stands now, and the names of its contents; a start record has no end, no status, and shares nothing with it."""
        context = self.context
        raw = RawSpan(
            trace_id=f"{context[0]:032x}",
            span_id=f"{self.span_id:016x}",
            parent_span_id=f"{self.parent_id:016x}" if self.parent_id else None,
            name=self.name,
            start_ns=self.start_ns,
            end_ns=self.end_ns if ended else None,
            status=STATUS[self._status] if ended else "unset",
            status_message=self._status_message if ended else "",
            attributes=self._attributes if ended else dict(self._attributes),
            events=self._events if ended else list(self._events),
            links=self._links if ended else list(self._links),
            resource=resource,
            scope=self._scope,
            dropped_attributes=self._dropped,
        )
        if (state := context[4]) and (told := state.get("ot")):  # of a caller in another process
            raw.attributes[Stored.TRACE_STATE] = f"ot={told}"
        return raw, self.content if ended else {slot: list(ids) for slot, ids in self.content.items()}
