"""What the recorder needs of whoever keeps the spans; `tracer.store.segment.SegmentWriter` is the one for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..model import RawSpan


class SpanWriter(Protocol):
    """Keeps spans. A call returns when what it was given survives the death of the process, or raises OSError."""

    def write_spans(
        self, spans: Sequence[RawSpan], *, starts: Sequence[RawSpan] = (), contents: Mapping[int, str] = ...
    ) -> None: ...

    def write_logs(self, payload: bytes) -> None: ...

    def count(self, name: str, number: int) -> None: ...

    def lost(self, spans: int) -> None: ...

    def close(self) -> None: ...


class MemoryWriter:
    """Keeps spans in lists; for tests."""

    def __init__(self) -> None:
        self.spans: list[RawSpan] = []
        """ended spans, in order of their end"""
        self.starts: list[RawSpan] = []
        """start records, in order of writing"""
        self.contents: dict[int, str] = {}
        self.log_requests: list[bytes] = []
        """OTLP export requests of log records: scores and marks"""
        self.writes = 0

    def write_spans(
        self, spans: Sequence[RawSpan], *, starts: Sequence[RawSpan] = (), contents: Mapping[int, str] | None = None
    ) -> None:
        self.writes += 1
        self.spans.extend(spans)
        self.starts.extend(starts)
        self.contents.update(contents or {})

    def write_logs(self, payload: bytes) -> None:
        self.log_requests.append(payload)

    def count(self, name: str, number: int) -> None:
        """Nobody to tell."""

    def lost(self, spans: int) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        """Nothing to seal."""
