"""What an importer is, and the door through which it hands spans to the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tracer.importers.report import ImportReport
from tracer.importers.source import Source
from tracer.model import RawSpan
from tracer.store.segment import SegmentWriter


@dataclass(slots=True)
class Sink:
    """Writes what an importer reads, and remembers parents to find cycles among them."""

    writer: SegmentWriter
    report: ImportReport
    parents: dict[bytes, tuple[bytes, int | None]] = field(default_factory=dict[bytes, tuple[bytes, int | None]])
    """trace id + span id -> (parent id, line)"""

    def otlp(self, payload: bytes, count: int, *, logs: bool = False) -> None:
        self.writer.write_otlp(payload, logs=logs)
        self.report.read += count

    def spans(self, spans: Sequence[RawSpan], contents: Mapping[int, str], *, count: int) -> None:
        self.writer.write_spans(spans, contents=contents)
        self.report.read += count

    def saw(self, trace_id: bytes, span_id: bytes, parent_id: bytes, line: int | None) -> None:
        """Remember a span that has a parent."""
        if parent_id:
            self.parents[trace_id + span_id] = (parent_id, line)

    def report_cycles(self) -> None:
        """Name every cycle of parents once; the spans are imported, and resolving them cuts the cycle."""
        state: dict[bytes, int] = {}
        for number, start in enumerate(self.parents, start=1):
            key, path = start, list[bytes]()
            while key in self.parents and key not in state:
                state[key] = number
                path.append(key)
                key = key[:16] + self.parents[key][0]
            if key in self.parents and state.get(key) == number and key in path:
                cycle = path[path.index(key) :]
                names = " -> ".join(member[16:].hex() for member in [*cycle[:6], cycle[0]])
                self.report.note(
                    self.parents[cycle[0]][1],
                    f"parents form a cycle ({names}, each the child of the next); the earliest span is taken as root",
                )


@dataclass(frozen=True, slots=True)
class Importer:
    """One file format."""

    name: str
    """as in `--format`"""
    sniff: Callable[[bytes], bool]
    """does the head of a file (decompressed, at most 64 KB) look like this format"""
    read: Callable[[Source, Sink], None]
    """reads the whole file; problems go into the sink's report, only OSError of the writer is raised"""
