"""What part a span plays in its finding, in a few words for a figure: `overwrites it`, `closes the circle`, `reads v1, v2 was there`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from analyzers.finding import Finding
from dashboard.figures.markup import clip, readable

Roles = dict[str, str]

CLOSING: Final = "closes the circle"


def roles(finding: Finding) -> Roles:
    """Span id -> its part; only spans whose part is more than being evidence, and only what the finding itself says."""
    tell = _TELL.get(finding.kind)
    found: Roles = {} if tell is None else tell(finding.data)
    return {span: readable(clip(text, 60)) for span, text in found.items() if span in finding.spans}


def holds(finding: Finding) -> Mapping[str, str]:
    """Agent of a deadlock -> what it holds while it waits: `holds journal`."""
    held = _mapping(finding.data.get("holds"))
    return {
        str(agent): readable(clip("holds " + ", ".join(str(one) for one in _list(what)), 40))
        for agent, what in held.items()
        if _list(what)
    }


def _deadlock(data: Mapping[str, Any]) -> Roles:
    closing, end = _mapping(data.get("closing")), _mapping(data.get("resolved_by"))
    told: Roles = {}
    if end.get("span"):
        told[str(end["span"])] = f"resolved by {end.get('how') or 'itself'}"
    if closing.get("span"):
        told[str(closing["span"])] = CLOSING
    return told


def _lost_update(data: Mapping[str, Any]) -> Roles:
    return _each(data, "lost_writes", "this change is lost") | _each(data, "overwrites", "overwrites it")


def _stale_read(data: Mapping[str, Any]) -> Roles:
    read, newer = data.get("version_read"), data.get("newer_version")
    seen = "reads the old value" if read is None or newer is None else f"reads v{read}, v{newer} was there"
    return _each(data, "reads", seen) | _each(data, "uses", "acts on the old value")


def _write_skew(data: Mapping[str, Any]) -> Roles:
    return _each(data, "reads", "checks") | _each(data, "writes", "changes what the other checked")


def _decisions(data: Mapping[str, Any]) -> Roles:
    return {
        str(one["span"]): f"chose {one['choice']}"
        for one in _list(data.get("decisions"))
        if "span" in one and "choice" in one
    }


def _each(data: Mapping[str, Any], name: str, text: str) -> Roles:
    return dict.fromkeys((str(span) for span in _list(data.get(name))), text)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []


_TELL: Final[Mapping[str, Callable[[Mapping[str, Any]], Roles]]] = {
    "deadlock": _deadlock,
    "lost_update": _lost_update,
    "stale_read": _stale_read,
    "write_skew": _write_skew,
    "conflicting_decisions": _decisions,
}
