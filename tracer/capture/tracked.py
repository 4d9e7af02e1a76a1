"""A mapping that records its reads and writes, and notices what is changed behind its back.

    shared = tracer.state({"plan": {"steps": []}}, name="board")
    shared["plan"]                       read, version 0
    shared["plan"] = {...}               write, version 1, before and after
    shared["plan"]["steps"].append(s)    nobody calls the mapping: found at the next access of "plan", or when an agent
                                         or the workflow around ends, as a write with outcome `unversioned`

Values are handed out as they are, not copied, so the program behaves as with the plain mapping. Each access encodes the value
once to compare it with the last known snapshot: time in proportion to its size.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from ..model import CasOutcome
from .complaints import complain
from .content import encode
from .live import AgentSpan, LiveSpan, RunSpan
from .paths import changed_bodies
from .scope import before_end
from .states import NOTHING, state_read, state_write

_tracked: weakref.WeakValueDictionary[int, TrackedState] = weakref.WeakValueDictionary()
_ABSENT: Final = object()


class TrackedState(MutableMapping[str, Any]):
    """Records every read and write of `target`, a mapping from text to JSON-like values; made by `tracer.state`."""

    def __init__(self, target: MutableMapping[str, Any], *, name: str = "", merge: str | None = None) -> None:
        self._target = target
        self._prefix = f"{name}." if name else ""
        self._merge = merge
        self._versions: dict[str, int] = {}
        self._known: dict[str, str | None] = {key: encode(value) for key, value in target.items()}
        self._lock = threading.RLock()
        self._traces: set[int] = set()
        _tracked[id(self)] = self

    def version(self, key: str) -> int:
        """How often `key` was seen to change since tracking began; 0 for never."""
        return self._versions.get(key, 0)

    def read(self, key: str) -> tuple[Any, int]:
        """The value and its version; raises KeyError like the mapping."""
        with self._lock:
            self.look(key)
            value = self._target[key]
            version = self.version(key)
            self._touched()
            state_read(self._prefix + key, value, version=version)
            return value, version

    def compare_and_set(self, key: str, value: Any, *, expected: int) -> bool:
        """Write `value` if the version is still `expected`; False (recorded as a conflict) if it is not."""
        with self._lock:
            self.look(key)
            if self.version(key) != expected:
                state_write(
                    self._prefix + key,
                    before=_or_nothing(self._known.get(key)),
                    after=encode(value),
                    expected=expected,
                    outcome=CasOutcome.CONFLICT,
                    changed_paths=changed_bodies(self._known.get(key), encode(value)),
                    merge=self._merge,
                )
                return False
            self._write(key, value, expected)
            return True

    def look(self, key: str | None = None) -> None:
        """Record what was changed behind the mapping's back, for one key or for all."""
        with self._lock:
            for each in [key] if key is not None else sorted({*self._target, *self._known}):
                value = self._target.get(each, _ABSENT)
                now = None if value is _ABSENT else encode(value)
                if now != self._known.get(each):
                    self._record(each, now, CasOutcome.UNVERSIONED)

    def __getitem__(self, key: str) -> Any:
        return self.read(key)[0]

    def __setitem__(self, key: str, value: Any) -> None:
        with self._lock:
            self.look(key)
            self._write(key, value, None)

    def __delitem__(self, key: str) -> None:
        with self._lock:
            self.look(key)
            del self._target[key]
            self._record(key, None, CasOutcome.UNCHECKED)

    def __iter__(self) -> Iterator[str]:
        return iter(self._target)

    def __len__(self) -> int:
        return len(self._target)

    def __contains__(self, key: object) -> bool:
        return key in self._target

    def __repr__(self) -> str:
        return f"TrackedState({self._target!r})"

    def _write(self, key: str, value: Any, expected: int | None) -> None:
        self._target[key] = value
        # What the mapping holds now, which a mapping that converts or copies may have made different from `value`.
        stored = encode(self._target.get(key, value))
        self._record(key, stored, CasOutcome.UNCHECKED if expected is None else CasOutcome.OK, expected)

    def _record(self, key: str, after: str | None, outcome: CasOutcome, expected: int | None = None) -> None:
        before = self._known.get(key)
        self._versions[key] = self.version(key) + 1
        self._known[key] = after
        self._touched()
        state_write(
            self._prefix + key,
            before=_or_nothing(before),
            after=_or_nothing(after),
            version=self.version(key),
            expected=expected,
            outcome=outcome,
            changed_paths=changed_bodies(before, after),
            merge=self._merge,
        )

    def _touched(self) -> None:
        self._traces.add(trace.get_current_span().get_span_context().trace_id)

    def belongs_to(self, trace_id: int) -> bool:
        """True if a span of this trace has touched it."""
        return trace_id in self._traces


def state(
    target: MutableMapping[str, Any] | Mapping[str, Any] | None = None, *, name: str = "", merge: str | None = None
) -> TrackedState:
    """Track `target` (a new dict without one; it is used, not copied). Keys are recorded as `name.key`.

    `merge` says how concurrent writes are meant to combine: overwrite, append or crdt.
    """
    if target is None:
        target = {}
    return TrackedState(target if isinstance(target, MutableMapping) else dict(target), name=name, merge=merge)


def _or_nothing(body: str | None) -> Any:
    return NOTHING if body is None else body


def _look_before_end(span: LiveSpan, context: Context) -> None:
    if not isinstance(span, (AgentSpan, RunSpan)) or not _tracked:
        return
    trace_id = span.otel.get_span_context().trace_id
    touched = [each for each in list(_tracked.values()) if each.belongs_to(trace_id)]
    if not touched:
        return
    token = otel_context.attach(context)
    try:
        for each in touched:
            each.look()
    except Exception:  # noqa: BLE001 - for instance a dict that changes size meanwhile; logged once
        complain("looking for unversioned writes")
    finally:
        otel_context.detach(token)


before_end(_look_before_end)
