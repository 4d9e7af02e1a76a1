"""Anthropic's `messages.stream()`: the call gives a manager, and the request is made when that is entered.

    with client.messages.stream(...) as events: ...     what is around a call belongs around `__enter__`

So the manager's own request is replaced by one that goes through `around`, which is what wraps `create` elsewhere.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

logger = logging.getLogger("tracehound")

_REQUESTS: Final = tuple(
    f"_{name}__api_request"
    for name in (
        "MessageStreamManager",
        "AsyncMessageStreamManager",
        "BetaMessageStreamManager",
        "BetaAsyncMessageStreamManager",
    )
)
"""where the managers keep it: a function, or an awaitable in the async ones"""

Around = Callable[[Callable[..., Any]], Callable[..., Any]]
"""a call that makes a request -> the same with something around it"""


def through_manager(original: Callable[..., Any], around: Around, *, is_async: bool) -> Callable[..., Any]:
    """`original`, which gives a manager; `around` wraps its request, called with what `original` was given and `stream=True`."""

    @functools.wraps(original)
    def stream(*args: Any, **kwargs: Any) -> Any:
        manager = original(*args, **kwargs)
        name = next((each for each in _REQUESTS if hasattr(manager, each)), None)
        if name is None:  # another version, or somebody's own manager: as without us
            logger.debug("tracehound: %s keeps no request that could be watched", type(manager).__name__)
            return manager
        request = getattr(manager, name)
        asked = {**kwargs, "stream": True}

        if is_async:

            async def make(*_: Any, **__: Any) -> Any:
                return await request

            async def ask() -> Any:
                try:
                    return await around(make)(*args, **asked)
                except BaseException:
                    _close(request)  # refused before it was awaited: nobody forgot to
                    raise

            setattr(manager, name, _Once(ask, request))
        else:
            setattr(manager, name, lambda: around(lambda *_, **__: request())(*args, **asked))
        return manager

    return stream


class _Once:
    """Awaits what it makes only then: a manager that is never entered leaves no coroutine of ours behind."""

    def __init__(self, make: Callable[[], Awaitable[Any]], request: Any) -> None:
        self._make = make
        self._request = request

    def close(self) -> None:
        _close(self._request)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._make().__await__()


def _close(request: Any) -> None:
    """Let go of an awaitable that is not going to be awaited; nothing where it was."""
    if hasattr(request, "close"):
        request.close()
