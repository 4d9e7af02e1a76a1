"""Reads along with a stream: whoever consumes it gets every item as before, from an object of the same type."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

Take = Callable[[Any], None]
"""gets every item; must not raise"""
End = Callable[[BaseException | None], None]
"""called once, when the stream was consumed (None), failed, or was closed (GeneratorExit)"""


def watched(stream: Any, take: Take, end: End) -> Any:
    """What to hand on in place of `stream`, mostly itself; None where it cannot be watched.

    The clients' own streams hold an iterator in `_iterator`; a generator is put into another; any other iterator gets a
    subclass of its class, so that `isinstance` and attributes stay what they were.
    """
    inner: Any = getattr(stream, "_iterator", None)
    if hasattr(inner, "__anext__"):
        stream._iterator = _items_async(inner, take, end)
    elif hasattr(inner, "__next__"):
        stream._iterator = _items(inner, take, end)
    elif inspect.isasyncgen(stream):
        return _items_async(stream, take, end)
    elif inspect.isgenerator(stream):
        return _items(stream, take, end)
    elif not _subclassed(stream, take, end):
        return None
    return stream


def _items(inner: Iterator[Any], take: Take, end: End) -> Iterator[Any]:
    try:
        for item in inner:
            take(item)
            yield item
    except BaseException as error:
        end(error)
        raise
    end(None)


async def _items_async(inner: AsyncIterator[Any], take: Take, end: End) -> AsyncIterator[Any]:
    try:
        async for item in inner:
            take(item)
            yield item
    except BaseException as error:
        end(error)
        raise
    end(None)


def _subclassed(stream: Any, take: Take, end: End) -> bool:
    kind = cast("Any", type(stream))
    body: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__slots__": ()}
    if hasattr(kind, "__next__"):

        def following(self: Any) -> Any:
            try:
                item = kind.__next__(self)
            except BaseException as error:
                end(None if isinstance(error, StopIteration) else error)
                raise
            take(item)
            return item

        body["__next__"] = following
    if hasattr(kind, "__anext__"):

        async def following_async(self: Any) -> Any:
            try:
                item = await kind.__anext__(self)
            except BaseException as error:
                end(None if isinstance(error, StopAsyncIteration) else error)
                raise
            take(item)
            return item

        body["__anext__"] = following_async
    if len(body) == 3:
        return False
    try:
        stream.__class__ = type(kind.__name__, (kind,), body)
    except TypeError:  # a class written in C
        return False
    return True
