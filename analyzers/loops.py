"""From alarms to loops: how far each reaches, how often it went round, along which path.

An alarm comes as early as it can; afterwards more is known. A round counts as part of the loop when it was judged
without progress as it happened, or when, in hindsight, its words and items occur in other rounds too (the first rounds
of a quarrel use up its vocabulary and so look new at the time).

    rounds     1   2   3   4   5   6   7   8   9
    as seen    new new old old old old old new new      the alarm covers rounds 3 to 7
    hindsight  -   old old old old old old new new      round 2 said nothing that the later ones do not say
    loop       |---------------------------|            7 rounds, the first being the original
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from analyzers.events import Recorded
from tracer.online.loop import SPEECH, Alarm, Iteration, LoopCore, LoopThresholds
from tracer.online.memory import Symbol
from tracer.online.novelty import read
from tracer.online.words import COMMON

HINDSIGHT = 0.75
"""share of a round's words that other rounds use too, to count it in afterwards"""
TOLERATED = 1
"""rounds with something new that a loop may contain in a row and still be one loop"""
SAME_LOOP = 0.5
"""overlap, as a share of the shorter, that makes two alarms one loop"""
_TALK_FIRST = {"message": 0, "handoff": 0, "agent": 1, "tool": 2, "llm": 3, "decision": 4, "state": 5}
"""what names a loop of several agents best"""
_TOOLS_FIRST = {"tool": 0, "message": 1, "handoff": 1, "agent": 2, "llm": 3, "decision": 4, "state": 5}
"""what names a loop of one agent best"""


ALTERNATING = 0.8
"""share of turns that must go from one to the other to take two lanes for one conversation"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One loop in one run."""

    events: tuple[Recorded, ...]
    """from the first occurrence to the end of the last round, in causal order"""
    rounds: tuple[tuple[int, int], ...]
    """[start, end) of each round as indices into `events`"""
    symbol: Symbol
    """what comes round"""
    path: tuple[str, ...]
    """agents of one cycle, or the tools of one agent's"""
    period: int
    signals: tuple[str, ...]
    critical: bool
    alarm_round: int
    """1-based round in which the first alarm came"""
    novelty: tuple[float, ...]
    """share of new words for each round after the first, as seen at the time"""
    new_items: tuple[int, ...]
    stale_rounds: int
    marks: int
    """explicit progress marks inside"""
    polled_rounds: int
    repeats: int
    """most often repeated request"""
    errors: int
    """most often repeated error"""
    lanes: int

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.event.agent for r in self.events if r.event.agent))


@dataclass(slots=True)
class _Region:
    """An alarm's reach in its lane, in indices of the lane's events."""

    symbol: Symbol
    signal: str
    occurrences: list[int]
    critical: bool
    alarm_at: int

    @property
    def start(self) -> int:
        return self.occurrences[0]

    @property
    def end(self) -> int:
        return self.occurrences[-1]


def find_in(recorded: Sequence[Recorded], thresholds: LoopThresholds, common: frozenset[str] = COMMON) -> list[Loop]:
    """The loops of one run, in order of start. `recorded` is in causal order within each lane."""
    iterations: dict[str, dict[Symbol, list[Iteration]]] = defaultdict(lambda: defaultdict(list))
    core = LoopCore(thresholds=thresholds, common=common, on_iteration=lambda i: iterations[i.lane][i.symbol].append(i))
    lanes: dict[str, list[Recorded]] = defaultdict(list)
    alarms: dict[str, list[Alarm]] = defaultdict(list)
    for one in recorded:
        lanes[one.event.lane].append(one)
        for alarm in core.feed(one.event):
            alarms[alarm.lane].append(alarm)
    loops: list[Loop] = []
    for lane, raised in sorted(alarms.items()):
        regions = _regions(lanes[lane], raised, iterations[lane])
        loops += [_loop(lanes[lane], group, iterations[lane]) for group in _grouped(regions)]
    return sorted(_across_lanes(loops), key=lambda loop: (loop.events[0].at_ns, loop.events[0].event.id))


def _regions(
    events: Sequence[Recorded], alarms: Iterable[Alarm], iterations: dict[Symbol, list[Iteration]]
) -> list[_Region]:
    regions: list[_Region] = []
    by_start: dict[tuple[str, Symbol, int], list[Alarm]] = defaultdict(list)
    for alarm in alarms:
        by_start[alarm.signal, alarm.symbol, alarm.start].append(alarm)
    for (signal, symbol, start), raised in by_start.items():
        first = min(raised, key=lambda a: a.at if signal == "no_progress" else a.occurrences[a.count - 1])
        critical = any(alarm.level == "critical" for alarm in raised)
        if signal == "no_progress":
            closed = iterations[symbol]
            reached = max(alarm.at for alarm in raised)
            inside = [i for i, c in enumerate(closed) if c.start >= start and c.end <= reached]
            low, high = _widened(events, closed, inside[0], inside[-1])
            occurrences = [closed[low].start, *(c.end for c in closed[low : high + 1])]
        else:
            occurrences = sorted(set(raised[0].occurrences))
        regions.append(_Region(symbol, signal, occurrences, critical, first.at))
    return regions


@dataclass(frozen=True, slots=True)
class _Said:
    """What one iteration holds."""

    items: frozenset[str]
    words: frozenset[str]
    marked: bool


def _said(events: Sequence[Recorded], one: Iteration) -> _Said:
    items: set[str] = set()
    words: set[str] = set()
    part = [r.event for r in events[one.start + 1 : one.end + 1]]
    for event in part:
        if event.kind != "state":
            for text in (event.text, event.args):
                reading = read(text)
                items |= reading.hard
                words |= reading.words
    return _Said(frozenset(items), frozenset(words - COMMON), any(event.progress for event in part))


def _widened(events: Sequence[Recorded], closed: Sequence[Iteration], low: int, high: int) -> tuple[int, int]:
    """Widen [low, high] over neighbours that were stale, or say only what the loop says anyway.

    Forward first: the first rounds use up the vocabulary, so they are recognised by what the later ones say.
    """
    vocabulary: set[str] = set()

    def belongs(one: Iteration) -> bool:
        if one.stale is True:
            return True
        said = _said(events, one)
        known = sum(word in vocabulary for word in said.words)
        return (
            not said.marked and said.items <= vocabulary and bool(said.words) and known >= HINDSIGHT * len(said.words)
        )

    for step in (1, -1):
        for one in closed[low : high + 1]:
            said = _said(events, one)
            vocabulary |= said.items | said.words
        at, missed = (high + 1, 0) if step > 0 else (low - 1, 0)
        while 0 <= at < len(closed) and missed <= TOLERATED:
            if belongs(closed[at]):
                low, high, missed = min(low, at), max(high, at), 0
            else:
                missed += 1
            at += step
    return low, high


def _grouped(regions: Sequence[_Region]) -> list[list[_Region]]:
    """Regions of a lane that overlap by half of the shorter one are one loop."""
    groups: list[list[_Region]] = []
    for region in sorted(regions, key=lambda r: (r.start, -r.end, r.signal, r.symbol)):
        for group in groups:
            if any(_overlap(region, other) for other in group):
                group.append(region)
                break
        else:
            groups.append([region])
    return groups


def _overlap(a: _Region, b: _Region) -> bool:
    shared = min(a.end, b.end) - max(a.start, b.start)
    return shared >= 0 and shared >= SAME_LOOP * min(a.end - a.start, b.end - b.start)


def _loop(events: Sequence[Recorded], group: Sequence[_Region], iterations: dict[Symbol, list[Iteration]]) -> Loop:
    several = len({events[i].event.agent for r in group for i in range(r.start, r.end + 1)} - {""}) > 1

    def worth(region: _Region) -> tuple[int, int, int, int, int, Symbol]:
        kind = region.symbol[1]
        order = (_TALK_FIRST if several else _TOOLS_FIRST).get(kind, 9)
        rounds = len(region.occurrences)
        return (
            ("no_progress", "same_error", "reask").index(region.signal),
            order,
            -rounds,
            region.symbol[2] == "*",
            region.start,
            region.symbol,
        )

    main = min(group, key=worth)
    turns = _turns(events)
    occurrences = _one_a_turn(main.occurrences, turns) if several else list(main.occurrences)
    starts = [bisect_left(turns, turns[i]) for i in occurrences] if several else occurrences
    first, end = starts[0], _last_round_end(events, starts)
    whole = tuple(events[first:end])
    path, period = _path(whole, _cut(whole, {events[i].event.id for i in starts}))
    # Whoever is no part of the cycle only happened to speak meanwhile.
    span = tuple(r for r in whole if r.event.agent in {*path, ""}) if several and len(set(path)) > 1 else whole
    rounds = _cut(span, {events[i].event.id for i in starts})
    closed = [c for c in iterations.get(main.symbol, ()) if c.start >= first and c.end <= occurrences[-1]]
    repeats = max((len(r.occurrences) for r in group if r.signal == "reask"), default=1)
    errors = max((len(r.occurrences) for r in group if r.signal == "same_error"), default=0)
    alarm_at = min(r.alarm_at for r in group)
    return Loop(
        events=span,
        rounds=rounds,
        symbol=main.symbol,
        path=path,
        period=period,
        signals=tuple(sorted({r.signal for r in group})),
        critical=any(r.critical for r in group),
        alarm_round=max(1, sum(i <= alarm_at for i in occurrences)),
        novelty=tuple(round(c.new_words / max(c.words, 1), 3) for c in closed),
        new_items=tuple(c.new_items for c in closed),
        stale_rounds=sum(c.stale is True for c in closed),
        marks=sum(r.event.progress for r in span),
        polled_rounds=sum(c.polled for c in closed),
        repeats=repeats,
        errors=errors,
        lanes=1,
    )


def _cut(events: Sequence[Recorded], starts: set[str]) -> tuple[tuple[int, int], ...]:
    """[start, end) of each round; `starts` are the ids of the events that open one."""
    return tuple(pairwise([*(i for i, r in enumerate(events) if r.event.id in starts), len(events)]))


def _turns(events: Sequence[Recorded]) -> list[int]:
    """For each event the number of its turn: events in a row by one agent are one turn; nobody's events join it."""
    turns: list[int] = []
    turn, speaker = 0, ""
    for one in events:
        agent = one.event.agent
        if agent and speaker and agent != speaker:
            turn += 1
        speaker = agent or speaker
        turns.append(turn)
    return turns


def _one_a_turn(occurrences: Sequence[int], turns: Sequence[int]) -> list[int]:
    kept: list[int] = []
    for i in occurrences:
        if not kept or turns[kept[-1]] != turns[i]:
            kept.append(i)
    return kept


def _last_round_end(events: Sequence[Recorded], occurrences: Sequence[int]) -> int:
    """End of the last round, which no re-occurrence closes: as long as it goes the way of the round before."""
    last = occurrences[-1]
    if len(occurrences) < 2:
        return last + 1
    model = [(r.event.agent, r.event.kind, r.event.name) for r in events[occurrences[-2] : last]]
    end = last
    for expected, one in zip(model, events[last:], strict=False):
        if (one.event.agent, one.event.kind, one.event.name) != expected:
            break
        end += 1
    return max(end, last + 1)


def _path(events: Sequence[Recorded], rounds: Sequence[tuple[int, int]]) -> tuple[tuple[str, ...], int]:
    """The commonest cycle and its length: agents by turn, or one agent's tools; messages where the run is a transcript."""
    agents = {r.event.agent for r in events} - {""}
    transcript = all(r.step is not None for r in events)

    def cycle(low: int, high: int) -> tuple[str, ...]:
        part = events[low:high]
        if transcript:
            return tuple(r.event.agent for r in part)
        if len(agents) > 1:
            return tuple(
                r.event.agent for i, r in enumerate(part) if i == 0 or part[i - 1].event.agent != r.event.agent
            )
        tools = tuple(r.event.name for r in part if r.event.kind == "tool")
        return tools or tuple(dict.fromkeys(r.event.agent for r in part))

    cycles = Counter(cycle(low, high) for low, high in rounds)
    path = min(cycles, key=lambda c: (-cycles[c], len(c), c))
    if transcript and len(rounds) > 1:
        return path, int(median(b[0] - a[0] for a, b in pairwise(rounds)))
    return path, len(path)


def _across_lanes(loops: Sequence[Loop]) -> list[Loop]:
    """Loops in different lanes at the same time whose agents address each other, or that are the same, become one."""
    merged: list[Loop] = []
    for loop in sorted(loops, key=lambda x: (-len(x.rounds), x.events[0].at_ns, x.events[0].event.id)):
        for i, other in enumerate(merged):
            if _same_time(loop, other) and (
                _address_each_other(loop, other)
                or _parallel(loop, other)
                or _alternate(loop, other)
                or _same_agents(loop, other)
            ):
                merged[i] = _joined(other, loop)
                break
        else:
            merged.append(loop)
    return merged


def _same_time(a: Loop, b: Loop) -> bool:
    (a0, a1), (b0, b1) = (_window(a), _window(b))
    return min(a1, b1) - max(a0, b0) >= SAME_LOOP * min(a1 - a0, b1 - b0)


def _window(loop: Loop) -> tuple[int, int]:
    return loop.events[0].at_ns, max(r.end_ns for r in loop.events)


def _address_each_other(a: Loop, b: Loop) -> bool:
    return bool(_targets(a) & set(b.agents)) and bool(_targets(b) & set(a.agents))


def _targets(loop: Loop) -> set[str]:
    return {r.target for r in loop.events if r.target} | {
        r.event.name for r in loop.events if r.event.kind in SPEECH and r.event.name
    }


def _same_agents(a: Loop, b: Loop) -> bool:
    """The same agents going round at the same time, recorded twice: as invocations here, as model calls there."""
    return set(a.agents) <= set(b.agents) or set(b.agents) <= set(a.agents)


def _parallel(a: Loop, b: Loop) -> bool:
    """The same step going round in sibling branches: `/fetch#0` beside `/fetch#1`."""
    lane_a, lane_b = a.events[0].event.lane, b.events[0].event.lane
    return a.symbol == b.symbol and lane_a.rpartition("#")[0] == lane_b.rpartition("#")[0]


def _alternate(a: Loop, b: Loop) -> bool:
    """One goes round between the rounds of the other and never beside it: turns of one conversation in two lanes."""
    rounds = sorted(
        [(a.events[low].start_ns, a.events[high - 1].end_ns, 0) for low, high in a.rounds]
        + [(b.events[low].start_ns, b.events[high - 1].end_ns, 1) for low, high in b.rounds]
    )
    turns = sum(one[2] != other[2] and one[1] <= other[0] for one, other in pairwise(rounds))
    return turns >= ALTERNATING * (len(rounds) - 1)


def _joined(main: Loop, other: Loop) -> Loop:
    """`main` with the events of `other` woven in by time; its rounds are cut anew."""
    starts = {main.events[low].event.id for low, _ in main.rounds}
    events = tuple(
        sorted(
            {r.event.id: r for r in (*main.events, *other.events)}.values(),
            key=lambda r: (r.at_ns, r.start_ns, r.event.id),
        )
    )
    rounds = _cut(events, starts)
    path, period = (main.path, main.period) if _parallel(main, other) else _path(events, rounds)
    return Loop(
        events=events,
        rounds=rounds,
        symbol=main.symbol,
        path=path,
        period=period,
        signals=tuple(sorted({*main.signals, *other.signals})),
        critical=main.critical or other.critical,
        alarm_round=main.alarm_round,
        novelty=main.novelty,
        new_items=main.new_items,
        stale_rounds=main.stale_rounds,
        marks=main.marks + other.marks,
        polled_rounds=main.polled_rounds,
        repeats=max(main.repeats, other.repeats),
        errors=max(main.errors, other.errors),
        lanes=main.lanes + other.lanes,
    )
