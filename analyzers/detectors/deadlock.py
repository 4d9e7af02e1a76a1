"""Do agents wait for each other so that none of them can ever go on?

Yes: on one consistent cut (a moment at which all of them wait) the wait-for graph cannot be reduced: nobody who runs can
release any of them. "All" waits make a cycle, "any" waits a knot, both together a mixture.

    Ledger ──waits for──▶ Payroll ──waits for──▶ Audit ──waits for──▶ Ledger      cycle of three
                                                        └ closing edge: the last wait to start

How: the waits of a run are replayed in order of time through `tracer/online/waits.py`, which the live guard uses; every
alarm is then checked against what came later (`analyzers/waiting.py`): a wait that was met first, or an agent that went
on working, was no deadlock. A cycle that a timeout broke is reported with what it cost. Where a framework records no waits, those
that are told from requests without an answer are taken (`analyzers/requests.py`), of agents that did nothing else meanwhile; while the
program runs they must have stood for ten seconds. Without requests, a chain
of unanswered messages among agents that never ended is reported with medium confidence. Where spans were lost and the run
ended badly, an agent that did nothing while it was waited for is taken to have waited too: suspected.
Not a deadlock: a long wait for somebody who works, a hierarchical chain, "any" with one running, waits that only touch.
Known misses: waits that are neither recorded nor requests (locks but for `tracer.lock`, events); requests in different runs; waits for a name
that several instances bear. Cost: a set-based search for waits
at the same time; their replay, O(waits); other spans only of runs in which waits alone make a cycle.
Source: Holt 1972, Knapp 1987; phantom deadlocks as in Chandy, Misra, Haas 1983.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.deadlock_words import (
    BAD_ENDS,
    KIND,
    USUAL,
    DeadlockThresholds,
    of_episodes,
    of_silence,
    suspected,
    told_from_requests,
)
from analyzers.finding import Finding, Skipped
from analyzers.frames import Frames
from analyzers.graph import cycle_through_all
from analyzers.lost_spans import guessed_waits, lossy_runs
from analyzers.requests import unanswered
from analyzers.waiting import AgentAtWork, Episode, RecordedWait, find_episodes, plainly_named, with_holders
from tracer.model import RunOutcome, SpanKind, SpanStatus
from tracer.online.held_waits import instance_name
from tracer.online.waits import Wait, WaitMode, stuck_waiters
from tracer.semconv import Tracehound

__all__ = ["KIND", "DeadlockThresholds", "find_deadlocks"]

_OPEN_ENDS = frozenset({RunOutcome.RUNNING, RunOutcome.INTERRUPTED, RunOutcome.TIMED_OUT})
_COLUMNS = (
    "run_id", "span_id", "kind", "agent", "agent_id", "start_ns", "end_ns", "status", "target_agent", "wait_for", "wait_mode",
    "deadline_ns", "reason", "pid", "attributes", "derived", "duplicate_of", "error_type", "error_message",
)  # fmt: skip


def find_deadlocks(frames: Frames, thresholds: DeadlockThresholds = USUAL) -> list[Finding | Skipped]:
    """One finding per set of agents that stood still, for every run in `frames`."""
    outcomes = dict(frames.traces.select("run_id", "outcome").iter_rows())
    lossy = _gave_up_with_gaps(frames.spans, outcomes)
    chosen = sorted(_stuck_at_all(frames.spans, thresholds) | _silent(frames, outcomes) | lossy)
    if not chosen:
        return []
    spans = frames.spans.filter(pl.col("run_id").is_in(chosen)).select(_COLUMNS)
    findings: list[Finding | Skipped] = []
    for (run,), part in spans.group_by("run_id", maintain_order=True):
        rows = sorted(part.iter_rows(named=True), key=lambda r: (r["start_ns"], r["span_id"]))
        run_id, outcome = str(run), outcomes.get(str(run), "")
        recorded = [_recorded(row) for row in rows if row["kind"] == SpanKind.WAIT and row["wait_for"]]
        waits = [wait for wait in recorded if wait.agent]
        if waits:
            told = _from_waits(run_id, outcome, rows, waits, thresholds)
            if not told and run_id in lossy and (guessed := guessed_waits(rows, waits)):
                told = [suspected(f) for f in _from_waits(run_id, outcome, rows, [*waits, *guessed], thresholds)]
            findings += told
        elif requests := unanswered(rows):
            told = _from_waits(run_id, outcome, rows, requests, thresholds)
            findings += [told_from_requests(f) for f in told if _stands(f, requests, frames.newest_ns, thresholds)]
        elif outcome in _OPEN_ENDS:
            findings += _from_silence(run_id, rows)
    return findings


def _stuck_at_all(spans: pl.DataFrame, thresholds: DeadlockThresholds) -> set[str]:
    """Runs whose waits alone, whatever else the agents did, make a cycle or knot at some moment.

    Set-based first: two waits at the same time (or one for itself). Only the waits of what is left are replayed.
    """
    somebody = pl.col("agent").is_not_null() | (pl.col("reason") == "lock")
    waits = spans.filter((pl.col("wait_for").list.len() > 0) & somebody)
    own = pl.col("wait_for").list.contains(pl.col("agent"))
    own = own | (pl.col("reason") == "lock")  # taken twice by one agent
    several = waits.group_by("run_id").agg(waits=pl.len(), own=own.any())
    waits = waits.join(several.filter((pl.col("waits") > 1) | pl.col("own")), on="run_id", how="semi")
    if waits.is_empty():
        return set()
    edges = pl.concat(
        [
            waits.select("run_id", at=pl.col("start_ns"), step=pl.lit(1)),
            waits.select("run_id", at=pl.col("end_ns").fill_null(2**62), step=pl.lit(-1)),
        ]
    ).sort("run_id", "at", "step")
    at_once = edges.group_by("run_id").agg(pl.col("step").cum_sum().max() > 1)
    alone = waits.filter(own).select("run_id").unique()
    kept = pl.concat([at_once.filter(pl.col("step")).select("run_id"), alone]).unique()
    waits = waits.join(kept, on="run_id", how="semi").select(_COLUMNS)
    both = spans.join(kept, on="run_id", how="semi").select("run_id", name=pl.concat_list("agent", "agent_id"))
    names = both.explode("name").drop_nulls().group_by("run_id").agg(pl.col("name").unique())
    agents = {run: frozenset(held) for run, held in names.iter_rows()}
    found: set[str] = set()
    for (run,), part in waits.group_by("run_id"):
        recorded = [wait for wait in map(_recorded, part.iter_rows(named=True)) if wait.agent]
        if find_episodes(with_holders(recorded, agents.get(str(run), frozenset())), {}, thresholds.skew_ns)[0]:
            found.add(str(run))
    return found


def _gave_up_with_gaps(spans: pl.DataFrame, outcomes: Mapping[str, str]) -> set[str]:
    """Runs that ended badly, hold waits, and lost spans on the way: one of the waits of a cycle may be among those."""
    bad = [run for run, outcome in outcomes.items() if outcome in BAD_ENDS]
    waited = spans.filter(
        (pl.col("kind") == SpanKind.WAIT) & (pl.col("wait_for").list.len() > 0) & pl.col("run_id").is_in(bad)
    )
    if waited.is_empty():
        return set()
    return set(lossy_runs(spans.join(waited.select("run_id").unique(), on="run_id", how="semi")))


def _stands(finding: Finding, requests: Sequence[RecordedWait], newest_ns: int, thresholds: DeadlockThresholds) -> bool:
    """Whether the cycle of a program that still runs has stood long enough."""
    running = any(w.outcome == SpanStatus.RUNNING for w in requests if w.span_id in finding.spans)
    return not running or newest_ns - finding.data["since_ns"] >= thresholds.standing_ns


def _silent(frames: Frames, outcomes: Mapping[str, str]) -> set[str]:
    """Runs that did not end, with two agents still open and messages between agents: what `_from_silence` needs."""
    open_runs = [run for run, outcome in outcomes.items() if outcome in _OPEN_ENDS]
    if not open_runs:
        return set()
    spans = frames.spans.filter(pl.col("run_id").is_in(open_runs) & pl.col("agent").is_not_null())
    still = (pl.col("kind") == SpanKind.AGENT) & pl.col("end_ns").is_null()
    told = spans.group_by("run_id").agg(
        open=pl.col("agent").filter(still).n_unique(), messages=(pl.col("kind") == SpanKind.MESSAGE).sum()
    )
    return set(told.filter((pl.col("open") > 1) & (pl.col("messages") > 1))["run_id"])


def _recorded(row: Mapping[str, Any]) -> RecordedWait:
    attributes = attributes_of(row["attributes"])
    holds: Any = attributes.get(Tracehound.WAIT_HOLDS, ())
    outcome = str(attributes.get(Tracehound.WAIT_OUTCOME, ""))
    end: int | None = row["end_ns"] if row["status"] != SpanStatus.RUNNING else None
    deadline: int | None = row["deadline_ns"]
    if end is None:
        outcome = row["status"]
    elif not outcome and (row["status"] == SpanStatus.ERROR or (deadline is not None and end >= deadline)):
        outcome = "timed_out"
    mode: WaitMode = "any" if row["wait_mode"] == "any" else "all"
    place = str(attributes.get(Tracehound.WAIT_PLACE) or "")
    who = row["agent"] or place  # a thread or task that works for no agent can hold a lock, too
    return RecordedWait(
        span_id=row["span_id"],
        agent=instance_name(who, place or row["agent_id"]),
        name=who,
        agent_id=row["agent_id"],
        is_lock=bool(place),
        targets=tuple(row["wait_for"]),
        mode=mode,
        start_ns=row["start_ns"],
        end_ns=end,
        met=outcome in ("met", "") and row["kind"] == SpanKind.WAIT,
        outcome=outcome or "unknown",
        holds=tuple(str(x) for x in cast("Sequence[Any]", holds)) if isinstance(holds, (list, tuple)) else (),
        deadline_ns=deadline,
        pid=row["pid"],
        reason=row["reason"],
    )


def _from_waits(
    run_id: str,
    outcome: str,
    rows: Sequence[Mapping[str, Any]],
    waits: Sequence[RecordedWait],
    thresholds: DeadlockThresholds,
) -> list[Finding]:
    acts: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row["agent"] and row["kind"] in (SpanKind.LLM, SpanKind.TOOL, SpanKind.STATE_WRITE):
            for name in {row["agent"], instance_name(row["agent"], row["agent_id"])}:
                acts[name].append(row["start_ns"])
    agents = frozenset(row["agent"] for row in rows if row["agent"])
    agents |= {row["agent_id"] for row in rows if row["agent_id"]}
    at_work = [
        AgentAtWork(agent=row["agent"], instance=row["agent_id"], start_ns=row["start_ns"], end_ns=row["end_ns"])
        for row in rows
        if row["kind"] == SpanKind.AGENT and row["agent"] and row["agent_id"]
    ]
    episodes, phantoms = find_episodes(with_holders(waits, agents, at_work), acts, thresholds.skew_ns)
    episodes = [plainly_named(episode) for episode in episodes]
    last_ns = max((row["end_ns"] or row["start_ns"] for row in rows), default=0)
    began_ns = min((row["start_ns"] for row in rows), default=0)
    groups: dict[frozenset[str], list[Episode]] = defaultdict(list)
    for episode in episodes:
        groups[episode.core].append(episode)
    return [
        of_episodes(run_id, outcome, sorted(g, key=lambda e: e.window[0]), phantoms, (began_ns, last_ns), thresholds)
        for _, g in sorted(groups.items(), key=lambda item: sorted(item[0]))
    ]


def _from_silence(run_id: str, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """No waits are recorded: agents that never ended, each of which last asked the next one and was never answered."""
    open_agents = {r["agent"] for r in rows if r["kind"] == SpanKind.AGENT and r["agent"] and r["end_ns"] is None}
    last: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["agent"] and row["kind"] != SpanKind.AGENT:
            last[row["agent"]] = row
    asked = {
        agent: row
        for agent, row in last.items()
        if agent in open_agents and row["kind"] == SpanKind.MESSAGE and row["target_agent"] in open_agents
    }
    for row in rows:  # an answer after the question: nobody waits for it any more
        question = asked.get(row["target_agent"] or "")
        if question is not None and row["agent"] == question["target_agent"] and row["start_ns"] > question["start_ns"]:
            del asked[row["target_agent"]]
    stuck = stuck_waiters({a: Wait(frozenset((r["target_agent"],))) for a, r in asked.items()})
    path = cycle_through_all({a: [asked[a]["target_agent"]] for a in stuck}, stuck)
    return [of_silence(run_id, path, [asked[agent] for agent in path])] if len(path) > 1 else []
