"""Does this run go round in circles? One streaming core for the live guard, the offline detector and the back-test.

An *iteration* closes whenever a symbol (agent, kind, name) occurs again in its lane. It counts as *no progress* unless
it brought something new: an item the symbol was never called with, a changed tool result, an unseen state, an explicit
mark, or enough words never seen in the lane. Counters, times and machine ids are no news. What is measured is novelty, not similarity and not periodicity: a map
over forty documents is perfectly periodic and healthy; a quarrel in ever new words is neither equal nor periodic.

    lane      R  a  R  a  R  x  a  R  a          R = Researcher asks, a = Analyst asks back, x = something else
    closes          1  1  2     2  3  3          each occurrence after the first closes an iteration of its symbol
    evidence       +1 +1 +1    +1 -1.25          one-sided CUSUM per symbol: warn at 3, critical at 5

Three signals: `no_progress` (above), `reask` (the same request again whatever was answered), `same_error` (one tool
fails the same way whatever its arguments). Cost: O(tokens) per event. Memory: bounded, the oldest is forgotten first.
Source: notes on re-occurrence anchors and novelty CUSUM; Page's CUSUM (1954); survey of shipped loop breakers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .loop_events import SPEECH, Alarm, Event, EventKind, Evidence, Iteration, Level, LoopThresholds, Signal
from .memory import Lane, Request, Symbol, SymbolMemory, Totals, without_counters
from .novelty import EMPTY, Reading, argument_items, is_counter, mask_error, quoted_items, read
from .words import COMMON, COURTESIES, FUNCTION_WORDS

LONG_TEXT = 40
"""distinct tokens; above it a text is compared as a draft, below it as a template with slots"""
SHORT_TEMPLATE = 9
"""tokens; below it templates are compared position by position"""

__all__ = [
    "SPEECH",
    "Alarm",
    "Event",
    "EventKind",
    "Evidence",
    "Iteration",
    "Level",
    "LoopCore",
    "LoopThresholds",
    "Signal",
    "replay",
]


@dataclass(slots=True)
class LoopCore:
    """Feed events one by one; alarms come back as they are raised. One instance per process or per analysis."""

    thresholds: LoopThresholds = field(default_factory=LoopThresholds)
    common: frozenset[str] = COMMON
    """stems that carry no information"""
    on_iteration: Callable[[Iteration], None] | None = None
    on_evidence: Callable[[Evidence], None] | None = None
    """told whenever evidence grew; the back-test reads off what any threshold would have done"""
    _lanes: OrderedDict[str, Lane] = field(default_factory=OrderedDict[str, Lane])

    def feed(self, event: Event) -> list[Alarm]:
        """Take one event in; O(tokens of the event)."""
        lane = self._lane(event.lane)
        symbol = (event.agent, event.kind, event.name)
        at = lane.count
        lane.count += 1
        memory = lane.symbol(symbol, self.thresholds.max_symbols)
        said = read(memory.mould.filling(event.text))
        if event.kind in SPEECH or event.kind == "state":
            said = without_counters(event.text, said, memory.counters)
        memory.compare(said.sequence, event.args)
        gain, asked = self._gain(lane, memory, event, symbol, said)
        lane.totals = lane.totals.plus(gain)
        alarms: list[Alarm] = []
        if event.error is not None or event.kind == "tool":
            self._same_error(lane, memory, event, symbol, at, alarms)
        if event.kind in ("mark", "wait") or (event.kind == "message" and len(said.sequence) < 3 and not event.args):
            return alarms  # closing chatter ("TERMINATE", an empty turn) and waits carry no iteration of their own
        self._close(lane, memory, event, symbol, at, alarms)
        if event.kind in ("handoff", "agent") and event.name:
            # One agent handing off to, or calling, anybody: a supervisor that asks one worker after the other.
            coarse = (event.agent if event.kind == "handoff" else event.name, event.kind, "*")
            self._close(lane, lane.symbol(coarse, self.thresholds.max_symbols), event, coarse, at, alarms)
        self._reask(lane, memory, event, symbol, asked, at, alarms)
        return alarms

    def forget(self, lane: str) -> None:
        """Drop a finished lane's memory."""
        self._lanes.pop(lane, None)

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane()
            if len(self._lanes) > self.thresholds.max_lanes:
                self._lanes.popitem(last=False)
        else:
            self._lanes.move_to_end(name)
        return lane

    def _gain(
        self, lane: Lane, memory: SymbolMemory, event: Event, symbol: Symbol, said: Reading
    ) -> tuple[Totals, Reading]:
        """What the event adds to the lane's totals, and the whole request as read."""
        given = read(event.args)
        outside = self._news_from_outside(lane, memory, event.heard) if event.heard else 0
        asked = said if not event.args else Reading(said.hard | given.hard, said.words | given.words, given.sequence)
        marks = int(event.progress) + outside
        polite = (
            event.kind in SPEECH
            and not event.args
            and bool(said.sequence)
            and COURTESIES.issuperset(said.sequence)
            and event.error is None
        )
        if event.kind == "state":
            # A state that holds only what was said already (a growing message list) is no news; one that only counts says nothing.
            counts = is_counter(event.name) or (bool(event.text) and not said.sequence)
            marks += 0 if counts else self._new_state(lane, memory, event, said)
            judged = int(bool(event.progress or (not counts and (event.text or event.result_hash))))
            return Totals(progress=marks, judged=judged, marks=int(event.progress), meant=judged), asked
        items = set(argument_items(event.args))
        if event.task_id:
            items.add(f"task={event.task_id}")
        if event.kind in SPEECH and len(event.text) < 200:
            items |= quoted_items(event.text)
        if event.args_hash is not None and not event.args:
            items.add(event.args_hash)
        if memory.items.add_new(items):
            marks += event.error is None  # a fresh argument that only fails again brings nothing
        if event.kind == "tool":
            marks += self._new_result(memory, event, said)
        elif event.kind in SPEECH and event.text:
            if lane.is_echo(read(event.text), symbol):
                said = EMPTY  # the receiver's task repeats what the sender said: one statement, two spans
            else:
                marks += self._new_filler(lane, memory, said)
        elif event.kind in SPEECH and event.result_hash is not None:
            marks += memory.results.add_new((event.result_hash,))
        hard = said.hard | given.hard if given.hard else said.hard
        words = (said.words | given.words if given.words else said.words) - self.common
        new_hard = lane.seen.add_new(hard)
        new_words = lane.seen.add_new(words)
        told = bool(event.text or event.args or items or event.result_hash or event.progress)
        judged = told or bool(event.error)
        return (
            Totals(
                new_hard=new_hard,
                hard=len(hard),
                new_words=new_words,
                words=len(words),
                progress=marks,
                waits=int(event.waited or event.kind == "wait"),
                speech=int(event.kind in SPEECH),
                judged=int(judged),
                marks=int(event.progress),
                meant=int(judged and not polite),
                failed=int(judged and not told),
                unheard=int(not judged and event.kind in ("llm", "tool")),
            ),
            asked,
        )

    def _news_from_outside(self, lane: Lane, memory: SymbolMemory, heard: str) -> int:
        """1 where it was sent what nobody in the lane had said and it had not been sent: a person's next question, the next document of a batch.

        What other agents said is known from them, and the words around a slot come every time.
        """
        t = self.thresholds
        told = without_counters(heard, read(memory.mould_heard.filling(heard)), memory.counters_heard)
        words = told.words - self.common
        new_words = len(lane.heard.fresh(lane.seen.fresh(words)))
        new_hard = len(lane.heard.fresh(lane.seen.fresh(told.hard)))
        now, before = told.hard | words, memory.asked
        lane.heard.add_new(now)
        memory.asked = now
        filled = new_words > 0 and len(now & before) >= t.template_overlap * len(now)
        return int(
            filled
            or (new_words > 0 and new_words >= t.word_ratio * len(words))
            or (new_hard > 0 and new_hard >= t.hard_ratio * max(len(told.hard), t.min_hard))
        )

    def _new_state(self, lane: Lane, memory: SymbolMemory, event: Event, said: Reading) -> int:
        if not event.text:
            return memory.results.add_new((event.result_hash,)) if event.result_hash is not None else 0
        fresh = memory.own.fresh(said.hard | said.words)
        memory.own.add_new(fresh)
        unsaid = lane.seen.fresh(fresh) - self.common
        return int(any(not token.isalpha() for token in unsaid) or len(unsaid) >= 3)

    def _new_result(self, memory: SymbolMemory, event: Event, said: Reading) -> int:
        """1 where the tool answered something it has not answered before; wording alone does not count, in a record known numbers put together anew do."""
        if event.error is not None:
            return 0
        if not event.text:
            if event.result_hash is None:
                return 0
            return int(memory.results.add_new((event.result_hash,)) > 0)
        first = not memory.results
        if not memory.results.add_new((str(said.fingerprint),)):
            return 0
        fresh = memory.own.fresh(said.hard | said.words) - self.common
        memory.own.add_new(fresh)
        new_words = sum(token not in said.hard for token in fresh)
        items = tuple(token for token in said.sequence if token in said.hard) if event.text[:1] in ("{", "[") else ()
        placed = bool(items) and memory.results.add_new((items,)) > 0
        return int(
            first
            or placed
            or len(fresh) > new_words
            or new_words >= self.thresholds.word_ratio * max(len(said.words), 4)
        )

    def _new_filler(self, lane: Lane, memory: SymbolMemory, said: Reading) -> int:
        """1 where the text is the one before with something new in it: a filled slot, a shorter list, a longer draft."""
        t = self.thresholds
        now, before = frozenset(said.sequence), memory.tokens
        kept = len(now & before)
        added, gone = len(now) - kept, len(before) - kept
        fresh = memory.own.fresh(now)
        memory.own.add_new(fresh)
        kept_runs, new_runs = 0, 1
        if len(now) > LONG_TEXT:
            if 2 * kept >= t.template_overlap * len(now):
                kept_runs, new_runs = memory.revise(said.sequence)
            else:  # another text altogether: taken in only when it turns out to be a draft that is revised
                memory.drafts.append(said.sequence)
        memory.tokens = now
        previous, memory.sequence = memory.sequence, said.sequence[:SHORT_TEMPLATE]
        unsaid = bool(memory.results.add_new((said.fingerprint,)))
        if not before:
            return 0
        if unsaid and len(now) > 8 and added <= 2 and gone > added and gone <= len(now):
            return 1  # a work list getting shorter
        if not fresh:
            return 0
        if len(now) <= LONG_TEXT:
            same_template = kept >= t.template_overlap * len(now | before)
            if not same_template and len(said.sequence) == len(previous) < SHORT_TEMPLATE:
                same = sum(a == b for a, b in zip(said.sequence, previous, strict=True))
                same_template = same >= len(previous) - 2 and 2 * same >= len(previous)  # "review Anna", "review Ben"
            if not same_template or len(fresh) > t.slot_words:
                return 0
            # "was it paid already" after "is it paid yet" swaps small words: that is a paraphrase, no filled slot.
            return int(FUNCTION_WORDS.isdisjoint(now ^ before))
        # A draft: most of it stands word for word as before, and something fresh was worked in.
        news = len(lane.seen.fresh(said.hard | (said.words - self.common)))
        return int(
            kept_runs >= t.template_overlap * (kept_runs + new_runs) and news >= max(3, t.draft_ratio * len(now))
        )

    def _close(
        self, lane: Lane, memory: SymbolMemory, event: Event, symbol: Symbol, at: int, alarms: list[Alarm]
    ) -> None:
        """`symbol` occurs again: judge what lies between, and move its evidence."""
        t = self.thresholds
        last, then = memory.last, memory.totals
        last_id, memory.last, memory.last_id, memory.totals = memory.last_id, at, event.id, lane.totals
        if last is None:
            return
        if at - last > t.max_period:
            memory.reset()
            return
        d = lane.totals.minus(then)
        word_ratio = d.new_words / max(d.words, t.min_words)
        hard_ratio = d.new_hard / max(d.hard, t.min_hard)
        stale: bool | None = None
        heard = d.judged - (0 if event.error else d.failed)
        if d.judged and d.unheard <= t.unheard * heard:
            mostly = (
                d.words > 0 and d.new_words >= t.mostly_new * d.words
            )  # short sentences never have enough words for the ratio
            stale = d.progress <= 0 and word_ratio < t.word_ratio and hard_ratio < t.hard_ratio and not mostly
        if self.on_iteration is not None:
            self.on_iteration(
                Iteration(
                    lane=event.lane,
                    symbol=symbol,
                    start=last,
                    end=at,
                    new_items=d.new_hard,
                    new_words=d.new_words,
                    words=d.words,
                    progress=d.progress,
                    polled=d.waits > 0,
                    stale=stale,
                )
            )
        unknown = stale is None and (d.unheard > 0 or event.kind == "tool") and event.error is None
        if stale is None and not (unknown and memory.score):
            return
        if not stale:  # calls that worked most likely got somewhere, though what they brought was not recorded
            memory.score = max(0.0, memory.score - t.credit)
        else:
            if memory.score == 0.0:
                memory.start, memory.start_id, memory.rounds = last, last_id, 1
            # Waiting for somebody else is what polls are for; without a word spoken they cost next to nothing.
            weight = t.courtesy if not d.meant else t.verbatim if memory.verbatim else 1.0
            memory.score += weight if not d.waits else t.poll_weight if d.speech else 0.0
        memory.rounds += 1
        if stale and self.on_evidence is not None:
            self.on_evidence(
                Evidence(signal="no_progress", value=memory.score, event_id=event.id, rounds=memory.rounds)
            )
        reached = 2 if memory.score >= t.critical else 1 if memory.score >= t.warn else 0
        if reached > memory.level:
            alarms.append(
                Alarm(
                    signal="no_progress",
                    level="critical" if reached == 2 else "warning",
                    lane=event.lane,
                    symbol=symbol,
                    start=memory.start,
                    at=at,
                    start_id=memory.start_id,
                    event_id=event.id,
                    count=memory.rounds,
                    score=memory.score,
                    novelty=round(word_ratio, 3),
                )
            )
        if reached or memory.score == 0.0:
            memory.level = reached

    def _reask(
        self,
        lane: Lane,
        memory: SymbolMemory,
        event: Event,
        symbol: Symbol,
        asked: Reading,
        at: int,
        alarms: list[Alarm],
    ) -> None:
        """The same request again, whatever came back; model outputs and tool calls must be identical to count."""
        t = self.thresholds
        strict = event.kind in ("llm", "tool")
        if event.kind not in SPEECH and event.kind != "tool":
            return
        if event.mechanical or event.waited or len(asked.sequence) < (1 if event.kind == "tool" else 5):
            return
        key = (asked.sequence, event.args_hash if not event.args else None)
        tokens = asked.words | asked.hard
        if len(tokens) < 4:
            tokens = frozenset(asked.sequence)
        found: Request | None = None
        for earlier in memory.requests:
            if strict:
                same = earlier.key == key
            else:
                shared = len(tokens & earlier.tokens)
                same = shared >= t.reask_overlap * min(len(tokens), len(earlier.tokens)) and asked.hard <= earlier.hard
            if same:
                found = earlier
        if found is None:
            memory.remember(Request(key, tokens, asked.hard, [at], [event.id], lane.totals))
            return
        d = lane.totals.minus(found.totals)
        # A task that is handed on carries the same words every time: what came back decides. For spoken requests only
        # items count, since answers vary in wording without getting anywhere.
        fruitful = d.new_hard >= t.fresh_items and d.new_hard >= t.hard_ratio * d.hard
        if event.kind in ("handoff", "agent"):
            fruitful = fruitful or d.new_words >= t.word_ratio * max(d.words, t.min_words)
        if fruitful or d.progress > 0 or d.waits > 0:  # start again; a wait makes it a poll
            found.at, found.ids = [at], [event.id]
        else:
            found.at.append(at)
            found.ids.append(event.id)
        found.totals = lane.totals
        self._count(event, symbol, "reask", found, t.reask_warn, t.reask_critical, alarms)

    def _same_error(
        self, lane: Lane, memory: SymbolMemory, event: Event, symbol: Symbol, at: int, alarms: list[Alarm]
    ) -> None:
        """One tool failing the same way whatever it is given; a success, another error or a mark starts again."""
        t = self.thresholds
        if event.error is None:
            memory.failure = None
            return
        if event.mechanical or event.waited:
            return
        mask = mask_error(event.error, event.args)
        failure = memory.failure
        if failure is None or failure.key != mask or lane.totals.marks > failure.totals.marks:
            memory.failure = Request(mask, frozenset(), frozenset(), [at], [event.id], lane.totals)
            return
        failure.totals = lane.totals
        failure.at.append(at)
        failure.ids.append(event.id)
        self._count(event, symbol, "same_error", failure, t.error_warn, t.error_critical, alarms)

    def _count(
        self,
        event: Event,
        symbol: Symbol,
        signal: Signal,
        request: Request,
        warn: int,
        critical: int,
        alarms: list[Alarm],
    ) -> None:
        count = len(request.at)
        if self.on_evidence is not None:
            self.on_evidence(Evidence(signal=signal, value=count, event_id=event.id, rounds=count))
        if count not in (warn, critical):
            return
        alarms.append(
            Alarm(
                signal=signal,
                level="warning" if count == warn else "critical",
                lane=event.lane,
                symbol=symbol,
                start=request.at[0],
                at=request.at[-1],
                start_id=request.ids[0],
                event_id=event.id,
                count=count,
                score=float(count),
                occurrences=request.at,
            )
        )


def replay(events: Iterable[Event], core: LoopCore) -> list[Alarm]:
    """All alarms of a recorded stream, in order: what a live guard would have raised."""
    return [alarm for event in events for alarm in core.feed(event)]
