"""Reads and writes of shared state, as records; `tracked` watches a mapping by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..model import SpanKind
from ..semconv import Tracehound
from .content import encode
from .live import LiveSpan
from .paths import changed_between
from .scope import Scope, Spec

NOTHING: Final[Any] = object()
"""there is no such value; None is one"""


def state_read(
    key: str,
    value: Any,
    /,
    *,
    version: int | None = None,
    agent: str | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> LiveSpan:
    """`key` of shared state was read: the value as it is now, and its version if it has one. Recorded at once."""

    def build(called: str | None) -> Spec:
        return Spec(
            SpanKind.STATE_READ,
            f"read {key}",
            {Tracehound.STATE_KEY: key, Tracehound.VERSION_READ: version},
            agent=agent,
            start_ns=start_ns,
            outputs=(value,),
        )

    return Scope(LiveSpan, build).record(end_ns=end_ns)


def state_write(
    key: str,
    /,
    *,
    before: Any = NOTHING,
    after: Any = NOTHING,
    version: int | None = None,
    expected: int | None = None,
    outcome: str = "unchecked",
    changed_paths: Sequence[str] | None = None,
    merge: str | None = None,
    agent: str | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    error: BaseException | str | None = None,
) -> LiveSpan:
    """`key` of shared state was written, or was to be (`outcome="conflict"`). Recorded at once.

    `version` is the one made, `expected` the one the writer had seen. Without `changed_paths` they are compared from `before`
    and `after`. `outcome` is a `CasOutcome`: ok, conflict, unchecked, unversioned.
    """
    if changed_paths is None and after is not NOTHING:
        changed_paths = changed_between(None if before is NOTHING else before, after)
    size = None if after is NOTHING else len(encode(after).encode("utf-8", "surrogatepass"))

    def build(called: str | None) -> Spec:
        return Spec(
            SpanKind.STATE_WRITE,
            f"write {key}",
            {
                Tracehound.STATE_KEY: key,
                Tracehound.VERSION_WRITTEN: version,
                Tracehound.VERSION_EXPECTED: expected,
                Tracehound.CHANGED_PATHS: None if changed_paths is None else list(changed_paths),
                Tracehound.VALUE_BYTES: size,
                Tracehound.CAS_OUTCOME: str(outcome),
                Tracehound.MERGE: merge,
            },
            agent=agent,
            start_ns=start_ns,
            inputs=() if before is NOTHING else (before,),
            outputs=() if after is NOTHING else (after,),
        )

    return Scope(LiveSpan, build).record(end_ns=end_ns, error=error)
