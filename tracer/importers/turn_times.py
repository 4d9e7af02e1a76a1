"""When the messages of a transcript were made: by the record's own times, or one second each from 2000-01-01."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tracer.clock import NO_CLOCK_NS

_TIMES = ("timestamp", "ts", "time", "created_at", "createdAt", "created", "start_time")


def intervals(moments: Sequence[int | None]) -> tuple[bool, list[tuple[int, int]]]:
    """(whether the times are the source's own, start and end in ns of each message): every message has a time, and none goes back.

    A message is made between the time of the one before and its own. Equal times keep their order by a microsecond each.
    """
    times = [moment for moment in moments if moment is not None]
    real = len(times) == len(moments) and all(a <= b for a, b in pairwise(times))
    before = times[0] if real and times else NO_CLOCK_NS
    found: list[tuple[int, int]] = []
    for position in range(len(moments)):
        moment = times[position] if real else NO_CLOCK_NS + (position + 1) * 10**9
        found.append((before, max(moment, before + 1_000)))
        before = found[-1][1]
    return real, found


def moment_of(raw: Mapping[str, Any]) -> int | None:
    """A message's time in ns: ISO text, or a number of s, ms, us or ns since 1970."""
    for key in _TIMES:
        value = raw.get(key)
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                continue
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return int(moment.timestamp() * 1e6) * 1_000
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            for scale in (1e9, 1e6, 1e3, 1.0):
                if 1e17 < number * scale < 1e19:
                    return int(number * scale)
    return None
