"""Tables that can be sorted and saved: a polars frame drawn by Streamlit's grid, with the units people expect.

The grid sorts by the numbers; what it shows in their place (`2m 05s`, `$0.0021`) comes from a pandas Styler, the only way
Streamlit has for texts that are not made by one pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import polars as pl
import streamlit as st

from dashboard.figures import units
from dashboard.figures.markup import readable

Shape = Literal["text", "count", "number", "bar", "share", "seconds", "usd"]
"""what a column's values are: `bar` is a share drawn as one, `seconds` a length of time"""
SHORT_PX = 35
MOST_ROWS = 16
MOST_STYLED = 200_000
"""cells; beyond, numbers are drawn as they are"""
UNKNOWN = "—"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the frame, what its head says, what its numbers are, and a sentence for the curious."""

    name: str
    label: str
    shape: Shape
    help: str | None = None


def grid(
    rows: pl.DataFrame,
    columns: Sequence[Column],
    *,
    key: str,
    label: str,
    on_pick: Callable[[int], None] | None = None,
    hint: str = "",
) -> None:
    """Draw `rows`. A value nobody knows stays empty: the grid never shows 0 for it. The frame's other columns are left out.

    Args:
        label: what a screen reader says for the grid.
        hint: what a click does, said below.
        on_pick: told the index of the row that a person clicks, once: what stays selected must not act again.
    """

    def picked() -> None:
        cells = cast("dict[str, Any]", st.session_state[key])["selection"]["cells"]
        if cells and on_pick is not None:
            on_pick(int(cells[0][0]))

    st.dataframe(  # pyright: ignore[reportUnknownMemberType]  (numpy is in its signature)
        _dressed(rows, columns),
        key=key,
        hide_index=True,
        on_select=picked,
        selection_mode="single-cell",
        height="content" if rows.height <= MOST_ROWS else SHORT_PX * (MOST_ROWS + 1),
        column_config=_config(columns),
        placeholder=UNKNOWN,
        alt=label,
    )
    if on_pick is not None and hint:
        more = f"Scroll for all {rows.height:,}. " if rows.height > MOST_ROWS else ""
        st.caption(more + hint)


def _dressed(rows: pl.DataFrame, columns: Sequence[Column]) -> Any:
    """The values, with how each number is written."""
    values: Any = rows.select(_values(column) for column in columns).to_pandas()
    if rows.height * len(columns) > MOST_STYLED:
        return values
    written = {column.name: _WRITTEN[column.shape] for column in columns if column.shape in _WRITTEN}
    return values.style.format(written, na_rep=UNKNOWN)


def _values(column: Column) -> pl.Expr:
    value = pl.col(column.name)
    if column.shape == "text":
        return value.map_elements(readable, return_dtype=pl.String)
    if column.shape == "bar":
        return value.cast(pl.Float64) * 100
    return value if column.shape == "count" else value.cast(pl.Float64)


def _share(value: float) -> str:
    percent = value * 100
    return (
        f"{percent:.0f}%" if percent in (0, 100) or percent >= 10 else f"{percent:.1f}%" if percent >= 0.1 else "<0.1%"
    )


_WRITTEN: Mapping[Shape, Callable[[float], str]] = {
    "count": lambda value: f"{value:,.0f}",
    "number": lambda value: f"{value:,.1f}" if value else "0",
    "share": _share,
    "seconds": lambda value: units.duration(value * 1e9),
    "usd": units.money,
}


def _config(columns: Sequence[Column]) -> dict[str, Any]:
    return {column.name: _DRAWN.get(column.shape, _number)(column) for column in columns}


def _number(column: Column) -> Any:
    return st.column_config.NumberColumn(column.label, help=column.help)


def _text(column: Column) -> Any:
    return st.column_config.TextColumn(column.label, help=column.help)


def _bar(column: Column) -> Any:
    return st.column_config.ProgressColumn(column.label, help=column.help, format="%.0f%%", min_value=0, max_value=100)


_DRAWN: Mapping[Shape, Callable[[Column], Any]] = {"text": _text, "bar": _bar}
