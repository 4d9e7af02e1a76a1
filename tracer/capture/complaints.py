"""Errors of ours that the traced program must not feel: logged once per kind, and counted."""

from __future__ import annotations

import logging

logger = logging.getLogger("tracehound")

_complained: set[str] = set()
_complaints = 0


def complaints() -> int:
    """Errors of ours so far that the host did not feel; told to the store when recording ends."""
    return _complaints


def complain(what: str) -> None:
    """Log, once per kind of trouble, an error of ours that the host must not feel. Call it while handling the error."""
    global _complaints
    _complaints += 1
    if what not in _complained:
        _complained.add(what)
        logger.warning(
            "tracehound: %s failed; the program goes on, this part of the trace is missing", what, exc_info=True
        )
