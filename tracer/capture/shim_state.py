"""Wrappers of shared state: every read and write with its version, and what was there before and after.

A store applies a write in one step without giving way to others, and so does the wrapper with what it knows: when a
write returns, the last known body of its key is what it replaced.
"""

from __future__ import annotations

from typing import Any

from .active import now_ns, target
from .content import encode
from .paths import changed_bodies
from .shim import WatchedState
from .states import NOTHING, state_read, state_write


class StateShim:
    """The wrappers of one state object."""

    def __init__(self, state: Any, watched: WatchedState) -> None:
        self._state = state
        self._watched = watched

    def _enter(self, key: str | None = None) -> int | None:
        """Look for what changed unseen; gives the time."""
        if not self._watched.versioned or key is None:
            self._watched.look()
        elif key in self._watched.known:
            self._watched.look(key)
        return now_ns(target())

    def read(self, original: Any) -> Any:
        async def traced(agent: str, key: str) -> Any:
            start = self._enter(key)
            found = await original(agent, key)
            self._watched.look(key)
            state_read(key, found.value, version=found.version, agent=agent, start_ns=start, end_ns=now_ns(target()))
            return found

        return traced

    def write(self, original: Any) -> Any:
        async def traced(agent: str, key: str, value: Any, *, expected_version: int | None = None) -> Any:
            start = self._enter(key)
            wanted = encode(value)
            try:
                version = await original(agent, key, value, expected_version=expected_version)
            except Exception as error:
                before = self._watched.known.get(key, NOTHING)
                conflict = hasattr(error, "expected") and hasattr(error, "current")
                state_write(
                    key,
                    before=before,
                    after=wanted,
                    expected=expected_version,
                    outcome="conflict" if conflict else "unchecked",
                    agent=agent,
                    start_ns=start,
                    end_ns=now_ns(target()),
                    error=None if conflict else error,
                )
                raise
            checked = expected_version is not None and version is not None
            self._wrote(agent, key, start, version, expected_version, "ok" if checked else "unchecked")
            return version

        return traced

    def append(self, original: Any) -> Any:
        async def traced(agent: str, key: str, event: Any) -> Any:
            start = self._enter(key)
            version = await original(agent, key, event)
            self._wrote(agent, key, start, version, None, "unchecked", merge="append")
            return version

        return traced

    def prune(self, original: Any) -> Any:
        async def traced(agent: str, *, keep: int) -> Any:
            start = self._enter()
            gone = await original(agent, keep=keep)
            left = set(self._state.keys())
            for key in gone:
                if key in left:
                    continue  # it got shorter, its value is the same
                before = self._watched.known.pop(key, NOTHING)
                paths = [] if before is NOTHING else changed_bodies(before, None)
                state_write(
                    key, before=before, changed_paths=paths, agent=agent, start_ns=start, end_ns=now_ns(target())
                )
            return gone

        return traced

    def _wrote(
        self,
        agent: str,
        key: str,
        start: int | None,
        version: Any,
        expected: int | None,
        outcome: str,
        *,
        merge: str | None = None,
    ) -> None:
        before, after = self._watched.known.get(key, NOTHING), self._watched.body(key)
        self._watched.known[key] = after
        state_write(
            key,
            before=before,
            after=after,
            version=version,
            expected=expected,
            outcome=outcome,
            merge=merge,
            agent=agent,
            start_ns=start,
            end_ns=now_ns(target()),
        )
