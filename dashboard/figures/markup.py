"""The one way text becomes markup. Everything recorded is hostile until it went through `esc`."""

from __future__ import annotations

import re
from html import escape
from typing import Final

# Invisible characters that reorder or hide what a reader sees (bidi controls, zero-width, byte-order mark, line separators).
_INVISIBLE: Final = (
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u061c\ufeff\u2028\u2029"
)
_SPECIAL: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_INVISIBLE}\ud800-\udfff\ufffe\uffff]")


_NAMES: Final = {0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x1B: "ESC", 0x7F: "DEL"}


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\r":
        return ""
    return f"⟦{_NAMES.get(code) or f'U+{code:04X}'}⟧"


def readable(text: str) -> str:
    """`text` with control characters, bidi overrides and lone surrogates made visible instead of effective."""
    return _SPECIAL.sub(_visible, text)


def esc(text: object) -> str:
    """Text for element content or a double-quoted attribute of HTML and SVG; never interpreted, never invisible."""
    return escape(readable(str(text)), quote=True)


def clip(text: str, limit: int) -> str:
    """The first line of `text`, cut to `limit` characters with an ellipsis."""
    head = text[: limit * 4].strip().split("\n", 1)[0].strip()
    if len(head) > limit:
        return head[: max(1, limit - 1)].rstrip() + "…"
    return head + " …" if len(head) < len(text.strip()) and len(head) + 2 <= limit else head


def shorten_block(text: str, limit: int) -> tuple[str, int]:
    """At most `limit` characters of `text`, and how many were left out (0 where it is whole)."""
    return (text, 0) if len(text) <= limit else (text[:limit], len(text) - limit)


def attrs(**values: object) -> str:
    """Attributes in order, None left out, underscores as hyphens, a trailing underscore dropped: `class_="x"` is `class="x"`."""
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{esc(value)}"' for name, value in values.items() if value is not None
    )


def tag(name: str, content: str = "", **values: object) -> str:
    """One element; `content` is markup already, attribute values are escaped."""
    return f"<{name}{attrs(**values)}>{content}</{name}>"
