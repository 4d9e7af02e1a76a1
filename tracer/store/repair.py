"""What `doctor --repair` mends: everything that can be worked out anew from the spans, and files that were left behind.

Each step says what it did, does nothing where nothing is wrong, and may be killed: it is done again the next time.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tracer.model import SPAN_FIELDS, RawSpan, Span
from tracer.normalise import is_run, normalise, summarise
from tracer.normalise.graph_state import MADE
from tracer.normalise.runs import MCP_METHOD
from tracer.store import references
from tracer.store.columns import frame_of, insert, select_with, with_frame
from tracer.store.compaction import compacted_path
from tracer.store.database import Store
from tracer.store.frame import FrameKind, decode_records, encode_frame
from tracer.store.lease import Lease
from tracer.store.schema import UNFINISHED_SUFFIX
from tracer.store.segment import SEGMENT_SUFFIX
from tracer.store.spool import list_spool, sweep
from tracer.store.upkeep import without_folds

RUNS_AT_ONCE = 500
_UNDECODED = re.compile(r"cannot decode frame of kind (\d+)")
_COPY = re.compile(r"\..*\.(\d+)\.part")

# Runs whose summary is missing, doubled, or not the sum of their spans; what only creates agents, or opens MCP sessions, has none on purpose.
_SUSPECTS = f"""
    WITH rows AS (
        SELECT run_id, kind, name, attributes, duplicate_of, input_tokens, output_tokens, cost_usd, derived FROM spans
        UNION ALL SELECT run_id, kind, name, attributes, duplicate_of, input_tokens, output_tokens, cost_usd, derived FROM running_spans
    ), counted AS (
        -- A span that was made from what another one holds was not recorded; lists do not count it.
        SELECT run_id, count(*) FILTER (NOT coalesce(list_contains(derived, '{MADE}'), false)) AS spans, bool_or(kind <> 'other' OR NOT (starts_with(name, 'create_agent') OR contains(attributes, '{MCP_METHOD}'))) AS works,
            coalesce(sum(input_tokens) FILTER (billed), 0) AS input_tokens,
            coalesce(sum(output_tokens) FILTER (billed), 0) AS output_tokens, sum(cost_usd) FILTER (billed) AS cost_usd
        FROM (SELECT *, kind IN ('llm', 'embedding') AND duplicate_of IS NULL AS billed FROM rows) GROUP BY run_id
    ), told AS (
        SELECT run_id, count(*) AS times, any_value(COLUMNS(['spans', 'input_tokens', 'output_tokens', 'cost_usd']))
        FROM traces GROUP BY run_id
    )
    SELECT run_id FROM counted c FULL JOIN told t USING (run_id)
    WHERE (t.run_id IS NULL AND c.works) OR c.run_id IS NULL OR t.times > 1 OR t.spans <> c.spans
        OR t.input_tokens <> c.input_tokens OR t.output_tokens <> c.output_tokens
        OR t.cost_usd IS DISTINCT FROM c.cost_usd AND t.run_id IS NOT NULL
    ORDER BY run_id
"""
# Of a span that is stored more than once the row of the span that ended stays, the newest of several.
_DOUBLED = """
    DELETE FROM spans WHERE rowid IN (
        SELECT rowid FROM spans
        SEMI JOIN (SELECT trace_id, span_id FROM spans GROUP BY ALL HAVING count(*) > 1) USING (trace_id, span_id)
        QUALIFY row_number() OVER (PARTITION BY trace_id, span_id ORDER BY status = 'interrupted', rowid DESC) > 1
    )
"""
_DOUBLED_RUNNING = "DELETE FROM running_spans WHERE (trace_id, span_id) IN (SELECT (trace_id, span_id) FROM spans)"
_LOST_EXTENTS = """
    INSERT INTO run_traces
    SELECT trace_id, any_value(run_id), min(start_ns), max(start_ns)
    FROM (SELECT trace_id, run_id, start_ns FROM spans UNION ALL SELECT trace_id, run_id, start_ns FROM running_spans)
    ANTI JOIN run_traces USING (trace_id) GROUP BY trace_id
"""


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was mended, or could not be."""

    what: str
    number: int


def repair(store: Store) -> list[Repair]:
    """Mend what can be mended; what was done, empty where nothing was wrong. Call `Store.fold` afterwards.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`.
    """
    lease = Lease.of(store.path)
    done: list[Repair] = []
    with without_folds(lease):
        for what, work in _STEPS.items():
            if number := work(lease):
                done.append(Repair(what, number))
    return done


def _remove_leftovers(lease: Lease) -> int:
    """Files of programs that died while making a database, a compacted one, or a copy."""
    removed = 0
    with lease.hold(alone=True):  # nobody is making a database now, and without folds nobody is compacting
        for path in lease.path.parent.glob(".*"):
            copy = _COPY.fullmatch(path.name)
            ours = path.name.startswith(f".{lease.path.name}.") and UNFINISHED_SUFFIX in path.name
            if (
                ours
                or path.name.startswith((compacted_path(lease.path).name, f".{compacted_path(lease.path).name}"))
                or (copy and not _lives(int(copy[1])))
            ):
                path.unlink(missing_ok=True)
                removed += 1
    before = set(os.listdir(lease.spool))
    sweep(lease.spool)
    return removed + len(before - set(os.listdir(lease.spool)))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _forget_offsets(lease: Lease) -> int:
    present = pl.DataFrame({"name": [s.name for s in list_spool(lease.spool).segments]}, schema={"name": pl.String})
    with lease.hold() as con:
        return len(
            with_frame(
                con, present, "DELETE FROM segments WHERE name NOT IN (SELECT name FROM incoming) RETURNING name"
            )
        )


def _remove_doubled(lease: Lease) -> int:
    with lease.hold() as con:
        con.execute("BEGIN").fetchall()
        [(ended,)] = con.execute(_DOUBLED).fetchall()
        [(running,)] = con.execute(_DOUBLED_RUNNING).fetchall()
        con.execute("COMMIT").fetchall()
        return ended + running


def _find_extents(lease: Lease) -> int:
    with lease.hold() as con:
        [(number,)] = con.execute(_LOST_EXTENTS).fetchall()
        return number


def _sum_up(lease: Lease) -> int:
    """Work out anew the summaries that do not agree with their spans."""
    with lease.hold() as con:
        suspects = pl.DataFrame(
            {"run_id": [name for (name,) in con.execute(_SUSPECTS).fetchall()]}, schema={"run_id": pl.String}
        )
    for part in suspects.iter_slices(RUNS_AT_ONCE):
        with lease.hold() as con:
            runs: dict[str, list[Span]] = {}
            for span in _spans_of(con, part):
                runs.setdefault(span.run_id, []).append(span)
            summaries = [summarise(spans) for spans in runs.values() if is_run(spans)]
            con.execute("BEGIN").fetchall()
            with_frame(con, part, "DELETE FROM traces WHERE run_id IN (SELECT run_id FROM incoming)")
            insert(con, "traces", frame_of("traces", summaries))
            con.execute("COMMIT").fetchall()
    return suspects.height


def _spans_of(con: duckdb.DuckDBPyConnection, runs: pl.DataFrame) -> list[Span]:
    columns = ", ".join(f'"{name}"' for name in SPAN_FIELDS)
    tables = " UNION ALL ".join(
        f"SELECT {columns} FROM {table} SEMI JOIN incoming USING (run_id)" for table in ("spans", "running_spans")
    )
    rows = select_with(con, runs, f"{tables} ORDER BY start_ns, span_id").iter_rows()
    return [Span(**dict(zip(SPAN_FIELDS, row, strict=True))) for row in rows]


def _release_texts(lease: Lease) -> int:
    with lease.hold() as con:
        ids = select_with(con, pl.DataFrame(schema={"content_id": pl.Int64}), "SELECT content_id FROM contents")
    texts, _ = references.release(lease, ids["content_id"])
    return texts


def _retry_quarantine(lease: Lease) -> int:
    """Put back into the spool what this program can read, though the one that tried before could not."""
    back = 0
    for path in sorted(lease.spool.glob("quarantine/*.bad")):
        with suppress(FileNotFoundError):
            reason = path.with_suffix(".txt")
            frame = _readable(path.read_bytes(), reason.read_text("utf-8", "replace") if reason.exists() else "")
            if frame is not None:
                _put_back(lease.spool, frame)
                # A kill before this delivers it a second time, which the fold notices.
                path.unlink()
                reason.unlink(missing_ok=True)
                back += 1
    return back


def _readable(data: bytes, reason: str) -> bytes | None:
    """The frame to put back for quarantined bytes, None where they still cannot be read."""
    found = _UNDECODED.search(reason)
    try:
        if found is None:
            payload, kind = json.dumps({"spans": [json.loads(data)]}).encode(), FrameKind.RECORDS
        else:
            payload, kind = data, FrameKind(int(found[1]))
        normalise(*_DECODERS[kind](payload))
    except Exception:  # noqa: BLE001  (whatever it is that cannot be read stays where it is)
        return None
    return encode_frame(kind, payload)


def _traces(payload: bytes) -> tuple[list[RawSpan], list[Any]]:
    from tracer.normalise import otlp

    problems: list[otlp.Problem] = []
    return otlp.decode_traces(payload, problems), []


def _logs(payload: bytes) -> tuple[list[RawSpan], list[Any]]:
    from tracer.normalise import otlp

    return [], otlp.decode_logs(payload)


def _records(payload: bytes) -> tuple[list[RawSpan], list[Any]]:
    records = decode_records(payload)
    return [*records.starts, *records.spans], []


_DECODERS: Mapping[FrameKind, Callable[[bytes], tuple[list[RawSpan], list[Any]]]] = {
    FrameKind.RECORDS: _records,
    FrameKind.OTLP_TRACES: _traces,
    FrameKind.OTLP_LOGS: _logs,
}


def _put_back(spool: Path, frame: bytes) -> None:
    """A segment of one frame, sealed as soon as it can be seen."""
    name = f"{time.time_ns():019d}-{os.getpid()}-{os.urandom(4).hex()}.000001{SEGMENT_SUFFIX}"
    hidden = spool / f".{name}"
    hidden.write_bytes(frame)
    os.rename(hidden, spool / name)


_STEPS: Mapping[str, Callable[[Lease], int]] = {
    "files that were left behind, removed": _remove_leftovers,
    "offsets of segments that are gone, forgotten": _forget_offsets,
    "spans that were stored more than once, reduced to one": _remove_doubled,
    "traces that the index of traces did not know, added": _find_extents,
    "summaries that disagreed with their spans, worked out anew": _sum_up,
    "texts that nothing refers to, removed": _release_texts,
    "stretches of bytes in quarantine that can be read now, put back": _retry_quarantine,
}
