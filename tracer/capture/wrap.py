"""Puts a span around every call of a function: sync, async, generator or async generator.

The wrapper is of the same kind as the function, so that `inspect` and frameworks see no difference. A generator's
span covers it from its first step to its end, but is the current span only while a step runs: between two steps the
consumer has its own context, and where a generator is closed does not matter.

Of a class the methods by which it is run are wrapped, in place: the class stays the class it was.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol, TypeVar, cast

from .complaints import complain

F = TypeVar("F", bound=Callable[..., Any])

ENTRIES: Final = (
    "__call__", "run", "arun", "run_async", "invoke", "ainvoke", "stream", "astream", "execute", "aexecute", "forward",
)  # fmt: skip
"""Methods by which frameworks and people run an agent or a tool that is an object."""

MAX_ITEMS: Final = 1_000
"""Items of a generator that are kept as its output."""


class SpanOfCall(Protocol):
    """What the wrappers need of a span's handle."""

    def take_arguments(self, arguments: dict[str, Any]) -> None: ...

    def take_result(self, result: Any) -> None: ...


class OneCall(Protocol):
    """One call in progress; see `scope.Call`."""

    @property
    def span(self) -> SpanOfCall: ...

    def active(self) -> AbstractContextManager[None]: ...

    def end(self, error: BaseException | None) -> None: ...


Begin = Callable[[tuple[Any, ...]], OneCall]
"""given the positional arguments of the call that begins"""


class _Nothing:
    """A call that is part of another one."""

    @property
    def span(self) -> _Nothing:
        return self

    def active(self) -> AbstractContextManager[None]:
        return nullcontext()

    def end(self, error: BaseException | None) -> None:
        del error

    def take_arguments(self, arguments: dict[str, Any]) -> None:
        del arguments

    def take_result(self, result: Any) -> None:
        del result


NOTHING: Final = _Nothing()


def wrap_entries(given: type, begin: Begin) -> None:
    """Wrap those of `ENTRIES` that the class has or inherits, in place; TypeError where there is none."""
    wrapped: dict[str, Any] = {}
    for name in ENTRIES:
        method: Any = next((vars(base)[name] for base in given.__mro__ if name in vars(base)), None)
        if inspect.isroutine(method):
            wrapped[name] = method
    if not wrapped:
        raise TypeError(
            f"the class {given.__qualname__} has none of the methods {', '.join(ENTRIES)}; decorate the class's method instead"
        )
    for name, method in wrapped.items():
        setattr(given, name, wrap(method, begin))


def wrap(function: F, begin: Begin) -> F:
    """`function`, with a call of `begin` around each of its calls. Raises TypeError for what cannot be wrapped."""
    given: Any = function
    if isinstance(given, (staticmethod, classmethod)):
        descriptor = cast("staticmethod[..., Any]", given)
        return cast("F", type(descriptor)(wrap(descriptor.__func__, begin)))
    if isinstance(given, type) or not callable(given):
        raise TypeError(f"a function or method can be decorated, not {given!r}; decorate the class's method instead")
    start = _starter(given, begin)
    if inspect.isasyncgenfunction(given):
        wrapper = _async_generator(given, start)
    elif inspect.iscoroutinefunction(given):
        wrapper = _coroutine(given, start)
    elif inspect.isgeneratorfunction(given):
        wrapper = _generator(given, start)
    else:
        wrapper = _plain(given, start)
    return cast("F", functools.wraps(given)(wrapper))


def name_of(function: Any) -> str:
    """`search` for a function, `Planner.run` for a method."""
    function = getattr(function, "__func__", function)
    qualified = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(qualified).rpartition("<locals>.")[2]


Start = Callable[[tuple[Any, ...], dict[str, Any]], OneCall]


def _starter(function: Callable[..., Any], begin: Begin) -> Start:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []  # some builtins have no signature
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    skip = 1 if names and names[0] in ("self", "cls") else 0

    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> OneCall:
        call = begin(args)
        try:
            arguments = dict(zip(names[skip:], args[skip:], strict=False))
            if len(args) > len(names):
                arguments["args"] = list(args[len(names) :])
            call.span.take_arguments({**arguments, **kwargs})
        except Exception:  # noqa: BLE001 - the host must not feel it; logged once
            complain("recording arguments")
        return call

    return start


def _take(call: OneCall, result: Any) -> None:
    try:
        call.span.take_result(result)
    except Exception:  # noqa: BLE001 - the host must not feel it; logged once
        complain("recording a result")


def _plain(function: Callable[..., Any], start: Start) -> Callable[..., Any]:
    def call_plain(*args: Any, **kwargs: Any) -> Any:
        call = start(args, kwargs)
        try:
            with call.active():
                result = function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        _take(call, result)
        call.end(None)
        return result

    return call_plain


def _coroutine(function: Callable[..., Awaitable[Any]], start: Start) -> Callable[..., Any]:
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        call = start(args, kwargs)
        try:
            with call.active():
                result = await function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        _take(call, result)
        call.end(None)
        return result

    return call_async


def _generator(function: Callable[..., Generator[Any, Any, Any]], start: Start) -> Callable[..., Any]:
    def call_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = start(args, kwargs)
        items: list[Any] = []
        try:
            generator = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with call.active():
                        item = step()
                except StopIteration as stop:
                    result = stop.value
                    break
                if len(items) < MAX_ITEMS:
                    items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with call.active():
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, passed on to the generator
                    step = functools.partial(generator.throw, error)
                else:
                    step = functools.partial(generator.send, sent)
        except BaseException as error:
            _take(call, items)
            call.end(error)
            raise
        _take(call, items if items or result is None else result)
        call.end(None)
        return result

    return call_generator


def _async_generator(function: Callable[..., AsyncGenerator[Any, Any]], start: Start) -> Callable[..., Any]:
    async def call_async_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = start(args, kwargs)
        items: list[Any] = []
        try:
            generator = function(*args, **kwargs)
            step: Callable[[], Awaitable[Any]] = generator.__anext__
            while True:
                try:
                    with call.active():
                        item = await step()
                except StopAsyncIteration:
                    break
                if len(items) < MAX_ITEMS:
                    items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with call.active():
                        await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, passed on to the generator
                    step = functools.partial(generator.athrow, error)
                else:
                    step = functools.partial(generator.asend, sent)
        except BaseException as error:
            _take(call, items)
            call.end(error)
            raise
        _take(call, items)
        call.end(None)

    return call_async_generator
