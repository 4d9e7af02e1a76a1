"""What is going on right now, asked of the small table of running spans. Nothing here knows Streamlit.

A span stands in `running_spans` from its start until its end is folded in; spans of a process that died are moved away by
the fold, so what is left belongs to processes that live. The cost of these questions does not grow with the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from dashboard.run_reads import SECOND_NS, Leasing
from tracer.model import SpanKind
from tracer.online.waits import Wait, stuck_waiters
from tracer.store.arrow import fetched

RECENT = 8
LATE_FACTOR = 3.0
"""an open span is late after this many times the 95th percentile of ended ones like it"""
LATE_AT_LEAST_S = 20.0
LIKE_IT = 20
"""how many ended spans must be known to call an open one late"""

_OPEN = """
SELECT run_id, trace_id, span_id, parent_span_id, kind, name, agent, model, tool_name, wait_for, wait_mode, reason, start_ns, deadline_ns
FROM running_spans ORDER BY run_id, start_ns, span_id
"""
_USUAL = """
SELECT kind, agent, name, count(*) AS known, quantile_cont((end_ns - start_ns) / 1e9, 0.95) AS p95_s
FROM spans SEMI JOIN (SELECT DISTINCT kind, agent, name FROM running_spans) AS open USING (kind, agent, name)
WHERE end_ns IS NOT NULL AND status = 'ok' AND start_ns >= ? GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class OpenSpan:
    """One piece of work or one wait that has not ended."""

    row: Mapping[str, Any]
    for_s: float
    late: bool
    """much longer than ended ones like it, or over its deadline"""
    stuck: bool
    """a wait that nobody can ever release"""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that goes on: its row of `traces`, and what is open in it, innermost work only, the longest first."""

    row: Mapping[str, Any]
    open: tuple[OpenSpan, ...]

    @property
    def stuck(self) -> frozenset[str]:
        """Agents that can never go on."""
        return frozenset(str(span.row["agent"]) for span in self.open if span.stuck)

    @property
    def late(self) -> bool:
        """Something in it takes unusually long."""
        return any(span.late for span in self.open)


@dataclass(frozen=True, slots=True)
class Live:
    """`runs`: those in a deadlock first, then those that are late, then the newest; `recent` are the last runs that ended or
    whose program died, rows of `traces`."""

    runs: tuple[LiveRun, ...]
    recent: pl.DataFrame


Usual = Mapping[tuple[str, str | None, str], float]
"""(kind, agent, name) -> 95th percentile of the seconds that ended spans like it took"""


def usual(store: Leasing, *, since_ns: int) -> Usual:
    """How long ended spans like the open ones took, where enough of them started at or after `since_ns`."""
    with store.lease() as connection:
        known = fetched(connection.sql(_USUAL, params=[since_ns]))
    return {
        (row["kind"], row["agent"], row["name"]): row["p95_s"]
        for row in known.iter_rows(named=True)
        if row["known"] >= LIKE_IT
    }


def live(store: Leasing, usual_s: Usual, *, now_ns: int) -> Live:
    """What runs at `now_ns`."""
    with store.lease() as connection:
        spans = fetched(connection.sql(_OPEN))
        runs = fetched(connection.sql("SELECT * FROM traces WHERE outcome = 'running' ORDER BY start_ns DESC, run_id"))
        recent = fetched(connection.sql(
            f"SELECT * FROM traces WHERE outcome <> 'running' ORDER BY coalesce(end_ns, start_ns) DESC, run_id LIMIT {RECENT}"
        ))  # fmt: skip
    by_run = {str(run): part for (run,), part in spans.group_by("run_id")}
    found = [
        LiveRun(row, open_spans(by_run.get(row["run_id"], spans.clear()), usual_s, now_ns))
        for row in runs.iter_rows(named=True)
    ]
    return Live(tuple(sorted(found, key=lambda run: (not run.stuck, not run.late))), recent)


def open_spans(spans: pl.DataFrame, usual_s: Usual, now_ns: int) -> tuple[OpenSpan, ...]:
    """The innermost open spans of one run: what somebody is doing or waiting for now, not what that is part of.

    A workflow is never what somebody does: between two steps of it nothing is done.

    Args:
        spans: the run's rows of `running_spans`.
    """
    rows = list(spans.iter_rows(named=True))
    parents = {row["parent_span_id"] for row in rows}
    inner = [row for row in rows if row["span_id"] not in parents and row["kind"] != SpanKind.WORKFLOW]
    waits = {
        str(row["agent"]): Wait(frozenset(row["wait_for"]), "any" if row["wait_mode"] == "any" else "all")
        for row in inner
        if row["kind"] == SpanKind.WAIT and row["agent"] and row["wait_for"]
    }
    stuck = stuck_waiters(waits)
    found = [_open(row, usual_s, now_ns, row["kind"] == SpanKind.WAIT and row["agent"] in stuck) for row in inner]
    return tuple(sorted(found, key=lambda span: (-span.for_s, span.row["span_id"])))


def _open(row: Mapping[str, Any], usual_s: Usual, now_ns: int, stuck: bool) -> OpenSpan:  # fmt: skip
    for_s = max(0.0, (now_ns - row["start_ns"]) / SECOND_NS)
    usual = usual_s.get((row["kind"], row["agent"], row["name"]))
    slow = usual is not None and for_s > max(LATE_AT_LEAST_S, LATE_FACTOR * usual)
    overdue = row["deadline_ns"] is not None and now_ns > row["deadline_ns"]
    return OpenSpan(row, for_s, slow or overdue, stuck)
