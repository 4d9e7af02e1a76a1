"""Events, queues, conditions, threads and futures whose waits are recorded: for whom an agent blocks in them.

    inbox = tracer.awaited(queue.Queue(), "planner")
    inbox.get()                                         waits for the planner, where nothing is there yet

Unlike a lock, none of them has an owner: who will put, set or notify is known to the program only, so it is said. What is
there already is no wait. Everything else of the object is as before.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from ..errors import BadInput
from .active import now_ns, target
from .live import WaitSpan
from .marks import wait_of
from .scope import Scope

T = TypeVar("T")

_TIMEOUT_AT: Final = {"wait": 0, "wait_for": 1, "get": 1, "join": 0, "result": 0}
"""methods that block -> where their time-out stands among the arguments"""
_ITS_OWN_TIMEOUTS: Final = frozenset({"Empty", "TimeoutError", "QueueEmpty", "BrokenBarrierError"})


def awaited(thing: T, *by: str, mode: str = "any") -> T:
    """`thing`, but whoever blocks in its `wait`, `wait_for`, `get`, `join` or `result` is recorded as waiting for the agents `by`.

    `mode` "any": one of them is enough; "all": all of them are needed.

    Raises:
        BadInput: nobody is named, or `thing` has no such method.
    """
    if not by or not any(callable(getattr(thing, name, None)) for name in _TIMEOUT_AT):
        raise BadInput(
            f"tracer.awaited({type(thing).__name__}, {', '.join(map(repr, by))}) does not say what is waited for, and by whom it comes.",
            hint='For instance tracer.awaited(queue.Queue(), "planner"); locks are made by tracer.lock.',
        )
    return cast("T", _Awaited(thing, by, mode))


class _Awaited:
    """Stands for the object; `isinstance` sees the class of that."""

    def __init__(self, thing: Any, by: tuple[str, ...], mode: str) -> None:
        self._thing, self._by, self._mode = thing, by, mode

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, "_thing").__class__
        if name in ("_thing", "_by", "_mode"):
            return object.__getattribute__(self, name)
        value = getattr(self._thing, name)
        if name not in _TIMEOUT_AT or not callable(value):
            return value
        return _async_method(self, name, value) if inspect.iscoroutinefunction(value) else _method(self, name, value)

    def __repr__(self) -> str:
        return f"<tracer.awaited {self._thing!r} by {', '.join(self._by)}>"

    def __enter__(self) -> Any:
        return self._thing.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._thing.__exit__(*error)

    async def __aenter__(self) -> Any:
        return await self._thing.__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        return await self._thing.__aexit__(*error)


def _method(one: _Awaited, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        timeout = _timeout(name, args, kwargs)
        if timeout == 0 or (name == "get" and (kwargs.get("block", True) is False or args[:1] == (False,))):
            return original(*args, **kwargs)
        there, value = _already(one, name)
        if there:
            return value() if value is not None else original(*args, **kwargs)
        with _waiting(one, timeout) as span:
            try:
                found = original(*args, **kwargs)
            except Exception as error:
                if type(error).__name__ in _ITS_OWN_TIMEOUTS:
                    span.timed_out()
                raise
            if found is False or (name == "join" and _alive(one._thing)):  # pyright: ignore[reportPrivateUsage]
                span.timed_out()
            return found

    return method


def _async_method(one: _Awaited, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    async def method(*args: Any, **kwargs: Any) -> Any:
        there, value = _already(one, name)
        if there:
            return value() if value is not None else await original(*args, **kwargs)
        with _waiting(one, None):
            return await original(*args, **kwargs)

    return method


def _already(one: _Awaited, name: str) -> tuple[bool, Callable[[], Any] | None]:
    """Whether nothing has to be waited for, and how to get what is there where asking takes it."""
    thing: Any = one._thing  # pyright: ignore[reportPrivateUsage]
    if name == "get":
        try:
            item = thing.get_nowait()
        except Exception as error:
            if type(error).__name__ in _ITS_OWN_TIMEOUTS:
                return False, None
            raise
        return True, lambda: item
    for ask, yes in (("is_set", True), ("done", True), ("is_alive", False)):
        if callable(getattr(thing, ask, None)):
            return getattr(thing, ask)() is yes, None
    return False, None


def _alive(thing: Any) -> bool:
    return callable(getattr(thing, "is_alive", None)) and bool(thing.is_alive())


def _timeout(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    place = _TIMEOUT_AT[name]
    given: Any = args[place] if len(args) > place else kwargs.get("timeout")
    return given if isinstance(given, (int, float)) else None


def _waiting(one: _Awaited, timeout_s: float | None) -> Scope[WaitSpan]:
    now = now_ns(target()) or time.time_ns()
    return wait_of(
        one._by,  # pyright: ignore[reportPrivateUsage]
        reason="peer",
        mode=one._mode,  # pyright: ignore[reportPrivateUsage]
        deadline_ns=None if timeout_s is None else now + round(timeout_s * 1e9),
    )
