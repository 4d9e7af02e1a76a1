"""What can still be said where spans were lost on the way: which runs that is, and waits that must have been there.

    Light   |=========== waits for Sound ===========X cancelled
    Sound   |. . . . . . (nothing recorded) . . . . X              an agent at work on nothing, while somebody waits for it

That an agent waited for those who waited for it is a guess; what is built on it is told as suspected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analyzers.waiting import RecordedWait
from tracer.model import SpanKind

Row = Mapping[str, Any]


def lossy_runs(spans: pl.DataFrame) -> pl.Series:
    """Run ids, sorted, of those of `spans` (whole runs) with a root of their own and a span whose parent never arrived."""
    known = spans.select("trace_id", parent_span_id="span_id")
    loose = spans.filter(pl.col("parent_span_id").is_not_null()).join(
        known, on=["trace_id", "parent_span_id"], how="anti"
    )
    roots = spans.filter(pl.col("parent_span_id").is_null()).select("run_id").unique()
    return loose.join(roots, on="run_id", how="semi")["run_id"].unique().sort()


def guessed_waits(rows: Sequence[Row], waits: Sequence[RecordedWait]) -> list[RecordedWait]:
    """For each agent that is waited for, has no wait recorded and did nothing meanwhile: a wait for any of those waiters.

    `rows` are the spans of the run. The span id of a guessed wait is that of the invocation of its agent.
    """
    waiting = {wait.agent for wait in waits}
    unmet = [wait for wait in waits if not wait.met]
    waiters: dict[str, list[RecordedWait]] = defaultdict(list)
    for wait in unmet:
        for target in wait.targets:
            if target not in waiting:
                waiters[target].append(wait)
    guessed: list[RecordedWait] = []
    for agent, asking in sorted(waiters.items()):
        since_ns = max(wait.start_ns for wait in asking)
        ends = [wait.end_ns for wait in asking if wait.end_ns is not None]
        until_ns = min(ends) if ends else None
        own = [row for row in rows if row["agent"] == agent]
        around = [
            row
            for row in own
            if row["kind"] == SpanKind.AGENT and row["start_ns"] <= since_ns and _lasts(row, until_ns)
        ]
        busy = any(
            row["kind"] != SpanKind.AGENT
            and row["start_ns"] > since_ns
            and (until_ns is None or row["start_ns"] < until_ns)
            for row in own
        )
        if around and not busy:
            guessed.append(
                RecordedWait(
                    span_id=around[-1]["span_id"],
                    agent=agent,
                    targets=tuple(dict.fromkeys(wait.agent for wait in asking)),
                    mode="any",
                    start_ns=max(
                        [
                            around[-1]["start_ns"],
                            *(
                                row["end_ns"] or row["start_ns"]
                                for row in own
                                if row["kind"] != SpanKind.AGENT and row["start_ns"] <= since_ns
                            ),
                        ]
                    ),
                    end_ns=around[-1]["end_ns"],
                    met=False,
                    outcome="unknown",
                    pid=around[-1]["pid"],
                )
            )
    return guessed  # fmt: skip


def _lasts(row: Row, until_ns: int | None) -> bool:
    return row["end_ns"] is None or (until_ns is not None and row["end_ns"] >= until_ns)
