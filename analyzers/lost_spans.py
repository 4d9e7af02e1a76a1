"""What can still be said where spans were lost on the way: which runs that is, waits that must have been there, and verdicts to doubt.

    Light   |=========== waits for Sound ===========X cancelled
    Sound   |. . . . . . (nothing recorded) . . . . X              an agent at work on nothing, while somebody waits for it

That an agent waited for those who waited for it is a guess; what is built on it is told as suspected.

A verdict that rests on something *not* being there (nothing new was said, nobody answered, nobody had read it) is weaker where
spans are known to be missing: what would speak against it may be among them. Lost leaves leave no trace, so a run is doubted as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from analyzers.finding import Check, Finding
from analyzers.waiting import RecordedWait
from tracer.model import SpanKind

Row = Mapping[str, Any]
RESTS_ON_ABSENCE = frozenset(
    {"loop", "ping_pong", "no_answer", "conflicting_decisions", "stale_read", "divergent_views", "serial_bottleneck"}
)
"""kinds that say that something was not there; `deadlock`, `orphan_task`, `lost_update` and `duplicate_calls` look at gaps themselves"""
_OF_ITS_PARENT = (SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.EMBEDDING, SpanKind.DECISION, SpanKind.HANDOFF,
                  SpanKind.MESSAGE, SpanKind.STATE_READ, SpanKind.STATE_WRITE, SpanKind.WAIT)  # fmt: skip
"""kinds that an agent's invocation holds as its own; an agent, or a span of another library, may hang from anything"""
DOUBT = 0.75
"""what is left of the confidence of such a finding"""


def doubted(findings: Iterable[Finding], spans: pl.DataFrame) -> list[Finding]:
    """`findings` with less confidence, at most a warning and one more check where they rest on absence and `spans` of their run are lost."""
    held = list(findings)
    asked = {finding.trace_id for finding in held if finding.kind in RESTS_ON_ABSENCE and finding.trace_id is not None}
    columns = ["run_id", "trace_id", "span_id", "parent_span_id"]
    lost = _lost_parents(spans.select(columns).filter(pl.col("run_id").is_in(sorted(asked))))
    return [
        _doubt(finding, lost[finding.trace_id])
        if finding.kind in RESTS_ON_ABSENCE and finding.trace_id in lost
        else finding
        for finding in held
    ]


def _lost_parents(spans: pl.DataFrame) -> dict[str | None, int]:
    """Run -> spans known to be missing because others name them as their parent; runs that lack none are left out."""
    lossy = spans.filter(pl.col("run_id").is_in(lossy_runs(spans).implode()))
    known = lossy.select("trace_id", parent_span_id="span_id")
    loose = lossy.drop_nulls("parent_span_id").join(known, on=["trace_id", "parent_span_id"], how="anti")
    return dict(loose.group_by("run_id").agg(pl.col("parent_span_id").n_unique()).iter_rows())


def _doubt(finding: Finding, lost: int) -> Finding:
    sure = round(finding.confidence * DOUBT, 2)
    what = "a span of this run is" if lost == 1 else f"{lost} spans of this run are"
    return replace(
        finding,
        severity="warning" if finding.severity == "critical" else finding.severity,
        confidence=sure,
        explanation=f"{finding.explanation} At least {what} missing, and what would speak against this may be among them: {sure:.0%} sure.",
        checked=(*finding.checked, Check(rule="spans of the run known to be missing", value=lost, threshold=0, passed=False)),
    )  # fmt: skip


def lossy_runs(spans: pl.DataFrame) -> pl.Series:
    """Run ids, sorted, of those of `spans` (whole runs) with a root of their own and a span whose parent never arrived."""
    known = spans.select("trace_id", parent_span_id="span_id")
    loose = spans.filter(pl.col("parent_span_id").is_not_null()).join(
        known, on=["trace_id", "parent_span_id"], how="anti"
    )
    roots = spans.filter(pl.col("parent_span_id").is_null()).select("run_id").unique()
    return loose.join(roots, on="run_id", how="semi")["run_id"].unique().sort()


def with_lost_parents(spans: pl.DataFrame) -> pl.DataFrame:
    """`spans` (whole runs, any columns beside `run_id`, `trace_id`, `span_id`, `parent_span_id`, `kind`, `agent`, `start_ns`, `end_ns`)
    and a row for each span that others name as their parent and that never arrived, in runs that have a root.

        root                     root
        (lost)            ->     lost    agent Chief, from the first to the last of what hung from it
          llm  Chief                llm  Chief
          agent Crew 1              agent Crew 1

    What a lost span was is told by its children: work of one agent hangs from an invocation of it. Where no such work says whose it was
    it is a span of no agent. It hangs from the root of its trace: what lay between is not known.
    """
    lossy = spans.filter(pl.col("run_id").is_in(lossy_runs(spans).implode()))
    if lossy.is_empty():
        return spans
    known = lossy.select("trace_id", parent_span_id="span_id")
    loose = lossy.drop_nulls("parent_span_id").join(known, on=["trace_id", "parent_span_id"], how="anti")
    roots = (
        lossy.filter(pl.col("parent_span_id").is_null()).sort("start_ns", "span_id").unique("trace_id", keep="first")
    )
    own = pl.col("agent").filter(pl.col("kind").is_in([str(kind) for kind in _OF_ITS_PARENT])).drop_nulls()
    lost = (
        loose.group_by("run_id", "trace_id", span_id="parent_span_id")
        .agg(
            start_ns=pl.col("start_ns").min(),
            end_ns=pl.max_horizontal(pl.col("start_ns").max(), pl.col("end_ns").max()),
            agent=pl.when(own.n_unique() == 1).then(own.first()),
        )
        .with_columns(
            kind=pl.when(pl.col("agent").is_null())
            .then(pl.lit(str(SpanKind.OTHER)))
            .otherwise(pl.lit(str(SpanKind.AGENT)))
        )
        .join(roots.select("trace_id", parent_span_id="span_id"), on="trace_id", how="left")
    )
    columns = [name for name in ("name",) if name in spans.columns]
    lost = lost.with_columns(pl.lit("a span that never arrived").alias(name) for name in columns)
    return pl.concat([spans, lost.cast({c: spans.schema[c] for c in lost.columns})], how="diagonal")


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
