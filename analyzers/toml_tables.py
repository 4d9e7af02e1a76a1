"""Settings files in TOML, read strictly: every mistake is named with file, line, key, value, what was expected, and a hint.

    [[rule]]                    Table "rule" number 0
    name = "success-rate"       table.text("name")
    window = "1h"               table.duration("window"): nanoseconds

A getter takes its key out; `done()` refuses what nobody asked for, so that a misspelt key is an error and never silently ignored.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, cast

from tracer.errors import BadInput, UnknownName, shorten

UNITS_NS: Mapping[str, int] = {
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3_600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 604_800 * 10**9,
}
LONGEST_NS = 3_650 * UNITS_NS["d"]
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw])")
TOP = "top of the file"
MISSING: Any = object()
"""no default: the key must be there"""


def _bounds(least: float, most: float) -> str:
    if most < math.inf:
        return f" from {least:g} to {most:g}"
    return f" from {least:g} on" if least > -math.inf else ""


@dataclass
class Table:
    """One table of a file. Not thread-safe."""

    file: TomlFile
    name: str
    index: int
    """number among the tables of this name; -1 for a table that stands alone"""
    values: dict[str, Any]
    known: set[str] = field(default_factory=set[str])

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def raw(self, key: str, default: Any = MISSING) -> Any:
        """The value as TOML gives it."""
        self.known.add(key)
        if key in self.values:
            return self.values[key]
        if default is MISSING:
            raise BadInput(
                f"{self.place()}: {self.called()} has no {key!r}.",
                hint=f"add a line `{key} = ...` under {self.head()}.",
            )
        return default

    def text(self, key: str, default: Any = MISSING) -> str:
        value = self.raw(key, default)
        if not isinstance(value, str) or (not value and default is MISSING):
            self.refuse(key, value, "a text in quotes")
        return value

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """One text or a list of them."""
        value = self.raw(key, default)
        items: list[Any] = [value] if isinstance(value, str) else [0]
        if isinstance(value, (list, tuple)):
            items = list(cast("list[Any]", value))
        if not all(isinstance(item, str) and item for item in items):
            self.refuse(key, value, "a text in quotes, or a list of texts")
        return tuple(items)

    def choice(self, key: str, options: Collection[str], default: Any = MISSING) -> str:
        value = self.raw(key, default)
        if value not in options:
            near = get_close_matches(value, options, n=1, cutoff=0.5) if isinstance(value, str) else []
            self.refuse(
                key, value, f"one of {', '.join(sorted(options))}", f"did you mean {near[0]!r}?" if near else None
            )
        return value

    def number(
        self, key: str, default: Any = MISSING, *, least: float = -math.inf, most: float = math.inf
    ) -> float | None:
        """A finite number, None where `default` is None and the key is absent."""
        value = self.raw(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not least <= value <= most:  # fmt: skip
            self.refuse(key, value, f"a number{_bounds(least, most)}")
        return float(value)

    def whole(self, key: str, default: Any = MISSING, *, least: int = 0, most: float = math.inf) -> int:
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(key, value, f"a whole number{_bounds(least, most)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.refuse(key, value, "true or false")
        return value

    def duration(self, key: str, default: Any = MISSING) -> int:
        """Nanoseconds from a text such as "30s", "15m", "7d"; "0s" is allowed."""
        value = self.raw(key, default)
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            self.refuse(key, value, 'a length of time such as "30s", "15m", "24h" or "7d"')
        if (length_ns := float(match[1]) * UNITS_NS[match[2]]) > LONGEST_NS:
            self.refuse(key, value, "at most ten years (3650d)")
        return round(length_ns)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self.values.keys() - self.known:
            near = UnknownName.among("key", key, self.known)
            raise BadInput(f"{self.place(key)}: {self.called()} has an unknown key {key!r}.", hint=near.hint)

    def refuse(self, key: str, value: Any, expected: str, hint: str | None = None) -> NoReturn:
        """Raise: the value of `key` is not what was expected."""
        said = shorten(repr(value))
        raise BadInput(f"{self.place(key)}: {key} = {said} in {self.called()}; {expected} was expected.", hint=hint)

    def head(self) -> str:
        return f"[{self.name}]" if self.index < 0 else f"[[{self.name}]]"

    def called(self) -> str:
        """How a message names this table."""
        name = self.values.get("name")
        told = f" {name!r}" if isinstance(name, str) else f" number {self.index + 1}" if self.index >= 0 else ""
        return f"{self.head()}{told}"

    def place(self, key: str = "") -> str:
        """file:line of `key`, or of the head of this table."""
        line = self.file.line_of(self, key)
        return f"{self.file.name}:{line}" if line else self.file.name


class TomlFile:
    """A parsed file; `name` is how messages call it."""

    def __init__(self, text: str, name: str) -> None:
        """
        Raises:
            BadInput: the text is no TOML; the message has the line.
        """
        self.name, self._lines = name, text.splitlines()
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"{name} is no TOML: {error}.", hint="texts stand in quotes; a table begins with [[rule]].") from error  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """
        Raises:
            BadInput: the file cannot be read, is no UTF-8 or no TOML.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except UnicodeDecodeError as error:
            raise BadInput(f"{path} is no UTF-8 text (byte {error.start}).", hint="save it as UTF-8.") from error
        except OSError as error:
            raise BadInput(
                f"Cannot read {str(path)!r}: {error.strerror}.", hint="give the path of a TOML file."
            ) from error

    def top(self, *, tables: Collection[str]) -> Table:
        """What stands above all tables; a table that is not one of `tables` is unknown."""
        alone = {key: value for key, value in self.values.items() if key not in tables}
        return Table(self, TOP, -1, alone, set(tables))

    def table(self, name: str) -> Table:
        """The one table `[name]`, empty where it is absent."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise BadInput(f"{self.name}: {name!r} is no table.", hint=f"write [{name}] and its keys below.")
        return Table(self, name, -1, dict(cast("dict[str, Any]", value)))

    def tables(self, name: str) -> list[Table]:
        """All tables `[[name]]`, in order."""
        value = self.values.get(name, [])
        items = cast("list[Any]", value) if isinstance(value, list) else [None]
        if not all(isinstance(item, dict) for item in items):
            raise BadInput(f"{self.name}: {name!r} is no list of tables.", hint=f"begin each with [[{name}]].")
        return [Table(self, name, at, dict(cast("dict[str, Any]", item))) for at, item in enumerate(items)]

    def line_of(self, table: Table, key: str) -> int | None:
        """The line (from 1) where `key` of `table` stands, else the line of its head; None where neither is found."""
        if table.name == TOP and key:  # a table of a name that nobody knows
            heads = {f"[{key}]", f"[[{key}]]"}
            for number, line in enumerate(self._lines, 1):
                if line.split("#")[0].replace(" ", "") in heads:
                    return number
        heads = [at for at, line in enumerate(self._lines) if line.split("#")[0].replace(" ", "") == table.head()]
        at = max(table.index, 0)
        start = heads[at] if at < len(heads) else None
        first = -1 if start is None else start
        for number, line in enumerate(self._lines[first + 1 :], first + 2):
            if line.lstrip().startswith("["):
                break
            if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return None if start is None else start + 1
