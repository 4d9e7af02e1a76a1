"""Prices of thousands of calls at once: the sum of `prices.Rates`, in whole billionths of a dollar."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from tracer.pricing.prices import SLOT_NS, Prices, Rate, Rates
from tracer.pricing.usage import Usage

TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
MONEY = pl.Decimal(18, 9)
_BILLIONTH = Decimal("0.000000001")
_MOST_TOKENS = 10**10
_HIGHEST = 10**6
"""of a rate, in billionths a token; times the most tokens, and added up, it stays within 64 bits"""


def price_calls(prices: Prices, calls: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """(USD, where the price comes from) of each of the `calls`, what `Prices.price` says.

    They have model, provider, at_ns and `TOKENS`.
    """
    keyed = calls.with_columns(slot=pl.col("at_ns") // SLOT_NS).with_row_index("row")
    which = keyed.select("model", "provider", "slot").unique().filter(pl.col("model").is_not_null())
    rates = [prices.rates(model, provider, slot * SLOT_NS) for model, provider, slot in which.iter_rows()]
    numbers = {known: number for number, known in enumerate(dict.fromkeys(rates)) if known is not None}
    which = which.with_columns(
        rates=pl.Series([numbers.get(known) if known else None for known in rates], dtype=pl.Int64)
    )
    keyed = keyed.join(which, on=["model", "provider", "slot"], how="left", nulls_equal=True)
    parts = [pl.DataFrame(schema={"row": pl.UInt32, "cost": MONEY, "source": pl.String})]
    for known, number in numbers.items():
        rows = keyed.filter(pl.col("rates") == number)
        priced = rows.select("row").with_columns(_costs(known, rows).alias("cost"))
        parts.append(priced.with_columns(source=pl.when(pl.col("cost").is_not_null()).then(pl.lit(known.source))))
    found = pl.DataFrame({"row": range(calls.height)}, schema={"row": pl.UInt32})
    found = found.join(pl.concat(parts), on="row", how="left", maintain_order="left")
    return found["cost"], found["source"]


def _costs(rates: Rates, rows: pl.DataFrame) -> pl.Series:
    told = [rates.input, rates.output, rates.cached, rates.cache_write, rates.reasoning]
    prices = [price for rate in told if rate for price in (rate.base, *(price for _, price in rate.tiers))]
    whole = all(price * 1000 == int(price * 1000) and price * 1000 < _HIGHEST for price in prices)
    most = rows.select(pl.max_horizontal(pl.col(TOKENS).max())).item() or 0
    if not whole or rates.request or most > _MOST_TOKENS:
        costs = [rates.cost(Usage(**usage)) for usage in rows.select(TOKENS).iter_rows(named=True)]
        return pl.Series([None if cost is None else str(cost) for cost in costs], dtype=pl.String).cast(MONEY)
    sent, got, cached, written, reasoned = (pl.col(name) for name in TOKENS)
    total = sent.fill_null(0)
    plain_in, plain_out = total, got.fill_null(0)
    amount = pl.lit(0, pl.Int64)
    for rate, tokens in ((rates.cached, cached), (rates.cache_write, written)):
        if rate is not None:
            counted = pl.min_horizontal(tokens.fill_null(0), plain_in)
            plain_in = plain_in - counted
            amount = amount + _at(rate, total) * counted
    if rates.reasoning is not None:
        counted = pl.min_horizontal(reasoned.fill_null(0), plain_out)
        plain_out = plain_out - counted
        amount = amount + _at(rates.reasoning, total) * counted
    known = sent.is_not_null() | got.is_not_null()
    for rate, tokens, plain in ((rates.input, sent, plain_in), (rates.output, got, plain_out)):
        if rate is not None:
            amount = amount + _at(rate, total) * plain
            known &= tokens.is_not_null()
    billionths = pl.when(known).then(amount)
    return rows.select((billionths.cast(pl.Decimal(38, 0)) * pl.lit(_BILLIONTH)).cast(MONEY).alias("cost")).to_series()


def _at(rate: Rate, total: pl.Expr) -> pl.Expr:
    """Billionths of a dollar a token."""
    found = pl.lit(int(rate.base * 1000), pl.Int64)
    for start, price in rate.tiers:
        found = pl.when(total > start).then(pl.lit(int(price * 1000), pl.Int64)).otherwise(found)
    return found
