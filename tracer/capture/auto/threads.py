"""Work that goes on in another thread keeps its parent: `threading.Thread` and `ThreadPoolExecutor`.

Only OpenTelemetry's context is carried over. Copying all context variables would share the program's own between threads
(a `decimal` context, for one, is a mutable object in such a variable), which an unmodified program does not expect.
`loop.run_in_executor` goes through `submit`; asyncio tasks and `asyncio.to_thread` keep the context by themselves.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

_CARRIED: Final = "_tracehound_context"


def _api() -> Any:
    """`opentelemetry.context`, unless nobody has imported it: then there is nothing to carry."""
    return sys.modules.get("opentelemetry.context")


def wrap_threads() -> None:
    """Wrap both; doing it twice changes nothing."""
    if hasattr(threading.Thread.start, "__tracehound__"):
        return
    start: Any = threading.Thread.start
    inner: Any = getattr(threading.Thread, "_bootstrap_inner")  # noqa: B009 - runs `run()`, which subclasses replace
    submit: Any = ThreadPoolExecutor.submit

    @functools.wraps(start)
    def traced_start(self: threading.Thread) -> None:
        api = _api()
        if api is not None and (context := api.get_current()):
            vars(self)[_CARRIED] = context
        start(self)

    @functools.wraps(inner)
    def traced_inner(self: threading.Thread) -> None:
        context = vars(self).pop(_CARRIED, None)
        if context is not None:
            _api().attach(context)  # ends with the thread, which has context variables of its own
        inner(self)

    @functools.wraps(submit)
    def traced_submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        api = _api()
        if api is not None:
            fn = _Within(api, api.get_current(), fn)
        return submit(self, fn, *args, **kwargs)

    vars(traced_start)["__tracehound__"] = True
    threading.Thread.start = traced_start
    setattr(threading.Thread, "_bootstrap_inner", traced_inner)  # noqa: B010
    ThreadPoolExecutor.submit = traced_submit


class _Within:
    """A submitted function, run in the context it was submitted in; a pool's thread has served others before."""

    def __init__(self, api: Any, context: Any, function: Callable[..., Any]) -> None:
        self._api, self._context, self._function = api, context, function
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = self._api.attach(self._context)
        try:
            return self._function(*args, **kwargs)
        finally:
            self._api.detach(token)
