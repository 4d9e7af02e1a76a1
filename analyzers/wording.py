"""Numbers and names as people read them; every explanation is put together from these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
MOMENT_NS = 1_000_000


def usd(amount: Decimal | float | None) -> str:
    """Money: two digits from a dollar on, two significant ones below, "an unknown amount" where no price is known."""
    if amount is None:
        return "an unknown amount"
    value = float(amount)
    if value == 0 or abs(value) >= 1:
        return f"${value:,.2f}"
    return f"${value:.2g}" if abs(value) >= 1e-4 else f"${value:.7f}".rstrip("0").rstrip(".")


def duration(ns: int) -> str:
    """A length of time: "340 ms", "12.3 s", "4 min 10 s", "2 h", "3 d 4 h"."""
    seconds = ns / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < HOUR_S:
        return _with_rest(whole // MINUTE_S, "min", whole % MINUTE_S, "s")
    if whole < DAY_S:
        return _with_rest(whole // HOUR_S, "h", whole % HOUR_S // MINUTE_S, "min")
    return _with_rest(whole // DAY_S, "d", whole % DAY_S // HOUR_S, "h")


def _with_rest(large: int, one: str, small: int, other: str) -> str:
    return f"{large} {one} {small} {other}" if small else f"{large} {one}"


def since(ns: int, start_ns: int) -> str:
    """A moment, counted from the start of its run: "12.3 s into the run"; below 1 ms "at the start of the run"."""
    return "at the start of the run" if ns - start_ns < MOMENT_NS else f"{duration(ns - start_ns)} into the run"


def onwards(ns: int, start_ns: int) -> str:
    """The same as the beginning of something lasting: "from 12.3 s into the run on", "from the start of the run on"."""
    return "from the start of the run on" if ns - start_ns < MOMENT_NS else f"from {since(ns, start_ns)} on"


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
