"""What a process that was not forked is left of the guards around its start: `bequeath` in the parent, `inherit` in the child.

Loaded with the guards, because whoever starts a process looks for this module only where it is loaded (`auto.processes`).
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

from opentelemetry import context as otel_context

from ...online.limits import Limits
from ...online.shared import SharedBook
from .core import GUARD, Guard, Options, current, everywhere
from .family import share_all, store_of
from .making import make


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """What a process that was not forked needs to have a part in a guard."""

    limits: Limits
    options: Options
    folder: str | None
    """of what is counted together; None where nothing of it is"""
    since_ns: int | None


def bequeath() -> bytes | None:
    """The guards around the current code, innermost last, for a child that is not forked; None where there are none."""
    share_all()
    guard = otel_context.get_value(GUARD)  # one for the whole process is made by the child's own bootstrap
    if not isinstance(guard, Guard):
        return None
    heirs = [_heir(each) for each in guard.chain() if each not in everywhere()]
    return pickle.dumps(heirs[::-1]) if heirs else None


def _heir(guard: Guard) -> Heir:
    book = guard.account.book
    options = replace(guard.heritable(), store=store_of(guard.options).absolute())
    folder = str(book.folder.absolute()) if book is not None else None
    return Heir(limits=guard.limits, options=options, folder=folder, since_ns=guard.since_ns)


def inherit(will: bytes) -> None:
    """Put the guards of `bequeath` around everything that this process does from now on; a forked one has them already."""
    if isinstance(otel_context.get_value(GUARD), Guard):
        return
    guard: Guard | None = current()
    heirs: list[Heir] = pickle.loads(will)
    for heir in heirs:
        made = make(heir.limits, heir.options)
        made.begin(guard)
        if heir.folder is not None:
            made.account.share(SharedBook(heir.folder))
        made.since_ns = heir.since_ns
        guard = made
    otel_context.attach(otel_context.set_value(GUARD, guard))
