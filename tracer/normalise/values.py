"""Reads what producers really send: numbers as text, lists as JSON strings, Python repr where JSON was meant."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any, cast

REPR_LIMIT = 20_000
"""Longest text tried as a Python literal, in characters; parsing one costs far more than JSON."""


def as_text(value: Any) -> str | None:
    """Text or a number as text; None for empty text and for structures."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return str(value)
    return None


def as_sent_tokens(value: Any) -> int | None:
    """Tokens of a prompt. None of them cannot be: 0 is what instrumentors write when nobody told them (smolagents' streams)."""
    return as_int(value) or None


def as_int(value: Any) -> int | None:
    """A whole number >= 0, also as text or float; anything else is None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def as_float(value: Any) -> float | None:
    """A finite number, also as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def as_bool(value: Any) -> bool:
    """True for true, "true" and 1."""
    return value is True or value == 1 or (isinstance(value, str) and value.lower() == "true")


def as_texts(value: Any) -> list[str] | None:
    """A list of texts; a JSON list in a string is opened, a single text becomes a list of one."""
    if isinstance(value, str):
        if value.startswith("["):
            value = parse_json(value)
        else:
            return [value] if value else None
    if isinstance(value, list | tuple):
        return [item if isinstance(item, str) else json.dumps(item, default=repr) for item in cast(list[Any], value)]
    return None


def first_text(value: Any) -> str | None:
    """The first text of a list (or of a JSON list in a string), or the text itself."""
    texts = as_texts(value)
    return texts[0] if texts else as_text(value)


def seconds_as_ns(value: Any) -> int | None:
    """A duration in seconds as nanoseconds."""
    number = as_float(value)
    return round(number * 1e9) if number is not None and number >= 0 else None


def parse_json(value: Any) -> Any:
    """What a JSON (or short Python repr) string holds; None where it holds neither; structures are returned as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    if len(value) > REPR_LIMIT or value[:1] not in "{[(":
        return None
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def as_object(value: Any) -> dict[str, Any]:
    """The JSON object in `value`, or an empty one."""
    if isinstance(value, str) and value[:1] != "{":
        return {}
    parsed = parse_json(value)
    return cast(dict[str, Any], parsed) if isinstance(parsed, dict) else {}


def plain(value: Any) -> Any:
    """`value` as a JSON-ready structure: non-finite floats and bytes become text, keys become text."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast(list[Any], value)]
    return value
