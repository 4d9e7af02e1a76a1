"""Looks prices up once per model, provider and half hour; the sum itself is a few multiplications.

genai-prices does the matching of names and dates, but its own sum takes 170 us a call, too much for a fold.
The sum here follows its rules (tested against it): cached and cache-write tokens leave the input rate where they have
one of their own, reasoning tokens leave the output rate where they have one, a tier applies to all tokens once the
input passes its start.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from tracer.errors import BadInput
from tracer.pricing.providers import provider_id
from tracer.pricing.usage import Usage

SLOT_NS = 1800 * 10**9
"""prices are looked up once per half hour: some providers are cheaper at night"""
MILLION = Decimal(1_000_000)
STEP = Decimal("0.000000001")
"""cost_usd is DECIMAL(18, 9)"""


@dataclass(frozen=True, slots=True)
class Rate:
    """USD per million tokens; `tiers` are (start, price), ascending: a price holds once the input is above its start."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        found = self.base
        for start, price_above in self.tiers:
            if input_tokens > start:
                found = price_above
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The rates of one model at one time; None where the kind of token has no rate of its own."""

    input: Rate | None
    output: Rate | None
    cached: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    request: Decimal = Decimal(0)
    """USD per request"""
    source: str

    def cost(self, usage: Usage) -> Decimal | None:
        """USD for `usage`; None where a token count that has a price was not reported."""
        if usage.input_tokens is None and usage.output_tokens is None:
            return None
        if (usage.input_tokens is None and self.input) or (usage.output_tokens is None and self.output):
            return None
        total_in, total_out = usage.input_tokens or 0, usage.output_tokens or 0
        plain_in, plain_out = total_in, total_out
        amount = Decimal(0)
        for rate, tokens in ((self.cached, usage.cached_tokens), (self.cache_write, usage.cache_write_tokens)):
            if rate is not None and tokens:
                counted = min(tokens, plain_in)
                plain_in -= counted
                amount += rate.at(total_in) * counted
        if self.reasoning is not None and usage.reasoning_tokens:
            counted = min(usage.reasoning_tokens, plain_out)
            plain_out -= counted
            amount += self.reasoning.at(total_in) * counted
        if self.input is not None:
            amount += self.input.at(total_in) * plain_in
        if self.output is not None:
            amount += self.output.at(total_in) * plain_out
        return (amount / MILLION + self.request).quantize(STEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A user's own price for models whose name matches `pattern` (shell wildcards), USD per million tokens."""

    pattern: str
    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None

    def rates(self) -> Rates:
        return Rates(
            input=Rate(self.input),
            output=Rate(self.output),
            cached=None if self.cached is None else Rate(self.cached),
            cache_write=None if self.cache_write is None else Rate(self.cache_write),
            source=f"override {self.pattern}",
        )


class Prices:
    """A price table: the user's overrides, then genai-prices. Safe to share between threads."""

    def __init__(self, overrides: Mapping[str, Override] | None = None) -> None:
        self._overrides = dict(overrides or {})
        self._known: dict[tuple[str, str | None, int], Rates | None] = {}

    def overrides(self, model: str | None) -> bool:
        """True where the user set a price for `model`."""
        return model is not None and self._override(model) is not None

    def price(self, model: str, provider: str | None, usage: Usage, at_ns: int) -> tuple[Decimal | None, str | None]:
        """(USD, where the price comes from) of one call at `at_ns`; (None, None) where model or usage is unknown."""
        rates = self.rates(model, provider, at_ns)
        cost = rates.cost(usage) if rates else None
        return (None, None) if rates is None or cost is None else (cost, rates.source)

    def rates(self, model: str, provider: str | None, at_ns: int) -> Rates | None:
        """What a call at `at_ns` costs; None where nobody knows."""
        key = (model, provider, at_ns // SLOT_NS)
        try:
            return self._known[key]
        except KeyError:
            override = self._override(model)
            rates = self._known[key] = override.rates() if override else _look_up(model, provider, at_ns)
            return rates

    def _override(self, model: str) -> Override | None:
        if not self._overrides:
            return None
        exact = self._overrides.get(model)
        if exact is not None:
            return exact
        return next((o for pattern, o in self._overrides.items() if fnmatchcase(model, pattern)), None)


@cache
def default_prices() -> Prices:
    """The table without overrides, shared by the process."""
    return Prices()


def price(model: str, provider: str | None, usage: Usage, at_ns: int) -> tuple[Decimal | None, str | None]:
    """`Prices.price` of the shared table."""
    return default_prices().price(model, provider, usage, at_ns)


def read_overrides(source: str | Path | Mapping[str, Any]) -> dict[str, Override]:
    """Overrides from a TOML file or the same as a dict: a table per model name or pattern, numbers in USD per million tokens.

        ["my-model-*"]
        input = 0.5
        output = 1.5
        cached = 0.05

    Raises BadInput that names the model and the key where the numbers are missing or are no numbers >= 0.
    """
    if isinstance(source, str | Path):
        try:
            tables: Mapping[str, Any] = tomllib.loads(Path(source).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadInput(f"Cannot read prices from {str(source)!r}: {error}.") from error
    else:
        tables = source
    found: dict[str, Override] = {}
    for model, table in tables.items():
        if not isinstance(table, Mapping):
            raise BadInput(f"Prices for {model!r}: expected a table with input and output, got {table!r}.")
        numbers = {str(key): _rate(model, str(key), value) for key, value in cast(Mapping[str, Any], table).items()}
        unknown = numbers.keys() - {"input", "output", "cached", "cache_write"}
        if unknown or not {"input", "output"} <= numbers.keys():
            raise BadInput(
                f"Prices for {model!r}: need input and output, may have cached and cache_write, got {sorted(numbers)}.",
                hint="numbers are USD per million tokens.",
            )
        found[model] = Override(pattern=model, **numbers)
    return found


def _rate(model: str, key: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise BadInput(f"Price {key} of {model!r} is {value!r}; expected a number.") from error
    if not number.is_finite() or number < 0:
        raise BadInput(f"Price {key} of {model!r} is {value!r}; expected a number >= 0.")
    return number


def _look_up(model: str, provider: str | None, at_ns: int) -> Rates | None:
    """Ask genai-prices: by provider and model, else by the provider in a name such as `openai/gpt-4o`, else by model alone.

    A known provider that does not sell the model gives None rather than the price of somebody else.
    """
    from genai_prices.data_snapshot import (  # 0.7 s to import: only when a price is asked
        find_provider_by_id,
        get_snapshot,
    )

    snapshot = get_snapshot()
    wanted = provider_id(provider)
    known = wanted if wanted and find_provider_by_id(snapshot.providers, wanted) else None
    attempts: list[tuple[str, str | None]] = [(model, known)]
    if "/" in model:
        prefix, rest = model.split("/", 1)
        named = provider_id(prefix)
        if named and find_provider_by_id(snapshot.providers, named) and known in (None, named):
            attempts.append((rest, named))
    moment = datetime.fromtimestamp(at_ns / 1e9, tz=UTC)
    for reference, seller in attempts:
        try:
            found, info = snapshot.find_provider_model(reference, None, seller, None)
        except LookupError:
            continue
        return _rates(info.get_prices(moment), f"genai-prices {_version()} {found.id}/{info.id}")
    return None


@cache
def _version() -> str:
    return version("genai-prices")


def _rates(prices: Any, source: str) -> Rates | None:
    read = {
        column: _as_rate(getattr(prices, name))
        for column, name in (
            ("input", "input_mtok"),
            ("output", "output_mtok"),
            ("cached", "cache_read_mtok"),
            ("cache_write", "cache_write_mtok"),
            ("reasoning", "output_reasoning_mtok"),
        )
    }
    if read["input"] is None and read["output"] is None:
        return None
    per_thousand = getattr(prices, "requests_kcount", None)
    request = per_thousand / 1000 if isinstance(per_thousand, Decimal) else Decimal(0)
    return Rates(
        input=read["input"],
        output=read["output"],
        cached=read["cached"],
        cache_write=read["cache_write"],
        reasoning=read["reasoning"],
        request=request,
        source=source,
    )


def _as_rate(value: Any) -> Rate | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return Rate(value)
    return Rate(value.base, tuple((tier.start, tier.price) for tier in value.tiers))
