"""What a guard limits, as data: from keyword arguments or from texts such as `budget=5` and `tokens=200k`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from ..errors import BadInput, UnknownName, shorten
from .fanout import FanoutLimits

LoopLevel = Literal["warning", "critical"]
LEAST_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None = not limited."""

    budget_usd: Decimal | None = None
    tokens: int | None = None
    """input and output"""
    seconds: float | None = None
    """wall time since the guard began"""
    iterations: int | None = None
    """LLM calls"""
    concurrency: int | None = None
    """LLM calls at once"""
    loop: LoopLevel | float | None = None
    """the level of a loop alarm that stops, or after how many rounds without anything new"""
    fanout: int | None = None
    """agents at work at once below the guard; the other signs of `online.fanout` stop, too"""
    deadlock: bool | None = None
    """a wait that closes a deadlock is refused"""
    state_bytes: int | None = None
    """one written value of shared state"""
    per_hour_usd: Decimal | None = None
    per_day_usd: Decimal | None = None
    runs_per_hour: int | None = None
    concurrent_runs: int | None = None
    """these four count over all processes of a store"""

    @property
    def has_windows(self) -> bool:
        return not (
            self.per_hour_usd is None
            and self.per_day_usd is None
            and self.runs_per_hour is None
            and self.concurrent_runs is None
        )


_SHORT: Mapping[str, str] = {
    "budget": "budget_usd",
    "usd": "budget_usd",
    "per_hour": "per_hour_usd",
    "per_day": "per_day_usd",
}
_SCALE: Mapping[str, int] = {"": 1, "k": 1_000, "m": 1_000_000, "kb": 1_000, "mb": 1_000_000}
_NUMBER = re.compile(r"\$?([0-9]+(?:_?[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)\s*(k|m|kb|mb)?", re.IGNORECASE)
_SWITCH: Mapping[str, bool] = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_MONEY = frozenset({"budget_usd", "per_hour_usd", "per_day_usd"})


def checked(**given: Any) -> Limits:
    """Limits from Python values.

    Raises:
        BadInput: a limit is no number above zero, or the loop level is unknown.
    """
    return Limits(**{name: _value(name, value) for name, value in given.items() if value is not None})


def parse(options: Iterable[str]) -> Limits:
    """Limits from `name=value` texts; the names are those of `Limits`, and budget, usd, per_hour, per_day.

    Numbers may end in k or m (thousand, million). A later text replaces an earlier one.

    Raises:
        BadInput: a text that is not `name=value`, an unknown name, or no number above zero.
    """
    found: dict[str, Any] = {}
    known = {field.name for field in fields(Limits)}
    for option in options:
        name, equals, text = (part.strip() for part in option.partition("="))
        name = name.replace("-", "_")
        name = _SHORT.get(name, name)
        if not equals or not text:
            raise BadInput(f"Guard {shorten(option)!r} is not of the form name=value.", hint="for instance: budget=5")
        if name not in known:
            raise UnknownName.among("guard", name, known | _SHORT.keys())
        found[name] = _value(name, text)
    return Limits(**found)


def _value(name: str, given: Any) -> Any:
    if name == "loop":
        return _loop(given)
    if name == "deadlock":
        return _switch(name, given)
    if name == "fanout" and str(given).lower() in _SWITCH:
        return FanoutLimits().live if _switch(name, given) else None
    number = _number(name, given)
    if name in _MONEY:
        return number
    if name == "seconds":
        return float(number)
    if number != int(number):
        raise BadInput(f"Guard {name}={given}: expected a whole number.")
    return int(number)


def _loop(given: Any) -> LoopLevel | float | None:
    if given is True:
        return "critical"
    if given is False:
        return None
    if given in ("warning", "critical"):
        return given
    if isinstance(given, (int, float)) or (isinstance(given, str) and _NUMBER.fullmatch(given.strip())):
        rounds = float(_number("loop", given))
        if rounds >= LEAST_ROUNDS:
            return rounds
    raise BadInput(
        f"Guard loop={given!r}: expected 'warning', 'critical', or a number of rounds from {LEAST_ROUNDS} on."
    )


def _switch(name: str, given: Any) -> bool:
    found = _SWITCH.get(str(given).lower())
    if found is None:
        raise BadInput(f"Guard {name}={shorten(str(given))}: expected true or false.")
    return found


def _number(name: str, given: Any) -> Decimal:
    scale = 1
    try:
        if isinstance(given, bool):
            raise InvalidOperation
        if isinstance(given, str):
            match = _NUMBER.fullmatch(given.strip())
            if match is None:
                raise InvalidOperation
            given, scale = match[1].replace("_", ""), _SCALE[(match[2] or "").lower()]
        number = Decimal(str(given)) * scale
    except InvalidOperation as error:
        raise BadInput(f"Guard {name}={shorten(str(given))}: expected a number above zero.") from error
    if not number.is_finite() or number <= 0:
        raise BadInput(f"Guard {name}={given}: expected a number above zero.")
    return number
