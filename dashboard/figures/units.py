"""Numbers as people read them, the same in every figure. the viewer follows these rules too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from analyzers.wording import amount
from tracer.clock import NO_CLOCK_NS, has_clock


def duration(ns: float) -> str:
    """`840 µs`, `12 ms`, `3.42 s`, `2m 05s`, `3h 12m`, `2d 4h`."""
    if ns < 0:
        return "−" + duration(-ns)
    if ns < 1_000:
        return f"{ns:.0f} ns" if ns else "0 s"
    if ns < 999_500:
        return f"{ns / 1e3:.0f} µs"
    if ns < 999_500_000:
        return f"{ns / 1e6:.0f} ms"
    seconds = ns / 1e9
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 172_800:
        return f"{whole // 3_600}h {whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3_600}h"


def after(ns: int, origin_ns: int) -> str:
    """How far into a run that began at `origin_ns`: `+1.66 s`; `#3` where its source has no times, which is message 3, counted from 0."""
    return f"+{duration(ns - origin_ns)}" if has_clock(origin_ns) else f"#{(ns - NO_CLOCK_NS) // 1_000_000_000}"


def took(ns: int, origin_ns: int) -> str | None:
    """How long a part of a run that began at `origin_ns` took; None where its source has no times."""
    return duration(ns) if has_clock(origin_ns) else None


def money(usd: Decimal | float | None) -> str:
    """Four digits under a dollar, two above; an unknown price is said, never shown as zero."""
    if usd is None:
        return "price unknown"
    if usd == 0:
        return "$0"
    if abs(usd) < Decimal("0.00005"):
        return "<$0.0001"
    return f"${usd:,.4f}" if abs(usd) < 1 else f"${usd:,.2f}"


def worth(usd: Decimal | float | None, tokens: int | None) -> str | None:
    """Money where a price is known, else tokens; None where there is neither."""
    if usd:
        return money(usd)
    return amount(tokens, "token") if tokens else None


def count(value: float | None) -> str:
    """Thousands apart; a missing number is a dash."""
    return "–" if value is None else f"{value:,.0f}"


def short_count(value: int) -> str:
    """A count for a place of three or four characters: `999`, `1.2k`, `38k`, `1.2M`."""
    for unit, word in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if value >= unit * 0.9995:
            scaled = value / unit
            return f"{scaled:.1f}".removesuffix(".0") + word if scaled < 9.95 else f"{scaled:.0f}{word}"
    return f"{value}"


def moment(ns: int) -> str:
    """UTC time with microseconds: `2026-11-22 18:35:40.123456 UTC`."""
    whole, rest = divmod(ns, 1_000_000_000)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)
    return f"{at:%Y-%m-%d %H:%M:%S}.{rest // 1000:06d} UTC"


def share(part: float, whole: float) -> str:
    """Percentage with one digit, `–` where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def size(count_bytes: int) -> str:
    """`812 B`, `4.1 kB`, `5.0 MB`."""
    if count_bytes < 1_000:
        return f"{count_bytes} B"
    return f"{count_bytes / 1e3:.1f} kB" if count_bytes < 1_000_000 else f"{count_bytes / 1e6:.1f} MB"


def stretch(seconds: int) -> str:
    """A bucket's width in words: `10 s`, `5 min`, `hour`, `2 days`."""
    for unit_s, word in ((86_400, "day"), (3_600, "hour"), (60, "min"), (1, "s")):
        if seconds >= unit_s:
            number = seconds // unit_s
            return word if number == 1 else f"{number} {word}{'s' if len(word) > 3 or word == 'day' else ''}"
    return "s"
