"""Guards of processes that belong together: children have what is left of the parent's budget, not all of it anew.

    run --guard            every process under `tracehound run`, by the id of the run
    os.fork, fork method   the guards around the fork; it is shared with the children just before
    spawn, forkserver      the guards around `Process.start()`; where to find them travels with the Process object
    subprocess             the guards around `Popen`; the same in the child's environment, taken out of it by whoever records there

Money, tokens, calls and calls at once are shared, and so are windows. Time runs from the same beginning. A loop is looked for, and a stop
stays, in each process by itself; the others find the budget used up at their next call.
"""

from __future__ import annotations

import logging
import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opentelemetry import context as otel_context

from ...online.ledger import ledger_path
from ...online.limits import Limits
from ...online.shared import SharedBook
from ..active import complain
from .core import GUARD, Guard, Options, current, everywhere

logger = logging.getLogger("tracehound")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """What a process that was not forked needs to have a part in a guard."""

    limits: Limits
    options: Options
    folder: str | None
    """of what is counted together; None where nothing of it is"""
    since_ns: int | None


def share(guard: Guard, store: str | os.PathLike[str], name: str | None = None) -> None:
    """Count what `guard` limits together with all processes that share `name`; without one only with those told of it."""
    if guard.account.meters and guard.account.book is None:
        folder = ledger_path(store) / (name or f"guard-{os.urandom(8).hex()}")
        guard.account.share(SharedBook(folder))


def leave(guard: Guard) -> None:
    """The guard's work is over; its file goes with the last process that has a part in it."""
    book, guard.account.book = guard.account.book, None
    if book is not None:
        try:
            book.discard()
        except OSError:
            complain("removing the book of a guard")


def share_all() -> None:
    """Share every guard around the current code with the processes that it is about to start."""
    guard = current()
    for each in guard.chain() if guard is not None else ():
        try:
            share(each, _store(each))
        except OSError:
            complain("sharing a guard with a child process")


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
    options = replace(guard.heritable(), store=Path(_store(guard)).absolute())
    folder = str(book.folder.absolute()) if book is not None else None
    return Heir(limits=guard.limits, options=options, folder=folder, since_ns=guard.since_ns)


def inherit(will: bytes) -> None:
    """Put the guards of `bequeath` around everything that this process does from now on; a forked one has them already."""
    from .public import make

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


def _store(guard: Guard) -> Any:
    from ..setup import recording  # the SDK is loaded only where guards are shared

    here = recording()
    if guard.options.store is not None:
        return guard.options.store
    return here.store if here is not None else os.environ.get("TRACEHOUND_STORE") or "traces.duckdb"


_watching = False


def watch() -> None:
    """Share guards with the children of forks, from now on."""
    global _watching
    if not _watching and hasattr(os, "register_at_fork"):
        _watching = True
        os.register_at_fork(before=_before_fork)


def _before_fork() -> None:
    try:
        share_all()
    except Exception:  # noqa: BLE001 - the fork goes on; logged once
        complain("sharing a guard with a child process")
