"""A guard with all that it needs: the clients watched, forks watched, and the ledger of its store."""

from __future__ import annotations

from pathlib import Path

from ...clock import SystemClock
from ...online.ledger import Ledger, ledger_path
from ...online.limits import Limits
from . import family, intercept, own_calls
from .core import Guard, Options

_WALL = SystemClock()

_ledgers: dict[tuple[Path, int], Ledger] = {}


def make(limits: Limits, options: Options) -> Guard:
    """A guard with its ledger; from now on the clients are watched."""
    intercept.watch()
    own_calls.watch()
    family.watch()
    return Guard(limits, options, _ledger(options) if limits.has_windows else None)


def _ledger(options: Options) -> Ledger:
    """One for each store and clock of the process."""
    clock = options.clock or _WALL
    key = (ledger_path(family.store_of(options)), id(clock))
    ledger = _ledgers.get(key)
    if ledger is None:
        ledger = _ledgers[key] = Ledger(key[0], clock=clock)
    return ledger
