"""How much text a request carries: what guards reserve for it, live and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

_IMAGE_CHARS: Final = 3_000
"""what a picture sent as base64 is taken for"""
_MAX_DEPTH: Final = 12


def chars_in(value: Any, depth: int = 0) -> int:
    """Characters of text anywhere in `value`; written for speed, because every call sends its whole history."""
    plain = type(value) is dict and depth <= _MAX_DEPTH
    if not plain and isinstance(value, str):
        return _IMAGE_CHARS if len(value) > _IMAGE_CHARS and value.startswith("data:") else len(value)
    if not plain and (depth > _MAX_DEPTH or value is None or isinstance(value, (int, float, bytes))):
        return 0
    total = 0
    if plain or isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            total += len(key) if type(key) is str else len(str(key))
            total += len(item) if type(item) is str and len(item) <= _IMAGE_CHARS else chars_in(item, depth + 1)
        return total
    if isinstance(value, (list, tuple)):
        for item in cast("Sequence[Any]", value):
            total += chars_in(item, depth + 1)
        return total
    fields = getattr(value, "__dict__", None)
    return chars_in(fields, depth + 1) if isinstance(fields, dict) else 0
