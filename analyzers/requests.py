"""Waits told from requests between agents that were not answered, where no wait was recorded (`tracer.normalise.unanswered`).

ledger   |== request to payroll ========= ...     waits for payroll
payroll  |== request to ledger ====== ...         waits for ledger, unless it has a call of its own under way: then it works
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analyzers.waiting import RecordedWait
from tracer.model import SpanKind
from tracer.normalise.outcome import tells_timeout

Row = Mapping[str, Any]
CALLS = (SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.EMBEDDING)


def is_request() -> pl.Expr:
    """True for spans that hold a request without an answer; the agents it went to are in `wait_for`."""
    return (
        (pl.col("kind") != SpanKind.WAIT)
        & (pl.col("wait_for").list.len() > 0)
        & pl.col("derived").list.contains("wait_for").fill_null(value=False)
    )


def unanswered(rows: Sequence[Row]) -> list[RecordedWait]:
    """The waits in `rows`, the spans of one run in order of start (columns of the table), without those of agents that worked meanwhile."""
    asking = [
        row for row in rows if row["kind"] != SpanKind.WAIT and row["wait_for"] and "wait_for" in (row["derived"] or ())
    ]
    if not asking:
        return []
    last_start = max(row["start_ns"] for row in rows)
    work: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] in CALLS and row["agent"] and not row["wait_for"] and row["duplicate_of"] is None:
            work[row["agent"]].append(row)
    waits = [_wait(row, rows, last_start) for row in asking]
    return [wait for wait in waits if not any(_overlaps(call, wait) for call in work[wait.agent])]


def _wait(row: Row, rows: Sequence[Row], last_start: int) -> RecordedWait:
    start: int = row["start_ns"]
    if row["kind"] == SpanKind.AGENT:  # it waits from when the last of those inside began
        inside = [
            r["start_ns"] for r in rows
            if r["kind"] == SpanKind.AGENT and r["agent"] in row["wait_for"] and r["end_ns"] is None and r["start_ns"] >= start
        ]  # fmt: skip
        start = max(inside, default=start)
    end: int | None = row["end_ns"]
    if end is None:
        outcome = row["status"]
    else:  # where nothing began afterwards, the run was ended from outside
        said = f"{row['error_type']} {row['error_message']}"
        outcome = "timed_out" if last_start >= end or tells_timeout(said) else "cancelled"
    return RecordedWait(
        span_id=row["span_id"], agent=row["agent"], targets=tuple(row["wait_for"]), mode="all", start_ns=start, end_ns=end, met=False,
        outcome=outcome, pid=row["pid"], reason="request",
    )  # fmt: skip


def _overlaps(call: Row, wait: RecordedWait) -> bool:
    ended_before = call["end_ns"] is not None and call["end_ns"] <= wait.start_ns
    return not ended_before and (wait.end_ns is None or call["start_ns"] < wait.end_ns)
