"""What an LLM call cost: genai-prices by model and date, user overrides first, None where nobody knows."""

from __future__ import annotations

from tracer.pricing.columns import TOKENS, price_calls
from tracer.pricing.prices import Override, Prices, default_prices, price, read_overrides
from tracer.pricing.providers import NO_PROVIDERS
from tracer.pricing.usage import Usage

__all__ = [
    "NO_PROVIDERS",
    "TOKENS",
    "Override",
    "Prices",
    "Usage",
    "default_prices",
    "price",
    "price_calls",
    "read_overrides",
]
