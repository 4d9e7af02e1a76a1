"""What a call that was never made would have cost: by the price table, else by what the run's own calls cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from tracer.pricing.prices import price
from tracer.pricing.usage import Usage

USUAL_CACHED, USUAL_OUTPUT = Decimal("0.1"), Decimal(4)
"""price of a cached and of an output token over that of an input token, in most of the price table"""
CENT_OF_A_MILLIONTH = Decimal("0.000000001")
"""cost_usd is DECIMAL(18, 9)"""


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of one model; `per_weight_usd` is the run's own price of a plain input token, for models without a table entry."""

    model: str | None
    provider: str | None
    at_ns: int
    per_weight_usd: Decimal | None

    def usd(self, sent: int, received: int, cached: int = 0) -> Decimal | None:
        """The price of one call; None where neither the table nor the run knows one."""
        usage = Usage(input_tokens=sent, output_tokens=received, cached_tokens=min(cached, sent))
        if self.model is not None:
            known, _ = price(self.model, self.provider, usage, self.at_ns)
            if known is not None:
                return known
        if self.per_weight_usd is None:
            return None
        return (self.per_weight_usd * weight(sent, received, min(cached, sent))).quantize(CENT_OF_A_MILLIONTH)


def weight(sent: int, received: int, cached: int) -> Decimal:
    """A call in plain input tokens, by the usual ratio of prices."""
    return sent - cached + USUAL_CACHED * cached + USUAL_OUTPUT * received


def rates_of(calls: pl.DataFrame) -> Rates:
    """The rates of the model that wrote most of `calls` (rows of billed calls of one run); of equals the first by name."""
    counted = calls.filter(pl.col("model").is_not_null()).group_by("model", "provider").agg(
        pl.col("output_tokens").sum(), pl.col("start_ns").min()
    )  # fmt: skip
    main = counted.sort("output_tokens", "model", "provider", descending=[True, False, False]).head(1).to_dicts()
    spent, weighed = Decimal(0), Decimal(0)
    columns = ["cost_usd", "input_tokens", "output_tokens", "cached_tokens"]
    for cost, sent, received, cached in calls.select(columns).iter_rows():
        if cost is not None:
            spent += cost
            weighed += weight(sent or 0, received or 0, min(cached or 0, sent or 0))
    own = spent / weighed if weighed else None
    if not main:
        return Rates(None, None, 0, own)
    return Rates(main[0]["model"], main[0]["provider"], main[0]["start_ns"], own)
