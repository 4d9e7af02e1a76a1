"""Texts that travel beside the spans: encoded once per distinct content, named by `ids.content_id`.

A chat history is sent again with every call, so encoding it whole each time is what tracing usually costs. Here a
message that was seen before costs one dictionary look-up:

    history = [m1, m2, m3]     call 1: encode m1 m2 m3        content ids a b c
    history = [m1, .., m4]     call 2: look up m1 m2 m3, encode m4

Two look-ups, both safe against a message that the host changes between two calls: by object, valid only while the
object still equals the deep snapshot taken of it, and by value, for messages rebuilt from the same strings.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast

from ..ids import content_id

MAX_ENTRIES: Final = 8_192
MAX_CHARS: Final = 32_000_000
MAX_WRITTEN: Final = 200_000
"""Bounds of what the caches hold on to; beyond them they start afresh, which only costs encoding again."""

CONTENT: Final = "tracehound-content"
"""Context key: slot -> content ids that a span begins with. Our own decorators set it for the one `start_span` call."""

_quoted = json.encoder.encode_basestring


def encode(value: Any) -> str:
    """The text to store for `value`: a string as it is, everything else as canonical JSON; never raises."""
    if isinstance(value, str):
        return value
    try:
        return _encoder(value)
    except (TypeError, ValueError, RecursionError):
        # Keys that cannot be sorted, circular references, objects whose conversion fails.
        return _repr(value)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a host's broken __repr__ must not break its run; the text says so
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"


def _plain_object(value: Any) -> Any:
    """What JSON has no word for: models, dataclasses, enums, sets, dates, bytes; anything else as its repr."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[Any]", value), key=repr)
    if isinstance(value, deque):
        return list(cast("deque[Any]", value))
    if isinstance(value, (date, Decimal)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return _repr(value)


_encoder: Callable[[Any], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain_object
).encode


def _encode_texts(items: tuple[tuple[str, str], ...]) -> str:
    """The same as `encode` for a dict of texts, without making an encoder."""
    return "{" + ",".join([f"{_quoted(key)}:{_quoted(text)}" for key, text in sorted(items)]) + "}"


def as_message(message: Any) -> dict[str, Any]:
    """A chat message as a dict with `role`, `content` and whatever else is set, whatever the host's type for it."""
    if isinstance(message, str):
        return {"role": "user", "content": message}
    if isinstance(message, Mapping):
        return dict(cast("Mapping[str, Any]", message))
    fields: Any = None
    if not isinstance(message, type):
        if callable(getattr(message, "model_dump", None)):
            fields = _plain_object(message)
        elif dataclasses.is_dataclass(message):
            fields = {f.name: getattr(message, f.name) for f in dataclasses.fields(message)}
    if not isinstance(fields, dict):
        return {"role": "user", "content": encode(message)}
    return {key: value for key, value in cast("dict[str, Any]", fields).items() if value not in (None, (), [], {}, "")}


class _NotPlain(Exception):
    """The value holds something whose later change a comparison could miss."""


class _Exact:
    """Equal only to the same number of the same type: 1, 1.0 and true are spelled differently."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self.value) and other == self.value

    __hash__ = None  # type: ignore[assignment]


def snapshot(value: Any) -> Any:
    """What compares equal to JSON-like `value` for as long as that is not changed, at any depth; raises `_NotPlain` for anything else."""
    kind = cast("type[Any]", type(value))
    if value is None or kind is str:
        return value
    if kind is int or kind is float or kind is bool:
        return _Exact(value)
    if kind is dict:
        return {key: snapshot(item) for key, item in value.items()}
    if kind is list:
        return [snapshot(item) for item in value]
    if kind is tuple:
        return tuple(snapshot(item) for item in value)
    raise _NotPlain


class Later:
    """A content that is named when its span is written. `value` is a text, or the copy of a message of texts: nobody changes it."""

    __slots__ = ("named", "value")

    def __init__(self, value: str | dict[str, str]) -> None:
        self.value = value
        self.named: int | None = None


Name = int | Later
"""the id of a content, or what will have one"""


class Contents:
    """Names contents and hands over, once, the bodies that are not written yet.

    `later=True` leaves naming, and with it encoding, masking and hashing, to `resolve`: a message of texts is copied when it is seen,
    so what the host does to it afterwards changes nothing; any other message is still named at once.

    `keep_bodies=False` names contents (equal texts stay recognisable) without ever storing them.
    `redact` sees every distinct body once, before it is named.
    """

    def __init__(
        self, *, keep_bodies: bool = True, redact: Callable[[str], str] | None = None, later: bool = False
    ) -> None:
        self._later = later
        self._keep_bodies = keep_bodies
        self._redact = redact
        self._by_object: dict[int, tuple[Any, Any, Name]] = {}
        self._by_value: dict[tuple[tuple[str, str], ...], int] = {}
        self._held_chars = 0
        self._written: set[int] = set()
        self._unwritten: deque[tuple[int, str]] = deque()

    def text(self, value: Any) -> Name:
        """The id of `value` as it stands now; its body is queued unless it was before."""
        return Later(value) if self._later and type(value) is str else self._name(encode(value))

    def resolve(self, names: dict[str, list[Name]]) -> dict[str, list[int]]:
        """The ids themselves, slot by slot."""
        return {
            slot: [n if type(n) is int else self._resolve(cast("Later", n)) for n in each]
            for slot, each in names.items()
        }

    def _resolve(self, later: Later) -> int:
        if later.named is None or (self._keep_bodies and later.named not in self._written):
            value = later.value
            later.named = self._name(value) if isinstance(value, str) else self._message_of_texts(tuple(value.items()))
        return later.named

    def messages(self, messages: Iterable[Any]) -> list[Name]:
        """The ids of chat messages, in order; each message seen before costs a look-up."""
        by_object = self._by_object
        ids: list[Name] = []
        for message in messages:
            known = by_object.get(id(message))
            if known is not None and known[0] is message and known[1] == message:
                ids.append(known[2])
            else:
                ids.append(self._message(message))
        return ids

    def _message(self, message: Any) -> Name:
        if type(message) is not dict:
            return self._message_object(message)
        fields = cast("dict[str, Any]", message)
        if all(type(value) is str for value in fields.values()):
            copied = dict(fields)
            named: Name = Later(copied) if self._later else self._message_of_texts(tuple(copied.items()))
            if self._later:
                self._make_room(0)
            self._by_object[id(fields)] = (fields, copied, named)
            return named
        body = encode(fields)
        named = self._name(body)
        self._make_room(len(body))
        with suppress(_NotPlain):  # what cannot be told from a changed one later is encoded each time
            self._by_object[id(fields)] = (fields, snapshot(fields), named)
        return named

    def _message_of_texts(self, key: tuple[tuple[str, str], ...]) -> int:
        named = self._by_value.get(key)
        if named is None:
            body = _encode_texts(key)
            named = self._name(body)
            self._make_room(len(body))
            self._by_value[key] = named
        return named

    def _message_object(self, message: Any) -> int:
        """A message that is a text, a model object or a dataclass; only a frozen dataclass of texts is remembered."""
        fields = as_message(message)
        named = self._name(encode(fields))
        parameters = getattr(message, "__dataclass_params__", None)
        if parameters is not None and parameters.frozen and all(type(value) is str for value in fields.values()):
            self._make_room(sum(map(len, fields.values())))
            self._by_object[id(message)] = (message, message, named)
        return named

    def _make_room(self, chars: int) -> None:
        self._held_chars += chars
        if len(self._by_object) >= MAX_ENTRIES or len(self._by_value) >= MAX_ENTRIES or self._held_chars > MAX_CHARS:
            self._by_object.clear()
            self._by_value.clear()
            self._held_chars = chars

    def _name(self, body: str) -> int:
        if self._redact is not None:
            body = self._redact(body)
        named = content_id(body)
        if self._keep_bodies and named not in self._written:
            if len(self._written) >= MAX_WRITTEN:
                self._written.clear()
            self._written.add(named)
            self._unwritten.append((named, body))
        return named

    def take_unwritten(self) -> dict[int, str]:
        """The bodies nobody has taken yet, by id."""
        taken: dict[int, str] = {}
        while self._unwritten:
            try:
                named, body = self._unwritten.popleft()
            except IndexError:
                break  # another thread took the last one
            taken[named] = body
        return taken

    def forget(self) -> None:
        """Start afresh, so that bodies lost with a failed write are handed over again when they come back."""
        self._by_object.clear()
        self._by_value.clear()
        self._written.clear()
        self._held_chars = 0
