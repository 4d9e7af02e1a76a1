"""Makes the price table that traced programs use: `python -m tracer.pricing.host_table`. Run it when genai-prices is updated.

Only the makers' own offers are taken (a model costs elsewhere about the same), at the prices of the day.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[1] / "online" / "host_prices.json"
MAKERS = (
    "openai",
    "anthropic",
    "google",
    "mistral",
    "deepseek",
    "x-ai",
    "cohere",
    "moonshotai",
    "zai",
    "minimax",
    "groq",
)
"""in this order: the first that sells a name is right"""


def build(moment: datetime) -> dict[str, Any]:
    """The content of the file for the prices that hold at `moment`."""
    from genai_prices.data_snapshot import get_snapshot

    providers = {provider.id: provider for provider in get_snapshot().providers}
    prices: dict[str, list[Any]] = {}
    for maker in MAKERS:
        for model in providers[maker].models if maker in providers else ():
            at = model.get_prices(moment)
            given = [getattr(at, f"{kind}_mtok") for kind in ("input", "output", "cache_read", "cache_write")]
            if given[0] is None and given[1] is None:
                continue
            row: list[Any] = [_price(each, 0) for each in given]
            starts = [tier.start for each in given for tier in getattr(each, "tiers", ())]
            if starts:  # the first step up at the highest step's price: the few with several steps are taken for dearer
                row += [min(starts), [_price(each, -1) for each in given]]
            for name in (model.id, *_names(model.match)):
                prices.setdefault(name.lower(), row)
    return {
        "source": f"genai-prices {version('genai-prices')}",
        "date": moment.date().isoformat(),
        "unit": "USD per million tokens: input, output, cached input, cache write",
        "prices": dict(sorted(prices.items())),
    }


def _names(clause: Any) -> list[str]:
    """Exact names, and beginnings with a `*`; other conditions (contains, regular expressions) are left to the full table."""
    for field, end in (("equals", ""), ("starts_with", "*")):
        found = getattr(clause, field, None)
        if isinstance(found, str):
            return [found + end]
    return [name for each in getattr(clause, "or_", ()) for name in _names(each)]


def _price(price: Any, step: int) -> str | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return str(price)
    return str([price.base, *(tier.price for tier in price.tiers)][step])


def main() -> int:
    """Write the table; exit code 0."""
    made = build(datetime.now(UTC))
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in made.pop("prices").items())
    head = json.dumps(made, indent=1)[:-2]
    TABLE.write_text(f'{head},\n "prices": {{\n{rows}\n }}\n}}\n', "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
