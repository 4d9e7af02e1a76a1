"""Question: did somebody wait in vain for an answer, or is a call hanging?

    Clerk   |==== waits for Archive =====X deadline        Archive said nothing meanwhile
    search  |=================================== ...       never before did it take longer than 2 s

Three signs. A wait for a peer that ended at its deadline while none of those waited for sent the waiter anything. A
call that is still running far beyond what calls of its kind took before: with 20 or more past calls, three times their
99th percentile and at least ten seconds; with fewer, ten minutes. What is open is compared with the newest moment
recorded anywhere, not with the clock of the reader. And a call that never ended although its caller, in the same
process, did: the process lived, so it was not cut off by a crash. Waits for people and timers are another matter.
Where a framework records no waits, a request to an agent that ended without an answer is a wait in vain, and one that is open is a
call of that agent, unless the agent has a call of its own under way: then that is the one that hangs. A run in which no call
is open and nothing happened for ten minutes stands still: told with the agents that have not ended, at low confidence.
Source: note on waits, section 2 (there with Kaplan-Meier survival, of which this is the tail). Known misses: waits
without a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.finding import Check, Finding
from analyzers.frames import Frames
from analyzers.requests import CALLS, is_request, unanswered
from analyzers.wording import amount, duration, listing, since, times
from tracer.model import SpanKind, SpanStatus
from tracer.semconv import Tracehound

KIND = "no_answer"
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswerThresholds:
    past_calls: int = 20
    beyond_p99: float = 3.0
    at_least_ns: int = 10_000_000_000
    static_ns: int = 600_000_000_000
    """where too little is known of past calls"""
    given_up_ns: int = 1_000_000_000
    """how long a call must have been open when the recording of its run ended, where its caller had ended without it"""


def find_no_answer(frames: Frames, thresholds: NoAnswerThresholds = NoAnswerThresholds()) -> list[Finding]:
    """One finding per wait in vain, one per hanging call, one per call that was given up, one per run that stands still."""
    spans = frames.spans.filter(pl.col("duplicate_of").is_null() & ~pl.col("run_id").is_in(frames.timeless.implode()))
    return (
        _in_vain(spans)
        + _asked_in_vain(spans, thresholds)
        + _hanging(spans, frames.newest_ns, thresholds)
        + _given_up(spans, thresholds)
        + _standing_still(spans, frames.newest_ns, thresholds)
    )


def _in_vain(spans: pl.DataFrame) -> list[Finding]:
    waits = spans.filter(
        (pl.col("kind") == SpanKind.WAIT)
        & pl.col("end_ns").is_not_null()
        & (pl.col("reason") == "peer").fill_null(value=False)
        & ((pl.col("status") == SpanStatus.ERROR) | (pl.col("end_ns") >= pl.col("deadline_ns")).fill_null(value=False))
    )
    if waits.is_empty():
        return []
    said = spans.join(waits.select("run_id").unique(), on="run_id", how="semi")
    starts = dict(said.group_by("run_id").agg(pl.col("start_ns").min()).iter_rows())
    messages = said.filter(pl.col("kind").is_in([SpanKind.MESSAGE, SpanKind.HANDOFF]))
    found: list[Finding] = []
    for row in waits.sort("run_id", "start_ns", "span_id").iter_rows(named=True):
        outcome = attributes_of(row["attributes"]).get(Tracehound.WAIT_OUTCOME)
        late = row["deadline_ns"] is not None and row["end_ns"] >= row["deadline_ns"]
        targets: list[str] = row["wait_for"] or []
        answers = messages.filter(
            (pl.col("run_id") == row["run_id"])
            & pl.col("agent").is_in(targets)
            & (pl.col("target_agent") == row["agent"])
            & pl.col("start_ns").is_between(row["start_ns"], row["end_ns"])
        ).height
        if (outcome == "timed_out" or (outcome is None and late)) and answers == 0 and targets:
            acts = said.filter((pl.col("run_id") == row["run_id"]) & pl.col("agent").is_in(targets)
                               & pl.col("start_ns").is_between(row["start_ns"], row["end_ns"])).height  # fmt: skip
            found.append(_waited(row, targets, acts, starts[row["run_id"]]))
    return found


def _waited(row: Row, targets: Sequence[str], acts: int, start_ns: int) -> Finding:
    who, length = row["agent"] or "The run", row["end_ns"] - row["start_ns"]
    return Finding(
        kind=KIND,
        severity="warning",
        confidence=0.9,
        title=f"{who} waited {duration(length)} for {listing(targets)} and got no answer",
        explanation=(
            f"{who} began to wait for {listing(targets)} {since(row['start_ns'], start_ns)} and gave up at its deadline, {duration(length)} later. "
            + (
                f"Meanwhile {listing(targets)} was at work ({amount(acts, 'span')}) but sent nothing back. "
                if acts
                else f"Nothing that {listing(targets)} did meanwhile is recorded. "
            )
            + "Sure that the wait ended without being met; that there was no answer is as sure as messages are recorded."
        ),
        suggestion=(
            f"Find out why {listing(targets)} did not answer (crashed, busy, never asked); let it report what it cannot do, "
            "and after the deadline ask a substitute or a person instead of failing."
        ),
        trace_id=row["run_id"],
        spans=(row["span_id"],),
        agents=tuple(dict.fromkeys((*((row["agent"],) if row["agent"] else ()), *targets))),
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        checked=(
            Check(rule="the wait ended at its deadline", value=True, threshold=True, passed=True),
            Check(rule="messages from those waited for meanwhile", value=0, threshold=0, passed=True),
            Check(rule="spans of those waited for meanwhile", value=acts, threshold=0, passed=acts == 0),
        ),
        data={"waited_s": round(length / 1e9, 3), "wait_for": list(targets), "reason": "deadline"},
    )


def _asked_in_vain(spans: pl.DataFrame, t: NoAnswerThresholds) -> list[Finding]:
    """Requests that ended without an answer, after which their run went on."""
    over = spans.filter(
        is_request() & pl.col("end_ns").is_not_null() & (pl.col("end_ns") - pl.col("start_ns") >= t.given_up_ns)
    )
    found: list[Finding] = []
    for (run_id,), part in spans.join(over.select("run_id").unique(), on="run_id", how="semi").group_by("run_id"):
        rows = part.sort("start_ns", "span_id").to_dicts()
        by_id = {row["span_id"]: row for row in rows}
        for wait in unanswered(rows):
            if wait.outcome == "timed_out" and wait.end_ns is not None and wait.end_ns - wait.start_ns >= t.given_up_ns:
                acts = sum(
                    row["agent"] in wait.targets and row["kind"] in CALLS and wait.start_ns <= row["start_ns"] <= wait.end_ns
                    for row in rows
                )  # fmt: skip
                row = {**by_id[wait.span_id], "run_id": str(run_id)}
                found.append(_waited(row, wait.targets, acts, rows[0]["start_ns"]))
    return sorted(found, key=lambda finding: (finding.trace_id or "", finding.start_ns or 0, finding.spans))


def _calls(spans: pl.DataFrame) -> pl.DataFrame:
    """Calls of models and tools, and requests to agents; `step` names what is called, `whom` who has to answer."""
    kinds = [SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER]
    step = pl.coalesce("tool_name", "model", "name")
    whom = pl.when(is_request()).then(pl.col("wait_for").list.join(", ")).otherwise(step)
    calls = spans.filter(pl.col("kind").is_in(kinds) | (is_request() & (pl.col("kind") != SpanKind.AGENT)))
    return calls.with_columns(step=step, whom=whom)


def _without_busy_targets(calls: pl.DataFrame) -> pl.DataFrame:
    """`calls` without end, less the requests to agents that have such a call themselves: theirs is the one that hangs."""
    busy = calls.filter(pl.col("agent").is_not_null()).select("run_id", who="agent").unique()
    asked = (
        calls.filter(is_request())
        .select("run_id", "span_id", who="wait_for")
        .explode("who")
        .join(busy, on=["run_id", "who"])
    )
    return calls.join(asked.select("run_id", "span_id").unique(), on=["run_id", "span_id"], how="anti")


def _hanging(spans: pl.DataFrame, newest: int, t: NoAnswerThresholds) -> list[Finding]:
    calls = _calls(spans)
    running = _without_busy_targets(calls.filter(pl.col("status") == SpanStatus.RUNNING))
    if running.is_empty():
        return []
    past = calls.filter(pl.col("end_ns").is_not_null() & (pl.col("status") == SpanStatus.OK)).group_by("kind", "step").agg(
        n=pl.len(), p99=(pl.col("end_ns") - pl.col("start_ns")).quantile(0.99, "higher")
    )  # fmt: skip
    starts = dict(spans.group_by("run_id").agg(pl.col("start_ns").min()).iter_rows())
    found: list[Finding] = []
    for row in (
        running.join(past, on=["kind", "step"], how="left").sort("run_id", "start_ns", "span_id").iter_rows(named=True)
    ):
        known = (row["n"] or 0) >= t.past_calls
        limit = max(t.beyond_p99 * row["p99"], t.at_least_ns) if known else t.static_ns
        elapsed = newest - row["start_ns"]
        if elapsed < limit:
            continue
        who = row["agent"] or "The run"
        usual = (
            f"{times(elapsed / row['p99'])} the 99th percentile of {row['n']:,} past calls"
            if known and row["p99"]
            else f"longer than {duration(t.static_ns)}"
        )
        found.append(
            Finding(
                kind=KIND,
                severity="warning",
                confidence=0.9 if known else 0.6,
                title=f"{row['whom']} has not answered {who} for {duration(elapsed)}",
                explanation=(
                    f"{who} called {row['whom']} {since(row['start_ns'], starts[row['run_id']])} and the call is still open {duration(elapsed)} later, {usual}. "
                    "Measured up to the newest moment recorded in the store."
                ),
                suggestion=f"Give calls of {row['whom']} a timeout of {duration(int(limit))} and a fallback; look whether the process still lives.",
                trace_id=row["run_id"],
                spans=(row["span_id"],),
                agents=_agents(row),
                start_ns=row["start_ns"],
                checked=(
                    Check(
                        rule="open for, seconds",
                        value=round(elapsed / 1e9, 3),
                        threshold=round(limit / 1e9, 3),
                        passed=True,
                    ),
                    Check(rule="past calls to compare with", value=row["n"] or 0, threshold=t.past_calls, passed=known),
                ),
                data={"open_s": round(elapsed / 1e9, 3), "limit_s": round(limit / 1e9, 3), "reason": "hanging"},
            )
        )
    return found


def _given_up(spans: pl.DataFrame, t: NoAnswerThresholds) -> list[Finding]:
    """Calls without an end below a span of the same process that has one: the caller went on without the answer."""
    cut = _calls(spans).filter(pl.col("status") == SpanStatus.INTERRUPTED)
    cut = _without_busy_targets(cut)
    if cut.is_empty():
        return []
    around = spans.join(cut.select("run_id").unique(), on="run_id", how="semi")
    by_id = {
        (row["trace_id"], row["span_id"]): row
        for row in around.select("trace_id", "span_id", "parent_span_id", "status", "pid", "end_ns", "agent").to_dicts()
    }
    bounds = {
        run: (first, last)
        for run, first, last in around.group_by("run_id")
        .agg(pl.col("start_ns").min(), pl.max_horizontal(pl.col("end_ns").max(), pl.col("start_ns").max()))
        .iter_rows()
    }
    found: list[Finding] = []
    for row in cut.sort("run_id", "start_ns", "span_id").iter_rows(named=True):
        caller = _ended_caller(row, by_id)
        first, last = bounds[row["run_id"]]
        if caller is not None and last - row["start_ns"] >= t.given_up_ns:
            found.append(_without_answer(row, caller, last - row["start_ns"], first, t))
    return found


def _ended_caller(row: Row, by_id: Mapping[tuple[str, str], Row]) -> Row | None:
    """The nearest span around `row`, of the same process, that was ended properly after the call had begun."""
    seen: set[str] = set()
    above = by_id.get((row["trace_id"], row["parent_span_id"] or ""))
    while above is not None and above["span_id"] not in seen:
        seen.add(above["span_id"])
        proper = above["end_ns"] is not None and above["status"] != SpanStatus.INTERRUPTED
        if proper and above["pid"] == row["pid"] and above["end_ns"] >= row["start_ns"]:
            return above
        above = by_id.get((row["trace_id"], above["parent_span_id"] or ""))
    return None


def _without_answer(row: Row, caller: Row, open_ns: int, start_ns: int, t: NoAnswerThresholds) -> Finding:
    who, step = row["agent"] or "The run", row["whom"]
    waited = caller["end_ns"] - row["start_ns"]
    return Finding(
        kind=KIND,
        severity="warning",
        confidence=0.75,
        title=f"{step} never answered {who}, which ended without it",
        explanation=(
            f"{who} called {step} {since(row['start_ns'], start_ns)}. The call has no end in the recording, although {caller['agent'] or 'its caller'} "
            f"ended {duration(waited)} after it began, in the same process; the process lived, so no crash cut the call off. "
            f"It was open for at least {duration(open_ns)}. Fairly sure: an instrumentation that forgets to close its span (a stream "
            "that was not read to the end) looks the same."
        ),
        suggestion=f"Give calls of {step} a timeout and a fallback, and cancel what is open before the caller returns.",
        trace_id=row["run_id"],
        spans=(row["span_id"],),
        agents=_agents(row),
        start_ns=row["start_ns"],
        checked=(
            Check(rule="the call was ended", value=False, threshold=False, passed=True),
            Check(
                rule="its caller ended after the call began, seconds",
                value=round(waited / 1e9, 3),
                threshold=0,
                passed=True,
            ),
            Check(
                rule="open until the end of the recording, seconds",
                value=round(open_ns / 1e9, 3),
                threshold=t.given_up_ns / 1e9,
                passed=True,
            ),
            Check(rule="process that recorded the call lived on", value=row["pid"], threshold=None, passed=True),
        ),
        data={"open_s": round(open_ns / 1e9, 3), "reason": "given up"},
    )


def _agents(row: Row) -> tuple[str, ...]:
    """The caller, and where it is a request the agents it went to."""
    asked = row["wait_for"] if row["whom"] != row["step"] else None
    return tuple(dict.fromkeys((*((row["agent"],) if row["agent"] else ()), *(asked or ()))))


def _standing_still(spans: pl.DataFrame, newest: int, t: NoAnswerThresholds) -> list[Finding]:
    """Runs of living programs in which nothing has happened for long, with no call open that could be what they wait for."""
    running = spans.filter(pl.col("status") == SpanStatus.RUNNING)
    if running.is_empty():
        return []
    held = pl.col("kind").is_in([*CALLS, SpanKind.WAIT]) | is_request()
    free = running.group_by("run_id").agg(calls=held.sum()).filter(pl.col("calls") == 0)
    quiet = (
        spans.join(free.select("run_id"), on="run_id", how="semi")
        .group_by("run_id")
        .agg(last=pl.max_horizontal(pl.col("start_ns").max(), pl.col("end_ns").max()), began=pl.col("start_ns").min())
        .filter(newest - pl.col("last") >= t.static_ns)
    )
    found: list[Finding] = []
    for run_id, last, began in quiet.sort("run_id").iter_rows():
        open_ = running.filter(pl.col("run_id") == run_id)
        inner = open_.join(
            open_.select("trace_id", span_id="parent_span_id"), on=["trace_id", "span_id"], how="anti"
        ).sort("start_ns", "span_id")
        agents = tuple(inner["agent"].drop_nulls().unique(maintain_order=True))
        names = listing(agents or tuple(inner["name"].unique(maintain_order=True)))
        for_ = newest - last
        found.append(
            Finding(
                kind=KIND,
                severity="warning",
                confidence=0.5,
                title=f"Nothing has happened for {duration(for_)}: {names} did not end",
                explanation=(
                    f"The last thing recorded of the run was {since(last, began)}. {names} began and did not end, and no call of a model, a tool or "
                    "another agent is open: it waits for something that is not recorded, or computes. Measured up to the newest moment known."
                ),
                suggestion="Look at the stacks of the process (py-spy dump); record waits with tracer.wait, and give what is awaited a timeout.",
                trace_id=run_id,
                spans=tuple(inner["span_id"]),
                agents=agents,
                start_ns=last,
                checked=(
                    Check(rule="nothing recorded for, seconds", value=round(for_ / 1e9, 3), threshold=t.static_ns / 1e9, passed=True),
                    Check(rule="calls and requests that are open", value=0, threshold=0, passed=True),
                ),
                data={"open_s": round(for_ / 1e9, 3), "reason": "standing still"},
            )
        )  # fmt: skip
    return found
