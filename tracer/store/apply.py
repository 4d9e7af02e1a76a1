"""What a fold says to the database: read the stored rows of the touched runs, write the changes in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import duckdb
import polars as pl

from tracer.model import SPAN_FIELDS, Span, SpanEvent, SpanLink, span_of
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.loose_calls import is_loose, lacks_context
from tracer.normalise.outcome import PAUSED_REASON
from tracer.normalise.runs import SETUP_WINDOW_NS, is_setup
from tracer.semconv import Tracehound
from tracer.store import gather
from tracer.store.columns import frame_of, insert, select_with, stacked, with_frame
from tracer.store.gather import Gathered, SpanKey
from tracer.store.merge import Changes, Stored, TraceExtent, key_of, merge, together
from tracer.store.schema import table_schema
from tracer.store.stored_leaves import may_hang, spans_of

_SPAN_COLUMNS = ", ".join(f'"{name}"' for name in SPAN_FIELDS)
_TOUCHED = """
    WITH touched AS (
        SELECT run_id FROM run_traces WHERE trace_id IN (SELECT id FROM incoming)
        UNION SELECT id FROM incoming
        -- runs that link to what has come
        UNION SELECT run_id FROM links JOIN run_traces USING (trace_id) WHERE linked_trace_id IN (SELECT id FROM incoming)
        -- agents that were created and have found no run yet
        UNION SELECT run_id FROM spans
        WHERE start_ns BETWEEN $first - $setup AND $last AND kind = 'other' AND starts_with(name, 'create_agent')
            AND coalesce(service, '') IN (SELECT unnest($services::VARCHAR[]))
            AND run_id NOT IN (SELECT run_id FROM traces)
        {more}
    )
    SELECT trace_id, run_id, first_ns, last_ns FROM run_traces WHERE run_id IN (SELECT run_id FROM touched)
"""
_MORE = {
    "sessions": """
        -- the same conversation at the same time; or before, paused for a person: this may be how it goes on
        UNION SELECT run_id FROM traces WHERE session_id IN (SELECT unnest($sessions::VARCHAR[])) AND start_ns <= $last
            AND (coalesce(end_ns, $last) >= $first OR outcome_reason = $paused)
    """,
    "paused_sessions": """
        -- the same conversation after a pause that has come
        UNION SELECT run_id FROM traces
        WHERE session_id IN (SELECT unnest($paused_sessions::VARCHAR[])) AND start_ns >= $first
    """,
    "new_services": """
        -- runs that may use the agents whose creation has come
        UNION SELECT run_id FROM traces
        WHERE start_ns <= $last + $setup AND coalesce(end_ns, $last) >= $first
            AND coalesce(service, '') IN (SELECT unnest($new_services::VARCHAR[]))
    """,
    "calling": """
        -- client calls without a parent, and what was under way when they were made (`normalise.loose_calls`)
        UNION SELECT run_id FROM traces
        WHERE spans > 1 AND start_ns <= $last AND coalesce(end_ns, $last) >= $first
            AND coalesce(service, '') IN (SELECT unnest($calling::VARCHAR[]))
    """,
    "told": """
        UNION SELECT run_id FROM traces
        WHERE spans = 1 AND start_ns BETWEEN $first AND $last
            AND coalesce(service, '') IN (SELECT unnest($told::VARCHAR[]))
    """,
}
"""what else to ask, where there is one of what it asks about: a part of a query costs some milliseconds, whatever it finds"""
_KNOWN_TRACES = "SELECT trace_id FROM run_traces SEMI JOIN incoming USING (trace_id)"
_AS_IT_CAME = ("trace_id", "span_id", "start_ns", "end_ns", "name", "status", "attributes")
"""columns that say together whether two deliveries of a span are the same; attributes holds everything the producer wrote"""
_KEYS = {"trace_id": pl.String(), "span_id": pl.String()}


def read_offsets(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Segment name -> how many of its bytes are in the database."""
    return dict(con.execute("SELECT name, folded_bytes FROM segments").fetchall())


def read_writers(con: duckdb.DuckDBPyConnection) -> set[str]:
    """The writers that have running spans."""
    return {writer for (writer,) in con.execute("SELECT DISTINCT writer FROM running_spans").fetchall()}


def read_running(con: duckdb.DuckDBPyConnection, writers: Iterable[str], limit: int) -> list[Span]:
    """Running spans of `writers`, at most `limit`."""
    rows = with_frame(
        con,
        pl.DataFrame({"writer": sorted(writers)}, schema={"writer": pl.String}),
        f"SELECT {_SPAN_COLUMNS} FROM running_spans SEMI JOIN incoming USING (writer) LIMIT {limit}",
    )
    return [_span_of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Wanted:
    """By what the stored runs are found that new rows may belong with."""

    ids: pl.DataFrame
    values: Mapping[str, Any]


def wanted(new: Gathered) -> Wanted:
    """What `read_stored` asks for; to be taken before `merge` changes the rows."""
    ids = {span.trace_id for span in new.spans} | {span.run_id for span in new.spans}
    ids |= {event.trace_id for event in new.events} | {link.linked_trace_id for link in new.links}
    leaves = _by_column(new)
    ids.update(leaves["trace_id"].unique())
    ids.discard("")
    times = [time for span in new.spans for time in (span.start_ns, span.end_ns or span.start_ns)]
    if leaves.height:
        times += leaves.select(pl.col("start_ns").min(), pl.col("end_ns").max()).row(0)
    talking: set[str] = set(leaves["session_id"].drop_nulls().unique())
    values = {
        "sessions": sorted({span.session_id for span in new.spans if span.session_id} | talking),
        "paused": PAUSED_REASON,
        "paused_sessions": sorted(
            {span.session_id for span in new.spans if span.session_id and span.finish_reason == PAUSED}
        ),
        "services": sorted(
            {span.service or "" for span in new.spans} | {name or "" for name in leaves["service"].unique()}
        ),
        "new_services": sorted({span.service or "" for span in new.spans if is_setup(span)}),
        "calling": sorted({span.service or "" for span in new.spans if is_loose(span)}),
        "told": sorted({span.service or "" for span in new.spans if lacks_context(span)}),
        "first": min(times, default=0),
        "last": max(times, default=0),
        "setup": SETUP_WINDOW_NS,
    }
    return Wanted(pl.DataFrame({"id": sorted(ids)}, schema={"id": pl.String}), values)


def _by_column(new: Gathered) -> pl.DataFrame:
    """What is asked of the rows that are columns."""
    names = (*_AS_IT_CAME, "input_refs", "output_refs", "session_id", "service")
    return pl.concat([frame.select(names) for frame in (new.leaves.frame, new.whole.frame)])


def delivered_again(con: duckdb.DuckDBPyConnection, new: Gathered) -> set[SpanKey]:
    """The new spans that are stored already just as they came, such as those of a request that was sent twice.

    They change nothing, so that their runs need not be read and resolved. Spans with events or links are not among
    them: whether those are the same is found out where all rows of the run are at hand.
    """
    more = {key_of(row) for row in (*new.events, *new.links)}
    came = [span for span in new.spans if span.end_ns is not None and key_of(span) not in more]
    leaves = _by_column(new)
    found_ids = {span.trace_id for span in came} | set(leaves["trace_id"].unique())
    trace_ids = pl.DataFrame({"trace_id": list(found_ids)}, schema={"trace_id": pl.String})
    known = {trace_id for (trace_id,) in with_frame(con, trace_ids, _KNOWN_TRACES)} if found_ids else set[str]()
    came = [span for span in came if span.trace_id in known]
    leaves = leaves.filter(pl.col("trace_id").is_in(list(known)))
    if not came and not leaves.height:
        return set()
    schema = {name: table_schema("spans")[name] for name in _AS_IT_CAME}
    frame = pl.DataFrame({name: [getattr(span, name) for span in came] for name in _AS_IT_CAME}, schema=schema)
    frame = pl.concat([frame, leaves.select(_AS_IT_CAME)])
    first, last = frame["start_ns"].min(), frame["start_ns"].max()
    names = ", ".join(_AS_IT_CAME)
    found = with_frame(
        con,
        frame,
        f"SELECT trace_id, span_id, input_refs, output_refs FROM spans SEMI JOIN incoming USING ({names})"
        f" WHERE start_ns BETWEEN {first} AND {last}",
    )
    stored = {(trace_id, span_id): refs for trace_id, span_id, *refs in found}
    if not stored:
        return set()
    refer = [(key_of(span), (span.input_refs, span.output_refs)) for span in came]
    refer += [
        ((trace_id, span_id), (given, got))
        for trace_id, span_id, given, got in leaves.select(
            "trace_id", "span_id", "input_refs", "output_refs"
        ).iter_rows()
    ]
    return {
        key
        for key, refs in refer
        if key in stored and all(new is None or new == old for new, old in zip(refs, stored[key], strict=True))
    }


def read_stored(con: duckdb.DuckDBPyConnection, looked_for: Wanted) -> Stored:
    """All rows of the runs that new rows touch or that `resolve` may join with them (`tracer.normalise.runs`)."""
    more = "".join(sql for name, sql in _MORE.items() if looked_for.values[name])
    sql = _TOUCHED.format(more=more)
    values = {name: value for name, value in looked_for.values.items() if f"${name}" in sql}
    found = with_frame(con, looked_for.ids, sql, values)
    stored = Stored(extents={row[0]: TraceExtent(*row) for row in found})
    if not stored.extents:
        return stored
    traces = pl.DataFrame({"trace_id": list(stored.extents)})
    first = min(extent.first_ns for extent in stored.extents.values())
    last = max(extent.last_ns for extent in stored.extents.values())

    def select(columns: str, table: str, window: str = "TRUE") -> list[tuple[object, ...]]:
        return with_frame(
            con, traces, f"SELECT {columns} FROM {table} SEMI JOIN incoming USING (trace_id) WHERE {window}"
        )

    window = f"start_ns BETWEEN {first} AND {last}"
    rows = select_with(
        con, traces, f"SELECT {_SPAN_COLUMNS} FROM spans SEMI JOIN incoming USING (trace_id) WHERE {window}"
    )
    if rows.height > gather.BY_COLUMN_FROM:
        hanging = may_hang(rows)
        columns = [pl.col(name).cast(dtype) for name, dtype in table_schema("spans").items()]
        stored.leaves.frame = rows.filter(hanging).select(columns)
        rows = rows.filter(~hanging)
    stored.spans = spans_of(rows)
    for *row, writer in select(f"{_SPAN_COLUMNS}, writer", "running_spans"):
        span = _span_of(row)
        stored.running.append(span)
        stored.writers[key_of(span)] = str(writer)
    names = [field.name for field in fields(SpanEvent)]
    for row in select(", ".join(names), "events", f"time_ns BETWEEN {first} AND {last}"):
        stored.events.append(SpanEvent(**dict(zip(names, row, strict=True))))  # pyright: ignore[reportArgumentType]
    names = [field.name for field in fields(SpanLink)]
    for row in select(", ".join(names), "links"):
        stored.links.append(SpanLink(**dict(zip(names, row, strict=True))))  # pyright: ignore[reportArgumentType]
    return stored


@dataclass(slots=True)
class Prepared:
    """Changes as frames, built before the lease is taken."""

    frames: dict[str, pl.DataFrame]
    """table -> rows to append"""
    removed: pl.DataFrame
    removed_window: tuple[int, int]
    """smallest and largest start_ns of the rows to remove"""
    removed_running: pl.DataFrame
    run_ids: pl.DataFrame
    trace_ids: pl.DataFrame
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Content:
    content_id: int
    bytes: int
    body: str


@dataclass(frozen=True, slots=True)
class _Mark:
    run_id: str
    time_ns: int
    verdict: str
    note: str | None


def _marks(changes: Changes, contents: Mapping[int, str]) -> list[_Mark]:
    """The verdicts that programs gave on their runs (`tracer.mark`), which came as events."""
    run_of = {extent.trace_id: extent.run_id for extent in changes.extents}
    found: list[_Mark] = []
    for event in changes.events:
        if event.name == Tracehound.EVENT_MARK:
            told: dict[str, Any] = json.loads(event.attributes)
            note = told.get(Tracehound.MARK_NOTE)
            if isinstance(note, dict):  # a long text
                note = contents.get(cast("dict[str, int]", note).get("$content", 0))
            if told.get(Tracehound.MARK_VERDICT) in ("ok", "failed"):
                run_id = run_of.get(event.trace_id, event.trace_id)
                found.append(_Mark(run_id, event.time_ns, told[Tracehound.MARK_VERDICT], note))
    return found


def prepare(new: Gathered, stored: Stored, changes: Changes) -> Prepared:
    """Build the frames, which takes longer than writing them."""
    contents = [_Content(key, len(body.encode("utf-8", "replace")), body) for key, body in new.contents.items()]
    starts = [span.start_ns for span in changes.removed]
    return Prepared(
        frames={
            "spans": stacked("spans", [frame_of("spans", changes.spans), changes.leaves]),
            "running_spans": frame_of("running_spans", changes.running, writer=changes.writers),
            "events": frame_of("events", changes.events),
            "links": frame_of("links", changes.links),
            "contents": frame_of("contents", contents),
            "traces": stacked("traces", [frame_of("traces", changes.summaries), changes.traces]),
            "run_traces": stacked("run_traces", [frame_of("run_traces", changes.extents), changes.run_traces]),
            "marks": frame_of("marks", _marks(changes, new.contents)),
        },
        removed=_keys(changes.removed),
        removed_window=(min(starts, default=0), max(starts, default=0)),
        removed_running=_keys(changes.removed_running),
        # Where nothing of the touched runs is stored, there is nothing to replace.
        run_ids=pl.DataFrame(
            {"run_id": sorted(changes.run_ids) if stored.extents else []}, schema={"run_id": pl.String}
        ),
        trace_ids=pl.DataFrame({"trace_id": list(stored.extents)}, schema={"trace_id": pl.String}),
        counts={**new.counts, "duplicate_spans": new.counts.get("duplicate_spans", 0) + changes.duplicates},
    )


def prepared(new: Gathered, stored: Stored) -> Prepared:
    """What to write for the `new` rows, given what is `stored` of the runs they touch. Both are used up.

    Where something is stored and `new` is resolved in two parts, those that touch it and the rest, most of `new` is not
    slowed down by what few of its spans need.
    """
    joined = together(new, stored)
    touched = new.split(joined) if joined else None
    changes = merge(new, Stored())
    if touched is not None:
        changes.add(merge(touched, stored))
    return prepare(new, stored, changes)


def write(
    con: duckdb.DuckDBPyConnection,
    prepared: Prepared,
    offsets: Mapping[str, int],
    known: Sequence[str],
    gone: Sequence[str],
) -> None:
    """Everything one chunk changes, the new `offsets` included; the caller has begun the transaction and commits it.

    `known` are those of the segments that have an offset already. `gone` names segments whose files no longer exist;
    their offsets are forgotten.
    """
    first, last = prepared.removed_window
    _delete(con, "spans", prepared.removed, f"start_ns BETWEEN {first} AND {last}")
    _delete(con, "running_spans", prepared.removed_running)
    _delete(con, "traces", prepared.run_ids)
    _delete(con, "run_traces", prepared.trace_ids)
    for table, frame in prepared.frames.items():
        if table == "contents":
            if frame.height:
                with_frame(
                    con,
                    frame,
                    "INSERT INTO contents BY NAME SELECT * FROM incoming ANTI JOIN contents USING (content_id)",
                )
        else:
            insert(con, table, frame)
    _delete(con, "segments", pl.DataFrame({"name": [*known, *gone]}, schema={"name": pl.String}))
    moved = pl.DataFrame(
        {"name": list(offsets), "folded_bytes": list(offsets.values())},
        schema={"name": pl.String, "folded_bytes": pl.Int64},
    )
    insert(con, "segments", moved)
    for name, number in prepared.counts.items():
        if number:
            add_to_counter(con, name, number)


def add_to_counter(con: duckdb.DuckDBPyConnection, name: str, number: int) -> None:
    """Raise a running total of table `counters`."""
    known = con.execute("SELECT 1 FROM counters WHERE name = $name", {"name": name}).fetchall()
    values = {"name": name, "number": number}
    if known:
        con.execute("UPDATE counters SET value = value + $number WHERE name = $name", values).fetchall()
    else:
        con.execute("INSERT INTO counters VALUES ($name, $number)", values).fetchall()


def _span_of(row: Sequence[Any]) -> Span:
    """Without what is NULL, which is most of a row, and the default of every column that can be."""
    return span_of({name: value for name, value in zip(SPAN_FIELDS, row, strict=True) if value is not None})


def _keys(spans: Sequence[Span]) -> pl.DataFrame:
    return pl.DataFrame({"trace_id": [s.trace_id for s in spans], "span_id": [s.span_id for s in spans]}, schema=_KEYS)


def _delete(con: duckdb.DuckDBPyConnection, table: str, keys: pl.DataFrame, window: str = "TRUE") -> None:
    """Delete the rows of `table` whose columns equal a row of `keys`."""
    if keys.height:
        match = " AND ".join(f'"{table}"."{name}" = incoming."{name}"' for name in keys.columns)
        with_frame(con, keys, f'DELETE FROM "{table}" USING incoming WHERE {window} AND {match}')
