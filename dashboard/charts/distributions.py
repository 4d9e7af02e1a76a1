"""How a value spreads, one row per name: the quartiles and the 5th and 95th percentile, computed here, not in the browser."""

from __future__ import annotations

import polars as pl

from dashboard.charts.base import Figure, escape, figure, logarithmic_seconds, rows_height, short, time_unit
from dashboard.figures import palette, units
from dashboard.figures.palette import Mode

_QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
MAGNITUDES = 50
"""a slowest box this many times the quickest: on a linear axis most boxes would be a line at its foot"""


ROWS = 12


def latency_boxes(durations: pl.DataFrame, mode: Mode, *, rows: int = ROWS) -> Figure:
    """A box per name from 25 % to 75 % with whiskers from 5 % to 95 %, the slowest median on top.

    Args:
        durations: name, seconds; one row per ended thing. Names beyond `rows` are left to the table beside the chart.
    """
    spread = (
        durations.group_by("name")
        .agg(n=pl.len(), **{key: pl.col("seconds").quantile(share) for key, share in _QUANTILES.items()})
        .sort("p50", "name", descending=[True, False])
        .head(rows)
        .reverse()
    )
    slow, quick = (float(value or 0.0) for value in (spread["p95"].max(), spread["p50"].min()))  # pyright: ignore[reportArgumentType]  (columns of floats)
    apart = 0 < quick < slow / MAGNITUDES
    unit_s, unit = (1.0, "s") if apart else time_unit(slow)
    scaled = spread.with_columns(pl.col(list(_QUANTILES)) / unit_s)
    axis = {"type": "linear", "ticksuffix": f" {unit}", "rangemode": "tozero", "nticks": 6}
    if apart:
        axis = logarithmic_seconds(float(spread["p5"].filter(spread["p5"] > 0).min() or quick), slow)  # pyright: ignore[reportArgumentType]  (a column of floats)
    box = {
        "type": "box", "orientation": "h", "y": [short(name) for name in scaled["name"]],
        "lowerfence": scaled["p5"].to_list(), "q1": scaled["p25"].to_list(), "median": scaled["p50"].to_list(),
        "q3": scaled["p75"].to_list(), "upperfence": scaled["p95"].to_list(),
        "line": {"color": palette.BLUE.of(mode), "width": 1.5}, "fillcolor": _faint(palette.BLUE.of(mode)), "hoverinfo": "skip",
    }  # fmt: skip
    dots = {
        "type": "scatter", "mode": "markers", "x": scaled["p50"].to_list(), "y": [short(name) for name in scaled["name"]],
        "marker": {"size": 9, "color": palette.BLUE.of(mode), "symbol": "line-ns-open"},
        "text": [
            f"{escape(row['name'])}: median {_told(row['p50'])}<br>5 % under {_told(row['p5'])}, 5 % over {_told(row['p95'])}"
            f"<br>{row['n']:,} ended" for row in spread.iter_rows(named=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    return figure(
        [box, dots],
        layout={"showlegend": False, "height": rows_height(scaled.height), "margin": {"l": 8, "r": 16, "t": 8, "b": 8}},
        x={"showgrid": True, **axis},
        y={"nticks": None, "type": "category", "showgrid": False},
    )


def _told(seconds: float) -> str:
    return units.duration(seconds * 1e9)


def _faint(colour: str) -> str:
    """A hex colour at a quarter of its strength."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"
