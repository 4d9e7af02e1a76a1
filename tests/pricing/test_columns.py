"""Thousands of calls at once cost what they cost one by one."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import polars as pl

from tracer.pricing import TOKENS, Override, Prices, Usage, price_calls

AT_NS = 1_780_000_000_000_000_000
OVERRIDES = {
    "third-*": Override(pattern="third-*", input=Decimal(1) / 3, output=Decimal("0.0001")),
    "cached": Override(pattern="cached", input=Decimal("2.5"), output=Decimal(10), cached=Decimal("0.25")),
}
MODELS = ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "third-one", "cached", "nobody-knows", None)


def test_prices_by_column_are_the_prices_of_each_call() -> None:
    rng, prices = random.Random(4), Prices(OVERRIDES)
    calls: list[dict[str, Any]] = [
        {
            "model": rng.choice(MODELS),
            "provider": rng.choice((None, "openai", "anthropic", "google")),
            "at_ns": AT_NS + rng.randint(0, 5) * 10**13,
        }
        | {name: rng.choice((None, 0, 7, 150_000, 300_001, 10**12)) for name in TOKENS}
        for _ in range(600)
    ]
    schema = {"model": pl.String, "provider": pl.String, "at_ns": pl.Int64, **dict.fromkeys(TOKENS, pl.Int64)}
    costs, sources = price_calls(prices, pl.DataFrame(calls, schema=schema))
    one_by_one = [
        (None, None)
        if call["model"] is None
        else prices.price(
            call["model"], call["provider"], Usage(**{name: call[name] for name in TOKENS}), call["at_ns"]
        )
        for call in calls
    ]
    assert list(zip(costs, sources, strict=True)) == one_by_one
    assert costs.null_count() < 500, "hardly a call has a price"


def test_no_calls_cost_nothing() -> None:
    schema = {"model": pl.String, "provider": pl.String, "at_ns": pl.Int64, **dict.fromkeys(TOKENS, pl.Int64)}
    costs, sources = price_calls(Prices(), pl.DataFrame(schema=schema))
    assert (costs.len(), sources.len()) == (0, 0)
