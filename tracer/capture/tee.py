"""`init(forward=URL)`: every span that was written also goes to another OTLP back-end.

    write_spans -> segment file, then offered to a bounded queue -> a thread encodes and sends, see `forward`

Recording never waits for it: what does not fit the queue, is refused for good or fails too often is counted as dropped, and is in
the store all the same. Starts of running spans are not sent; other back-ends know ended spans only.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..model import RawSpan
from .forward import Forwarder, Sendable, Target
from .writer import SpanWriter

QUEUE_BYTES: Final = 64 << 20
REMEMBERED_CHARS: Final = 32_000_000
"""texts kept because a later span may name them again; a back-end gets them with every span that does"""
BATCH_SPANS: Final = 512
BATCH_BYTES: Final = 4 << 20
SPAN_BYTES: Final = 1_500
"""what a span is taken to hold beside its texts"""
GRACE_S: Final = 2.0
"""how long a program that ends waits for what is still queued"""

logger = logging.getLogger("tracehound")


@dataclass(frozen=True, slots=True)
class Spans:
    """Some ended spans and the texts they name."""

    spans: Sequence[RawSpan]
    bodies: Mapping[int, str]
    size: int
    signal: str = "traces"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/x-protobuf"})

    @property
    def count(self) -> int:
        return len(self.spans)

    def load(self) -> bytes:
        from .otlp import export_request

        return export_request(self.spans, self.bodies)

    def joined(self, other: Sendable) -> Sendable | None:
        if (
            not isinstance(other, Spans)
            or self.count + other.count > BATCH_SPANS
            or self.size + other.size > BATCH_BYTES
        ):
            return None
        return Spans([*self.spans, *other.spans], {**self.bodies, **other.bodies}, self.size + other.size)


class Tee:
    """A writer that hands on what `inner` has written."""

    def __init__(self, inner: SpanWriter, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Raises BadInput for what is no http(s) address."""
        self._inner = inner
        self._target = Target(url, headers or {})
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self.counts: dict[str, float] = {}
        """`forward_spans_total`, `forward_dropped_total`, `forward_retries_total`"""
        self._bodies: dict[int, str] = {}
        self._chars = 0
        self._pid = os.getpid()
        self._forwarder: Forwarder | None = None

    @property
    def dropped(self) -> int:
        """Spans of this process that the back-end did not get."""
        return int(self.counts.get("forward_dropped_total", 0))

    def write_spans(
        self, spans: Sequence[RawSpan], *, starts: Sequence[RawSpan] = (), contents: Mapping[int, str] | None = None
    ) -> None:
        self._inner.write_spans(spans, starts=starts, contents=contents or {})
        if self._pid != os.getpid():
            self._start()  # a forked child has no thread yet, and its parent sends what the parent queued
        self._remember(contents or {})
        if spans:
            bodies = self._named_by(spans)
            self._running().offer(Spans(spans, bodies, len(spans) * SPAN_BYTES + sum(map(len, bodies.values()))))

    def write_logs(self, payload: bytes) -> None:
        """Kept here only: scores and marks are ours."""
        self._inner.write_logs(payload)

    def close(self) -> None:
        """Send what is queued, for at most `GRACE_S`, then seal and say what was not sent. What is written is safe meanwhile."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None and self._pid == os.getpid():
            forwarder.stop(GRACE_S)
            if self.dropped:
                logger.warning(
                    "tracehound: %d spans could not be forwarded to %s; they are in the store",
                    self.dropped,
                    self._target.host,
                )
        self._inner.count("forward_dropped_spans", self.dropped)
        self._inner.close()

    def count(self, name: str, number: int) -> None:
        self._inner.count(name, number)

    def lost(self, spans: int) -> None:
        self._inner.lost(spans)

    def _running(self) -> Forwarder:
        if self._forwarder is None:
            self._forwarder = Forwarder(self._target, QUEUE_BYTES, self._count)
            self._forwarder.start()
        return self._forwarder

    def _count(self, name: str, number: float) -> None:
        with self._lock:
            self.counts[name] = self.counts.get(name, 0) + number

    def _remember(self, contents: Mapping[int, str]) -> None:
        for name, body in contents.items():
            if name not in self._bodies:
                self._bodies[name] = body
                self._chars += len(body)
        while self._chars > REMEMBERED_CHARS:
            oldest = next(iter(self._bodies))
            self._chars -= len(self._bodies.pop(oldest))

    def _named_by(self, spans: Sequence[RawSpan]) -> dict[int, str]:
        """The texts that `spans` name; these are now the last to be forgotten."""
        found: dict[int, str] = {}
        for name in {name for span in spans for slot in span.content.values() for name in slot}:
            body = self._bodies.pop(name, None)
            if body is not None:
                self._bodies[name] = found[name] = body
        return found
