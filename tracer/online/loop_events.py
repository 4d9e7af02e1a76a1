"""What the loop core is fed, what it tells, and its thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .memory import Symbol

EventKind = Literal["message", "handoff", "agent", "llm", "tool", "decision", "state", "wait", "mark"]
Signal = Literal["no_progress", "reask", "same_error"]
Level = Literal["warning", "critical"]

SPEECH: frozenset[str] = frozenset({"message", "handoff", "agent", "llm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing an agent did. Events of a lane are fed in causal order."""

    id: str
    lane: str = ""
    """causal branch: events of one lane happen one after the other"""
    agent: str
    kind: EventKind
    name: str = ""
    """tool, receiver, purpose, state key or decision scope; for an agent invocation, who called it"""
    text: str = ""
    """what was said, answered or written"""
    heard: str = ""
    """the newest message that a model was sent, or the task of an agent that nobody here called: what a person, a program or a document said"""
    args: str = ""
    args_hash: str | None = None
    """stands for `args` where texts are not recorded"""
    result_hash: str | None = None
    """stands for `text` where texts are not recorded"""
    task_id: str | None = None
    error: str | None = None
    progress: bool = False
    """an explicit mark that the work got further"""
    waited: bool = False
    """time passed on purpose before this event: a poll, not a hot loop"""
    mechanical: bool = False
    """an automatic retry of one call; retry storms are another question"""


@dataclass(frozen=True, kw_only=True)
class LoopThresholds:
    """Where each number comes from is said beside it; [M] = measured on synthetic and real runs."""

    warn: float = 3.0
    """no-progress iterations: a healthy iteration is progress-free with p of about .15, three in a row have .3 %"""
    critical: float = 5.0
    """five in a row have .008 %; shipped breakers use 3 to 5"""
    credit: float = 1.25
    """evidence an iteration with progress takes back: a bit more than one without gives [M]"""
    verbatim: float = 1.5
    """evidence of an iteration that ends in the very words it began with: shipped breakers stop at 3 equal calls"""
    courtesy: float = 0.5
    """evidence of an iteration that closes with thanks or a goodbye: three of them end a conversation, a dozen are a loop"""
    poll_weight: float = 0.2
    """evidence of an iteration that waits: instructed polling is the classic false alarm"""
    max_period: int = 64
    """events; a symbol that was away longer starts afresh"""
    word_ratio: float = 0.25
    """share of new words that counts as progress; results barely move between .15 and .35 [M]"""
    mostly_new: float = 0.66
    """or this share of the words, however few they are"""
    hard_ratio: float = 0.20
    """share of new identifiers that counts as progress; same plateau [M]"""
    min_words: int = 12
    """denominators never fall below this, so that three new words in a short turn are progress"""
    min_hard: int = 4
    reask_overlap: float = 0.75
    """share of informative tokens two requests have in common [M]"""
    reask_warn: int = 4
    reask_critical: int = 6
    """as OpenHands' same action and observation (4); doubled distance for the stop"""
    fresh_items: int = 3
    """new identifiers in between that make the same request a new one: the answers were used [M]"""
    error_warn: int = 3
    """same tool, same masked error, whatever the arguments: OpenHands stops at 3"""
    error_critical: int = 5
    unheard: int = 2
    """calls of which nothing is known for each that is, above which a round cannot be judged: what they brought may be anything"""
    slot_words: int = 4
    """a template counts as filled anew where at most this many tokens are fresh"""
    template_overlap: float = 0.6
    """share of tokens kept from the text before, to be the same template or the same artefact"""
    draft_ratio: float = 0.03
    """share of unheard words that make a text kept nearly word for word a better draft, and at least three"""
    max_lanes: int = 1_024
    max_symbols: int = 2_048
    """per lane"""

    @classmethod
    def stopping_at(cls, rounds: float) -> LoopThresholds:
        """A breaker that stops after so many rounds without anything new; 5 is the critical level, 3 the warning."""
        return cls(
            warn=min(cls.warn, rounds),
            critical=rounds,
            reask_warn=min(cls.reask_warn, int(rounds) + 1),
            reask_critical=reask_limit(rounds),
            error_warn=min(cls.error_warn, int(rounds)),
            error_critical=int(rounds),
        )


def reask_limit(rounds: float) -> int:
    """How many equal requests weigh as much as `rounds` without anything new."""
    return int(rounds) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One closed iteration, as the core judged it."""

    lane: str
    symbol: Symbol
    start: int
    end: int
    """indices of the two occurrences in the lane"""
    new_items: int
    new_words: int
    words: int
    progress: int
    """explicit marks, new arguments, changed results, unseen states, filled slots"""
    polled: bool
    stale: bool | None
    """True: no progress; None: nothing recorded to judge by"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a threshold is compared with, after one event; a threshold that it reaches raises the alarm there."""

    signal: Signal
    value: float
    """rounds without anything new weighed against those with (`no_progress`), or equal requests, or equal errors"""
    event_id: str
    rounds: int
    """occurrences so far, the first included"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A signal that crossed a threshold, once per level."""

    signal: Signal
    level: Level
    lane: str
    symbol: Symbol
    start: int
    at: int
    """indices in the lane of the first occurrence that counts and of the event that raised the alarm"""
    start_id: str
    event_id: str
    count: int
    """occurrences so far, the first included"""
    score: float
    novelty: float | None = None
    """share of new words in the last iteration"""
    occurrences: Sequence[int] = ()
    """indices in the lane, for `reask` and `same_error`; grows while the repetition goes on"""
