"""Numbers and names as people read them; every explanation is put together from these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


def usd(amount: Decimal | float | None) -> str:
    """Money: two digits from a dollar on, two significant ones below, "an unknown amount" where no price is known."""
    if amount is None:
        return "an unknown amount"
    value = float(amount)
    if value == 0 or abs(value) >= 1:
        return f"${value:,.2f}"
    return f"${value:.2g}" if abs(value) >= 1e-4 else f"${value:.7f}".rstrip("0").rstrip(".")


def duration(ns: int) -> str:
    """A length of time: "340 ms", "12.3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h"."""
    seconds = ns / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min {seconds % MINUTE_S:.0f} s"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"
    return f"{seconds // DAY_S:.0f} d {seconds % DAY_S // HOUR_S:.0f} h"


def since(ns: int, start_ns: int) -> str:
    """A moment, counted from the start of its run: "12.3 s into the run"."""
    return f"{duration(max(0, ns - start_ns))} into the run"


def amount(number: int, one: str, many: str = "") -> str:
    """ "1 call", "3 calls"; `many` where an s will not do."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listing(names: Iterable[str], limit: int = 5) -> str:
    """ "a", "a and b", "a, b and c", "a, b, c and 4 more"."""
    held: Sequence[str] = list(names)
    if len(held) > limit:
        return f"{', '.join(held[: limit - 1])} and {len(held) - limit + 1} more"
    return " and ".join((", ".join(held[:-1]), held[-1])) if len(held) > 1 else "".join(held)


def times(ratio: float) -> str:
    """A ratio: "3.4 times", "12 times"."""
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"


def share(ratio: float) -> str:
    """A share of a whole in per cent."""
    return f"{ratio:.0%}"
