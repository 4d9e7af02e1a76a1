"""Question: is there work that nobody owns any more, or that nobody took up?

    planner  |==== start worker ====|
    worker        |=================:========X       its creator had ended: nobody reads what it comes to
    handoff "task-7" -> Auditor                      and the Auditor never does anything

Two signs. An agent was still running when the span that started it had ended, a second or more beyond it, or was cut
off. And a task that was handed over by name to an agent of which nothing is recorded afterwards, in a run that ended;
where the task has no name, to an agent that never appears in the run. A task that goes to and fro and was taken up each
time before is no orphan, nor one that goes back to who gave it: the run ended with it. Source: note on waits, section 2. Not orphans: agents
that end with their creator, hand-overs to people. Known misses: detached work that is recorded as a run of its own;
results that are returned and then ignored. Cost: three joins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.lost_spans import lossy_runs
from analyzers.tally import COUNTED, spent
from analyzers.wording import amount, duration, listing, since, usd
from tracer.model import RunOutcome, SpanKind, SpanStatus

KIND = "orphan_task"
PEOPLE = (
    "user",
    "human",
    "customer",
    "operator",
    "everyone",
    "all",
    "user_proxy",
    "human_user",
    "end",
    "__end__",
    "done",
    "finish",
)
"""receivers that are no agents: people, everybody, and the names by which frameworks say that the run is over"""
Row = Mapping[str, Any]
_COLUMNS = list(dict.fromkeys((
    *COUNTED, "run_id", "trace_id", "parent_span_id", "agent", "start_ns", "end_ns", "status", "pid", "task_id", "target_agent",
)))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanThresholds:
    beyond_ns: int = 1_000_000_000
    """how long an agent must outlive its creator; less is the order in which two spans are closed"""
    skew_ns: int = 2_000_000_000
    """how much longer where the two were recorded by different processes: clocks of one site differ by less"""


def find_orphan_tasks(frames: Frames, thresholds: OrphanThresholds = OrphanThresholds()) -> list[Finding]:
    """One finding per run with abandoned agents, one per run with tasks that were not taken up."""
    counted = pl.col("duplicate_of").is_null() & ~pl.col("run_id").is_in(frames.timeless.implode())
    spans = frames.spans.select(*_COLUMNS, "duplicate_of").filter(counted)
    found = _abandoned(spans, thresholds)
    # A run that was stopped did not get to its last task; that is what stopped it, not an orphan.
    ended = frames.traces.filter(pl.col("outcome").is_in([RunOutcome.COMPLETED, RunOutcome.ESCALATED]))["run_id"]
    return found + _not_taken_up(spans.filter(pl.col("run_id").is_in(ended.implode())), thresholds)


def _abandoned(spans: pl.DataFrame, t: OrphanThresholds) -> list[Finding]:
    parents = spans.select(
        "trace_id",
        parent_span_id="span_id",
        parent_end="end_ns",
        parent_agent="agent",
        parent_kind="kind",
        parent_pid="pid",
    )
    # Below a workflow a span without an end is more often a gap in the recording.
    cut_off = pl.col("status").is_in([SpanStatus.RUNNING, SpanStatus.INTERRUPTED]) & (
        pl.col("parent_kind") == SpanKind.AGENT
    )
    one_clock = (pl.col("pid") == pl.col("parent_pid")).fill_null(value=True)
    margin = pl.when(one_clock).then(t.beyond_ns).otherwise(t.beyond_ns + t.skew_ns)
    late = pl.col("end_ns") >= pl.col("parent_end") + margin
    left = (
        spans.filter(pl.col("kind") == SpanKind.AGENT)
        .join(parents, on=["trace_id", "parent_span_id"])
        .filter(pl.col("parent_end").is_not_null() & (cut_off | late))
        .sort("run_id", "start_ns", "span_id")
    )
    if left.is_empty():
        return []
    below = spans.join(left.select("run_id").unique(), on="run_id", how="semi")
    starts = dict(below.group_by("run_id").agg(pl.col("start_ns").min()).iter_rows())
    found: list[Finding] = []
    for (run_id,), part in left.group_by("run_id", maintain_order=True):
        rows = part.to_dicts()
        agents = [row["agent"] for row in rows if row["agent"]]
        calls = below.filter((pl.col("run_id") == str(run_id)) & pl.col("agent").is_in(agents)).select(
            *COUNTED, "start_ns", "agent"
        )
        ends = {row["agent"]: row["parent_end"] for row in rows}
        found.append(
            _left_behind(
                str(run_id), rows, [c for c in calls.to_dicts() if c["start_ns"] >= ends[c["agent"]]], starts[run_id], t
            )
        )
    return found


def _left_behind(run_id: str, rows: Sequence[Row], calls: Sequence[Row], start_ns: int, t: OrphanThresholds) -> Finding:
    cut = [row for row in rows if row["status"] in (SpanStatus.RUNNING, SpanStatus.INTERRUPTED)]
    longest = max(((row["end_ns"] - row["parent_end"]) for row in rows if row["end_ns"] is not None), default=0)
    money, tokens, ids = spent(calls)
    severity: Severity = "warning" if cut or ids else "info"
    agents = tuple(dict.fromkeys(row["agent"] for row in rows if row["agent"]))
    owners = tuple(dict.fromkeys(row["parent_agent"] for row in rows if row["parent_agent"]))
    owner = listing(owners) or f"the {rows[0]['parent_kind']}"
    fate = (
        f"{len(cut)} never ended"
        if cut
        else f"{'it' if len(rows) == 1 else 'they'} went on for {'' if len(rows) == 1 else 'up to '}{duration(longest)}"
    )
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.85 if cut else 0.7,
        title=f"{listing(agents) or amount(len(rows), 'agent')} left behind: {owner} had ended, {fate}",
        explanation=(
            f"{amount(len(rows), 'agent invocation')} ({listing(agents)}) started by {owner} {'was' if len(rows) == 1 else 'were'} still at work when "
            f"{owner} ended {since(rows[0]['parent_end'], start_ns)}; {fate}. Nobody is there to take the result"
            + (f", and the calls made after that cost {usd(money)}" if money is not None else "")
            + ". Told by the recorded ends of both; work that was detached on purpose looks the same."
        ),
        suggestion="Wait for what was started (or cancel it) before returning; give detached work its own run, an owner and a deadline.",
        trace_id=run_id,
        spans=tuple(row["span_id"] for row in rows),
        agents=agents,
        start_ns=min(row["start_ns"] for row in rows),
        end_ns=max((row["end_ns"] for row in rows if row["end_ns"] is not None), default=None),
        wasted_usd=money,
        wasted_tokens=tokens,
        checked=(
            Check(rule="agents at work after their creator had ended", value=len(rows), threshold=1, passed=True),
            Check(rule="of them never ended", value=len(cut), threshold=1, passed=bool(cut)),
            Check(
                rule="longest time beyond the creator, seconds",
                value=round(longest / 1e9, 3),
                threshold=t.beyond_ns / 1e9,
                passed=longest >= t.beyond_ns,
            ),
            Check(rule="model calls made meanwhile", value=len(ids), threshold=1, passed=bool(ids)),
        ),
        data={"reason": "left behind", "key": "left behind", "never_ended": len(cut), "wasted_spans": sorted(ids)},
    )


def _not_taken_up(spans: pl.DataFrame, t: OrphanThresholds) -> list[Finding]:
    given = spans.filter(
        (pl.col("kind") == SpanKind.HANDOFF)
        & pl.col("target_agent").is_not_null()
        & ~pl.col("target_agent").str.to_lowercase().is_in(PEOPLE)
        & (pl.col("agent") != pl.col("target_agent")).fill_null(value=True)
    )
    if given.is_empty():
        return []
    acted = spans.filter(pl.col("agent").is_not_null()).group_by("run_id", target_agent="agent").agg(
        last=pl.max_horizontal(pl.col("start_ns").max(), pl.col("end_ns").max()), pids=pl.col("pid").unique()
    )  # fmt: skip
    lossy = lossy_runs(spans.join(given.select("run_id").unique(), on="run_id", how="semi"))
    elsewhere = ~pl.col("pids").list.contains(pl.col("pid")).fill_null(value=True)
    margin = pl.when(elsewhere).then(t.skew_ns).otherwise(0)
    # Where spans were lost, those of the receiver may be among them: then only an agent that never appears counts.
    silent_since = (
        pl.col("task_id").is_not_null()
        & (pl.col("last") + margin < pl.col("start_ns"))
        & ~pl.col("run_id").is_in(lossy.implode())
    )
    open_ = given.join(acted, on=["run_id", "target_agent"], how="left").filter(pl.col("last").is_null() | silent_since)
    # Taken up each time before: what is open is the last step of a task that went to and fro.
    earlier = given.join(acted, on=["run_id", "target_agent"]).filter(pl.col("last") >= pl.col("start_ns"))
    back = given.select("run_id", "task_id", agent="target_agent", target_agent="agent", given_ns="start_ns")
    returned = open_.join(back, on=["run_id", "task_id", "agent", "target_agent"]).filter(
        pl.col("given_ns") < pl.col("start_ns")
    )
    open_ = (
        open_.join(earlier, on=["run_id", "target_agent", "task_id"], how="anti")
        .join(returned, on=["run_id", "span_id"], how="anti")
        .sort("run_id", "start_ns", "span_id")
    )
    if open_.is_empty():
        return []
    starts = dict(
        spans.join(open_.select("run_id").unique(), on="run_id", how="semi")
        .group_by("run_id")
        .agg(pl.col("start_ns").min())
        .iter_rows()
    )
    found: list[Finding] = []
    for (run_id,), part in open_.group_by("run_id", maintain_order=True):
        rows = part.to_dicts()
        tasks = [row["task_id"] for row in rows if row["task_id"]]
        targets = tuple(dict.fromkeys(row["target_agent"] for row in rows))
        senders = tuple(dict.fromkeys(row["agent"] for row in rows if row["agent"]))
        found.append(
            Finding(
                kind=KIND,
                severity="warning",
                confidence=0.8 if tasks else 0.65,
                title=f"{amount(len(rows), 'task')} handed to {listing(targets)} and never taken up",
                explanation=(
                    f"{listing(senders) or 'The run'} handed {listing(tasks) or amount(len(rows), 'task without a name')} to {listing(targets)}, the first {since(rows[0]['start_ns'], starts[run_id])}. "
                    f"Nothing that {listing(targets)} did after that is recorded, and the run ended. "
                    "Told by the absence of spans; an agent whose process is not traced looks the same."
                ),
                suggestion="Check that the receiver is running and subscribed; acknowledge a task when it is taken, and escalate one that is not taken in time.",
                trace_id=str(run_id),
                spans=tuple(row["span_id"] for row in rows),
                agents=tuple(dict.fromkeys((*senders, *targets))),
                start_ns=rows[0]["start_ns"],
                end_ns=rows[-1]["end_ns"],
                checked=(
                    Check(rule="tasks handed over and not taken up", value=len(rows), threshold=1, passed=True),
                    Check(rule="spans of the receiver afterwards", value=0, threshold=0, passed=True),
                ),
                data={"reason": "not taken up", "key": "not taken up", "tasks": tasks, "wasted_spans": []},
            )
        )
    return found
