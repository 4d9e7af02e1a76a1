"""What the wrappers of the reference runtime's parts share: how a method is replaced, and what a run remembers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from ..ids import short_hash
from .content import encode
from .live import DecisionSpan, LiveSpan
from .paths import changed_bodies
from .states import NOTHING, state_write

MARK: Final = "__tracehound_original__"
"""attribute of a replaced method: what it was"""


@dataclass(eq=False)
class Attempt:
    """One try of something that is retried, or its fallback."""

    number: int | None
    previous: Attempt | None = None
    is_fallback: bool = False
    spans: list[str] = field(default_factory=list[str])
    """ids of the operations tried, in order"""

    def attributes(self) -> dict[str, Any]:
        """Keyword arguments for the span of the next operation of this try."""
        before = self.previous.spans if self.previous is not None else []
        same = before[min(len(self.spans), len(before) - 1)] if before else None
        return {
            "attempt": self.number,
            "retry_of": None if self.is_fallback else same,
            "fallback_of": same if self.is_fallback else None,
        }


@dataclass(eq=False)
class Notes:
    """What one run has to remember to tie its spans together."""

    state: WatchedState | None = None
    sent: dict[str, LiveSpan] = field(default_factory=dict[str, LiveSpan])
    """message id -> its span"""
    handoffs: dict[tuple[str, str], LiveSpan] = field(default_factory=dict[tuple[str, str], LiveSpan])
    """(agent, task id) -> the handoff that gave it to the agent"""
    asked_tools: dict[tuple[str, str], deque[str]] = field(default_factory=dict[tuple[str, str], "deque[str]"])
    """(tool, hash of arguments) -> ids under which models asked for it"""
    decisions: dict[int, tuple[Any, DecisionSpan, str]] = field(
        default_factory=dict[int, "tuple[Any, DecisionSpan, str]"]
    )
    """id of a decision -> the decision, its span, not ended yet, and the span within which it was taken"""
    tripped: set[tuple[Any, ...]] = field(default_factory=set[tuple[Any, ...]])
    """guards that were seen to stop the run: a closed gate refuses again and again, and trips once"""

    def asked_for(self, call_id: str, tool: str, arguments: Any) -> None:
        self.asked_tools.setdefault((tool, short_hash(arguments)), deque()).append(call_id)

    def call_id(self, tool: str, arguments: Any) -> str | None:
        waiting = self.asked_tools.get((tool, short_hash(arguments)))
        return waiting.popleft() if waiting else None

    def end_decisions(self, within: str) -> None:
        """End the decisions that were taken within a span and not carried out by now."""
        for key, (_, span, where) in list(self.decisions.items()):
            if where == within:
                del self.decisions[key]
                span.end()

    def look(self) -> None:
        """Record what was changed behind the back of a state that keeps no versions."""
        if self.state is not None and not self.state.versioned:
            self.state.look()


class WatchedState:
    """The last known bodies of a state's keys; a body that changed without a write is recorded as unversioned."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self.known: dict[str, str] = {}
        self.versioned: bool = state.peek("").version is not None
        for key in state.keys():  # noqa: SIM118 - a method of the runtime's state, which is no mapping
            self.known[key] = self.body(key)

    @staticmethod
    def of(state: Any) -> WatchedState:
        """The one of this state; several runs may share it."""
        found = getattr(state, _WATCHED, None)
        if not isinstance(found, WatchedState):
            found = WatchedState(state)
            setattr(state, _WATCHED, found)
        return found

    def body(self, key: str) -> str:
        """The value as it lies in the store."""
        return encode(self._state.peek(key).value)

    def look(self, *keys: str) -> None:
        """Compare the given keys, or all known ones, with what was known of them."""
        for key in keys or tuple(self.known):
            before, now = self.known.get(key), self.body(key)
            if before is None:
                if now == _NOTHING_THERE:
                    continue  # never written
                before = NOTHING
            if now != before:
                self.known[key] = now
                paths = changed_bodies(None if before is NOTHING else before, now)
                state_write(key, before=before, after=now, outcome="unversioned", changed_paths=paths)


_NOTHING_THERE: Final = encode(None)
_WATCHED: Final = "__tracehound_watched__"

current_attempt: ContextVar[Attempt | None] = ContextVar("tracehound_attempt", default=None)
current_notes: ContextVar[Notes | None] = ContextVar("tracehound_notes", default=None)


def notes() -> Notes:
    """What the run around us remembers; outside of a run, something to forget."""
    return current_notes.get() or Notes()


class Patches:
    """Methods replaced on objects, and how to undo it. An object that is wrapped already is left alone."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str]] = []

    def replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """Put `wrap(original)` in place of a method of `owner`, on the instance; passes over what is not there."""
        original = getattr(owner, name, None)
        if original is None or hasattr(original, MARK):
            return
        wrapper = wrap(original)
        setattr(wrapper, MARK, original)
        setattr(owner, name, wrapper)
        self._made.append((owner, name))

    def undo(self) -> None:
        while self._made:
            owner, name = self._made.pop()
            owner.__dict__.pop(name, None)
