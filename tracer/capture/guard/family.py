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
from pathlib import Path

from ...online.ledger import ledger_path
from ...online.shared import SharedBook
from ..complaints import complain
from ..recording import DEFAULT_STORE, STORE_VARIABLE, recording
from .core import Guard, Options, current

logger = logging.getLogger("tracehound")


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
            share(each, store_of(each.options))
        except OSError:
            complain("sharing a guard with a child process")


def store_of(options: Options) -> Path:
    """The store that a guard's windows and shared counts lie beside: the one it names, else the one that is recorded to."""
    if options.store is not None:
        return options.store
    here = recording()
    return here.store if here is not None else Path(os.environ.get(STORE_VARIABLE) or DEFAULT_STORE)


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
