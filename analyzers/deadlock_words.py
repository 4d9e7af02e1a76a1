"""How a deadlock is told: who waits for whom, since when, what each holds, whom to release, how sure, and what was checked.

The finding itself is made elsewhere: `tracer/online/waits.py` reduces the wait-for graph, `analyzers/waiting.py` checks what came later,
`analyzers/detectors/deadlock.py` asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analyzers.finding import Check, Finding, Severity
from analyzers.graph import cycle_through_all, shortest_cycle, smallest_hitting
from analyzers.waiting import Episode, Phantom, RecordedWait
from analyzers.wording import duration, onwards
from tracer.model import RunOutcome, SpanStatus
from tracer.online.waits import Wait, stuck_waiters

KIND = "deadlock"
SURE = 0.97
TOLD = 0.8
"""confidence where the waits are told from requests without an answer"""
SUSPECTED = 0.5
"""confidence where a wait of the cycle had to be guessed"""
BAD_ENDS = frozenset({RunOutcome.FAILED, RunOutcome.TIMED_OUT, RunOutcome.INTERRUPTED, RunOutcome.STOPPED_BY_GUARD})
_FROM_OUTSIDE = frozenset({"cancelled", SpanStatus.INTERRUPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlockThresholds:
    """When a stand-still is believed, and when it is bad."""

    skew_ns: int = 2_000_000_000
    """waits recorded by different processes must overlap for longer: clocks of one site differ by less than 2 s"""
    critical_wait_s: float = 300.0
    """a cycle that a timeout broke only after five minutes is critical: longer than a person waits for an answer"""
    standing_ns: int = 10_000_000_000
    """requests of a running program must have stood for so long: between its start and its first call, an agent that is asked shows nothing"""


USUAL = DeadlockThresholds()


def told_from_requests(finding: Finding) -> Finding:
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


def suspected(finding: Finding) -> Finding:
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


def of_episodes(
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
        "critical" if not resolved or lost_s >= thresholds.critical_wait_s or outcome in BAD_ENDS else "warning"
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
        title=f"{drawn} wait for each other, {how}",
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


def of_silence(run_id: str, path: Sequence[str], requests: Sequence[Mapping[str, Any]]) -> Finding:
    """No waits are recorded; `requests` are the last rows of the agents on `path`, each to the next one."""
    drawn = " → ".join([*path, path[0]])
    members = sorted(requests, key=lambda r: (r["start_ns"], r["span_id"]))
    return Finding(
        kind=KIND,
        severity="warning",
        confidence=0.5,
        title=f"{drawn} probably wait for each other: requests without an answer",
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
        data={"shape": "cycle", "cycle": list(path), "inferred": True, "release": list(path[:1]), "resolved_by": None},
    )
