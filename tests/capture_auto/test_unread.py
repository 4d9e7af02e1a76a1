"""Responses that the host got before they were read."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from tracer.capture.auto.unread import when_parsed


class Response:
    answer: Any = "answer"

    def parse(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed = True


class AsyncResponse(Response):
    async def parse(self) -> Any:  # type: ignore[override]
        return Response.parse(self)

    async def close(self) -> None:  # type: ignore[override]
        Response.close(self)


async def awaited(value: Any) -> Any:
    return await value if asyncio.iscoroutine(value) else value


def call(value: Any) -> Any:
    return asyncio.run(awaited(value))


@pytest.mark.parametrize("kind", [Response, AsyncResponse])
def test_what_the_host_parses_is_seen_once(kind: type[Response]) -> None:
    """The host gets the same; closing afterwards says nothing more."""
    response, seen, over = kind(), list[Any](), list[Any]()
    when_parsed(response, seen.append, over.append)
    assert [call(response.parse()), call(response.parse())] == ["answer"] * 2
    call(response.close())
    assert (seen, over, response.closed) == (["answer"], [], True)


@pytest.mark.parametrize("kind", [Response, AsyncResponse])
def test_a_response_that_is_closed_unparsed_is_over(kind: type[Response]) -> None:
    """The host may have read the bytes itself."""
    response, seen, over = kind(), list[Any](), list[Any]()
    when_parsed(response, seen.append, over.append)
    call(response.close())
    assert (seen, over, response.closed) == ([], [None], True)


@pytest.mark.parametrize("kind", [Response, AsyncResponse])
def test_a_response_that_cannot_be_parsed_fails_as_before(kind: type[Response]) -> None:
    """The host gets the error, and so does the call."""
    response, over = kind(), list[Any]()
    response.answer = ValueError("no JSON")
    when_parsed(response, over.append, over.append)
    with pytest.raises(ValueError, match="no JSON"):
        call(response.parse())
    assert over == [response.answer]


def test_a_response_that_is_dropped_is_over() -> None:
    """Neither parsed nor closed: the call ends when the response is collected."""
    over: list[Any] = []
    when_parsed(Response(), over.append, over.append)
    gc.collect()
    assert over == [None]
