"""Takes the guard along into threads: contexts do not cross into them by themselves.

A thread has the guard of whoever started it, a task of an executor that of whoever submitted it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry import context as otel_context

from .core import GUARD, Guard

_MARK = "__tracehound_carries__"


def under(guard: Guard | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, with `guard` around it unless it has brought one along."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if otel_context.get_value(GUARD) is guard:
            return function(*args, **kwargs)
        token = otel_context.attach(otel_context.set_value(GUARD, guard))
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return run


def watch() -> None:
    """Wrap `Thread.start` and `ThreadPoolExecutor.submit`, once."""
    start: Any = threading.Thread.start
    if not getattr(start, _MARK, False):

        @functools.wraps(start)
        def start_guarded(self: threading.Thread) -> Any:
            guard = otel_context.get_value(GUARD)
            if isinstance(guard, Guard):
                self.run = under(guard, self.run)
            return start(self)

        setattr(start_guarded, _MARK, True)
        threading.Thread.start = start_guarded
    submit: Any = ThreadPoolExecutor.submit
    if not getattr(submit, _MARK, False):

        @functools.wraps(submit)
        def submit_guarded(self: ThreadPoolExecutor, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            guard = otel_context.get_value(GUARD)
            # Without one, too: the worker may have been started by somebody who had one.
            return submit(self, under(guard if isinstance(guard, Guard) else None, function), *args, **kwargs)

        setattr(submit_guarded, _MARK, True)
        ThreadPoolExecutor.submit = submit_guarded
