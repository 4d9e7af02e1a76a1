"""What a total is made of: horizontal bars, the largest on top, the number at the end of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from dashboard.charts.base import Figure, escape, figure, rows_height, short
from dashboard.figures import palette
from dashboard.figures.palette import Ink, Mode

TOKEN_PARTS: Mapping[str, tuple[str, Ink]] = {
    "fresh_tokens": ("input", palette.BLUE),
    "cached_tokens": ("input from the cache", palette.SKY),
    "output_tokens": ("output", palette.RUST),
}
"""column -> word and colour; the parts of `tokens_by_name` do not overlap"""


ROWS = 12
"""bars that fit"""


def bars_by_name(
    rows: pl.DataFrame,
    value: str,
    mode: Mode,
    *,
    text: Callable[[float], str],
    ink: Ink = palette.BLUE,
    most: int = ROWS,
) -> Figure:
    """One bar per row of `rows` (name, `value`); rows beyond `most` become "others", so that the bars sum to the total."""
    known = rows.filter(pl.col(value).is_not_null()).sort(value, "name", descending=[True, False])
    names: list[str] = known["name"].to_list()[:most]
    amounts = [float(amount) for amount in known[value].to_list()]
    if len(amounts) > most:
        names.append(f"{len(amounts) - most:,} others")
        amounts = [*amounts[:most], sum(amounts[most:])]
    bar = {
        "type": "bar", "orientation": "h", "x": amounts[::-1], "y": [short(name) for name in names[::-1]],
        "marker": {"color": ink.of(mode), "line": {"width": 0}},
        "text": [text(amount) for amount in amounts[::-1]], "textposition": "outside", "cliponaxis": False,
        "hovertext": [f"{escape(name)}: {text(amount)}" for name, amount in zip(names[::-1], amounts[::-1], strict=True)],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip
    return _rows([bar], len(names), legend=False)


def stacked_by_name(
    rows: pl.DataFrame,
    parts: Mapping[str, tuple[str, Ink]],
    mode: Mode,
    *,
    text: Callable[[float], str],
    most: int = ROWS,
) -> Figure:
    """One bar per row of `rows` (name and a column per part), cut into its parts; the largest `most` rows."""
    totals = rows.with_columns(total=pl.sum_horizontal([pl.col(part).fill_null(0) for part in parts]))
    shown = totals.sort("total", "name", descending=[True, False]).head(most).reverse()
    names = [short(name) for name in shown["name"]]
    bars: list[dict[str, Any]] = []
    for part, (word, ink) in parts.items():
        amounts = [float(amount) for amount in shown[part].fill_null(0).to_list()]
        bars.append({
            "type": "bar", "orientation": "h", "name": word, "x": amounts, "y": names,
            "marker": {"color": ink.of(mode), "line": {"width": 0}},
            "hovertext": [f"{escape(name)}<br>{word}: {text(amount)}" for name, amount in zip(shown["name"], amounts, strict=True)],
            "hovertemplate": "%{hovertext}<extra></extra>",
        })  # fmt: skip
    return _rows(bars, len(names), legend=True)


def _rows(bars: Sequence[dict[str, Any]], rows: int, *, legend: bool) -> Figure:
    return figure(
        bars,
        layout={
            "barmode": "stack", "bargap": 0.35, "showlegend": legend, "height": rows_height(rows) + (24 if legend else 0),
            "margin": {"l": 8, "r": 72, "t": 30 if legend else 8, "b": 8},
        },
        x={"visible": False, "type": "linear"},
        y={"nticks": None, "type": "category", "showgrid": False, "ticksuffix": "  "},
    )  # fmt: skip
