"""How fast a budget burns, and what thresholds trade against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from dashboard.charts.base import Figure, figure, times
from dashboard.figures import palette
from dashboard.figures.palette import Mode


def burn(hours: pl.DataFrame, mode: Mode) -> Figure:
    """Sum of the last 24 hours at each hour. `hours`: start_ns, cost_usd."""
    line = {
        "type": "scatter", "mode": "lines", "x": times(hours), "y": hours["cost_usd"].to_list(), "fill": "tozeroy",
        "line": {"color": palette.BLUE.of(mode), "width": 2}, "hovertemplate": "%{x|%d %b %H:%M}<br><b>$%{y:,.4f}</b> in 24 h<extra></extra>",
    }  # fmt: skip
    return figure([line], layout={"showlegend": False}, y={"tickprefix": "$", "rangemode": "tozero"})


def trade_off(
    points: Sequence[tuple[float, float, float, float, float]],
    suggested: float | None,
    mode: Mode,
    *,
    priced: bool = True,
) -> Figure:
    """What each threshold saves (left axis), and the good runs it stops (right axis, with the 95 % interval).

    `points`, by rising threshold: threshold, saved USD (tokens unless `priced`), share of good runs stopped, its low and high end.
    """
    names = [f"{p[0]:,.12g}" for p in points]
    wrong = palette.RUST.of(mode)
    money = "$%{y:,.4f}" if priced else "%{y:,} tokens"
    top = next((one for one in (0.05, 0.1, 0.25, 0.5) if max((p[4] for p in points), default=0.0) <= one), 1.0)
    lines: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "x": [*names, *names[::-1]], "y": [*(p[4] for p in points), *(p[3] for p in points[::-1])],
            "yaxis": "y2", "fill": "toself", "opacity": 0.35, "line": {"width": 0, "color": wrong}, "hoverinfo": "skip", "showlegend": False,
        },
        {
            "type": "scatter", "mode": "lines+markers", "name": "good runs stopped", "x": names, "y": [p[2] for p in points], "yaxis": "y2",
            "line": {"color": wrong, "width": 2, "dash": "dot"}, "marker": {"size": 5}, "hovertemplate": "at %{x}: %{y:.1%} of the good runs<extra></extra>",
        },
        {
            "type": "scatter", "mode": "lines+markers", "name": "saved", "x": names, "y": [p[1] for p in points],
            "line": {"color": palette.BLUE.of(mode), "width": 2}, "marker": {"size": 6}, "hovertemplate": f"at %{{x}}: {money}<extra></extra>",
        },
    ]  # fmt: skip
    lines += [
        {
            "type": "scatter", "mode": "markers", "name": "suggested", "x": [f"{p[0]:,.12g}"], "y": [p[1]],
            "marker": {"color": palette.GREEN.of(mode), "size": 13}, "hovertemplate": "suggested: %{x}<extra></extra>",
        }
        for p in points
        if p[0] == suggested
    ]  # fmt: skip
    right = {"overlaying": "y", "side": "right", "tickformat": ".3~%", "range": [0, top * 1.05], "tickvals": [top * step / 5 for step in range(6)], "showgrid": False, "fixedrange": True, "automargin": True}  # fmt: skip
    return figure(
        lines,
        layout={"height": 340, "yaxis2": right},
        x={"type": "category", "title": {"text": "threshold"}},
        y={"tickprefix": "$" if priced else "", "rangemode": "tozero"},
    )
