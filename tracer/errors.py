"""Everything tracehound raises on purpose.

    TracehoundError
    ├── BadInput            a file, option or value that cannot be used; the caller can mend it
    │   └── UnknownName     a trace, workflow, column ... that does not exist; carries near names
    ├── StoreError          the store cannot be used now
    │   ├── StoreLocked     another program holds the database file
    │   └── SchemaTooNew    written by a newer tracehound
    └── BudgetExceeded      a guard that was asked for stopped the work
    HardStop                the same as a BaseException, where a guard was made with hard=True

A message says what happened, shows the value and what was expected; ``hint`` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class TracehoundError(Exception):
    """Base of all errors tracehound raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n\nHint: {self.hint}" if self.hint else self.message


class BadInput(TracehoundError):
    """A file, option or value that cannot be used. The command line answers with exit code 2."""


class UnknownName(BadInput):
    """A name that is not there; the hint offers the near ones."""

    @classmethod
    def among(cls, what: str, name: str, available: Iterable[str], *, listed: str | None = None) -> UnknownName:
        """Build the error for `name`, which is none of the `available` names of kind `what`; `listed` says where to find many of them."""
        names = sorted(set(available))
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(repr(n) for n in near)}?"
        elif names and listed:
            hint = listed
        elif names:
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            hint = f"known: {shown}."
        else:
            hint = "there are none yet."
        return cls(f"No {what} {shorten(name)!r}.", hint=hint)


class StoreError(TracehoundError):
    """The store cannot be used at the moment."""


class StoreLocked(StoreError):
    """Another program holds the database file open; nothing is lost, recording goes on."""


class SchemaTooNew(StoreError):
    """The database was written by a newer tracehound; it is left untouched."""


class BudgetExceeded(TracehoundError):
    """A guard that was asked for refused to go on.

    `guard` is the kind of limit (budget, tokens, time, iterations, loop ...), `scope` the guard it belongs to; `limit`, `spent` and
    `reserved` (promised to calls under way) are in `unit` (usd, tokens, s ...). `span_ids` are the span that was refused and the
    guard's own; `partial` is the last answer before the stop, or what was handed to `Guard.keep`.
    """

    # Below `tracehound run` this file has a private name; who reads a traceback knows the public one.
    __module__ = "tracer.errors"

    def __init__(
        self,
        message: str,
        *,
        scope: str,
        limit: float,
        spent: float,
        unit: str,
        guard: str = "budget",
        reserved: float = 0.0,
        span_ids: tuple[str, ...] = (),
        partial: Any = None,
    ) -> None:
        super().__init__(message)
        self.guard, self.scope, self.limit, self.spent, self.unit = guard, scope, limit, spent, unit
        self.reserved, self.span_ids, self.partial = reserved, span_ids, partial

    @property
    def reason(self) -> dict[str, Any]:
        """Everything but the partial result, as plain data."""
        return {
            "guard": self.guard,
            "scope": self.scope,
            "limit": self.limit,
            "spent": self.spent,
            "reserved": self.reserved,
            "unit": self.unit,
            "span_ids": list(self.span_ids),
            "message": self.message,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        given = {key: value for key, value in self.reason.items() if key != "message"}
        return _budget_exceeded, (self.message, {**given, "span_ids": self.span_ids, "partial": self.partial})


def _budget_exceeded(message: str, given: dict[str, Any]) -> BudgetExceeded:
    return BudgetExceeded(message, **given)


class HardStop(BaseException):
    """A stop that `except Exception` does not catch; raised only by guards that were made with `hard=True`.

    The guard's own block turns it into the `BudgetExceeded` it carries.
    """

    def __init__(self, exceeded: BudgetExceeded) -> None:
        super().__init__(exceeded.message)
        self.exceeded = exceeded


def shorten(text: str, limit: int = 80) -> str:
    """Cut `text` in the middle so that a message stays readable."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[-(limit - 1 - head) :]}"
