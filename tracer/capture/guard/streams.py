"""Counts what comes back piece by piece: the answer's own object is kept, so that a framework sees no other type.

A stream that says nothing about tokens, or that is dropped half-way, is charged by what was received.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

from ...online.tariff import Used
from ..complaints import complain
from ..watched import watched
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
        try:
            self._take(piece)
        except Exception:  # noqa: BLE001 - the piece belongs to the host; logged once
            complain("reading along with a stream")

    def _take(self, piece: Any) -> None:
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
    followed = watched(result, tally.take, lambda error: tally.end(error, whole=error is None))
    if followed is None:
        tally.end(whole=False)
        return result
    # One that is never read at all, or not to its end.
    weakref.finalize(followed, tally.end, None, whole=False)
    return followed


def is_stream(result: Any) -> bool:
    """True for iterators, but not for containers and models that can be iterated."""
    return any(hasattr(cast("type[Any]", type(result)), name) for name in ("__next__", "__anext__", "__aiter__"))


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
