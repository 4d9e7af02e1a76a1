"""Conversations over runs: what the Sessions page asks of the table of runs. Nothing here knows Streamlit."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dashboard.run_reads import ENDED, Leasing
from tracer.store.arrow import fetched


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some sessions, the one that was active last first; `total` counts all that match.

    Columns: session_id, user_id (null where several), workflows (up to four), runs, failed (ended, and neither completed
    nor escalated), running, start_ns, end_ns (null while a run goes on), llm_calls, tokens, cost_usd, unpriced_calls.
    """

    rows: pl.DataFrame
    total: int


def sessions(
    store: Leasing, *, since_ns: int | None = None, text: str = "", limit: int = 50, offset: int = 0
) -> SessionPage:
    """Sessions with a run that started at or after `since_ns` and, if given, `text` in their id or user id (any case)."""
    wanted = text.strip().lower()
    matches = "session_id IS NOT NULL"
    if wanted:
        matches += " AND (contains(lower(session_id), $text) OR contains(lower(COALESCE(user_id, '')), $text))"
    # Only the sessions of the page are summed up: there may be hundreds of thousands.
    active = (
        f"SELECT session_id, max(start_ns) AS last_ns FROM traces WHERE {matches} GROUP BY 1 HAVING last_ns >= $since"
    )
    page = f"""
        WITH page AS (SELECT * FROM ({active}) ORDER BY last_ns DESC, session_id LIMIT {int(limit)} OFFSET {int(offset)})
        SELECT session_id,
            CASE WHEN count(DISTINCT user_id) = 1 THEN any_value(user_id) END AS user_id,
            list(DISTINCT workflow ORDER BY workflow)[:4] AS workflows,
            count(*) AS runs,
            count(*) FILTER (WHERE {ENDED} AND outcome NOT IN ('completed', 'escalated')) AS failed,
            count(*) FILTER (WHERE outcome = 'running') AS running,
            min(start_ns) AS start_ns,
            CASE WHEN running = 0 THEN max(end_ns) END AS end_ns,
            sum(llm_calls)::BIGINT AS llm_calls,
            sum(input_tokens + output_tokens)::BIGINT AS tokens,
            sum(cost_usd) AS cost_usd,
            sum(unpriced_calls)::BIGINT AS unpriced_calls
        FROM traces WHERE {matches} AND session_id IN (SELECT session_id FROM page)
        GROUP BY session_id ORDER BY max(start_ns) DESC, session_id
    """
    bound: dict[str, object] = {"since": since_ns or 0, **({"text": wanted} if wanted else {})}
    with store.lease() as connection:
        total = int(fetched(connection.sql(f"SELECT count(*) FROM ({active})", params=bound)).item())
        rows = fetched(connection.sql(page, params=bound))
    return SessionPage(rows, total)


def runs_of(store: Leasing, session_id: str) -> pl.DataFrame:
    """The runs of one session in order of start: the columns of `traces`."""
    with store.lease() as connection:
        sql = "SELECT * FROM traces WHERE session_id = $session ORDER BY start_ns, run_id"
        return fetched(connection.sql(sql, params={"session": session_id}))
