"""What all charts share: the frame of a figure, and texts made safe for Plotly."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dashboard.figures import units
from dashboard.figures.markup import readable

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


def some_of(title: str, shown: int, total: int, which: str) -> str:
    """The title of a chart that has room for `shown` of `total` names only; the others are in the table beside it."""
    return f"{title}: the {shown:,} {which} of {total:,}, the others in the table" if total > shown else title


def table_of(chart: Figure) -> pl.DataFrame:
    """What a chart draws, for those who read tables: a row per mark with its series, its place and its value, or the quantiles of a box."""
    boxes = [series for series in chart["data"] if series["type"] == "box"]
    rows = [row for box in boxes for row in _quantiles(box, chart["layout"])]
    if not boxes:
        drawn = [series for series in chart["data"] if series.get("hoverinfo") != "skip"]  # bands show what a line says
        rows = [row for series in drawn for row in _marks(series)]
    return pl.DataFrame(rows, infer_schema_length=None)


def _quantiles(box: Mapping[str, Any], layout: Mapping[str, Any]) -> list[dict[str, Any]]:
    unit = layout["xaxis"].get("ticksuffix", "").strip() or "s"
    keys = {"5 %": "lowerfence", "25 %": "q1", "median": "median", "75 %": "q3", "95 %": "upperfence"}
    return [
        {"of": _cell(name), **{f"{said}, {unit}": box[key][k] for said, key in keys.items()}}
        for k, name in enumerate(box["y"])
    ]


def _marks(series: Mapping[str, Any]) -> list[dict[str, Any]]:
    across = series.get("orientation") == "h"
    places, values = (series["y"], series["x"]) if across else (series["x"], series["y"])
    name = series.get("name")
    said = {} if name is None else {"series": _cell(name)}
    pairs = zip(places, values, strict=True)
    return [{**said, "at": _cell(place), "value": value} for place, value in pairs if value is not None]


def _cell(value: Any) -> str:
    """A name or a moment as text, with the characters back that `escape` took out."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return readable(html.unescape(str(value)))


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
