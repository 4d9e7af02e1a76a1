"""First half of a fold, without the lease: read what is pending, decode it, normalise it span by span."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import polars as pl

from tracer.model import RawEvent, RawSpan, Span, SpanEvent, SpanLink
from tracer.normalise import Batch, normalise
from tracer.normalise.contents import Contents
from tracer.store import leaves, whole
from tracer.store.columns import frame_of
from tracer.store.frame import BadFrame, Frame, FrameKind, contents_of, counts_of, decode_records, halves
from tracer.store.leaves import Leaves, Rows
from tracer.store.records import SOURCE, read_records
from tracer.store.spool import Segment, quarantine, read_segment

SpanKey = tuple[str, str]
"""(trace_id, span_id)"""
BY_COLUMN_FROM = 2_000
"""spans from which our own records are read by column; below, setting that up costs more than it saves"""


@dataclass(slots=True)
class Gathered:
    """What one transaction will bring in."""

    taken: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """segment name -> (offset read from, offset read to)"""
    spans: list[Span] = field(default_factory=list[Span])
    leaves: Leaves = field(default_factory=Leaves)
    """further spans, as columns"""
    whole: Rows = field(default_factory=Rows)
    """further spans: those of plain runs, all of each"""
    events: list[SpanEvent] = field(default_factory=list[SpanEvent])
    links: list[SpanLink] = field(default_factory=list[SpanLink])
    contents: dict[int, str] = field(default_factory=dict[int, str])
    writers: dict[SpanKey, str] = field(default_factory=dict[SpanKey, str])
    """who wrote a running span"""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """what to add to table `counters`"""

    @property
    def size(self) -> int:
        """How many spans, those by column included."""
        return len(self.spans) + self.leaves.frame.height + self.whole.frame.height

    def without(self, keys: Set[SpanKey]) -> None:
        """Leave out spans that are stored already; what hangs from them and is not stored gets rows of its own."""
        self.one_by_one({trace_id for trace_id, _ in keys})
        self.spans = [span for span in self.spans if (span.trace_id, span.span_id) not in keys]
        self.leaves.take_out(self.leaves.of_spans(keys))
        self.rows_for(self.leaves.below(keys))
        self.count("duplicate_spans", len(keys))

    def rows_for(self, chosen: pl.Series) -> None:
        """Give the chosen leaves rows of their own among `spans`."""
        self._add(self.leaves.take_out(chosen))

    def one_by_one(self, trace_ids: Set[str]) -> None:
        """Give the spans of `whole` that are of these traces rows of their own among `spans`."""
        if self.whole.frame.height:
            self._add(self.whole.take_out(self.whole.of_traces(trace_ids)))

    def _add(self, rows: Sequence[RawSpan | Span]) -> None:
        self.spans += [found for found in rows if isinstance(found, Span)]
        batch = normalise([found for found in rows if isinstance(found, RawSpan)])
        self.spans += batch.spans
        self.contents.update(batch.contents)

    def split(self, trace_ids: Set[str]) -> Gathered:
        """Take out what belongs to these traces, leaves as rows; what one transaction takes in besides stays here."""
        out = Gathered(writers=self.writers)
        self.rows_for(self.leaves.of_traces(trace_ids))
        self.one_by_one(trace_ids)
        out.spans = [span for span in self.spans if span.trace_id in trace_ids]
        out.events = [event for event in self.events if event.trace_id in trace_ids]
        out.links = [link for link in self.links if link.trace_id in trace_ids]
        self.spans = [span for span in self.spans if span.trace_id not in trace_ids]
        self.events = [event for event in self.events if event.trace_id not in trace_ids]
        self.links = [link for link in self.links if link.trace_id not in trace_ids]
        return out

    def count(self, name: str, number: int = 1) -> None:
        if number:
            self.counts[name] = self.counts.get(name, 0) + number


class _Written(NamedTuple):
    """A frame of our own records that is not decoded yet."""

    number: int
    """in order of reading"""
    segment: Segment
    frame: Frame
    head: bytes
    texts: bytes
    spans: int
    """ended ones and starts"""


@dataclass(slots=True)
class _Raw:
    """Decoded and not yet normalised."""

    written: list[_Written] = field(default_factory=list[_Written])
    came: list[tuple[int, str, RawSpan]] = field(default_factory=list[tuple[int, str, RawSpan]])
    """(number of its frame, writer, span)"""
    logs: list[RawEvent] = field(default_factory=list[RawEvent])
    frames: int = 0

    def latest(self, gathered: Gathered) -> tuple[dict[SpanKey, RawSpan], dict[SpanKey, RawSpan]]:
        """(ended, running): the last end of a span wins, a start only counts while there is no end."""
        ended: dict[SpanKey, RawSpan] = {}
        running: dict[SpanKey, RawSpan] = {}
        for _, writer, span in sorted(self.came, key=itemgetter(0)):
            key = (span.trace_id, span.span_id)
            if span.end_ns is None:
                running[key] = span
                gathered.writers[key] = writer
            else:
                gathered.count("duplicate_spans", key in ended)
                ended[key] = span
        for key in ended.keys() & running.keys():
            del running[key], gathered.writers[key]
        return ended, running


def gather(spool: Path, segments: Sequence[Segment], offsets: Mapping[str, int], *, limit: int) -> Gathered:
    """Read about `limit` spans from `segments`, a fair share from each, and normalise them.

    Whole frames only, so a frame that is larger than the limit is taken whole. Nothing that cannot be read stops the
    rest: bytes go to `quarantine/`, and `counts` says how many.
    """
    gathered, raw = Gathered(), _Raw()
    pending = [segment for segment in segments if offsets.get(segment.name, 0) < segment.size]
    share = max(limit // max(len(pending), 1), 1)
    total = 0
    for segment in pending:
        if total >= limit:
            break
        total += _read(spool, segment, offsets.get(segment.name, 0), min(share, limit - total), gathered, raw)
    spans = None
    if sum(written.spans for written in raw.written) > BY_COLUMN_FROM:
        spans = _by_column(gathered, raw)
    if spans is None:
        for written in raw.written:
            _decode_records(spool, written, gathered, raw)
        ended, running = raw.latest(gathered)
        spans = [*ended.values(), *running.values()]
    _normalise(spool, gathered, spans, raw.logs)
    if gathered.whole.frame.height:
        _keep_plain(spool, gathered)
    if len(gathered.spans) > max(BY_COLUMN_FROM, gathered.leaves.frame.height):
        _set_apart(gathered)
    if gathered.leaves.frame.height:
        gathered.rows_for(leaves.not_plain(gathered.leaves, gathered.spans))
    return gathered


def _keep_plain(spool: Path, gathered: Gathered) -> None:
    """Of whole traces only plain runs stay by column; of the others, their leaves."""
    more, others = whole.set_apart(gathered.whole, gathered.spans, gathered.events, gathered.links)
    gathered.leaves.add(more.frame)
    found = others.sources.give(others.frame[SOURCE]) if others.frame.height else []
    _normalise(spool, gathered, [row for row in found if isinstance(row, RawSpan)], [])


def _set_apart(gathered: Gathered) -> None:
    """Leaves that were read one by one, for they came by OTLP or say more, are resolved by column all the same."""
    # A span that has a link may get its agent from there; one that is linked to may have to give it.
    needed = {(link.linked_trace_id, link.linked_span_id) for link in gathered.links}
    needed |= {(link.trace_id, link.span_id) for link in gathered.links}
    needed |= {(event.trace_id, event.span_id) for event in gathered.events if event.refs}
    needed.update(gathered.leaves.frame.select("trace_id", "parent_span_id").iter_rows())
    found, gathered.spans = leaves.among(gathered.spans, needed)
    if found:
        gathered.leaves.add(frame_of("spans", found).with_columns(gathered.leaves.sources.add(found)))


def _by_column(gathered: Gathered, raw: _Raw) -> list[RawSpan] | None:
    """Read leaves and whole traces by column; the spans that are left for the general way.

    None where a frame holds what is not expected; then nothing has been taken in.
    """
    if any(not written.spans and b'"spans":' in written.head for written in raw.written):
        return None
    try:
        records = read_records([written.head for written in raw.written], sum(written.spans for written in raw.written))
        contents: dict[int, str] = {}
        for written, head in zip(raw.written, records.heads, strict=True):
            contents |= contents_of(head.contents, head.bodies, written.texts)
        came = [(frame, records.start(frame, text)) for frame, text in records.starts]
        others = {(span.trace_id, span.span_id) for _, _, span in raw.came}
        others |= {(span.trace_id, span.span_id) for _, span in came}
        fine = leaves.readable(records, others)
        unusual = records.spans.filter(~fine)
        came += zip(unusual["frame"], records.some(unusual[SOURCE]), strict=True)
    except Exception:  # noqa: BLE001  (frame by frame it is found out which one it is, and that is kept and counted)
        return None
    for frame, span in came:
        written = raw.written[frame]
        raw.came.append((written.number, written.segment.writer, span))
    gathered.contents |= contents
    for head in records.heads:
        gathered.count("dropped_spans", head.dropped)
        for name, number in counts_of(head.counts).items():
            gathered.count(name, number)
    ended, running = raw.latest(gathered)
    noted = {(log.trace_id, log.span_id) for log in raw.logs}
    found = leaves.find(records.spans.filter(fine), [*running.values(), *ended.values()], noted)
    sources, texts = leaves.Sources(records), Contents()
    gathered.leaves, gathered.whole, more = leaves.read(found, records, sources, texts)
    gathered.contents |= texts.bodies
    more += [span for span in sources.give(found.others) if isinstance(span, RawSpan)]
    return [*ended.values(), *more, *running.values()]


def _read(spool: Path, segment: Segment, offset: int, limit: int, gathered: Gathered, raw: _Raw) -> int:
    """Take frames of one segment until it has given `limit` spans; how many it gave."""
    taken, at = 0, offset
    for frame in read_segment(segment, offset):
        at = frame.end
        raw.frames += 1
        if isinstance(frame, BadFrame):
            if not frame.torn:
                quarantine(spool, segment.name, frame.start, frame.data, frame.reason)
                gathered.count("bad_frames")
        else:
            try:
                if frame.kind == FrameKind.RECORDS:
                    taken += _set_aside(segment, frame, raw)
                else:
                    taken += _decode_otlp(frame, segment.writer, gathered, raw)
            except Exception as error:  # noqa: BLE001  (whatever a decoder trips over is kept, counted and stepped over)
                _bad(spool, segment, frame, error, gathered)
        if taken >= limit:
            break
    if at > offset:
        gathered.taken[segment.name] = (offset, at)
    return taken


def _set_aside(segment: Segment, frame: Frame, raw: _Raw) -> int:
    """Keep a frame of our own until all are read; how many spans it holds."""
    head, texts = halves(frame.payload)
    spans = head.count(b'"start_ns":')
    raw.written.append(_Written(raw.frames, segment, frame, head, texts, spans))
    return spans


def _bad(spool: Path, segment: Segment, frame: Frame, error: Exception, gathered: Gathered) -> None:
    reason = f"cannot decode frame of kind {frame.kind}: {type(error).__name__}: {error}"
    quarantine(spool, segment.name, frame.start, frame.payload, reason)
    gathered.count("bad_frames")


def _decode_records(spool: Path, written: _Written, gathered: Gathered, raw: _Raw) -> None:
    """Add what one frame of our own holds."""
    try:
        found = decode_records(written.frame.payload)
    except Exception as error:  # noqa: BLE001  (as for any frame)
        _bad(spool, written.segment, written.frame, error, gathered)
        return
    raw.came += [(written.number, written.segment.writer, span) for span in (*found.starts, *found.spans)]
    gathered.contents.update(found.contents)
    gathered.count("dropped_spans", found.dropped)
    for name, number in found.counts.items():
        gathered.count(name, number)


def _decode_otlp(frame: Frame, writer: str, gathered: Gathered, raw: _Raw) -> int:
    """Add what one frame holds that came by OTLP; how many spans or log records that is."""
    if frame.kind not in (FrameKind.OTLP_TRACES, FrameKind.OTLP_LOGS):
        raise ValueError(f"unknown kind {frame.kind}; was it written by a newer tracehound?")
    from tracer.normalise import otlp  # protobuf: a tenth of a second that most stores can save

    if frame.kind == FrameKind.OTLP_LOGS:
        logs = otlp.decode_logs(frame.payload)
        raw.logs += logs
        return len(logs)
    problems: list[otlp.Problem] = []
    spans = otlp.decode_traces(frame.payload, problems)
    gathered.count("rejected_spans", len(problems))
    raw.came += [(raw.frames, writer, span) for span in spans]
    return len(spans)


def _normalise(spool: Path, gathered: Gathered, spans: list[RawSpan], logs: list[RawEvent]) -> None:
    try:
        batch = normalise(spans, logs)
    except Exception:  # noqa: BLE001  (found out one by one below, where the culprit is kept and counted)
        batch = None
    if batch is not None:
        _add(gathered, batch)
        return
    for span in spans:
        _try(spool, gathered, lambda span=span: normalise([span]), f"{span.trace_id}-{span.span_id}", span)
    for number, log in enumerate(logs):
        _try(spool, gathered, lambda log=log: normalise([], [log]), f"log-{log.trace_id}-{log.time_ns}-{number}", log)


def _try(spool: Path, gathered: Gathered, work: Callable[[], Batch], name: str, record: RawSpan | RawEvent) -> None:
    try:
        _add(gathered, work())
    except Exception as error:  # noqa: BLE001  (one record that cannot be read must not cost the others)
        body = json.dumps(asdict(record), default=repr).encode("utf-8", "replace")
        quarantine(spool, "".join(c if c.isalnum() or c == "-" else "_" for c in name), 0, body, repr(error))
        gathered.count("rejected_spans")


def _add(gathered: Gathered, batch: Batch) -> None:
    gathered.spans += batch.spans
    gathered.events += batch.events
    gathered.links += batch.links
    gathered.contents.update(batch.contents)
