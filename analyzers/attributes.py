"""Raw attributes of single spans. Columns come first; this is for what has no column (guard limits, decision modes)."""

from __future__ import annotations

import json
from typing import Any, cast


def attributes_of(text: str) -> dict[str, Any]:
    """The raw attributes of a span as a dict; anything but a JSON object counts as no attributes."""
    try:
        held: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def number(value: object) -> float | None:
    """A number that may have been written as text; None for anything else, booleans included."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None
