"""What several commands share: the store option, JSON output, tables and number formats."""

from __future__ import annotations

import csv
import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from tracer.errors import BadInput

STORE_VARIABLE = "TRACEHOUND_STORE"
DEFAULT_STORE = "./traces.duckdb"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""how a text begins that a spreadsheet would run"""


def add_store(parser: ArgumentParser) -> None:
    """`--store PATH`, by default $TRACEHOUND_STORE or ./traces.duckdb."""
    parser.add_argument(
        "--store",
        type=Path,
        default=Path(os.environ.get(STORE_VARIABLE, DEFAULT_STORE)),
        metavar="PATH",
        help=f"the DuckDB file with the traces (default: ${STORE_VARIABLE} or {DEFAULT_STORE})",
    )


def add_lake(parser: ArgumentParser, what: str) -> None:
    """`--lake URL`."""
    parser.add_argument("--lake", metavar="URL", help=f"{what} (a folder, or s3://bucket/folder)")


def add_json(parser: ArgumentParser) -> None:
    """`--json`: one JSON document on stdout and nothing else there."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def print_json(document: Any) -> None:
    """Print `document` as JSON; money becomes a number of USD."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=_plain)
    sys.stdout.write("\n")


def add_csv(parser: ArgumentParser, what: str, choices: Sequence[str] | None = None) -> None:
    """`--csv`: the list for a spreadsheet; where a command has several, which one."""
    if choices is None:
        parser.add_argument("--csv", action="store_true", help=f"print {what} as CSV")
    else:
        parser.add_argument("--csv", choices=tuple(choices), help=f"print {what} as CSV")


def print_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Rows as CSV, under a heading even where there are none: lists and objects as JSON, money as exact text, nothing for unknown.

    Text that a spreadsheet would run as a formula gets a `'` in front.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([csv_cell(row[name]) for name in columns])


def csv_cell(value: Any) -> Any:
    """One value as `print_csv` writes it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "'" + value if value.startswith(_FORMULA) else value
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


PIPED_WIDTH = 240
"""Columns of a table that goes to a file or another program, where there is no terminal to fit."""


def console() -> Console:
    """Where tables go. Text from traces is printed as it is, never read as markup."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def note(text: str) -> None:
    """A remark for the person at the terminal; stderr, so that stdout stays clean."""
    print(text, file=sys.stderr)


def print_table(columns: dict[str, str], rows: Sequence[Sequence[str | Text]], *, title: str | None = None) -> None:
    """Print rows under `columns` (heading -> "left" or "right"). Control characters in cells are made visible."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False, header_style="bold")
    for heading, side in columns.items():
        number = side == "right"
        table.add_column(
            heading, justify="right" if number else "left", no_wrap=number, overflow="ellipsis" if number else "fold"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    console().print(table)


def printable(text: str) -> str:
    """`text` with control characters (ANSI escapes, NUL, line breaks) as visible symbols: LLM text must not steer a terminal."""
    return "".join(c if c.isprintable() else ("⏎" if c == "\n" else "␛" if c == "\x1b" else "·") for c in text)


def usd(value: Decimal | float | None) -> str:
    """Money for people: four digits under a dollar, "—" where the price is unknown."""
    if value is None:
        return "—"
    if 0 < value < 0.0001:
        return "<$0.0001"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def seconds(value: float | None) -> str:
    """A duration for people: ms under a second, then s, then minutes."""
    if value is None:
        return "—"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {rest:02d} s"


def count(value: int | None) -> str:
    """A whole number with thousands separated, "—" for unknown."""
    return "—" if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """A ratio as per cent, "—" for unknown."""
    return "—" if value is None else f"{value * 100:.0f} %"


@contextmanager
def progress(label: str, total: int | None = None) -> Generator[Callable[[int], None]]:
    """A progress bar on stderr, on a terminal only; yields a function that advances it."""
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(task, steps)


def positive_int(text: str) -> int:
    """An argparse type: a whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def port(text: str) -> int:
    """An argparse type: the number of a port, 0 for any that is free."""
    if not text.isdecimal() or int(text) > 65_535:
        raise ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return int(text)


def seconds_given(text: str) -> float:
    """An argparse type: a number of seconds, up to a day."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return value


def since_ns(args: Namespace, now_ns: int) -> int | None:
    """The start of the window that `--since 7d|12h|30m|2026-11-01` asks for, or None.

    Raises:
        BadInput: the text is neither a length of time nor a date.
    """
    text: str | None = getattr(args, "since", None)
    if text is None:
        return None
    units = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
    if text[:-1].isdecimal() and text[-1] in units:
        return now_ns - int(text[:-1]) * units[text[-1]] * 1_000_000_000
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"--since {text!r} is neither a length of time nor a date.", hint="examples: 30m, 12h, 7d, 2026-11-01."
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000_000)
