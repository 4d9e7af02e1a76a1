"""Tables that can be sorted and saved: a polars frame drawn by Streamlit's grid, with the units people expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import polars as pl
import streamlit as st

from dashboard.figures.markup import readable

Shape = Literal["text", "count", "number", "bar", "share", "seconds", "usd"]
"""what a column's values are: `bar` is a share drawn as one, `seconds` a length of time"""
SHORT_PX = 35
MOST_ROWS = 16


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the frame, what its head says, what its numbers are, and a sentence for the curious."""

    name: str
    label: str
    shape: Shape
    help: str | None = None


def grid(rows: pl.DataFrame, columns: Sequence[Column], *, key: str, label: str) -> int | None:
    """Draw `rows`; returns the index of the row a person clicked, None as long as none was.

    A value nobody knows stays empty: the grid never shows 0 for it. The frame's other columns are left out.

    Args:
        label: what a screen reader says for the grid.
    """
    picked = st.dataframe(  # pyright: ignore[reportUnknownMemberType]  (numpy is in its signature)
        rows.select(_values(column) for column in columns),
        key=key,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-cell",
        height="content" if rows.height <= MOST_ROWS else SHORT_PX * (MOST_ROWS + 1),
        column_config=_config(columns),
        placeholder="—",
        alt=label,
    )
    cells = cast("dict[str, Any]", picked)["selection"]["cells"]
    return int(cells[0][0]) if cells else None


def _values(column: Column) -> pl.Expr:
    value = pl.col(column.name)
    if column.shape == "text":
        return value.map_elements(readable, return_dtype=pl.String)
    return value if column.shape == "count" else value.cast(pl.Float64)


def _config(columns: Sequence[Column]) -> dict[str, Any]:
    return {column.name: _DRAWN[column.shape](column) for column in columns}


def _number(form: str) -> Callable[[Column], Any]:
    return lambda column: st.column_config.NumberColumn(column.label, help=column.help, format=form)


def _text(column: Column) -> Any:
    return st.column_config.TextColumn(column.label, help=column.help)


def _bar(column: Column) -> Any:
    return st.column_config.ProgressColumn(
        column.label, help=column.help, format="percent", min_value=0.0, max_value=1.0
    )


_DRAWN: Mapping[Shape, Callable[[Column], Any]] = {
    "text": _text,
    "count": _number("localized"),
    "number": _number("%.1f"),
    "bar": _bar,
    "share": _number("percent"),
    "seconds": _number("%,.2f s"),
    "usd": _number("$%.4f"),
}
