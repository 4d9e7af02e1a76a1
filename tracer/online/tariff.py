"""What a call costs, from a plain table: the traced program never imports a price library.

`host_prices.json` is made by `python -m tracer.pricing.host_table` and says where its numbers are from and of which day.
Guards use it to decide; the cost of a span is computed when spans are read, with the full price history.
A name is matched exactly, then by the longest known beginning; a provider before a slash (`openai/gpt-4o`) is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

MILLION = Decimal(1_000_000)
ASSUMED_OUTPUT = 1_024
"""tokens a guard reserves for an answer whose length nobody limits, and charges where nobody says how long it was"""
CHARS_PER_TOKEN = 3
"""what a text is taken for whose tokens nobody counted: English has about 4, so this errs on the dear side"""


@dataclass(frozen=True, slots=True)
class Rate:
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    estimated: bool = False
    """nobody knows the price: the configured estimate"""
    above: int | None = None
    """input tokens above which the whole call costs `beyond`"""
    beyond: Rate | None = None

    def cost(self, used: Used) -> Decimal:
        if self.above is not None and self.beyond is not None and used.input_tokens > self.above:
            return self.beyond.cost(used)
        fresh = max(used.input_tokens - used.cached_tokens - used.cache_write_tokens, 0)
        amount = (
            fresh * self.input
            + used.cached_tokens * (self.input if self.cached is None else self.cached)
            + used.cache_write_tokens * (self.input if self.cache_write is None else self.cache_write)
            + used.output_tokens * self.output
        )
        return amount / MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Tokens of a call; cached and cache-write tokens are part of the input, reasoning tokens of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    """nobody reported them: counted from the texts"""


UNKNOWN = Rate(Decimal(15), Decimal(75), estimated=True)
"""what a model without a known price is charged: as a dear one, so that a budget is never blind"""


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of models; `own` (name or beginning ending in `*` -> rate) wins over the table."""

    own: Mapping[str, Rate] = field(default_factory=dict[str, Rate])
    unknown: Rate = UNKNOWN

    def rate(self, model: str | None) -> Rate:
        """The rate of a model, `unknown` where nobody has one."""
        if not model:
            return self.unknown
        if self.own:
            found = _match(model, self.own)
            if found is not None:
                return found
        return _shipped(model) or self.unknown


def tokens_of(chars: int) -> int:
    """How many tokens a text of so many characters is taken for."""
    return -(-chars // CHARS_PER_TOKEN)


@cache
def table() -> Mapping[str, Any]:
    """The shipped file: `source`, `date`, `prices` (name or beginning ending in `*` -> [input, output,
    cached, cache write], where long calls are dearer followed by the input tokens above which the second such list holds)."""
    return json.loads((Path(__file__).with_name("host_prices.json")).read_text("utf-8"))


_rates: dict[str, Rate | None] = {}
_DATED = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2})(?:-v\d+:\d+)?$")
_DEPLOYED = re.compile(r"^(?:[a-z]{2,6}\.)?(?:anthropic|amazon|meta|mistral|cohere|deepseek|openai)\.")
"""Bedrock's names: us.anthropic.claude-..."""


def _shipped(model: str) -> Rate | None:
    try:
        return _rates[model]
    except KeyError:
        pass
    if len(_rates) > 1_000:
        _rates.clear()
    found = _match(model, table()["prices"])
    rate = None if found is None else _rate(found)
    _rates[model] = rate
    return rate


def _rate(row: Sequence[Any]) -> Rate:
    numbers = [None if each is None else Decimal(each) for each in row[:4]]
    above, beyond = (row[4], _rate(row[5])) if len(row) > 4 else (None, None)
    return Rate(numbers[0] or Decimal(0), numbers[1] or Decimal(0), numbers[2], numbers[3], above=above, beyond=beyond)


def _match(model: str, prices: Mapping[str, Any]) -> Any:
    name = model.lower()
    while True:
        maker = _DEPLOYED.sub("", name)
        for candidate in (name, maker, _DATED.sub("", maker)):
            if candidate in prices:
                return prices[candidate]
            for end in range(len(candidate), 0, -1):
                found = prices.get(candidate[:end] + "*")
                if found is not None:
                    return found
        _, slash, name = name.partition("/")
        if not slash:
            return None
