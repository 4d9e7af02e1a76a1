"""JSON with line numbers, and the good part of JSON that was cut off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

NOTHING = object()
"""no value could be read"""


@dataclass(frozen=True, slots=True)
class Parsed:
    """`value` is NOTHING where not even a part could be read; `reason` says what is wrong, at `line` of the text."""

    value: Any
    reason: str | None = None
    line: int = 1


def parse(data: bytes) -> Parsed:
    """The JSON value in `data`; of a text that ends too early, everything that was complete before the end."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Parsed(NOTHING, f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}", line)
    try:
        return Parsed(json.loads(text))
    except json.JSONDecodeError as error:
        reason, line = f"not valid JSON: {error.msg} at column {error.colno}", error.lineno
        at_end = not text[error.pos :].strip() or error.msg.startswith("Unterminated string")
    except RecursionError:
        return Parsed(NOTHING, "JSON is nested too deeply")
    except ValueError as error:  # a number with too many digits
        return Parsed(NOTHING, f"not valid JSON: {error}")
    if not at_end or text.lstrip()[:1] not in "{[":
        return Parsed(NOTHING, reason, line)
    repaired = _closed(text)
    if repaired is None:
        return Parsed(NOTHING, f"{reason} (the text is cut off)", line)
    try:
        return Parsed(json.loads(repaired), "the text is cut off; what was complete before the end was read", line)
    except (ValueError, RecursionError):
        return Parsed(NOTHING, f"{reason} (the text is cut off)", line)


def parse_several(data: bytes) -> list[Any]:
    """The values of a text that is several, one after the other, each over as many lines as it likes (`ConsoleSpanExporter`); [] where it is not."""
    decoder, found, position = json.JSONDecoder(), list[Any](), 0
    try:
        text = data.decode("utf-8").strip()
        while position < len(text):
            value, position = decoder.raw_decode(text, position)
            found.append(value)
            while position < len(text) and text[position] in " \r\n\t":
                position += 1
    except (ValueError, RecursionError):
        return []
    return found


def _closed(text: str) -> str | None:
    """`text` up to the last complete object or list inside a list, with everything still open closed.

    {"a": [{"b": 1}, {"b": [2   ->   {"a": [{"b": 1}]}
    """
    open_brackets: list[str] = []
    cut, closers = -1, ""
    inside, escaped = False, False
    for position, letter in enumerate(text):
        if inside:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                inside = False
        elif letter == '"':
            inside = True
        elif letter in "{[":
            open_brackets.append("}" if letter == "{" else "]")
        elif letter in "}]":
            if not open_brackets or open_brackets.pop() != letter:
                return None
            if open_brackets and open_brackets[-1] == "]":
                cut, closers = position + 1, "".join(reversed(open_brackets))
    return text[:cut] + closers if cut > 0 else None
