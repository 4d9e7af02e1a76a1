"""What all charts share: the frame of a figure, and texts made safe for Plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from dashboard.figures import units

HEIGHT = 240
_HALF_A_MINUTE = timedelta(seconds=30)

Figure = dict[str, Any]
"""`{"data": [...], "layout": {...}}`, as plotly takes it"""


def figure(
    data: Sequence[dict[str, Any]], *, layout: Mapping[str, Any] | None = None, x: Mapping[str, Any] | None = None,
    y: Mapping[str, Any] | None = None,
) -> Figure:  # fmt: skip
    """A figure in the house's dress: no zoom, a legend on one line above, few ticks."""
    return {
        "data": list(data),
        "layout": {
            "height": HEIGHT,
            "margin": {"l": 8, "r": 8, "t": 30, "b": 8},
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "xanchor": "left",
                "traceorder": "normal",
            },
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": {"automargin": True, "fixedrange": True, "showgrid": False, **(x or {})},
            "yaxis": {"automargin": True, "fixedrange": True, "nticks": 5, **(y or {})},
            **(layout or {}),
        },
    }


def rows_height(rows: int, *, row: int = 30, least: int = 120) -> int:
    """Height in pixels of a chart with one row per name."""
    return max(least, 56 + row * rows)


def time_unit(longest_s: float) -> tuple[float, str]:
    """The unit a duration axis is drawn in: its length in seconds and its name."""
    return (3_600.0, "h") if longest_s > 7_200 else (60.0, "min") if longest_s > 180 else (1.0, "s")


SECONDS_TICKS = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3_600, 36_000, 86_400, 864_000)
"""where an axis of durations that spans magnitudes has its marks"""


def logarithmic_seconds(shortest_s: float, longest_s: float) -> dict[str, Any]:
    """An axis for durations of different magnitudes, with its marks in words."""
    inside = [tick for tick in SECONDS_TICKS if shortest_s / 3 <= tick <= longest_s * 3]
    return {
        "type": "log",
        "tickvals": inside,
        "ticktext": [_round(tick) for tick in inside],
    }


def _round(seconds: float) -> str:
    """A mark's duration without its empty part: `10 s`, `1m`, `1h`."""
    return units.duration(seconds * 1e9).replace(".00", "").removesuffix(" 00s").removesuffix(" 00m")


def times(frame: pl.DataFrame, column: str = "start_ns") -> list[Any]:
    """A column of int nanoseconds as UTC times."""
    return frame.select(pl.from_epoch(column, time_unit="ns")).to_series().to_list()


def around(frame: pl.DataFrame, column: str = "start_ns") -> dict[str, Any]:
    """For the x axis: a minute about the only moment of `frame`, where Plotly would show a fraction of a second; else nothing."""
    moments = frame.select(pl.from_epoch(pl.col(column).unique(), time_unit="ns")).to_series().to_list()
    if len(moments) != 1:
        return {}
    only = moments[0]
    midnight = (only.hour, only.minute, only.second) == (0, 0, 0)
    return {
        "range": [only - _HALF_A_MINUTE, only + _HALF_A_MINUTE],
        "tickvals": [only], "tickformat": "%d %b %Y" if midnight else "%d %b %Y, %H:%M",
    }  # fmt: skip


def escape(text: str) -> str:
    """Plotly reads a little HTML in texts, and `%{...}` in hover templates; a name must do neither."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("{", "(").replace("}", ")")


def short(text: str, width: int = 28) -> str:
    """A name for a legend or an axis."""
    return escape(text if len(text) <= width else text[: width - 1] + "…")
