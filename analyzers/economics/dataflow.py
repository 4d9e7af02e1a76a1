"""Which call of a run needed which other: by the words that came out of one and went into the other.

    plan ---> Price  ----> combine        an edge where the later call's input holds five words in a row of the earlier one's
         \\--> Support --/                 answer or tool results, or where it goes on with the same messages in the same invocation

Phrases that stand in a system prompt or in the task prove nothing and are left out; texts of fewer than five words count whole.
Limits: a fact that was put into other words, or passed through a store that records no text, is a dependency that is not seen, so
"possible" parallelism is an upper bound. O(words); None where texts were not recorded or are too many.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from analyzers.economics.turns import Run, Turn, read_turns, requests
from analyzers.frames import Frames
from analyzers.purposes import message_text
from tracer.model import SpanKind

WORD = re.compile(r"[^\W_]+")
WORDS = 5
SHARED_PHRASES = 3
"""phrases in common that make a dependency, or half of what was said"""
MAX_TURNS, MAX_CHARS = 600, 1_000_000
MAX_AUTHORS = 6
"""of one phrase: the latest; more would only repeat the same path"""


@dataclass(frozen=True)
class DataFlow:
    """`needs[i]`: numbers of earlier turns whose words turn i was given. `handed[i]`: tokens of its input that were new to its agent
    and that another agent had written."""

    turns: Sequence[Turn]
    needs: Sequence[frozenset[int]]
    handed: Sequence[int]

    @cached_property
    def closure(self) -> list[set[int]]:
        """Everything a turn depends on, directly or not."""
        reached: list[set[int]] = []
        for own in self.needs:
            reached.append(set(own).union(*(reached[one] for one in own)))
        return reached

    def longest_s(self) -> float:
        """Seconds of the longest chain of calls that needed each other, tools included."""
        ends: list[float] = []
        for turn, own in zip(self.turns, self.needs, strict=True):
            ends.append(max((ends[one] for one in own), default=0.0) + busy_s(turn))
        return max(ends, default=0.0)

    def separability(self, workers: Iterable[str]) -> float | None:
        """Share of pairs of `workers` of which neither needed the other's words; None for fewer than two."""
        names = sorted(set(workers))
        above: dict[str, set[str | None]] = defaultdict(set)
        for turn, held in zip(self.turns, self.closure, strict=True):
            if turn.agent is not None:
                above[turn.agent] |= {self.turns[one].agent for one in held}
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        free = sum(b not in above[a] and a not in above[b] for a, b in pairs)
        return free / len(pairs) if pairs else None


@dataclass(frozen=True)
class Reading:
    """One run as turns and data flow, each made once."""

    frames: Frames

    @cached_property
    def run(self) -> Run:
        return read_turns(self.frames)

    @cached_property
    def flow(self) -> DataFlow | None:
        return read_data_flow(self.run)


def busy_s(turn: Turn) -> float:
    """Seconds of the call and of the tools it asked for."""
    return turn.seconds + sum(tool.seconds for tool in turn.tools)


def read_data_flow(run: Run) -> DataFlow | None:
    """The data flow of a run; None where it cannot be seen."""
    turns = run.turns
    if not turns or len(turns) > MAX_TURNS or not all(turn.texts for turn in turns if not turn.failed):
        return None
    refs = {ref for turn in turns for ref in (*turn.input_refs, *turn.output_refs)}
    if sum(len(run.contents.get(ref, "")) for ref in refs) > MAX_CHARS:
        return None
    phrases = _Phrases(run)
    results = _results(run)
    authors: dict[int, list[int]] = defaultdict(list)
    said: list[int] = []
    lanes: dict[str, int] = {}
    needs: list[frozenset[int]] = []
    handed: list[int] = []
    read: dict[str | None, set[int]] = defaultdict(set)
    written: dict[int, dict[int, int]] = {}
    for number, turn in enumerate(turns):
        counts: dict[int, int] = defaultdict(int)
        taken = 0
        for ref in dict.fromkeys(turn.input_refs):
            if ref in read[turn.agent]:
                # Read by this agent before: who wrote it is known, and a long history is not gone through at every call.
                for one, shared in written[ref].items():
                    counts[one] += shared
                continue
            by: dict[int, int] = defaultdict(int)
            foreign = 0
            for phrase in phrases.of(ref):
                known = [one for one in authors.get(phrase, ())[-MAX_AUTHORS:] if turns[one].end_ns <= turn.start_ns]
                foreign += bool(known) and all(turns[one].agent != turn.agent for one in known)
                for one in known:
                    by[one] += 1
            written[ref] = by
            for one, shared in by.items():
                counts[one] += shared
            if foreign:
                taken += run.tokens([ref]) * foreign // len(phrases.of(ref))
        read[turn.agent].update(turn.input_refs)
        own = {one for one, shared in counts.items() if shared >= SHARED_PHRASES or 2 * shared >= max(1, said[one])}
        before = lanes.get(turn.lane)
        if before is not None and _goes_on(turns[before], turn):
            own.add(before)
        lanes[turn.lane] = number
        needs.append(frozenset(own))
        handed.append(taken)
        new = {p for ref in (*turn.output_refs, *results.get(turn.span_id, ())) for p in phrases.of(ref)}
        said.append(len(new))
        for phrase in new:
            authors[phrase].append(number)
    return DataFlow(turns, needs, handed)


def _goes_on(before: Turn, turn: Turn) -> bool:
    """Whether a call was given more of what the call before it was given than its first message, the system prompt."""
    return len(before.input_refs) < 2 or bool(set(before.input_refs[1:]) & set(turn.input_refs))


def _results(run: Run) -> Mapping[str, list[int]]:
    """span id of a turn -> what its tools gave."""
    owner = {tool.span_id: turn.span_id for turn in run.turns for tool in turn.tools}
    held: dict[str, list[int]] = defaultdict(list)
    for row in run.rows:
        if row["span_id"] in owner and row["kind"] in (SpanKind.TOOL, SpanKind.RETRIEVER):
            held[owner[row["span_id"]]] += row["output_refs"] or []
    return held


class _Phrases:
    """The phrases of a stored message as hashes, without those of system prompts and of the task."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._held: dict[int, frozenset[int]] = {}
        common = {turn.input_refs[0] for turn in run.turns if turn.input_refs and _is_system(run, turn.input_refs[0])}
        for row in run.rows:
            if row["kind"] in (SpanKind.WORKFLOW, SpanKind.AGENT) and row["parent_span_id"] is None:
                common |= set(row["input_refs"] or ())
        self._common: frozenset[int] = frozenset()
        self._common = frozenset(phrase for ref in common for phrase in self.of(ref))
        self._held.clear()

    def of(self, ref: int) -> frozenset[int]:
        if ref not in self._held:
            words = message_words(self._run.contents.get(ref, ""))
            size = min(WORDS, len(words))
            found = {hash(tuple(words[at : at + size])) for at in range(len(words) - size + 1)} if size else set[int]()
            self._held[ref] = frozenset(found - self._common)
        return self._held[ref]


def _is_system(run: Run, ref: int) -> bool:
    body = run.contents.get(ref, "")
    return body.startswith("{") and '"system"' in body[:40] + body[-40:]


def message_words(body: str) -> list[str]:
    """Words of a stored message in lower case: its text and the values that it hands to tools, no names of fields."""
    text = message_text(body)
    if not text:
        text = " ".join(str(leaf) for _, given in requests(body) for leaf in _leaves(given))
    return WORD.findall(text.lower())


def _leaves(value: object) -> list[object]:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    pending, found = [value], list[object]()
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += cast("dict[str, object]", one).values()
        elif isinstance(one, list):
            pending += cast("list[object]", one)
        elif one is not None:
            found.append(one)
    return found
