"""First half of a fold, without the lease: read what is pending, decode it, normalise it span by span."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tracer.model import RawEvent, RawSpan, Span, SpanEvent, SpanLink
from tracer.normalise import Batch, normalise
from tracer.normalise.contents import Contents
from tracer.normalise.leaves import may_be_read
from tracer.pricing import default_prices
from tracer.store import leaves, whole
from tracer.store.columns import frame_of
from tracer.store.frame import BadFrame, Frame, FrameKind, decode_bodies, span_of_body
from tracer.store.leaves import Leaves, Rows, Written
from tracer.store.spool import Segment, quarantine, read_segment

SpanKey = tuple[str, str]
"""(trace_id, span_id)"""
BY_COLUMN_FROM = 1_000
"""spans from which leaves are read by column; below, setting that up costs more than it saves"""


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
        if self.whole.written:
            self._add(self.whole.take_out(self.whole.of_traces(trace_ids)))

    def _add(self, rows: Sequence[Written | Span]) -> None:
        self.spans += [found for found in rows if isinstance(found, Span)]
        batch = normalise([found.raw() for found in rows if isinstance(found, Written)])
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


@dataclass(slots=True)
class _Raw:
    """Decoded and not yet normalised; the last end of a span wins, a start only counts while there is no end."""

    ended: dict[SpanKey, RawSpan | Written] = field(default_factory=dict[SpanKey, "RawSpan | Written"])
    running: dict[SpanKey, RawSpan] = field(default_factory=dict[SpanKey, RawSpan])
    logs: list[RawEvent] = field(default_factory=list[RawEvent])
    resources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """different ones; every frame of a process brings one that is equal to the last"""

    def one_of(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The same object for equal resources."""
        found = next((known for known in self.resources if known == resource), resource)
        if found is resource:
            self.resources.append(resource)
        return found


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
    for key in raw.ended.keys() & raw.running.keys():
        del raw.running[key]
    for key in gathered.writers.keys() - raw.running.keys():
        del gathered.writers[key]
    spans = (
        _by_column(gathered, raw) if len(raw.ended) > BY_COLUMN_FROM else [_raw(span) for span in raw.ended.values()]
    )
    _normalise(spool, gathered, [*spans, *raw.running.values()], raw.logs)
    if gathered.whole.written:
        _keep_plain(spool, gathered)
    if len(gathered.spans) > max(BY_COLUMN_FROM, gathered.leaves.frame.height):
        _set_apart(gathered)
    if gathered.leaves.written:
        gathered.rows_for(leaves.not_plain(gathered.leaves, gathered.spans))
    return gathered


def _keep_plain(spool: Path, gathered: Gathered) -> None:
    """Of whole traces only plain runs stay by column; of the others, their leaves."""
    more, others = whole.set_apart(gathered.whole, gathered.spans, gathered.events, gathered.links)
    gathered.leaves.add(more)
    _normalise(spool, gathered, [row.raw() for row in others.written if isinstance(row, Written)], [])


def _set_apart(gathered: Gathered) -> None:
    """Leaves that were read one by one, for they came by OTLP or say more, are resolved by column all the same."""
    # A span that has a link may get its agent from there; one that is linked to may have to give it.
    needed = {(link.linked_trace_id, link.linked_span_id) for link in gathered.links}
    needed |= {(link.trace_id, link.span_id) for link in gathered.links}
    needed |= {(event.trace_id, event.span_id) for event in gathered.events if event.refs}
    needed.update(gathered.leaves.frame.select("trace_id", "parent_span_id").iter_rows())
    found, gathered.spans = leaves.among(gathered.spans, needed)
    gathered.leaves.add(Rows(frame_of("spans", found), list(found)))


def _raw(span: RawSpan | Written) -> RawSpan:
    return span if isinstance(span, RawSpan) else span.raw()


def _by_column(gathered: Gathered, raw: _Raw) -> list[RawSpan]:
    """Read leaves and whole traces among the ended spans; the others are left for the general way."""
    found = leaves.find(raw.ended, raw.running, {(log.trace_id, log.span_id) for log in raw.logs})
    contents = Contents()
    gathered.leaves, gathered.whole = leaves.read(found, contents, default_prices())
    gathered.contents.update(contents.bodies)
    return found.others


def _read(spool: Path, segment: Segment, offset: int, limit: int, gathered: Gathered, raw: _Raw) -> int:
    """Take frames of one segment until it has given `limit` spans; how many it gave."""
    taken, at = 0, offset
    for frame in read_segment(segment, offset):
        at = frame.end
        if isinstance(frame, BadFrame):
            if not frame.torn:
                quarantine(spool, segment.name, frame.start, frame.data, frame.reason)
                gathered.count("bad_frames")
        else:
            try:
                taken += _decode(frame, segment.writer, gathered, raw)
            except Exception as error:  # noqa: BLE001  (whatever a decoder trips over is kept, counted and stepped over)
                reason = f"cannot decode frame of kind {frame.kind}: {type(error).__name__}: {error}"
                quarantine(spool, segment.name, frame.start, frame.payload, reason)
                gathered.count("bad_frames")
        if taken >= limit:
            break
    if at > offset:
        gathered.taken[segment.name] = (offset, at)
    return taken


def _decode(frame: Frame, writer: str, gathered: Gathered, raw: _Raw) -> int:
    """Add what one frame holds; how many spans and log records that is."""
    spans: Sequence[RawSpan | Written]
    if frame.kind == FrameKind.RECORDS:
        found = decode_bodies(frame.payload)
        resource = raw.one_of(found.resource)
        spans = [
            *[span_of_body(body, resource, found.scope) for body in found.starts],
            *[
                Written(body, resource, body.get("scope", found.scope))
                if may_be_read(body)
                else span_of_body(body, resource, found.scope)
                for body in found.spans
            ],
        ]
        gathered.contents.update(found.contents)
        gathered.count("dropped_spans", found.dropped)
        for name, number in found.counts.items():
            gathered.count(name, number)
    elif frame.kind in (FrameKind.OTLP_TRACES, FrameKind.OTLP_LOGS):
        from tracer.normalise import otlp  # protobuf: a tenth of a second that most stores can save

        if frame.kind == FrameKind.OTLP_TRACES:
            problems: list[otlp.Problem] = []
            spans = otlp.decode_traces(frame.payload, problems)
            gathered.count("rejected_spans", len(problems))
        else:
            logs = otlp.decode_logs(frame.payload)
            raw.logs += logs
            return len(logs)
    else:
        raise ValueError(f"unknown kind {frame.kind}; was it written by a newer tracehound?")
    for span in spans:
        if isinstance(span, Written):
            key = span.key
            gathered.count("duplicate_spans", key in raw.ended)
            raw.ended[key] = span
            continue
        key = (span.trace_id, span.span_id)
        if span.end_ns is None:
            raw.running[key] = span
            gathered.writers[key] = writer
        else:
            gathered.count("duplicate_spans", key in raw.ended)
            raw.ended[key] = span
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
