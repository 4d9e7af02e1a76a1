"""Middle of a fold, without the lease: put what is new together with what is stored of the same runs.

From the new rows and the stored rows of every touched run to the rows to remove and to write. Agents, duplicates
and outcomes are properties of whole runs, so they are worked out again over all rows, and only rows that came out
different are rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import polars as pl

from tracer.model import Span, SpanEvent, SpanLink, SpanStatus
from tracer.normalise import TraceSummary, is_run, resolve_owned, summarise
from tracer.normalise.loose_calls import is_loose, lacks_context
from tracer.normalise.runs import is_setup
from tracer.normalise.sessions import own_session
from tracer.normalise.tree import columns_of
from tracer.store.columns import empty_frame, stacked
from tracer.store.gather import Gathered, SpanKey
from tracer.store.leaves import Rows, by_run
from tracer.store.records import SOURCE
from tracer.store.stored_leaves import changed, settle, spans_of, unresolved
from tracer.store.whole import resolved, sessions

T = TypeVar("T")


@dataclass(slots=True)
class TraceExtent:
    """One row of table `run_traces`."""

    trace_id: str
    run_id: str
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class Stored:
    """What the database holds of the runs that are touched: all of their rows."""

    spans: list[Span] = field(default_factory=list[Span])
    leaves: Rows = field(default_factory=Rows)
    """further rows of `spans`, of runs that have many: leaves as they are stored"""
    running: list[Span] = field(default_factory=list[Span])
    writers: dict[SpanKey, str] = field(default_factory=dict[SpanKey, str])
    events: list[SpanEvent] = field(default_factory=list[SpanEvent])
    links: list[SpanLink] = field(default_factory=list[SpanLink])
    extents: dict[str, TraceExtent] = field(default_factory=dict[str, TraceExtent])
    """trace_id -> where it lies"""

    @property
    def size(self) -> int:
        """Ended spans."""
        return len(self.spans) + self.leaves.frame.height


@dataclass(slots=True)
class Changes:
    """What to remove and to write, in one transaction."""

    removed: list[Span] = field(default_factory=list[Span])
    """rows of `spans` to delete, as they are stored"""
    removed_running: list[Span] = field(default_factory=list[Span])
    spans: list[Span] = field(default_factory=list[Span])
    running: list[Span] = field(default_factory=list[Span])
    writers: list[str] = field(default_factory=list[str])
    """one per row of `running`"""
    events: list[SpanEvent] = field(default_factory=list[SpanEvent])
    links: list[SpanLink] = field(default_factory=list[SpanLink])
    run_ids: set[str] = field(default_factory=set[str])
    """runs whose row of `traces` is replaced, or goes because its spans belong to another run now"""
    summaries: list[TraceSummary] = field(default_factory=list[TraceSummary])
    """one per run; spans that only create agents are no run"""
    extents: list[TraceExtent] = field(default_factory=list[TraceExtent])
    duplicates: int = 0
    leaves: pl.DataFrame = field(default_factory=lambda: empty_frame("spans"))
    """further rows of `spans`"""
    traces: pl.DataFrame = field(default_factory=lambda: empty_frame("traces"))
    """further rows of `traces`"""
    run_traces: pl.DataFrame = field(default_factory=lambda: empty_frame("run_traces"))

    def add(self, more: Changes) -> None:
        """Take in what is changed of other runs."""
        for column in fields(Changes):
            mine, others = getattr(self, column.name), getattr(more, column.name)
            if isinstance(mine, pl.DataFrame):
                both = stacked(_TABLES[column.name], [mine, others])
            else:
                both = mine | others if isinstance(mine, set) else mine + others
            setattr(self, column.name, both)


_TABLES = {"leaves": "spans", "traces": "traces", "run_traces": "run_traces"}
"""the frames of `Changes` -> whose rows they hold"""


def merge(new: Gathered, stored: Stored) -> Changes:
    """Combine `new` rows with the `stored` rows of the same runs.

    Of one span an ended row wins over an interrupted one, that over a running one, and a later delivery over an
    earlier one. Events and links that are already stored are not stored again. Nothing may be stored of runs of which
    leaves are new or that are whole. The rows of `new` and `stored` are changed in place and of no use afterwards.
    """
    changes = Changes()
    if stored.leaves.frame.height:
        beside, events, links = (
            [*stored.spans, *stored.running],
            [*stored.events, *new.events],
            [*stored.links, *new.links],
        )
        stored.spans += settle(stored.leaves, beside, new.spans, events, links)
    changes.run_ids = {span.run_id for span in (*stored.spans, *stored.running)} | set(stored.leaves.frame["run_id"])
    ended = {key_of(span): span for span in stored.spans}
    running = {key_of(span): span for span in stored.running}
    ended_columns = {key: columns_of(span) for key, span in ended.items()}
    running_columns = {key: columns_of(span) for key, span in running.items()}
    for span in (*stored.spans, *stored.running):
        if span.session_id is not None:
            span.session_id = own_session(span)
    current = {**running, **ended}
    for span in new.spans:
        key = key_of(span)
        known = current.get(key)
        if known is not None and _rank(span) < _rank(known):
            continue
        if known is not None and _rank(span) == _rank(known) == _ENDED:
            changes.duplicates += 1
        current[key] = span
    changes.events = _unseen(new.events, stored.events)
    changes.links = _unseen(new.links, stored.links)
    events, links = [*stored.events, *changes.events], [*stored.links, *changes.links]
    held = stored.leaves.frame
    leaves = unresolved(held) if held.height else new.leaves
    hanging = leaves.hanging()
    spans = resolve_owned(list(current.values()), events, links, hanging)
    rows = _rows(leaves.resolved({key_of(span): span for span in spans}, hanging))
    changes.leaves = rows
    if held.height:
        differ = changed(held, rows)
        changes.leaves = rows.filter(differ)
        changes.removed += spans_of(held.filter(differ))
    for span in spans:
        key = key_of(span)
        in_spans, in_running = ended.get(key), running.get(key)
        is_running = span.status == SpanStatus.RUNNING
        before = (running_columns if is_running else ended_columns).get(key)
        unchanged = before is not None and before == columns_of(span)
        if is_running:
            if unchanged:
                continue
            changes.running.append(span)
            changes.writers.append(new.writers.get(key) or stored.writers.get(key, ""))
        elif not unchanged:
            changes.spans.append(span)
        elif in_running is None:
            continue
        if in_spans is not None and not unchanged:
            changes.removed.append(in_spans)
        if in_running is not None:
            changes.removed_running.append(in_running)

    added = by_run(rows)
    runs = _by(spans, lambda span: span.run_id)
    changes.run_ids |= runs.keys()
    changes.summaries = [summarise(rows, added.get(run_id)) for run_id, rows in runs.items() if is_run(rows)]
    changes.extents = _extents(spans, events, stored.extents)
    for extent in changes.extents:
        if (below := hanging.traces.get(extent.trace_id)) is not None:
            extent.first_ns = min(extent.first_ns, below.start_ns)
            extent.last_ns = max(extent.last_ns, below.last_ns)
    if new.whole.frame.height:
        plain = resolved(new.whole)
        changes.leaves = stacked("spans", [changes.leaves, _rows(plain.spans)])
        changes.traces, changes.run_traces = plain.traces, plain.run_traces
    return changes


def _rows(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop(SOURCE, strict=False)


def together(new: Gathered, stored: Stored) -> set[str]:
    """The traces of `new` that `resolve` may join with what is `stored`, one by one or through each other.

    More than it would join, never fewer: by a run, a conversation or a link in common; all of them where traces may be
    joined that have nothing in common but process and time.
    """
    if not stored.extents:
        return set()
    talking = sessions(new.whole)
    spans = (*new.spans, *stored.spans, *stored.running)
    if any(map(is_setup, spans)) or (any(map(is_loose, spans)) and any(map(lacks_context, spans))):
        return {row.trace_id for row in (*new.spans, *new.events, *new.links)} | talking.keys()
    names: dict[str, set[str]] = {}
    """trace -> what it may have in common with others"""
    for span in new.spans:
        known = names.setdefault(span.trace_id, {span.trace_id})
        known.add(span.run_id)
        if span.session_id:
            known.add(f"session {span.session_id}")
    for trace_id, session_id in talking.items():
        names[trace_id] = {trace_id, f"session {session_id}"} if session_id else {trace_id}
    for link in (*new.links, *stored.links):
        names.setdefault(link.trace_id, {link.trace_id}).add(link.linked_trace_id)
    for event in new.events:
        names.setdefault(event.trace_id, {event.trace_id})
    traces_of: dict[str, set[str]] = {}
    for trace_id, known in names.items():
        for name in known:
            traces_of.setdefault(name, set()).add(trace_id)
    pending = [*stored.extents, *(extent.run_id for extent in stored.extents.values())]
    for span in (*stored.spans, *stored.running):
        pending.append(span.run_id)
        if span.session_id:
            pending.append(f"session {span.session_id}")
    reached, found = set(pending), set[str]()
    while pending:
        for trace_id in traces_of.get(pending.pop(), ()):
            if trace_id not in found:
                found.add(trace_id)
                pending += names[trace_id] - reached
                reached |= names[trace_id]
    return found


def interrupted(running: Iterable[Span]) -> Gathered:
    """The spans of a process that died, as rows that say so."""
    return Gathered(spans=[replace(span, status=SpanStatus.INTERRUPTED) for span in running])


def key_of(row: Span | SpanEvent | SpanLink) -> SpanKey:
    """What makes a span one and the same."""
    return row.trace_id, row.span_id


_RUNNING, _INTERRUPTED, _ENDED = range(3)


def _rank(span: Span) -> int:
    if span.status == SpanStatus.RUNNING:
        return _RUNNING
    return _INTERRUPTED if span.status == SpanStatus.INTERRUPTED else _ENDED


def _unseen(new: list[T], stored: list[T]) -> list[T]:
    """Those of `new` that neither `stored` nor an earlier one of `new` equals."""
    if not new:
        return []
    seen = {repr(row) for row in stored}
    fresh: list[T] = []
    for row in new:
        mark = repr(row)
        if mark not in seen:
            seen.add(mark)
            fresh.append(row)
    return fresh


def _by(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _extents(
    spans: Iterable[Span], events: Iterable[SpanEvent], stored: Mapping[str, TraceExtent]
) -> list[TraceExtent]:
    """The rows of `run_traces` of all touched traces. Only grows: a row that moved in time must still be found."""
    found = {trace_id: replace(extent) for trace_id, extent in stored.items()}
    for span in spans:
        extent = _widen(found, span.trace_id, span.start_ns)
        extent.run_id = span.run_id
    for event in events:
        if event.trace_id:  # a log record may belong to no trace
            _widen(found, event.trace_id, event.time_ns)
    return list(found.values())


def _widen(found: dict[str, TraceExtent], trace_id: str, time_ns: int) -> TraceExtent:
    extent = found.get(trace_id)
    if extent is None:
        extent = found[trace_id] = TraceExtent(trace_id, trace_id, time_ns, time_ns)
    else:
        extent.first_ns, extent.last_ns = min(extent.first_ns, time_ns), max(extent.last_ns, time_ns)
    return extent
