"""Replays the waits of one run through the wait-for graph and tells real deadlocks from phantoms.

Ledger  |=====waits for Payroll=======================X timed out
Payroll      |=====waits for Audit====================...
Audit             |=====waits for Ledger==============...
                  ^ closing edge          window: all three wait at once, on one consistent cut
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from analyzers.graph import components_with_cycles
from analyzers.intervals import Interval, intersection
from tracer.online.waits import Wait, WaitGraph, WaitMode, stuck_waiters


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWait:
    """One wait as recorded."""

    span_id: str
    agent: str
    targets: tuple[str, ...]
    """agents; names of resources are replaced by their holders before the replay"""
    mode: WaitMode
    start_ns: int
    end_ns: int | None
    met: bool
    """ended because what was waited for came"""
    outcome: str
    """met, timed_out, cancelled, running, interrupted or unknown"""
    holds: tuple[str, ...] = ()
    deadline_ns: int | None = None
    pid: int | None = None
    reason: str | None = None
    name: str = ""
    """the agent's name, where `agent` says which of its instances waits"""
    agent_id: str | None = None
    is_lock: bool = False
    """of `tracer.lock`: one waiter at most holds the target, which is no agent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One time a set of agents could not go on."""

    waits: tuple[RecordedWait, ...]
    """of the core, in order of start; each agent once"""
    closing: RecordedWait
    """the wait that made it final"""
    victims: tuple[str, ...]
    """agents outside the core that wait for it"""
    window: Interval
    """when all of the core waited at once"""
    first_end: RecordedWait | None
    """whose wait ended first; None where none ended"""

    @property
    def core(self) -> frozenset[str]:
        return frozenset(wait.agent for wait in self.waits)


@dataclass(frozen=True, slots=True)
class Phantom:
    """Waits that looked like a deadlock and were none, and why."""

    agents: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAtWork:
    """An invocation of an agent of which several work at once."""

    agent: str
    instance: str
    start_ns: int
    end_ns: int | None


def with_holders(
    waits: Sequence[RecordedWait], agents: frozenset[str], at_work: Sequence[AgentAtWork] = ()
) -> list[RecordedWait]:
    """The same waits with resources replaced by the agents that hold them while they wait themselves.

    A name that several instances bear at that time is replaced by nobody's: one that does not wait may answer.
    """
    holders: dict[str, list[RecordedWait]] = defaultdict(list)
    nodes: dict[str, list[RecordedWait]] = defaultdict(list)
    instances: dict[str, list[AgentAtWork]] = defaultdict(list)
    for wait in waits:
        for resource in wait.holds:
            holders[resource].append(wait)
        nodes[wait.name or wait.agent].append(wait)
        if wait.agent_id is not None and wait.agent_id != wait.name:
            nodes[wait.agent_id].append(wait)
    for one in at_work:
        instances[one.agent].append(one)
    labelled = {name for name, members in nodes.items() if any(w.agent != name for w in members)}

    def named(name: str, wait: RecordedWait) -> list[str]:
        if name not in labelled:
            return [name]
        waiting = {w.agent for w in nodes[name] if _at_once(w, wait)}
        working = {one.instance for one in instances[name] if _at_once(one, wait)}
        return [f"{name} (one of several)"] if len(waiting) > 1 or len(working) > 1 else [*waiting] or [name]

    def held(resource: str, wait: RecordedWait) -> list[str]:
        if wait.is_lock and resource in wait.holds:
            return [wait.agent]  # taken twice by the same: nobody else can let it go
        found = {w.agent for w in holders[resource] if not wait.is_lock or _at_once(w, wait)}
        return sorted(found - {wait.agent}) or [resource if not wait.is_lock else f"{resource} (a lock)"]

    out: list[RecordedWait] = []
    for wait in waits:
        targets = [
            name
            for target in wait.targets
            for name in (named(target, wait) if target in agents and not wait.is_lock else held(target, wait))
        ]
        out.append(replace(wait, targets=tuple(dict.fromkeys(targets))))
    return out


def _at_once(one: RecordedWait | AgentAtWork, other: RecordedWait) -> bool:
    return (one.end_ns is None or other.start_ns < one.end_ns) and (other.end_ns is None or one.start_ns < other.end_ns)


def find_episodes(
    waits: Iterable[RecordedWait], acts: Mapping[str, Sequence[int]], skew_ns: int
) -> tuple[list[Episode], list[Phantom]]:
    """Replay starts and ends in order of time; what the graph calls stuck is then checked against what came later.

    `acts`: agent -> start times of its own calls, ascending. `skew_ns`: by how much clocks of different processes may
    differ; waits of several processes must overlap for longer than that.
    """
    held = sorted(waits, key=lambda w: (w.start_ns, w.span_id))
    edges: list[tuple[int, int, int]] = []  # time, 0 = end before 1 = start: touching waits do not overlap
    for i, wait in enumerate(held):
        edges.append((wait.start_ns, 1, i))
        if wait.end_ns is not None and wait.end_ns > wait.start_ns:
            edges.append((wait.end_ns, 0, i))
    graph = WaitGraph()
    open_waits: dict[str, list[int]] = defaultdict(list)
    episodes: list[Episode] = []
    phantoms: list[Phantom] = []
    seen: set[tuple[str, ...]] = set()
    for _, starts, i in sorted(edges):
        wait = held[i]
        stack = open_waits[wait.agent]
        if not starts:
            stack.remove(i)
            graph.end(wait.agent)
            if stack:  # an outer wait goes on
                outer = held[stack[-1]]
                graph.start(outer.agent, outer.targets, outer.mode)
            continue
        stack.append(i)
        alarm = graph.start(wait.agent, wait.targets, wait.mode)
        if alarm is None:
            continue
        now = {agent: held[open_waits[agent][-1]] for agent in alarm.stuck}
        for core in _cores(now):
            members = tuple(sorted((now[a] for a in core), key=lambda w: (w.start_ns, w.span_id)))
            key = tuple(w.span_id for w in members)
            if key in seen or wait.agent not in core:
                continue
            seen.add(key)
            verdict = _checked(members, now, acts, skew_ns)
            if isinstance(verdict, Phantom):
                phantoms.append(verdict)
            else:
                episodes.append(verdict)
    return [_with_late_victims(e, held) for e in _grown(episodes)], phantoms


def _grown(episodes: Sequence[Episode]) -> list[Episode]:
    """One episode where a deadlock took further agents in: the largest set, closed and begun by the first."""
    kept: list[Episode] = []
    for one in sorted(episodes, key=lambda e: (len(e.waits), e.window[0])):
        members = {w.span_id for w in one.waits}
        inside = [e for e in kept if {w.span_id for w in e.waits} < members]
        if inside:
            first = min(inside, key=lambda e: (e.window[0], e.closing.span_id))
            kept = [e for e in kept if e not in inside]
            one = replace(one, closing=first.closing, window=(first.window[0], one.window[1]))
        kept.append(one)
    return kept


def _cores(stuck: Mapping[str, RecordedWait]) -> list[frozenset[str]]:
    return components_with_cycles({a: [t for t in w.targets if t in stuck] for a, w in stuck.items()})


def _checked(
    members: tuple[RecordedWait, ...],
    stuck: Mapping[str, RecordedWait],
    acts: Mapping[str, Sequence[int]],
    skew_ns: int,
) -> Episode | Phantom:
    """Was it one, seen from the end? The first wait to end must not have been met, and nobody may have been at work."""
    core = frozenset(w.agent for w in members)
    window = intersection((w.start_ns, w.end_ns) for w in members)
    if window is None:
        return Phantom(core, "the waits never overlap")
    needed = skew_ns if len({w.pid for w in members}) > 1 else 0
    if window[1] is not None and window[1] - window[0] <= needed:
        return Phantom(core, "the waits overlap for less than the clocks may differ")
    ended = [w for w in members if w.end_ns is not None]
    first = min(ended, key=lambda w: (w.end_ns or 0, w.outcome != "timed_out", w.span_id), default=None)
    if first is not None and first.met:
        return Phantom(core, f"{first.agent} got what it waited for while the others still waited")
    for wait in members:
        until = window[1]
        if any(window[0] < at and (until is None or at < until) for at in acts.get(wait.agent, ())):
            return Phantom(core, f"{wait.agent} went on working while it waited")
    closing = max(members, key=lambda w: (w.start_ns, w.span_id))
    victims = tuple(sorted(set(stuck) - core))
    return Episode(waits=members, closing=closing, victims=victims, window=window, first_end=first)


def _with_late_victims(episode: Episode, held: Sequence[RecordedWait]) -> Episode:
    """The episode with everybody who came to wait for the core while it stood still."""
    waits = {w.agent: Wait(frozenset(w.targets), w.mode) for w in episode.waits}
    for wait in held:
        if wait.agent not in waits and intersection([(wait.start_ns, wait.end_ns), episode.window]) is not None:
            waits[wait.agent] = Wait(frozenset(wait.targets), wait.mode)
    victims = tuple(sorted(stuck_waiters(waits) - episode.core))
    return replace(episode, victims=victims)


def plainly_named(episode: Episode) -> Episode:
    """The same, with the instances of an agent told apart only where several of them wait."""
    plain = {wait.agent: wait.name or wait.agent for wait in episode.waits}
    often = Counter([*plain.values(), *episode.victims])
    names = {node: name if often[name] == 1 else node for node, name in plain.items()}
    return replace(
        episode,
        waits=tuple(_renamed(wait, names) for wait in episode.waits),
        closing=_renamed(episode.closing, names),
        first_end=None if episode.first_end is None else _renamed(episode.first_end, names),
    )


def _renamed(wait: RecordedWait, names: Mapping[str, str]) -> RecordedWait:
    return replace(wait, agent=names.get(wait.agent, wait.agent), targets=tuple(names.get(t, t) for t in wait.targets))
