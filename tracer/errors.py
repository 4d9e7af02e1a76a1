"""Everything tracehound raises on purpose.

    TracehoundError
    ├── BadInput            a file, option or value that cannot be used; the caller can mend it
    │   └── UnknownName     a trace, workflow, column ... that does not exist; carries near names
    ├── StoreError          the store cannot be used now
    │   ├── StoreLocked     another program holds the database file
    │   └── SchemaTooNew    written by a newer tracehound
    └── BudgetExceeded      a guard that was asked for stopped the work

A message says what happened, shows the value and what was expected; ``hint`` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
    def among(cls, what: str, name: str, available: Iterable[str]) -> UnknownName:
        """Build the error for `name`, which is none of the `available` names of kind `what`."""
        names = sorted(set(available))
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(repr(n) for n in near)}?"
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

    `scope` names the budget, `limit` and `spent` are in its own unit (`unit`: usd, tokens, s ...).
    """

    def __init__(self, message: str, *, scope: str, limit: float, spent: float, unit: str) -> None:
        super().__init__(message)
        self.scope, self.limit, self.spent, self.unit = scope, limit, spent, unit


def shorten(text: str, limit: int = 80) -> str:
    """Cut `text` in the middle so that a message stays readable."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[-(limit - 1 - head) :]}"
