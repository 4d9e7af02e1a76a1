"""Counts what comes back piece by piece: the answer's own object is kept, so that a framework sees no other type.

A stream that says nothing about tokens, or that is dropped half-way, is charged by what was received.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, cast

from ...online.tariff import Used
from .reading import Answered, _get, google_usage, read_answer  # pyright: ignore[reportPrivateUsage]

Settle = Callable[[Answered, int | None, BaseException | None], None]
"""(what is known, characters received, error); may be called again, the first call counts"""


class Tally:
    """What the pieces of one answer add up to."""

    def __init__(self, settle: Settle) -> None:
        self._settle = settle
        self._used: Used | None = None
        self._text: list[str] = []
        self._model: str | None = None
        self.chars = 0

    def take(self, piece: Any) -> None:
        """One chunk or event of any of the client libraries."""
        self._model = self._model or _text(_get(piece, "model"))
        counted = _get(piece, "usage_metadata")
        if counted is not None:
            self._used = google_usage(counted) or self._used
        for whole in (_get(piece, "response"), _get(piece, "message"), piece):
            # response.completed, message_start, the last chunk of a chat completion or message_delta
            if whole is not None and _get(whole, "usage") is not None:
                self._take_usage(whole)
        for words in _words(piece):
            self.chars += len(words)
            self._text.append(words)

    def _take_usage(self, source: Any) -> None:
        used = read_answer(source).used
        if used is None:
            return
        before = self._used
        if before is not None and used.input_tokens == 0:  # Anthropic says the input first, the output at the end
            used = Used(
                input_tokens=before.input_tokens,
                output_tokens=used.output_tokens,
                cached_tokens=before.cached_tokens,
                cache_write_tokens=before.cache_write_tokens,
            )
        self._used = used

    def end(self, error: BaseException | None = None, *, whole: bool = True) -> None:
        used = self._used if whole or error is None else None
        self._settle(Answered(used=used, text="".join(self._text), model=self._model), self.chars or None, error)


def metered(result: Any, settle: Settle) -> Any:
    """`result`, which settles when it has been read to its end, was closed or is collected; at once where it is no stream."""
    if not is_stream(result):
        settle(read_answer(result), None, None)
        return result
    tally = Tally(settle)
    inner = getattr(result, "_iterator", None)
    if inner is not None and hasattr(inner, "__anext__"):
        result._iterator = _pieces_async(inner, tally)
    elif inner is not None and hasattr(inner, "__next__"):
        result._iterator = _pieces(inner, tally)
    elif hasattr(result, "__aiter__"):
        return _AsyncStream(result, tally)
    else:
        return _Stream(result, tally)
    # One that is never read at all.
    weakref.finalize(result, tally.end, None, whole=False)
    return result


def is_stream(result: Any) -> bool:
    """True for iterators, but not for containers and models that can be iterated."""
    return any(hasattr(cast("type[Any]", type(result)), name) for name in ("__next__", "__anext__", "__aiter__"))


def _pieces(inner: Iterator[Any], tally: Tally) -> Generator[Any]:
    try:
        for piece in inner:
            tally.take(piece)
            yield piece
    except BaseException as error:
        tally.end(error, whole=False)
        raise
    tally.end()


async def _pieces_async(inner: AsyncIterator[Any], tally: Tally) -> AsyncGenerator[Any]:
    try:
        async for piece in inner:
            tally.take(piece)
            yield piece
    except BaseException as error:
        tally.end(error, whole=False)
        raise
    tally.end()


class _Proxy:
    """Stands for a stream whose inside cannot be reached; everything but iterating goes to the stream itself."""

    def __init__(self, stream: Any, tally: Tally) -> None:
        self._stream = stream
        self._tally = tally
        weakref.finalize(self, tally.end, None, whole=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Stream(_Proxy):
    def __init__(self, stream: Any, tally: Tally) -> None:
        super().__init__(stream, tally)
        self._pieces = _pieces(iter(stream), tally)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._pieces)

    def __enter__(self) -> Any:
        enter = getattr(self._stream, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(self, *error: Any) -> Any:
        leave = getattr(self._stream, "__exit__", None)
        self._tally.end(whole=False)
        return leave(*error) if leave is not None else None


class _AsyncStream(_Proxy):
    def __init__(self, stream: Any, tally: Tally) -> None:
        super().__init__(stream, tally)
        self._pieces = _pieces_async(aiter(stream), tally)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._pieces)

    async def __aenter__(self) -> Any:
        enter = getattr(self._stream, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        leave = getattr(self._stream, "__aexit__", None)
        self._tally.end(whole=False)
        return await leave(*error) if leave is not None else None


def _words(piece: Any) -> Iterator[str]:
    """The new text in a chunk: chat deltas with tool arguments, response and message deltas, google's parts."""
    delta = _get(piece, "delta")
    if isinstance(delta, str):
        yield delta
    elif delta is not None:
        yield from filter(None, (_text(_get(delta, name)) for name in ("text", "partial_json", "thinking")))
    choices = _get(piece, "choices")
    for choice in cast("list[Any]", choices) if isinstance(choices, list) else ():
        said = _get(choice, "delta")
        yield from filter(None, (_text(_get(said, name)) for name in ("content", "reasoning_content")))
        calls = _get(said, "tool_calls")
        for call in cast("list[Any]", calls) if isinstance(calls, list) else ():
            function = _get(call, "function")
            yield from filter(None, (_text(_get(function, name)) for name in ("name", "arguments")))
    if _get(piece, "candidates") is not None:
        yield read_answer(piece).text


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
