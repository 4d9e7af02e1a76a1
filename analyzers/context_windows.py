"""How many tokens a model takes, where that is known."""

from __future__ import annotations

from functools import cache


@cache
def context_window(model: str) -> int | None:
    """The context window of a model in tokens, from the price table that is installed; None where it does not say."""
    from genai_prices.data_snapshot import get_snapshot  # imported late: half a second, and needed for few runs

    try:
        _, found = get_snapshot().find_provider_model(model, None, None, None)
    except LookupError:
        return None
    return found.context_window
