"""A response that the host got before it was read (`with_streaming_response`): what it holds is known once the host parses it."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

See = Callable[[Any], None]
"""gets the answer, or the stream of one; must not raise"""
Over = Callable[[BaseException | None], None]
"""called when the response failed to parse, was closed, or is gone; maybe more than once, also after `See`"""


def when_parsed(response: Any, see: See, over: Over) -> None:
    """Have `see` called with what the host gets from `response.parse()`, the first time; the host gets what it got before."""
    seen = False

    def look(answer: Any) -> Any:
        nonlocal seen
        if not seen:
            seen = True
            see(answer)
        return answer

    parse, close = response.parse, response.close
    if inspect.iscoroutinefunction(parse):

        @functools.wraps(parse)
        async def parse_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return look(await parse(*args, **kwargs))
            except BaseException as error:
                over(error)
                raise

        @functools.wraps(close)
        async def close_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await close(*args, **kwargs)
            finally:
                if not seen:
                    over(None)

        response.parse, response.close = parse_async, close_async
    else:

        @functools.wraps(parse)
        def parse_now(*args: Any, **kwargs: Any) -> Any:
            try:
                return look(parse(*args, **kwargs))
            except BaseException as error:
                over(error)
                raise

        @functools.wraps(close)
        def close_now(*args: Any, **kwargs: Any) -> Any:
            try:
                return close(*args, **kwargs)
            finally:
                if not seen:
                    over(None)

        response.parse, response.close = parse_now, close_now
    # A stream outlives the response it came from only in the hands of the host; then it is the stream that ends the call.
    weakref.finalize(response, lambda: None if seen else over(None)).atexit = False
