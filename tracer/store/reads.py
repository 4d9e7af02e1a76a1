"""Typed reads: questions to the store, answered as polars frames that own their memory.

Each takes one short lease and lets go before it returns. None of them folds; call `store.fold()` first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import polars as pl

from tracer.errors import BadInput, UnknownName
from tracer.model import SPAN_FIELDS
from tracer.store.arrow import fetched
from tracer.store.columns import select_with
from tracer.store.frame import COUNTS
from tracer.store.query import sql as sql

if TYPE_CHECKING:
    from tracer.store.database import Store

_SPAN_COLUMNS = ", ".join(f's."{name}"' for name in SPAN_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """Whole runs, as `analyzers.frames.Frames` wants them.

    `spans`: columns of table `spans`, running spans included, ordered by run_id, start_ns, span_id.
    `traces`, `events`, `links`: the columns of their tables, for the same runs.
    `contents`: content_id -> body of what the spans and events refer to; empty where it was not asked for.
    """

    spans: pl.DataFrame
    traces: pl.DataFrame
    contents: Mapping[int, str] = field(default_factory=dict[int, str])
    events: pl.DataFrame
    links: pl.DataFrame


def runs(
    store: Store,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    workflow: str | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """One row per run, newest first: the columns of table `traces`. Bounds are on start_ns: since <= start < until."""
    where, values = _bounds(since_ns, until_ns)
    if workflow is not None:
        where.append("workflow = $workflow")
        values["workflow"] = workflow
    sql = f"SELECT * FROM traces WHERE {' AND '.join(where)} ORDER BY start_ns DESC, run_id"
    if limit is not None:
        sql += f" LIMIT {int(limit)}"
    with store.lease() as con:
        return frame(con, sql, values)


def load(
    store: Store,
    run_ids: Sequence[str] | None = None,
    *,
    contents: bool = True,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> RunData:
    """The runs `run_ids`, or all that started in [since_ns, until_ns); empty frames where there are none.

    A run that is asked for by id is read through its time window, so its cost does not grow with the store.
    """
    where, values = _bounds(since_ns, until_ns)
    if run_ids is not None:
        where.append("run_id IN (SELECT unnest($run_ids))")
        values["run_ids"] = list(run_ids)
    with store.lease() as con:
        traces = frame(con, f"SELECT * FROM traces WHERE {' AND '.join(where)} ORDER BY start_ns, run_id", values)
        wanted = traces.select("run_id")
        whole = run_ids is None and since_ns is None and until_ns is None
        found = select_with(con, wanted, "SELECT * FROM run_traces SEMI JOIN incoming USING (run_id)")
        first, last = (None, None) if whole else (found["first_ns"].min(), found["last_ns"].max())
        window = "TRUE" if first is None else f"s.start_ns BETWEEN {first} AND {last}"
        by_run = "SEMI JOIN incoming USING (run_id)"
        # DuckDB sorts rows with all their columns; of one run, polars sorts by two columns and moves the others once.
        alone = wanted.height == 1
        spans = select_with(
            con,
            wanted,
            f"""
            SELECT {_SPAN_COLUMNS} FROM spans s {by_run} WHERE {window}
            UNION ALL SELECT {_SPAN_COLUMNS} FROM running_spans s {by_run}
            {"" if alone else "ORDER BY run_id, start_ns, span_id"}
            """,
        )
        if alone:
            spans = spans.sort("start_ns", "span_id")
        ids = found.select("trace_id")
        by_trace = "SEMI JOIN incoming USING (trace_id)"
        during = "TRUE" if first is None else f"time_ns BETWEEN {first} AND {last}"
        events = select_with(
            con, ids, f"SELECT * FROM events {by_trace} WHERE {during} ORDER BY trace_id, time_ns, span_id, name"
        )
        links = select_with(con, ids, f"SELECT * FROM links {by_trace} ORDER BY ALL")
        texts = _bodies(con, _references(spans, events)) if contents else {}
    return RunData(spans=spans, traces=traces, contents=texts, events=events, links=links)


def bodies(store: Store, content_ids: Iterable[int]) -> dict[int, str]:
    """The texts stored under `content_ids`; unknown ids are left out."""
    wanted = sorted(set(content_ids))
    if not wanted:
        return {}
    with store.lease() as con:
        return _bodies(con, pl.Series("content_id", wanted, dtype=pl.Int64))


MOST_FITTING = 20
"""runs that a beginning is compared with before it is called ambiguous"""


def find_run(store: Store, name: str) -> str:
    """The run id that `name` means: a run id, a trace id of the run, a unique prefix of one, or a source id.

    Raises:
        UnknownName: no run is called so; the hint offers near names.
        BadInput: the prefix fits several runs.
    """
    with store.lease() as con:
        found = con.execute(
            """
            SELECT DISTINCT run_id, exact FROM (
                SELECT run_id, run_id = $name OR trace_id = $name AS exact FROM run_traces
                WHERE starts_with(run_id, $name) OR starts_with(trace_id, $name)
                UNION ALL SELECT run_id, source_id = $name FROM traces WHERE starts_with(source_id, $name)
            ) WHERE run_id IN (SELECT run_id FROM traces) ORDER BY exact DESC, run_id LIMIT $most
            """,
            {"name": name, "most": MOST_FITTING},
        ).fetchall()
        if not found or not name:
            names = con.execute(
                "SELECT unnest([run_id, source_id]) FROM (FROM traces ORDER BY start_ns DESC LIMIT 1000)"
            ).fetchall()
            raise UnknownName.among(
                "trace",
                name,
                (known for (known,) in names if known is not None),
                listed="`tracehound traces` lists them.",
            )
    matches = {run_id for run_id, exact in found if exact} or {run_id for run_id, _ in found}
    if len(matches) > 1:
        raise BadInput(
            f"{name!r} fits {f'{MOST_FITTING} or more' if len(found) == MOST_FITTING else len(matches)} traces: {', '.join(sorted(matches)[:5])}.",
            hint="give more digits.",
        )
    return matches.pop()


def mark(
    store: Store, run_id: str, verdict: Literal["ok", "failed"], note: str | None = None, *, time_ns: int | None = None
) -> None:
    """Record a person's verdict on a run (`find_run` turns a name into the id). The newest verdict counts.

    Raises:
        UnknownName: there is no such run.
    """
    values = {"run": run_id, "time": time.time_ns() if time_ns is None else time_ns, "verdict": verdict, "note": note}
    with store.lease() as con:
        if not con.execute("SELECT 1 FROM traces WHERE run_id = $run", {"run": run_id}).fetchall():
            known = con.execute("SELECT run_id FROM traces ORDER BY start_ns DESC LIMIT 1000").fetchall()
            raise UnknownName.among(
                "trace", run_id, (name for (name,) in known), listed="`tracehound traces` lists them."
            )
        con.execute("INSERT INTO marks VALUES ($run, $time, $verdict, $note)", values).fetchall()


def marks(store: Store) -> pl.DataFrame:
    """The verdict that counts, one row per marked run: run_id, time_ns, verdict, note."""
    with store.lease() as con:
        return frame(
            con,
            "SELECT * FROM marks QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY time_ns DESC) = 1 ORDER BY run_id",
        )


def counters(store: Store) -> dict[str, int]:
    """Running totals of what went wrong: bad_frames, rejected_spans, duplicate_spans, dropped_spans, `frame.COUNTS`; 0 where nothing did."""
    names = dict.fromkeys(("bad_frames", "rejected_spans", "duplicate_spans", "dropped_spans", *COUNTS), 0)
    with store.lease() as con:
        return names | dict(con.execute("SELECT name, value FROM counters").fetchall())


def frame(con: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """The answer to `query` as a frame that does not keep the database open."""
    return fetched(con.sql(query, params=dict(values) if values else None))


def _bounds(since_ns: int | None, until_ns: int | None) -> tuple[list[str], dict[str, Any]]:
    where, values = ["TRUE"], dict[str, Any]()
    if since_ns is not None:
        where.append("start_ns >= $since")
        values["since"] = since_ns
    if until_ns is not None:
        where.append("start_ns < $until")
        values["until"] = until_ns
    return where, values


def _references(spans: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """All content ids that spans and events refer to, once each."""
    lists = [spans["input_refs"], spans["output_refs"], events["refs"]]
    return pl.concat([column.drop_nulls().explode().drop_nulls() for column in lists]).unique().alias("content_id")


def _bodies(con: duckdb.DuckDBPyConnection, ids: pl.Series) -> dict[int, str]:
    if not len(ids):
        return {}
    # By row id, or DuckDB would inflate every body of the store to throw most of them away.
    found = select_with(
        con,
        ids.to_frame(),
        """
        SELECT content_id, body FROM contents
        WHERE rowid IN (SELECT rowid FROM contents SEMI JOIN incoming USING (content_id))
        """,
    )
    return dict(zip(found["content_id"].to_list(), found["body"].to_list(), strict=True))
