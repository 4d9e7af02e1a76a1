"""What `doctor` knows of a store: the spool as it lies there, the database as it is. Nothing here changes anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tracer.store import apply, references
from tracer.store.database import Store
from tracer.store.frame import COUNTS
from tracer.store.spool import list_spool

REASONS_SHOWN = 5
REFERENCES_CHECKED = 2_000_000
"""spans up to which references to texts are checked: it takes a second or two, during which others wait"""


@dataclass(frozen=True, slots=True)
class SpoolHealth:
    """`traces.spool` at one moment."""

    path: str
    segments: Mapping[str, int]
    """segment name -> bytes"""
    sealed: frozenset[str]
    """names of the segments that no process appends to any more"""
    live_writers: int
    """processes that have recorded something and are still there"""
    dead_writers: int
    """processes that are gone and whose last spans no fold has settled yet"""
    quarantined: int
    """stretches of bytes that could not be read"""
    quarantined_bytes: int
    reasons: tuple[str, ...]
    """different reasons of the quarantine, the first few"""

    def pending(self, offsets: Mapping[str, int]) -> int:
        """Bytes that are not in the database, which has the segments up to `offsets`."""
        return sum(max(size - offsets.get(name, 0), 0) for name, size in self.segments.items())


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """Calls of one model that something is missing of."""

    model: str
    provider: str
    calls: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Orphans:
    """Rows that contradict the rest of the database."""

    what: str
    rows: int


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    """`traces.duckdb` at one moment."""

    layout: int
    created_by: str
    spans: int
    running_spans: int
    runs: int
    events: int
    texts: int
    text_bytes: int
    first_ns: int | None
    last_ns: int | None
    counters: Mapping[str, int]
    """bad_frames, rejected_spans, duplicate_spans, dropped_spans since the store was made; 0 where nothing was counted"""
    dropped_attributes: int
    """attributes that the recording programs threw away because of a limit"""
    unpriced: tuple[ModelCalls, ...]
    """calls with tokens and without a price, most calls first"""
    without_tokens: tuple[ModelCalls, ...]
    """calls that ended well and say nothing of their tokens, most calls first"""
    unused_texts: int
    """texts that nothing refers to; 0 where the references were not checked"""
    orphans: tuple[Orphans, ...] = field(default=())
    references_checked: bool = True


def look_at_spool(path: Path) -> SpoolHealth:
    """The spool directory `path`; all zero where there is none."""
    listing = list_spool(path)
    found, size, reasons = 0, 0, dict[str, None]()
    for file in sorted(path.glob("quarantine/*.bad")):
        with suppress(FileNotFoundError):  # tidied by hand meanwhile
            found, size = found + 1, size + file.stat().st_size
            reasons[file.with_suffix(".txt").read_text("utf-8", "replace").strip()] = None
    return SpoolHealth(
        path=str(path),
        segments={segment.name: segment.size for segment in listing.segments},
        sealed=frozenset(segment.name for segment in listing.segments if segment.sealed),
        live_writers=len(listing.live),
        dead_writers=len(listing.dead),
        quarantined=found,
        quarantined_bytes=size,
        reasons=tuple(reasons)[:REASONS_SHOWN],
    )


def folded_offsets(store: Store) -> dict[str, int]:
    """How much of each segment is in the database.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`.
    """
    with store.lease() as con:
        return apply.read_offsets(con)


def file_bytes(path: Path) -> int:
    """Bytes on disk of the database and its write-ahead log; the files are not opened."""
    total = 0
    for name in (str(path), f"{path}.wal"):
        with suppress(FileNotFoundError):
            total += os.stat(name).st_size
    return total


def look_at_database(store: Store) -> DatabaseHealth:
    """Sizes, what is missing, and rows that contradict each other.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`.
    """
    with store.lease() as con:
        con.execute("BEGIN TRANSACTION READ ONLY").fetchall()
        meta = dict(con.execute("SELECT key, value FROM meta").fetchall())
        [(spans, first, last, dropped)] = con.execute(
            "SELECT count(*), min(start_ns), max(start_ns), coalesce(sum(dropped_attributes), 0)::BIGINT FROM spans"
        ).fetchall()
        [(running, runs, events, texts, text_bytes)] = con.execute(_SIZES).fetchall()
        counters: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        counters |= con.execute("SELECT name, value FROM counters").fetchall()
        check_references = spans <= REFERENCES_CHECKED
        checks = _CHECKS | (_REFERENCES if check_references else {})
        orphans = [Orphans(what, _number(con, query)) for what, query in checks.items()]
        return DatabaseHealth(
            layout=int(meta.get("layout", 0)),
            created_by=meta.get("created_by", ""),
            spans=spans,
            running_spans=running,
            runs=runs,
            events=events,
            texts=texts,
            text_bytes=text_bytes,
            first_ns=first,
            last_ns=last,
            counters=counters,
            dropped_attributes=dropped,
            unpriced=_calls(con, "cost_usd IS NULL AND coalesce(input_tokens, output_tokens) IS NOT NULL"),
            without_tokens=_calls(con, "status = 'ok' AND coalesce(input_tokens, output_tokens) IS NULL"),
            unused_texts=references.count_orphans(con, store.spool_path) if check_references else 0,
            orphans=tuple(found for found in orphans if found.rows),
            references_checked=check_references,
        )


def _number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    [(number,)] = con.execute(query).fetchall()
    return number


def _calls(con: duckdb.DuckDBPyConnection, condition: str) -> tuple[ModelCalls, ...]:
    rows = con.execute(_CALLS.format(condition=condition)).fetchall()
    return tuple(ModelCalls(*row) for row in rows)


_COUNTERS = ("bad_frames", "rejected_spans", "duplicate_spans", "dropped_spans", *COUNTS)

_SIZES = """
SELECT (SELECT count(*) FROM running_spans),
       (SELECT count(*) FROM traces),
       (SELECT count(*) FROM events),
       (SELECT count(*) FROM contents),
       (SELECT coalesce(sum(bytes), 0)::BIGINT FROM contents)
"""

_CALLS = """
SELECT coalesce(model, ''), coalesce(provider, ''), count(*),
       sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))::BIGINT
FROM spans
WHERE kind IN ('llm', 'embedding')
  AND duplicate_of IS NULL
  AND {condition}
GROUP BY ALL
ORDER BY 3 DESC, 1, 2
"""

_CHECKS = {
    "spans that are stored more than once": """
        SELECT coalesce(sum(times - 1), 0)::BIGINT
        FROM (SELECT count(*) AS times FROM
              (SELECT trace_id, span_id FROM spans UNION ALL SELECT trace_id, span_id FROM running_spans)
              GROUP BY trace_id, span_id HAVING times > 1)""",
    "spans of traces that the index of traces does not know": """
        SELECT count(*) FROM (SELECT trace_id FROM spans UNION ALL SELECT trace_id FROM running_spans)
        ANTI JOIN run_traces USING (trace_id)""",
    # Runs that only create agents have no summary on purpose; LLM and tool calls are never that.
    "LLM and tool calls of runs without a summary": """
        SELECT count(*) FROM (SELECT run_id FROM spans WHERE kind IN ('llm', 'tool')) ANTI JOIN traces USING (run_id)""",
    "runs without spans": """
        SELECT count(*) FROM traces
        ANTI JOIN (SELECT run_id FROM spans UNION ALL SELECT run_id FROM running_spans) USING (run_id)""",
    "runs with more than one summary": """
        SELECT coalesce(sum(times - 1), 0)::BIGINT
        FROM (SELECT count(*) AS times FROM traces GROUP BY run_id HAVING times > 1)""",
}
_REFERENCES = {
    "texts that spans refer to and that are missing": """
        SELECT count(*) FROM (SELECT DISTINCT unnest(list_concat(input_refs, output_refs)) AS content_id FROM spans)
        ANTI JOIN contents USING (content_id)""",
}
