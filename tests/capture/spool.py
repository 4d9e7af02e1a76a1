"""What lies in a spool, read without a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracer.model import RawSpan
from tracer.store.frame import BadFrame, decode_records, scan_frames
from tracer.store.segment import spool_path


@dataclass
class Spool:
    spans: list[RawSpan] = field(default_factory=list)
    starts: list[RawSpan] = field(default_factory=list)
    contents: dict[int, str] = field(default_factory=dict)


def read_spool(store: Path) -> Spool:
    """Everything acknowledged in the spool of `store`; fails on damage."""
    found = Spool()
    for segment in sorted(spool_path(store).glob("*.seg")):
        for frame in scan_frames(segment.read_bytes(), sealed=False):
            assert not isinstance(frame, BadFrame), frame
            records = decode_records(frame.payload)
            found.spans += records.spans
            found.starts += records.starts
            found.contents |= records.contents
    return found
