"""What the loop core remembers of a lane: bounded sets, running totals, one memory per symbol."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Set
from dataclasses import dataclass, field
from operator import add, sub
from typing import Any, NamedTuple

from .novelty import HEAD_CHARS, TAIL_CHARS, Reading, countable, shared_ends

Counters = dict[str, tuple[int, int]]
Symbol = tuple[str, str, str]
"""(agent, kind, name)"""

MAX_SEEN = 50_000
"""tokens a lane remembers: about 4 MB; the oldest half is forgotten first"""
MAX_OWN = 5_000
"""tokens or shingles one symbol remembers"""
MAX_REQUESTS = 6
"""requests of a symbol a new one is compared with"""
MAX_KEPT = 500
"""occurrences listed for one repeated request or error"""
LAST_FIRST = 2
"""a counter starts at 0, 1 or 2; what starts higher is an amount or an id"""
MIN_WORDS_BESIDE = 3
"""words beside the numbers of an object, for them to be counters"""
MOULDS = 4
"""long texts of a step that a new one is compared with: a step may follow several instructions by turns"""
MAX_MOULD = 20_000
"""characters of a long text that are kept, half of them of its end"""
MIN_MOULD = 200
"""shared characters from which on they are instructions"""
ECHO_WINDOW = 4
"""events back in which the same text under another symbol is an echo of one statement"""


class Recent:
    """A set that forgets the oldest half of its members when it is full."""

    __slots__ = ("_limit", "_members")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._members: dict[Any, None] = {}

    def __bool__(self) -> bool:
        return bool(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def fresh(self, tokens: Set[str]) -> Set[str]:
        """Those of `tokens` that are not members."""
        return frozenset(tokens).difference(self._members)

    def add_new(self, tokens: Iterable[Hashable]) -> int:
        """Add `tokens`; how many were new."""
        members = self._members
        before = len(members)
        # One call for all: members that are there already keep their place in the order of forgetting.
        members.update(dict.fromkeys(tokens if before == 0 else frozenset(tokens).difference(members)))
        added = len(members) - before
        if len(members) > self._limit:
            for token in list(members)[: len(members) // 2]:
                del members[token]
        return added


class Totals(NamedTuple):
    """Running sums over a lane; the difference of two is what happened between two events."""

    new_hard: int = 0
    hard: int = 0
    new_words: int = 0
    words: int = 0
    progress: int = 0
    waits: int = 0
    speech: int = 0
    judged: int = 0
    marks: int = 0
    """explicit ones; `progress` counts derived progress too"""
    meant: int = 0
    """judged events that were more than thanks or a goodbye"""
    failed: int = 0
    """judged events of which no more is known than that they failed"""
    unheard: int = 0
    """calls of models and tools that worked, and of which nothing else is known"""

    def plus(self, other: Totals) -> Totals:
        return Totals._make(map(add, self, other))

    def minus(self, other: Totals) -> Totals:
        return Totals._make(map(sub, self, other))


NOTHING = Totals()


@dataclass(slots=True)
class Request:
    """A request or an error that may come again."""

    key: Any
    tokens: frozenset[str]
    hard: frozenset[str]
    at: list[int]
    ids: list[str]
    totals: Totals
    """the lane's totals at the last occurrence"""


def without_counters(text: str, said: Reading, counters: Counters) -> Reading:
    """`said` without the numbers of `text` that only count: from 0, 1 or 2 up, by 1 or by the same each time; `counters` remembers them.

    {"n": 1, "ask": "Which year?"}   {"n": 2, "ask": "Which year?"}        the same thing twice
    """
    told = countable(text)
    # An object of numbers alone is what the call is about: which one, not how many.
    if not told or ("" not in told and len(said.words) < MIN_WORDS_BESIDE):
        return said
    ticked: set[str] = set()
    for key, value in told.items():
        before, step = counters.get(key, (None, 0))
        if before is None:
            if value <= LAST_FIRST and len(counters) < MAX_REQUESTS:
                counters[key] = value, 0
                ticked.add(str(value))
        elif value == before or value - before == 1 or (value > before and value - before == step):
            counters[key] = value, value - before or step
            ticked.add(str(value))
        else:
            counters[key] = value, 0 if value < before else value - before
    if not ticked:
        return said
    return Reading(said.hard - ticked, said.words, tuple(token for token in said.sequence if token not in ticked))


@dataclass(slots=True)
class Mould:
    """The instructions that long texts of one step begin and end with, around what each is about.

    "You are Programmer ... Your code: <the code>  Answer in this format: ..."      too long to be read whole: only <the code> is
    """

    before: deque[str] = field(default_factory=lambda: deque[str](maxlen=MOULDS))

    def filling(self, text: str) -> str:
        """`text` without what it shares with a long one before at either end; as it is where it is short, or nothing else is in it."""
        if len(text) <= HEAD_CHARS + TAIL_CHARS:
            return text
        if len(text) > MAX_MOULD:
            text = f"{text[: MAX_MOULD // 2]} {text[-MAX_MOULD // 2 :]}"
        ends = [shared_ends(text, other) for other in self.before]
        if text not in self.before:
            self.before.append(text)
        head, tail = max(ends, key=sum, default=(0, 0))
        if head + tail < MIN_MOULD:
            return text
        head = text.rfind(" ", 0, head) + 1 if head < len(text) else head
        tail = len(text) - tail
        blank = text.find(" ", tail)
        return text[head : blank if blank >= 0 else len(text)].strip() or text


@dataclass(slots=True)
class SymbolMemory:
    """What one symbol did so far in its lane."""

    last: int | None = None
    last_id: str = ""
    totals: Totals = NOTHING
    score: float = 0.0
    level: int = 0
    start: int = 0
    start_id: str = ""
    rounds: int = 0
    items: Recent = field(default_factory=lambda: Recent(MAX_OWN))
    own: Recent = field(default_factory=lambda: Recent(MAX_OWN))
    """tokens of its texts or results"""
    results: Recent = field(default_factory=lambda: Recent(MAX_OWN))
    drafts: deque[tuple[str, ...]] = field(default_factory=lambda: deque[tuple[str, ...]](maxlen=MAX_REQUESTS))
    """long texts whose runs of tokens are not among the shingles yet"""
    shingles: Recent = field(default_factory=lambda: Recent(MAX_OWN))
    tokens: frozenset[str] = frozenset()
    """of its text before this one"""
    asked: frozenset[str] = frozenset()
    """of what it was sent before this time"""
    sequence: tuple[str, ...] = ()
    spoken: tuple[object, ...] = ()
    verbatim: bool = False
    """its last two texts and arguments are the same but for volatile parts, and long enough to mean something"""
    mould: Mould = field(default_factory=Mould)
    mould_heard: Mould = field(default_factory=Mould)
    """of what it said, and of what it was sent"""
    counters: Counters = field(default_factory=dict[str, tuple[int, int]])
    """what may be a counter in its texts -> (last value, how far it went up)"""
    counters_heard: Counters = field(default_factory=dict[str, tuple[int, int]])
    """likewise in what it was sent"""
    requests: deque[Request] = field(default_factory=lambda: deque[Request](maxlen=MAX_REQUESTS))
    failure: Request | None = None

    def reset(self) -> None:
        """Forget the evidence: the symbol was away for too long."""
        self.score, self.level, self.rounds = 0.0, 0, 0

    def compare(self, sequence: tuple[str, ...], args: str) -> None:
        """Note whether this text and these arguments repeat the ones before."""
        now = (sequence, args)
        self.verbatim = now == self.spoken and (len(sequence) >= 5 or bool(args))
        self.spoken = now

    def revise(self, sequence: tuple[str, ...]) -> tuple[int, int]:
        """(kept, new): runs of three tokens this symbol has written before, and those it has not.

        Three in a row survive an edit elsewhere in the text; a paraphrase rarely keeps them.
        """
        while self.drafts:
            before = self.drafts.popleft()
            self.shingles.add_new(set(zip(before, before[1:], before[2:], strict=False)))
        shingles = set(zip(sequence, sequence[1:], sequence[2:], strict=False))
        new = self.shingles.add_new(shingles)
        return len(shingles) - new, new

    def remember(self, request: Request) -> None:
        self.requests.append(request)


@dataclass(slots=True)
class Lane:
    """One causal branch."""

    count: int = 0
    totals: Totals = NOTHING
    seen: Recent = field(default_factory=lambda: Recent(MAX_SEEN))
    heard: Recent = field(default_factory=lambda: Recent(MAX_SEEN))
    """tokens that came from outside; apart from `seen`, so that an answer which takes them up is news for all that"""
    symbols: OrderedDict[Symbol, SymbolMemory] = field(default_factory=OrderedDict[Symbol, SymbolMemory])
    echoes: deque[tuple[int, Symbol]] = field(default_factory=lambda: deque[tuple[int, Symbol]](maxlen=ECHO_WINDOW))

    def symbol(self, symbol: Symbol, limit: int) -> SymbolMemory:
        memory = self.symbols.get(symbol)
        if memory is None:
            memory = self.symbols[symbol] = SymbolMemory()
            if len(self.symbols) > limit:
                self.symbols.popitem(last=False)
        else:
            self.symbols.move_to_end(symbol)
        return memory

    def is_echo(self, said: Reading, symbol: Symbol) -> bool:
        """True where another symbol said just this a moment ago; remembers the text either way."""
        text = said.fingerprint
        echo = any(t == text and s != symbol for t, s in self.echoes) and len(said.sequence) > 0
        self.echoes.append((text, symbol))
        return echo
