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
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from analyzers.events import Recorded
from analyzers.loop_merging import SAME_LOOP, merged_across_lanes
from analyzers.loop_shapes import Loop, cut, cycle_of
from tracer.online.loop import Alarm, Iteration, LoopCore, LoopThresholds
from tracer.online.memory import Symbol
from tracer.online.novelty import read
from tracer.online.words import COMMON

HINDSIGHT = 0.75
"""share of a round's words that other rounds use too, to count it in afterwards"""
TOLERATED = 1
"""rounds with something new that a loop may contain in a row and still be one loop"""
_TALK_FIRST = {"message": 0, "handoff": 0, "agent": 1, "tool": 2, "llm": 3, "decision": 4, "state": 5}
"""what names a loop of several agents best"""
_TOOLS_FIRST = {"tool": 0, "message": 1, "handoff": 1, "agent": 2, "llm": 3, "decision": 4, "state": 5}
"""what names a loop of one agent best"""


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
    return sorted(merged_across_lanes(loops), key=lambda loop: (loop.events[0].at_ns, loop.events[0].event.id))


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

    main = _united(min(group, key=worth), group)
    turns = _turns(events)
    occurrences = _one_a_turn(main.occurrences, turns) if several else list(main.occurrences)
    if 2 * len(occurrences) < len(main.occurrences):  # one agent goes round within a turn, the others only stand by
        several, occurrences = False, list(main.occurrences)
    starts = [bisect_left(turns, turns[i]) for i in occurrences] if several else occurrences
    first, end = starts[0], _last_round_end(events, starts)
    whole = tuple(events[first:end])
    path, period = cycle_of(whole, cut(whole, {events[i].event.id for i in starts}))
    # Whoever is no part of the cycle only happened to speak meanwhile.
    span = tuple(r for r in whole if r.event.agent in {*path, ""}) if several and len(set(path)) > 1 else whole
    rounds = cut(span, {events[i].event.id for i in starts})
    closed = [c for c in iterations.get(main.symbol, ()) if c.start >= first and c.end <= occurrences[-1]]
    repeats = max((len(r.occurrences) for r in group if r.signal == "reask"), default=1)
    errors = max((len(r.occurrences) for r in group if r.signal == "same_error"), default=0)
    # By then at the latest: another step, that of the same loop or one before it, may have raised an alarm earlier.
    alarm_round = sum(i <= main.alarm_at for i in occurrences)
    return Loop(
        events=span,
        rounds=rounds,
        symbol=main.symbol,
        path=path,
        period=period,
        signals=tuple(sorted({r.signal for r in group})),
        critical=any(r.critical for r in group),
        alarm_round=min(max(1, alarm_round), len(rounds)),
        novelty=tuple(round(c.new_words / max(c.words, 1), 3) for c in closed),
        new_items=tuple(c.new_items for c in closed),
        stale_rounds=sum(c.stale is True for c in closed),
        marks=sum(r.event.progress for r in span),
        polled_rounds=sum(c.polled for c in closed),
        repeats=repeats,
        errors=errors,
        lanes=1,
    )


def _united(main: _Region, group: Sequence[_Region]) -> _Region:
    """`main` with the other regions of its own step in the group: what raised an alarm anew in the middle of a loop goes on with it."""
    own = [region for region in group if (region.symbol, region.signal) == (main.symbol, main.signal)]
    return replace(
        main,
        occurrences=sorted({at for region in own for at in region.occurrences}),
        alarm_at=min(region.alarm_at for region in own),
    )


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
