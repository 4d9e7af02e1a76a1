"""Functions of all four kinds, called alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of any of the four kinds to its end; a list of items for the generators."""
    if inspect.isasyncgenfunction(function):

        async def items() -> list[Any]:
            return [item async for item in function(*args, **kwargs)]

        return asyncio.run(items())
    if inspect.iscoroutinefunction(function):
        return asyncio.run(function(*args, **kwargs))
    result = function(*args, **kwargs)
    return list(result) if inspect.isgenerator(result) else result
