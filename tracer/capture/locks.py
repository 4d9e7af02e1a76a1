"""Locks whose waits are recorded: who waits for which lock, and which locks it holds meanwhile.

    orders, ledger = tracer.lock("orders"), tracer.lock("ledger")
    with orders, ledger: ...

Only a lock that is taken costs anything: it is tried first, and a wait is begun where somebody else has it. A lock belongs to
the thread or asyncio task that took it, which is what stands still; the wait names it (`tracehound.wait.place`), so that
several instances of one agent are told apart. A guard with `deadlock=True` refuses the wait that could never end, and what
the lock's `with` block then raises lets go of the others.

Semaphores are not wrapped: several hold them at once, and whoever of them does not wait is not seen.
"""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

from ..errors import BadInput
from .active import now_ns, target
from .held import held, task_here
from .live import WaitSpan
from .marks import wait_of
from .scope import Scope


@runtime_checkable
class ThreadLock(Protocol):
    """`threading.Lock`, `RLock`, and what behaves like them."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...


L = TypeVar("L", bound=ThreadLock | asyncio.Lock)


class Lock:
    """A lock between threads, also below a `threading.Condition`; made by `tracer.lock`."""

    def __init__(self, name: str, of: ThreadLock) -> None:
        self.name = name
        self._lock = of
        self._owners: list[list[str]] = []
        """what its owner holds, once for each time it was taken"""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the lock's own. A wait is recorded where it is somebody else's; a guard may refuse that by raising."""
        taken = self._lock.acquire(False)
        if not taken and blocking and timeout != 0:
            with _waiting(self.name, timeout if timeout > 0 else None) as span:
                taken = self._lock.acquire(True, timeout)
                if not taken:
                    span.timed_out()
        if taken:
            self._owners.append(_taken(self.name))
        return taken

    def release(self) -> None:
        # Noted before it is let go: afterwards somebody else may have it.
        owner = self._owners.pop() if self._owners else []
        try:
            self._lock.release()
        except BaseException:
            self._owners.append(owner)
            raise
        _given_back(owner, self.name)

    def locked(self) -> bool:
        """Whether somebody has it."""
        own: Any = getattr(self._lock, "locked", None)  # an RLock has none before Python 3.14
        return bool(own()) if own is not None else bool(self._owners)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<tracer.lock {self.name!r} {'locked' if self.locked() else 'unlocked'}>"


class AsyncLock:
    """A lock between asyncio tasks; made by `tracer.lock(name, asyncio.Lock())`."""

    def __init__(self, name: str, of: asyncio.Lock) -> None:
        self.name = name
        self._lock = of
        self._owner: list[str] = []

    async def acquire(self) -> bool:
        """As the lock's own; an `asyncio.timeout` around it is recorded as a wait that was cancelled."""
        if self._lock.locked():
            with _waiting(self.name, None):
                await self._lock.acquire()
        else:
            await self._lock.acquire()
        self._owner = _taken(self.name)
        return True

    def release(self) -> None:
        owner = self._owner
        self._lock.release()
        _given_back(owner, self.name)

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._lock.locked()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<tracer.lock {self.name!r} {'locked' if self.locked() else 'unlocked'}>"


@overload
def lock(name: str) -> threading.Lock: ...
@overload
def lock(name: str, of: L) -> L: ...
def lock(name: str, of: Any = None) -> Any:
    """A lock called `name` whose waits are recorded; `of` is the one to wrap, a new `threading.Lock` by default.

    Locks of one name are one lock to the analysis. To a type checker it is the lock that it wraps; it is a `Lock` or an `AsyncLock`.

    Raises:
        BadInput: `of` is no lock: it cannot be acquired and released, or several can hold it at once.
    """
    if isinstance(of, asyncio.Lock):
        return AsyncLock(name, of)
    made: Any = threading.Lock() if of is None else of
    shared = isinstance(made, (asyncio.Semaphore, asyncio.Condition, threading.Semaphore, threading.Condition))
    if shared or not isinstance(made, ThreadLock):
        raise BadInput(
            f"tracer.lock({name!r}, ...) got a {type(made).__name__}, which is no lock that one thread or task holds.",
            hint="Wrap a threading.Lock, threading.RLock or asyncio.Lock; a Condition takes such a lock: "
            "threading.Condition(tracer.lock(name)). For semaphores, events and queues say who is waited for: tracer.wait(agent).",
        )
    return Lock(name, made)


def _taken(name: str) -> list[str]:
    names = held()
    names.append(name)
    return names


def _given_back(owner: list[str], name: str) -> None:
    if name in owner:
        owner.remove(name)


def _waiting(name: str, timeout_s: float | None) -> Scope[WaitSpan]:
    task = task_here()
    place = f"task {task.get_name()}" if task is not None else f"thread {_short(threading.current_thread().name)}"
    now = now_ns(target()) or time.time_ns()
    return wait_of(
        [name],
        reason="lock",
        deadline_ns=None if timeout_s is None else now + round(timeout_s * 1e9),
        place=place,
    )


def _short(thread: str) -> str:
    """`Thread-2` for `Thread-2 (work)`: the number is the only one."""
    return thread.partition(" (")[0] if thread.startswith("Thread-") else thread
