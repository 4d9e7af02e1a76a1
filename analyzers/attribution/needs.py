"""What each step of a run rested on, so that evidence can be followed back from a bad outcome and a fault forward to whom it reached.

    search -> "Halden: 1210" -> note -> sum -> answer       answer needs sum needs note needs search
    chat   -> "nice day"                                    nobody took it up: not behind the answer

Edges, from recorded facts only:
    content    an input of the later step is, to the letter, an output of the earlier one
    items      an input holds a number or an id that the earlier step was the last to say
    calls      a tool needs the model call that asked for it, the next model call of its agent needs the tool
    messages   what the receiver does next needs the message, the message what its sender said last
    state      what an agent does after it read a version needs the write of that version
A fact that was put into other words is an edge that is not seen; a step that is not behind the outcome is only *not known* to have
reached it. None where no model call has its texts recorded (transcripts: everybody read everything). O(items of all inputs).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from analyzers.attribution.steps import Step, numbers_in
from analyzers.frames import Frames
from analyzers.purposes import message_text
from tracer.model import SpanKind

MOST_STEPS, MOST_INPUTS = 3_000, 200_000
ID = re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{3,40}\b")
THINKS = (SpanKind.LLM, SpanKind.AGENT)
SENDS = (SpanKind.MESSAGE, SpanKind.HANDOFF)


@dataclass(frozen=True, slots=True)
class Needs:
    """`on[place]`: places of the earlier steps that the step at `place` directly rests on."""

    on: Sequence[frozenset[int]]

    def behind(self, ends: Iterable[int]) -> set[int]:
        """`ends` and everything that they rest on, directly or not."""
        return _closure(ends, self.on)

    def ahead(self, place: int) -> set[int]:
        """The step and everything that rests on it, directly or not."""
        used: list[set[int]] = [set() for _ in self.on]
        for later, earlier in enumerate(self.on):
            for one in earlier:
                used[one].add(later)
        return _closure([place], used)


def spread(steps: Sequence[Step], needs: Needs, place: int) -> dict[str, float]:
    """Agent -> share of its steps from the suspect on that rest on it; only agents that it reached."""
    reached = needs.ahead(place)
    after: dict[str, list[int]] = defaultdict(list)
    for step in steps[place + 1 :]:
        if step.agent:
            after[step.agent].append(step.place)
    shares = {agent: len(reached.intersection(places)) / len(places) for agent, places in sorted(after.items())}
    return {agent: round(share, 3) for agent, share in shares.items() if share}


def _closure(starts: Iterable[int], edges: Sequence[Iterable[int]]) -> set[int]:
    seen = set(starts)
    pending = list(seen)
    while pending:
        for one in edges[pending.pop()]:
            if one not in seen:
                seen.add(one)
                pending.append(one)
    return seen


def needs_of(frames: Frames, steps: Sequence[Step]) -> Needs | None:
    """The edges of the one run in `frames`; None where they cannot be seen, or the run is too long."""
    thinking = [s for s in steps if s.kind in THINKS and any(ref in frames.contents for ref in s.inputs)]
    if not thinking or len(steps) > MOST_STEPS or sum(len(s.inputs) for s in steps) > MOST_INPUTS:
        return None
    if any(step.step is not None for step in steps):
        return None
    read = _reads(frames, steps)
    on: list[frozenset[int]] = []
    wrote: dict[int, int] = {}
    said: dict[str, int] = {}
    last: dict[str | None, Step] = {}
    spoke: dict[str | None, int] = {}
    posted: dict[str | None, int] = {}
    pages = Pages(frames.contents)
    for step in steps:
        own = set(read.get(step.place, ()))
        own |= {wrote[ref] for ref in step.inputs if ref in wrote}
        before = last.get(step.agent)
        if step.kind in THINKS:
            own |= {said[item] for ref in step.inputs for item in pages.items(ref) if item in said}
            own |= {posted.pop(step.agent)} if step.agent in posted else set()
            own |= {before.place} if before is not None and before.role == "machine" else set()
        elif step.agent in spoke:
            own.add(spoke[step.agent])
        if step.role == "machine" or step.kind == SpanKind.STATE_WRITE:
            own |= {before.place} if before is not None and before.kind in THINKS else set()
        on.append(frozenset(one for one in own if one < step.place))
        if step.kind in SENDS:
            posted[step.target] = step.place
        else:
            for ref in step.outputs:
                wrote[ref] = step.place
            for item in items_in(step.text):
                said[item] = step.place
            if step.kind in THINKS:
                spoke[step.agent] = step.place
        last[step.agent] = step
    return Needs(on)


@lru_cache(maxsize=20_000)
def items_in(text: str) -> frozenset[str]:
    """Numbers of two digits or more, and words with a digit in them."""
    return frozenset(numbers_in(text) | set(ID.findall(text)))


class Pages:
    """The stored texts as words and items, each read once."""

    def __init__(self, contents: Mapping[int, str]) -> None:
        self._contents = contents
        self._items: dict[int, frozenset[str]] = {}
        self._texts: dict[int, str] = {}
        self._numbers: dict[int, frozenset[str]] = {}

    def text(self, ref: int) -> str:
        """The message in lower case, requests of tools included."""
        if ref not in self._texts:
            body = self._contents.get(ref, "")
            self._texts[ref] = (message_text(body) or body).lower()
        return self._texts[ref]

    def items(self, ref: int) -> frozenset[str]:
        """`items_in` of it."""
        if ref not in self._items:
            self._items[ref] = items_in(message_text(self._contents.get(ref, "")))
        return self._items[ref]

    def numbers(self, ref: int) -> frozenset[str]:
        """`numbers_in` of it, requests of tools included."""
        if ref not in self._numbers:
            self._numbers[ref] = frozenset(numbers_in(self.text(ref)))
        return self._numbers[ref]

    def known(self, refs: Iterable[int]) -> bool:
        """Whether all of these texts were recorded."""
        return all(ref in self._contents for ref in refs)


def _reads(frames: Frames, steps: Sequence[Step]) -> dict[int, list[int]]:
    """Place of the first step after a read of shared state -> places of the writes whose versions were read."""
    ops = frames.spans.filter(pl.col("kind").is_in([SpanKind.STATE_READ, SpanKind.STATE_WRITE]))
    if ops.is_empty():
        return {}
    places = {step.span_id: step.place for step in steps}
    rows = ops.select("span_id", "kind", "agent", "state_key", "version_read", "version_written", "start_ns").to_dicts()
    made = {
        (row["state_key"], row["version_written"]): places[row["span_id"]]
        for row in rows
        if row["kind"] == SpanKind.STATE_WRITE and row["version_written"] is not None and row["span_id"] in places
    }
    found: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        writer = made.get((row["state_key"], row["version_read"])) if row["kind"] == SpanKind.STATE_READ else None
        user = next((s for s in steps if s.agent == row["agent"] and s.start_ns >= row["start_ns"]), None)
        if writer is not None and user is not None:
            found[user.place].append(writer)
    return found
