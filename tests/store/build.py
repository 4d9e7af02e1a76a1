"""Spans for the store's tests: `span(3, trace=1)` has ids one can read in a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tracer.model import RawSpan

START_NS = 1_700_000_000_000_000_000


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span_id(number: int) -> str:
    return f"{number:016x}"


def span(number: int, *, trace: int = 1, parent: int | None = None, ended: bool = True, **more: Any) -> RawSpan:
    """Span `number` of trace `trace`, starting `number` ms after the epoch of the tests and taking 1 ms."""
    start = START_NS + number * 1_000_000
    return RawSpan(
        trace_id=trace_id(trace),
        span_id=span_id(number),
        parent_span_id=None if parent is None else span_id(parent),
        name=f"span {number}",
        start_ns=start,
        end_ns=start + 1_000_000 if ended else None,
        **more,
    )


def in_threads(*work: Callable[[], None]) -> None:
    """Run every piece of `work` in a thread of its own, all at once, and raise what one of them raised."""
    errors: list[BaseException] = []

    def guarded(piece: Callable[[], None]) -> None:
        try:
            piece()
        except BaseException as error:  # noqa: BLE001  (handed to the test)
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(piece,)) for piece in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
