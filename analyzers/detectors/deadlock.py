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
from dataclasses import dataclass, replace
from typing import Any, cast

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.finding import Check, Finding, Severity, Skipped
from analyzers.frames import Frames
from analyzers.graph import cycle_through_all, shortest_cycle, smallest_hitting
from analyzers.lost_spans import guessed_waits, lossy_runs
from analyzers.requests import unanswered
from analyzers.waiting import AgentAtWork, Episode, Phantom, RecordedWait, find_episodes, plainly_named, with_holders
from analyzers.wording import duration, onwards
from tracer.model import RunOutcome, SpanKind, SpanStatus
from tracer.online.held_waits import instance_name
from tracer.online.waits import Wait, WaitMode, stuck_waiters
from tracer.semconv import Tracehound

KIND = "deadlock"
SURE = 0.97
TOLD = 0.8
"""confidence where the waits are told from requests without an answer"""
SUSPECTED = 0.5
"""confidence where a wait of the cycle had to be guessed"""
_BAD_ENDS = frozenset({RunOutcome.FAILED, RunOutcome.TIMED_OUT, RunOutcome.INTERRUPTED, RunOutcome.STOPPED_BY_GUARD})
_FROM_OUTSIDE = frozenset({"cancelled", SpanStatus.INTERRUPTED})
_OPEN_ENDS = frozenset({RunOutcome.RUNNING, RunOutcome.INTERRUPTED, RunOutcome.TIMED_OUT})
_COLUMNS = (
    "run_id", "span_id", "kind", "agent", "agent_id", "start_ns", "end_ns", "status", "target_agent", "wait_for", "wait_mode",
    "deadline_ns", "reason", "pid", "attributes", "derived", "duplicate_of", "error_type", "error_message",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlockThresholds:
    """When a stand-still is believed, and when it is bad."""

    skew_ns: int = 2_000_000_000
    """waits recorded by different processes must overlap for longer: clocks of one site differ by less than 2 s"""
    critical_wait_s: float = 300.0
    """a cycle that a timeout broke only after five minutes is critical: longer than a person waits for an answer"""
    standing_ns: int = 10_000_000_000
    """requests of a running program must have stood for so long: between its start and its first call, an agent that is asked shows nothing"""


def find_deadlocks(frames: Frames, thresholds: DeadlockThresholds = DeadlockThresholds()) -> list[Finding | Skipped]:
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
                told = [_suspected(f) for f in _from_waits(run_id, outcome, rows, [*waits, *guessed], thresholds)]
            findings += told
        elif requests := unanswered(rows):
            told = _from_waits(run_id, outcome, rows, requests, thresholds)
            findings += [_told(f) for f in told if _stands(f, requests, frames.newest_ns, thresholds)]
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
    bad = [run for run, outcome in outcomes.items() if outcome in _BAD_ENDS]
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


def _told(finding: Finding) -> Finding:
    """The same, told as what it is: no wait was recorded, the requests were."""
    return replace(
        finding,
        confidence=TOLD,
        explanation=(
            f"{finding.explanation} No waits are recorded; that they wait is told from their requests, which were not answered, while "
            f"none of them had a call under way ({TOLD:.0%})."
        ),
        checked=(
            *finding.checked,
            Check(rule="the waits were recorded as such", value=False, threshold=True, passed=False),
        ),
        data={**finding.data, "inferred": True},
    )


def _suspected(finding: Finding) -> Finding:
    """The same, told as what it is: a cycle one wait of which was not recorded."""
    return replace(
        finding,
        severity="warning",
        confidence=SUSPECTED,
        title=f"Suspected: {finding.title}",
        explanation=(
            f"{finding.explanation} Only suspected ({SUSPECTED:.0%}): spans of this run were lost, and not every one of these waits is among those that "
            "arrived; an agent that did nothing while the others waited for it is taken to have waited for them."
        ),
        checked=(
            *finding.checked,
            Check(rule="every wait of the cycle was recorded", value=False, threshold=True, passed=False),
        ),
    )


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
        _finding(run_id, outcome, sorted(g, key=lambda e: e.window[0]), phantoms, (began_ns, last_ns), thresholds)
        for _, g in sorted(groups.items(), key=lambda item: sorted(item[0]))
    ]


def _finding(
    run_id: str,
    outcome: str,
    episodes: Sequence[Episode],
    phantoms: Sequence[Phantom],
    run_ns: tuple[int, int],
    thresholds: DeadlockThresholds,
) -> Finding:
    """`run_ns` are the first and the last moment of the run."""
    began_ns, last_ns = run_ns
    first = episodes[0]
    graph = {w.agent: [t for t in w.targets if t in first.core] for w in first.waits}
    path = cycle_through_all(graph, first.core) or shortest_cycle(graph, first.waits[0].agent)
    start = first.waits[0].agent
    if start in path:
        path = path[path.index(start) :] + path[: path.index(start)]
    modes = {w.mode for w in first.waits if len(w.targets) > 1}
    shape = "cycle" if not modes or modes == {"all"} else "knot" if modes == {"any"} else "mixture"
    needs = {w.agent: Wait(frozenset(w.targets), w.mode) for w in first.waits}
    release = smallest_hitting(needs, lambda gone: not stuck_waiters({a: w for a, w in needs.items() if a not in gone}))
    lost_ns = sum((e.window[1] or max(last_ns, e.window[0])) - e.window[0] for e in episodes)
    lost_s = lost_ns / 1e9
    ended = episodes[-1].first_end
    # Cancelled all at once: nobody solved anything, the run was ended from outside.
    killed = ended is not None and all(w.outcome in _FROM_OUTSIDE for w in episodes[-1].waits)
    resolved = ended is not None and not killed
    severity: Severity = (
        "critical" if not resolved or lost_s >= thresholds.critical_wait_s or outcome in _BAD_ENDS else "warning"
    )
    drawn = " → ".join([*path, path[0]]) if path else ", ".join(sorted(first.core))
    closing = first.closing
    how = (
        f"resolved by {_how_ended(ended)} of {ended.agent} after {duration(lost_ns)}"
        if ended is not None and not killed
        else f"ended only when the run was cancelled after {duration(lost_ns)}"
        if killed
        else "never resolved" + (f" ({duration(lost_ns)} seen)" if lost_s >= 0.1 else "")
    )
    sure = SURE if all(w.outcome != "unknown" for w in first.waits) else 0.85
    holds = {w.agent: list(w.holds) for w in first.waits}
    held = "; ".join(f"{a} holds {', '.join(h)}" for a, h in holds.items() if h)
    them = "any of them" if len(first.core) > 1 else "it"
    who = (
        f"{len(first.core)} agents wait for each other"
        if len(first.core) > 1
        else f"{start} waits for {'what it holds ' if first.waits[0].is_lock else ''}itself"
    )
    spans = tuple(dict.fromkeys(w.span_id for e in episodes for w in e.waits))
    names = {w.agent: w.name or w.agent for w in first.waits}
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=sure,
        title=f"Deadlock {drawn}, {how}",
        explanation=(
            f"{onwards(first.window[0], began_ns).capitalize()}, {who} and nobody who runs can release {them}: {drawn} ({shape}). "
            f"The closing wait is {closing.agent} for {', '.join(closing.targets)}. "
            + (f"Meanwhile {held}. " if held else "")
            + (f"{', '.join(first.victims)} wait for them too. " if first.victims else "")
            + f"It was {how}"
            + (f", {len(episodes)} times over" if len(episodes) > 1 else "")
            + f". {'Sure' if sure >= SURE else 'Fairly sure'} ({sure:.0%}): all of these waits overlap, none was met first, and none of the agents did anything meanwhile."
        ),
        suggestion=(
            f"Releasing {' and '.join(release)} is enough to free the others. To prevent it, take resources in one fixed "
            "order, or give every wait between agents a deadline after which it lets go of what it holds and escalates."
        ),
        trace_id=run_id,
        spans=spans,
        agents=tuple(dict.fromkeys(names.get(node, node) for node in _members(path, first))),
        start_ns=first.waits[0].start_ns,
        end_ns=max((w.end_ns or last_ns) for e in episodes for w in e.waits),
        checked=_checks(first, phantoms, thresholds),
        data={
            "shape": shape,
            "cycle": list(path),
            "closing": {
                "agent": closing.agent,
                "wait_for": list(closing.targets),
                "span": closing.span_id,
                "at_ns": closing.start_ns,
            },
            "holds": holds,
            "victims": list(first.victims),
            "release": release,
            "since_ns": first.window[0],
            "lost_s": round(lost_s, 3),
            "resolved_by": None
            if ended is None or killed
            else {"agent": ended.agent, "how": _how_ended(ended), "span": ended.span_id},
            "episodes": len(episodes),
        },
    )


def _members(path: Sequence[str], episode: Episode) -> Sequence[str]:
    return path if len(path) == len(episode.core) else [w.agent for w in episode.waits]


def _how_ended(wait: RecordedWait) -> str:
    return {"timed_out": "timeout", "cancelled": "cancellation"}.get(wait.outcome, "failure")


def _checks(episode: Episode, phantoms: Sequence[Phantom], thresholds: DeadlockThresholds) -> tuple[Check, ...]:
    start, end = episode.window
    several = len({w.pid for w in episode.waits}) > 1
    about = [p.reason for p in phantoms if p.agents & episode.core]
    return (
        Check(
            rule="agents left after reduction of the wait-for graph",
            value=len(episode.core),
            threshold=1,
            passed=True,
        ),
        Check(
            rule="all waits overlap on one cut, seconds (across processes more than the clock skew)",
            value=None if end is None else round((end - start) / 1e9, 6),
            threshold=thresholds.skew_ns / 1e9 if several else 0.0,
            passed=True,
        ),
        Check(
            rule="first wait to end was met",
            value=False,
            threshold=False,
            passed=True,
        ),
        Check(rule="calls made by the waiting agents meanwhile", value=0, threshold=0, passed=True),
        Check(
            rule="earlier look-alikes of these agents ruled out",
            value="; ".join(about) or 0,
            threshold=None,
            passed=not about,
        ),
    )


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
    if len(path) < 2:
        return []
    drawn = " → ".join([*path, path[0]])
    members = sorted((asked[a] for a in path), key=lambda r: (r["start_ns"], r["span_id"]))
    return [
        Finding(
            kind=KIND,
            severity="warning",
            confidence=0.5,
            title=f"Probable deadlock {drawn}: requests without an answer",
            explanation=(
                f"No waits are recorded in this run. The last thing each of {', '.join(path)} did was to ask the next one; "
                "none was answered and none of the agents ended. They probably wait for each other."
            ),
            suggestion="Record waits (tracer.wait) to be sure, and give requests between agents a deadline.",
            trace_id=run_id,
            spans=tuple(r["span_id"] for r in members),
            agents=tuple(path),
            start_ns=members[0]["start_ns"],
            end_ns=None,
            checked=(
                Check(rule="wait spans in the run", value=0, threshold=1, passed=False),
                Check(rule="unanswered requests in a cycle", value=len(path), threshold=2, passed=True),
                Check(rule="agents of the cycle still open", value=len(path), threshold=len(path), passed=True),
            ),
            data={"shape": "cycle", "cycle": path, "inferred": True, "release": path[:1], "resolved_by": None},
        )
    ]
