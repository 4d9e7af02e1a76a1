"""Whether a tool's answer in a transcript says that the tool failed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

_FAILED = re.compile(r"(?:[A-Z]\w*)?(?:Error|Exception)\b\s*:|Traceback \(most recent call last\):")
"""`Error: user not found` (tau-bench), `ValueError: ...`; an answer that only speaks of errors does not begin so"""
_LONGEST = 500


def failure_in(raw: Mapping[str, Any], text: str) -> str | None:
    """What the tool says went wrong; None where it says nothing of the kind.

    By a field of the message (`is_error`, `status` "error", a text under `error`), by how the answer begins, or by an answer that is a JSON object
    with nothing but an error in it.
    """
    said = raw.get("error")
    if isinstance(said, str) and said:
        return said[:_LONGEST]
    if raw.get("is_error") is True or raw.get("status") == "error" or _FAILED.match(text.lstrip()):
        return text.strip()[:_LONGEST]
    if text.lstrip().startswith("{") and '"error"' in text[:200]:
        try:
            value: Any = json.loads(text)
        except ValueError:
            return None
        told = cast(Mapping[str, Any], value).get("error")
        if told and len(value) == 1:
            return (told if isinstance(told, str) else json.dumps(told))[:_LONGEST]
    return None
