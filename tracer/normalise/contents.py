"""Texts are stored once: every text that is long or shared gets an id, and rows refer to it."""

from __future__ import annotations

import json.encoder
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from tracer.ids import canonical_json, content_id
from tracer.normalise.values import plain

LONG = 512
"""Attribute texts longer than this many characters are stored as contents."""

# One encoder for all: `JSONEncoder.encode` makes a new one at every call, which costs more than writing a small object.
# Without the table that finds circles: what is encoded here was copied item by item.
_c: Any = json.encoder
_quoted: Callable[[str], str] = _c.encode_basestring
_pieces: Callable[[Any, int], Iterable[str]] = _c.c_make_encoder(
    None, repr, _c.encode_basestring, None, ":", ",", False, False, True
)


def _encode(value: Any) -> str:
    return "".join(_pieces(value, 0))


class Contents:
    """Collects content id -> body while spans are read."""

    __slots__ = ("_said", "bodies")

    def __init__(self) -> None:
        self.bodies: dict[int, str] = {}
        self._said: dict[tuple[str, str], int] = {}
        """(role, text) -> id: a history that is sent again costs a look-up a message"""

    def put(self, text: str) -> int:
        """The id of `text`, which is kept. Lone surrogates are replaced: no database stores them."""
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")
        key = content_id(text)
        self.bodies[key] = text
        return key

    def put_value(self, value: Any) -> int:
        """The id of a text, or of the canonical JSON of anything else."""
        return self.put(value if isinstance(value, str) else canonical_json(plain(value)))

    def put_messages(self, messages: Iterable[Mapping[str, Any]]) -> list[int]:
        """One id per message, in order; a message that was sent before keeps its id."""
        return [self._put_message(message) for message in messages]

    def _put_message(self, message: Mapping[str, Any]) -> int:
        role, text = message.get("role"), message.get("content")
        if len(message) != 2 or type(role) is not str or type(text) is not str:
            return self.put(canonical_json(plain(message)))
        key = self._said.get((role, text))
        if key is None:
            key = self._said[role, text] = self.put(f'{{"content":{_quoted(text)},"role":{_quoted(role)}}}')
        return key

    def encode(self, attributes: Mapping[str, Any]) -> str:
        """`attributes` as JSON; a text longer than `LONG` stands as {"$content": id}."""
        pairs: list[str] = []
        for key, value in attributes.items():
            kind = cast("type[Any]", type(value))
            if kind is str and len(value) <= LONG and value.isascii():
                shown = _quoted(value)
            else:
                shown = str(value) if kind is int else _encode(self._short(value))
            pairs.append(f"{_quoted(key)}:{shown}")
        return "{" + ",".join(pairs) + "}"

    def encode_all(self, columns: Mapping[str, Sequence[Any]], same: Mapping[str, Any], rows: int) -> list[str]:
        """What `encode` gives for each of `rows`: their attributes by column, and behind them those that all have."""
        end = self.encode(same)
        if not columns:
            return [end] * rows
        pairs = [_quoted(key).replace("%", "%%") + ":%s" for key in columns]
        end = end.replace("%", "%%")
        template = "{" + ",".join(pairs) + ("," + end[1:] if same else "}")
        return [template % row for row in zip(*map(self._shown, columns.values()), strict=True)]

    def _shown(self, values: Sequence[Any]) -> list[str]:
        """The values of one attribute as JSON."""
        kinds = set(map(type, values))
        if kinds == {int}:
            return list(map(str, values))
        if kinds == {str} and max(map(len, values)) <= LONG and all(map(str.isascii, values)):
            return list(map(_quoted, values))
        return [_encode(self._short(value)) for value in values]

    def _short(self, value: Any) -> Any:
        kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            if len(value) > LONG:
                return {"$content": self.put(value)}
            return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
        if kind is int or kind is bool or value is None:
            return value
        if kind is dict:
            return {str(key): self._short(item) for key, item in cast(dict[Any, Any], value).items()}
        if kind is list or kind is tuple:
            return [self._short(item) for item in cast(list[Any], value)]
        return plain(value)
