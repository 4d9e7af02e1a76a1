"""Which locks the current thread or task holds; kept by `locks`, said by every wait."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio


class _Held(threading.local):
    def __init__(self) -> None:
        self.names: list[str] = []


_by_thread = _Held()
_by_task: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


def task_here() -> asyncio.Task[Any] | None:
    """The asyncio task around the current code."""
    found: Any = sys.modules.get("asyncio")  # importing it would cost a program that has none 30 ms
    try:
        return found.current_task() if found is not None else None
    except RuntimeError:  # no loop runs in this thread
        return None


def held() -> list[str]:
    """Names of the locks that the current task, or else thread, has taken; the list that is kept, not a copy."""
    task = task_here()
    return _by_thread.names if task is None else _by_task.setdefault(task, [])
