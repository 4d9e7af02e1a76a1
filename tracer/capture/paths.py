"""Which leaves of a JSON-like value changed: `steps[2].owner`, relative to the value; "" is the value itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from .content import encode

MAX_PATHS: Final = 1_000
"""Beyond this the paths are cut to their first part, so that a replaced megabyte stays readable."""

_PLAIN_KEY = re.compile(r"[^.\[\]]+")
_MISSING: Final = object()
_CONTAINERS: Final = (dict, list)


def changed_between(before: Any, after: Any) -> list[str]:
    """The leaf paths that differ, sorted; [] when the two are equal."""
    return changed_bodies(encode(before), encode(after))


def changed_bodies(before: str | None, after: str | None) -> list[str]:
    """The same for two encoded values; None is a value that is not there."""
    if before == after:
        return []
    paths = sorted(set(_differing(_decoded(before), _decoded(after))))
    if len(paths) > MAX_PATHS:
        paths = sorted({re.split(r"[.\[]", path, maxsplit=1)[0] for path in paths})[:MAX_PATHS]
    return paths


def _decoded(body: str | None) -> Any:
    if body is None:
        return _MISSING
    try:
        return json.loads(body)
    except ValueError:
        return body  # a plain text is stored as it is


def _differing(before: Any, after: Any) -> Iterator[str]:
    pending: list[tuple[str, Any, Any]] = [("", before, after)]
    while pending:
        path, old, new = pending.pop()
        old_parts, new_parts = _parts(old), _parts(new)
        if not old_parts and not new_parts:
            # Types too: 1, 1.0 and true are equal in Python and are not the same value.
            if type(old) is not type(new) or old != new:
                yield path
            continue
        if old is not _MISSING and new is not _MISSING and isinstance(old, _CONTAINERS) != isinstance(new, _CONTAINERS):
            yield path  # a scalar became a container or the other way round
            continue
        pending.extend(
            (_joined(path, key), old_parts.get(key, _MISSING), new_parts.get(key, _MISSING))
            for key in old_parts.keys() | new_parts.keys()
        )


def _parts(value: Any) -> dict[str | int, Any]:
    if isinstance(value, dict):
        return cast("dict[str | int, Any]", value)
    if isinstance(value, list):
        return dict(enumerate(cast("list[Any]", value)))
    return {}


def _joined(path: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key) is None:
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key
