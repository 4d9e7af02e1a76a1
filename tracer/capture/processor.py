"""The span processor: what the OpenTelemetry SDK starts and ends becomes records that survive `kill -9`.

When is what durable (measured: a 1.2 KB `write` is 1.3 us of CPU here, building and encoding the record about 25):

    span ends            written before `end()` returns, in the caller's thread: "ended" means "acknowledged"
    root span starts     written before `start_span` returns: a run is known as soon as it exists
    other span starts    written together with the first descendant that ends, else by a background thread
                         within START_DELAY_S; never, if the span ends sooner
    `flush()`            everything that is known, now

With `write_delay_s` all of that is left to the background thread, which works at most that long behind: a third of the CPU
on the caller's thread, and `kill -9` loses what ended within that time. Contents are as they were when they were handed over.

Threads that end spans while another thread writes leave theirs in the queue, and whoever holds the lock takes them
along (group commit). A finaliser or a signal handler that ends a span in the middle of a write of its own thread
queues it too, so nothing here can deadlock with itself.

Nothing is raised into the host: what cannot be written is counted in `dropped` and logged once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, cast

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource as OtelResource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from ..model import RawEvent, RawSpan
from ..semconv import LangGraph, Resource, Stored, Tracehound
from .complaints import complaints
from .content import CONTENT, Contents, Name
from .graph_node import SILENT, current_node
from .light import LightSpan
from .privacy import Privacy
from .raw import raw_span
from .writer import SpanWriter

START_DELAY_S: Final = 0.05
"""How long the start of a span that is not a root may stay unwritten."""
MAX_WAITING: Final = 1_000
"""Ended spans that may wait for the background thread; one more is written by the thread that ended it, with all the others."""

logger = logging.getLogger("tracehound")


class _Open(Protocol):
    """A span that has started and not ended: one of the SDK's, or a light one."""

    span_id: int
    parent_id: int
    """0 for a root"""
    announced: bool
    content: dict[str, list[Name]]

    @property
    def resource(self) -> OtelResource: ...

    def record(self, resource: dict[str, Any], *, ended: bool) -> tuple[RawSpan, dict[str, list[Name]]]:
        """The record of it as it stands now, and the names of its contents, which belong into it."""
        ...


class _OpenSdkSpan:
    """A span that the SDK made."""

    __slots__ = ("announced", "cancelled", "content", "parent_id", "raised", "span", "span_id")

    def __init__(self, span: ReadableSpan, span_id: int, content: dict[str, list[Name]]) -> None:
        self.span = span
        self.span_id = span_id
        self.parent_id = span.parent.span_id if span.parent is not None else 0
        self.announced = False
        self.content = content
        self.raised = id(sys.exc_info()[1])
        """the exception that was being handled when it began: not its own"""
        self.cancelled = False

    @property
    def resource(self) -> OtelResource:
        return self.span.resource

    def record(self, resource: dict[str, Any], *, ended: bool) -> tuple[RawSpan, dict[str, list[Name]]]:
        content = self.content if ended else {slot: list(ids) for slot, ids in self.content.items()}
        raw = raw_span(self.span, ended=ended, resource=resource)
        if self.cancelled:
            raw.attributes[Tracehound.CANCELLED] = True
        return raw, content


class RecordingProcessor(SpanProcessor):
    """Writes the start and the end of every sampled span to `writer`."""

    def __init__(
        self,
        writer: SpanWriter,
        *,
        privacy: Privacy | None = None,
        start_delay_s: float = START_DELAY_S,
        write_delay_s: float = 0.0,
        sampled: str = "",
    ) -> None:
        self._writer = writer
        self._privacy = privacy or Privacy()
        self._start_delay_s = start_delay_s
        self._write_delay_s = write_delay_s
        self._sampled = sampled
        """trace state of roots that a sampler kept without writing it (see `sampled`)"""
        self._pause_s = min(start_delay_s, write_delay_s) if write_delay_s > 0 else start_delay_s
        self.contents = Contents(
            keep_bodies=self._privacy.keeps_bodies, redact=self._privacy.redact, later=write_delay_s > 0
        )
        self.dropped = 0
        """records that could not be made or written; a span counts once for its start and once for its end"""
        self.wrote = False
        """True once something was written"""
        self._open: dict[int, _Open] = {}
        self._inherited: frozenset[int] = frozenset()
        """spans that were open when this process was forked: their ends are the parent's to write"""
        self._unannounced: dict[int, _Open] = {}
        self._ended: deque[RawSpan] = deque()
        self._waiting: deque[_Open] = deque()
        """ended spans whose records are made in the background"""
        self._resources: dict[int, tuple[OtelResource, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._lock_owner = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._complained = False
        self._unmade = 0
        """ended spans of which no record could be made: the writer never heard of them"""
        self._complaints = complaints()
        if hasattr(os, "register_at_fork"):
            method = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (method() or (lambda: None))())

    # the four calls of the SDK

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self._closed:
            return
        scope = span.instrumentation_scope
        if scope is not None and scope.name.startswith(SILENT) and (node := current_node()) is not None:
            span.set_attribute(LangGraph.CHECKPOINT_NS, node)
        content = parent_context.get(CONTENT) if parent_context is not None else None
        contents = cast("dict[str, list[Name]]", content) if isinstance(content, dict) else {}
        self.started(_OpenSdkSpan(span, span.get_span_context().span_id, contents))

    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if self._closed or context is None or not context.trace_flags.sampled or context.span_id in self._inherited:
            return
        entry = self._open.pop(context.span_id, None)
        ended = _OpenSdkSpan(span, context.span_id, entry.content if entry is not None else {})
        if type(sys.exc_info()[1]).__name__ == "CancelledError" and isinstance(entry, _OpenSdkSpan):
            ended.cancelled = ended.raised != entry.raised
        self._ended_now(ended)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything that is known, starts included; False when something could not be written."""
        before = self.dropped
        self._write(tuple(self._unannounced.values()))
        return self.dropped == before

    def shutdown(self) -> None:
        """Write what is left and seal; later spans are ignored."""
        if self._closed:
            return
        self.force_flush()
        self._closed = True
        self._wake.set()
        try:
            self._writer.count("shim_errors", complaints() - self._complaints)
            self._writer.lost(self._unmade)
            self._writer.close()
        except OSError:
            self._lose(0)

    # what the recorder adds

    takes_light_spans: Final = True

    def started(self, entry: _Open) -> None:
        """Take note of a span that has just started; that of a root is written before this returns."""
        if self._closed:
            return
        try:
            self._open[entry.span_id] = self._unannounced[entry.span_id] = entry
            if self._start_delay_s <= 0 or not (entry.parent_id or self._write_delay_s):
                self._write((entry,))
            elif not self._wake.is_set():
                self._start_thread()
                self._wake.set()
        except Exception:  # noqa: BLE001 - the host must not feel it; counted and logged by _lose
            self._lose(1)

    def finished(self, span: LightSpan, end_ns: int) -> None:
        """End a light span; written when this returns. Nothing where it had ended, or is not ours to end."""
        entry = self._open.pop(span.span_id, None)
        if entry is not None or span.end_ns is None:
            span.end_ns = end_ns
        if entry is not None and not self._closed:
            self._ended_now(span)

    @property
    def names_contents(self) -> bool:
        """False where contents are switched off, so that nobody encodes them in vain."""
        return self._privacy.names_contents

    def has(self, span_id: int) -> bool:
        """True for a span that is open here."""
        return span_id in self._open

    def attach(self, span_id: int, slot: str, ids: Iterable[Name]) -> None:
        """Append content ids to a slot ("input" or "output") of an open span; unknown spans are passed over."""
        entry = self._open.get(span_id)
        if entry is not None and self._privacy.names_contents:
            entry.content.setdefault(slot, []).extend(ids)

    def record_event(self, event: RawEvent) -> bool:
        """Write an event that names its span, which may have ended; True when it is durable."""
        if self._closed:
            return False
        from .otlp import log_request  # protobuf: not for everybody

        event.attributes = self._privacy.attributes(event.attributes)
        try:
            self._writer.write_logs(log_request([event], {Resource.PROCESS_PID: os.getpid()}))
            self.wrote = True
        except Exception:  # noqa: BLE001 - disk full ...; counted and logged by _lose
            self._lose(1)
            return False
        return True

    # inside

    def _ended_now(self, entry: _Open) -> None:
        try:
            self._unannounced.pop(entry.span_id, None)
            if self._write_delay_s and len(self._waiting) < MAX_WAITING:
                self._waiting.append(entry)
                if not self._wake.is_set():
                    self._start_thread()
                    self._wake.set()
                return
            self._ended.append(self._record(entry, ended=True))
            self._write(self._ancestors(entry.parent_id) if entry.parent_id and self._unannounced else ())
        except Exception:  # noqa: BLE001 - the host must not feel it; counted and logged by _lose
            self._unmade += 1
            self._lose(1)

    def _record(self, entry: _Open, *, ended: bool) -> RawSpan:
        raw, content = entry.record(self._resource(entry.resource), ended=ended)
        raw.content = self.contents.resolve(content)
        if self._sampled and raw.parent_span_id is None:
            raw.attributes.setdefault(Stored.TRACE_STATE, self._sampled)
        if self._privacy.changes_attributes:
            raw.attributes = self._privacy.attributes(raw.attributes)
            raw.name = self._privacy.text(raw.name)
            raw.status_message = self._privacy.text(raw.status_message)
            for event in raw.events:
                event.name = self._privacy.text(event.name)
                event.attributes = self._privacy.attributes(event.attributes)
            for link in raw.links:
                link.attributes = self._privacy.attributes(link.attributes)
        return raw

    def _resource(self, resource: OtelResource) -> dict[str, Any]:
        known = self._resources.get(id(resource))
        if known is None:
            plain = {key: list(v) if isinstance(v, tuple) else v for key, v in resource.attributes.items()}
            known = (resource, {**self._privacy.attributes(plain), Resource.PROCESS_PID: os.getpid()})
            self._resources[id(resource)] = known
        return known[1]

    def _ancestors(self, span_id: int) -> list[_Open]:
        """The open spans above that nobody has heard of yet, so that no written span lacks its parent."""
        found: list[_Open] = []
        entry = self._open.get(span_id)
        while entry is not None and not entry.announced:
            found.append(entry)
            entry = self._open.get(entry.parent_id)
        return found

    def _write(self, announce: Sequence[_Open]) -> None:
        me = threading.get_ident()
        if self._lock_owner == me:
            return  # a finaliser or signal handler within our own write; the loop below takes what it queued
        with self._lock:
            self._lock_owner = me
            try:
                starts = self._take_starts(announce) if announce else []
                spans = self._take_ended()
                while starts or spans:
                    self._hand_over(spans, starts)
                    starts, spans = [], self._take_ended()
            finally:
                self._lock_owner = 0

    def _take_starts(self, announce: Sequence[_Open]) -> list[RawSpan]:
        starts: list[RawSpan] = []
        for entry in announce:
            span_id = entry.span_id
            self._unannounced.pop(span_id, None)
            if entry.announced or span_id not in self._open:
                continue  # another thread wrote it, or it has ended meanwhile
            try:
                starts.append(self._record(entry, ended=False))
            except RuntimeError:
                # Its own thread is adding an attribute at this very moment; the next tick takes it.
                self._unannounced[span_id] = entry
                continue
            entry.announced = True
        return starts

    def _take_ended(self) -> list[RawSpan]:
        spans: list[RawSpan] = []
        while self._waiting:
            try:
                spans.append(self._record(self._waiting.popleft(), ended=True))
            except Exception:  # noqa: BLE001 - one record that cannot be made; counted and logged by _lose
                self._unmade += 1
                self._lose(1)
        while self._ended:
            spans.append(self._ended.popleft())
        return spans

    def _hand_over(self, spans: list[RawSpan], starts: list[RawSpan]) -> None:
        contents = self.contents.take_unwritten()
        try:
            self._writer.write_spans(spans, starts=starts, contents=contents)
            self.wrote = True
        except Exception:  # noqa: BLE001 - disk full, a closed writer ...; counted and logged by _lose
            self.contents.forget()
            self._lose(len(spans) + len(starts))

    def _lose(self, records: int) -> None:
        self.dropped += records
        if not self._complained:
            self._complained = True
            logger.warning("tracehound could not record spans; counting further losses silently", exc_info=True)

    # the background thread that announces long spans

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=_announce_later, args=(weakref.ref(self),), daemon=True)
            self._thread.name = "tracehound-starts"
            self._thread.start()

    def _tick(self) -> None:
        """Called once per delay while there may be something to announce."""
        if self._unannounced or self._ended or self._waiting:
            self._write(tuple(self._unannounced.values()))

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._lock_owner = 0
        self._wake = threading.Event()
        self._thread = None
        self._inherited = frozenset(self._open) | self._inherited
        self._open.clear()
        self._unannounced.clear()
        self._ended.clear()
        self._waiting.clear()
        self._resources.clear()
        self.contents.forget()
        self.contents.take_unwritten()
        self.wrote = False
        self.dropped = self._unmade = 0
        self._complaints = complaints()


def _announce_later(reference: weakref.ref[RecordingProcessor]) -> None:
    """Body of the background thread; holds the processor only while it works, so that it can be collected."""
    pause = threading.Event()
    while True:
        processor = reference()
        if processor is None or processor._closed:  # pyright: ignore[reportPrivateUsage]
            return
        wake, delay_s = processor._wake, processor._pause_s  # pyright: ignore[reportPrivateUsage]
        del processor
        wake.wait()
        pause.wait(delay_s)
        processor = reference()
        if processor is None or processor._closed:  # pyright: ignore[reportPrivateUsage]
            return
        wake.clear()
        processor._tick()  # pyright: ignore[reportPrivateUsage]
        del processor
