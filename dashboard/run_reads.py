"""What the Overview and Traces pages ask of the store, as DuckDB questions on the table of runs.

Each function takes one short lease, copies its answer out and lets go. Nothing here knows Streamlit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import duckdb
import polars as pl

from dashboard.trace_query import TraceQuery, condition
from tracer.clock import NO_CLOCK_END_NS, NO_CLOCK_NS
from tracer.store.arrow import fetched

SECOND_NS = 1_000_000_000
BUCKETS = 36
"""how many points a trend aims at"""
_WIDTHS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
             172_800, 604_800, 2_592_000, 7_776_000, 31_536_000)  # fmt: skip

Order = Literal["newest", "slowest", "costliest", "errors"]
ORDERS: dict[Order, str] = {
    "newest": "t.start_ns DESC, t.run_id",
    "slowest": "t.end_ns - t.start_ns DESC NULLS LAST, t.run_id",
    "costliest": "t.cost_usd DESC NULLS LAST, t.run_id",
    "errors": "t.errors DESC, t.start_ns DESC, t.run_id",
}

ENDED = "outcome NOT IN ('running', 'unknown')"
TIMED = f"start_ns NOT BETWEEN {NO_CLOCK_NS} AND {NO_CLOCK_END_NS}"
"""the source of the run has times"""
"""runs that count in rates: running and unknown are never success, and never failure"""


class Leasing(Protocol):
    """The one thing needed of a store here."""

    def lease(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]: ...


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some rows of the list, in order: the columns of `traces` and `agent_names` (up to six); `total` counts all matches."""

    rows: pl.DataFrame
    total: int


def search(
    store: Leasing, query: TraceQuery, *, now_ns: int, order: Order = "newest", limit: int = 50, offset: int = 0,
    among: Sequence[str] | None = None,
) -> RunPage:  # fmt: skip
    """One page of the runs that meet `query`. `among` restricts it to these run ids: how `finding:` terms come in."""
    where = condition(query, now_ns=now_ns)
    sql, bound = where.sql, list(where.parameters)
    if among is not None:
        sql = f"({sql}) AND t.run_id IN (SELECT unnest(?::VARCHAR[]))"
        bound.append(list(among))
    page = f"SELECT t.* FROM traces AS t WHERE {sql} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?"
    agents = (
        "SELECT run_id, list(DISTINCT agent ORDER BY agent)[:6] AS agent_names FROM"
        " (SELECT run_id, agent, start_ns FROM spans UNION ALL SELECT run_id, agent, start_ns FROM running_spans)"
        # The window lets DuckDB skip row groups: spans lie in order of arrival.
        " WHERE agent IS NOT NULL AND start_ns BETWEEN ? AND ? AND run_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY run_id"
    )
    names = None
    with store.lease() as connection:
        total = int(_frame(connection, f"SELECT count(*) FROM traces AS t WHERE {sql}", bound).item())
        rows = _frame(connection, page, [*bound, limit, offset])
        if rows.height:
            ids: list[str] = rows["run_id"].to_list()
            # A run without an end is still going: it may have agents up to now.
            last = rows.select(pl.col("end_ns").fill_null(2**63 - 1).max()).item()
            names = _frame(connection, agents, [rows["start_ns"].min(), last, ids])
    if names is None:
        rows = rows.with_columns(agent_names=pl.lit(None, pl.List(pl.String)))
    else:
        rows = rows.join(names, on="run_id", how="left", maintain_order="left")
    return RunPage(rows, total)


def matching_ids(store: Leasing, query: TraceQuery, *, now_ns: int, newest: int) -> list[str]:
    """The ids of the `newest` runs that meet everything but the `finding:` terms."""
    where = condition(query, now_ns=now_ns)
    sql = f"SELECT t.run_id FROM traces AS t WHERE {where.sql} ORDER BY {ORDERS['newest']} LIMIT ?"
    with store.lease() as connection:
        return [row[0] for row in connection.execute(sql, [*where.parameters, newest]).fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The runs of a window in numbers. Rates are over ended runs, None where there are none."""

    runs: int
    ended: int
    completed: int
    running: int
    escalated: int
    errors: int
    llm_calls: int
    unpriced_calls: int
    tokens: int
    cost_usd: float | None
    """known prices only; None where no call has one"""
    p50_s: float | None
    p95_s: float | None
    first_ns: int | None
    last_ns: int | None

    @property
    def completion_rate(self) -> float | None:
        return self.completed / self.ended if self.ended else None

    @property
    def escalation_rate(self) -> float | None:
        return self.escalated / self.ended if self.ended else None

    @property
    def priced_share(self) -> float | None:
        """Share of the LLM calls with a known price: how much of the money is in `cost_usd`."""
        return 1 - self.unpriced_calls / self.llm_calls if self.llm_calls else None


_MEASURES = f"""
    count(*) AS runs,
    count(*) FILTER (WHERE {ENDED}) AS ended,
    count(*) FILTER (WHERE outcome = 'completed') AS completed,
    count(*) FILTER (WHERE outcome = 'running') AS running,
    count(*) FILTER (WHERE escalations > 0 AND {ENDED}) AS escalated,
    COALESCE(sum(errors), 0)::BIGINT AS errors,
    COALESCE(sum(llm_calls), 0)::BIGINT AS llm_calls,
    COALESCE(sum(unpriced_calls), 0)::BIGINT AS unpriced_calls,
    COALESCE(sum(input_tokens + output_tokens), 0)::BIGINT AS tokens,
    sum(cost_usd)::DOUBLE AS cost_usd,
    quantile_cont((end_ns - start_ns) / 1e9, 0.5) FILTER (WHERE {TIMED} AND outcome <> 'running') AS p50_s,
    quantile_cont((end_ns - start_ns) / 1e9, 0.95) FILTER (WHERE {TIMED} AND outcome <> 'running') AS p95_s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A window of the store.

    `totals` are of all runs, latency of those with times; `trend` and `spend` leave out runs whose source has none.
    `trend`: one row per bucket of time, `start_ns` and the measures of `Totals`; empty buckets are there, with zeros.
    `spend`: start_ns, workflow, cost_usd; the most expensive workflows, the rest as "other".
    `outcomes`: outcome, runs.
    """

    totals: Totals
    trend: pl.DataFrame
    spend: pl.DataFrame
    outcomes: pl.DataFrame
    bucket_s: int


def overview(store: Leasing, *, since_ns: int | None = None, top: int = 6) -> Overview:
    """The numbers of the Overview page, from `since_ns` on (None: from the first run)."""
    since = since_ns or 0
    with store.lease() as connection:
        totals_row = _frame(
            connection,
            f"SELECT {_MEASURES}, min(start_ns) FILTER (WHERE {TIMED}) AS first_ns, max(start_ns) AS last_ns FROM traces WHERE start_ns >= ?",
            [since],
        )
        totals = Totals(**totals_row.row(0, named=True))
        width_s = bucket_width_s(totals.first_ns or totals.last_ns or 0, totals.last_ns or 0)
        bucket = f"start_ns // {width_s * SECOND_NS} * {width_s * SECOND_NS}"
        trend = _frame(
            connection,
            f"SELECT {bucket} AS start_ns, {_MEASURES} FROM traces WHERE start_ns >= ? AND {TIMED} GROUP BY 1 ORDER BY 1",
            [since],
        )
        spend = _frame(
            connection,
            f"""
            WITH ranked AS (
                SELECT COALESCE(workflow, 'unnamed') AS workflow, sum(cost_usd) AS total FROM traces
                WHERE start_ns >= ? GROUP BY 1 HAVING total > 0 ORDER BY total DESC, workflow LIMIT ?
            )
            SELECT {bucket} AS start_ns,
                CASE WHEN COALESCE(t.workflow, 'unnamed') IN (SELECT workflow FROM ranked)
                    THEN COALESCE(t.workflow, 'unnamed') ELSE 'other' END AS workflow,
                sum(cost_usd)::DOUBLE AS cost_usd
            FROM traces AS t WHERE start_ns >= ? AND {TIMED} AND cost_usd IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
            """,
            [since, top, since],
        )
        outcomes = _frame(
            connection,
            "SELECT outcome, count(*) AS runs FROM traces WHERE start_ns >= ? GROUP BY 1 ORDER BY 2 DESC, 1",
            [since],
        )
    return Overview(
        totals=totals, trend=_without_gaps(trend, width_s), spend=spend, outcomes=outcomes, bucket_s=width_s
    )


def count_runs(store: Leasing, *, since_ns: int | None = None, workflow: str | None = None) -> int:
    """How many runs (of `workflow`) started at or after `since_ns`."""
    sql = "SELECT count(*) FROM traces WHERE start_ns >= ?" + ("" if workflow is None else " AND workflow = ?")
    with store.lease() as connection:
        return int(_frame(connection, sql, [since_ns or 0, *([] if workflow is None else [workflow])]).item())


def workflows(store: Leasing) -> list[str]:
    """The names of all workflows, sorted."""
    sql = "SELECT DISTINCT workflow FROM traces WHERE workflow IS NOT NULL ORDER BY 1"
    with store.lease() as connection:
        return [row[0] for row in connection.execute(sql).fetchall()]


def _frame(connection: duckdb.DuckDBPyConnection, sql: str, bound: Sequence[object]) -> pl.DataFrame:
    """The whole answer, copied out: nothing of the database stays open behind it."""
    return fetched(connection.sql(sql, params=list(bound)))


def bucket_width_s(first_ns: int, last_ns: int) -> int:
    """A round width that gives about `BUCKETS` buckets between two times."""
    wanted = (last_ns - first_ns) / SECOND_NS / BUCKETS
    return next((width for width in _WIDTHS_S if width >= wanted), _WIDTHS_S[-1])


def _without_gaps(trend: pl.DataFrame, width_s: int) -> pl.DataFrame:
    """Add the buckets nothing started in: a trend must fall to zero there, not draw a line across."""
    if trend.height < 2:
        return trend
    starts: Iterable[int] = range(int(trend["start_ns"][0]), int(trend["start_ns"][-1]) + 1, width_s * SECOND_NS)
    grid = pl.DataFrame({"start_ns": list(starts)}, schema={"start_ns": pl.Int64})
    counts = [name for name, kind in trend.schema.items() if kind == pl.Int64 and name != "start_ns"]
    return grid.join(trend, on="start_ns", how="left", maintain_order="left").with_columns(pl.col(counts).fill_null(0))
