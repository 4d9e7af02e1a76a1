"""Plotly charts of the dashboard: polars frames in, figures out. Colours come from the palette and are always explicit.

Times on the axes are UTC. A chart never invents a value: where nothing ended there is no rate, where no price is known
there is no cost, and the line has a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl

from dashboard.figures import palette
from dashboard.figures.palette import Mode
from tracer.model import RunOutcome

HEIGHT = 240

OUTCOME_INKS: Mapping[str, palette.Ink] = {
    RunOutcome.COMPLETED: palette.GREEN,
    RunOutcome.FAILED: palette.ERROR,
    RunOutcome.TIMED_OUT: palette.RUST,
    RunOutcome.STOPPED_BY_GUARD: palette.AMBER,
    RunOutcome.ESCALATED: palette.PINK,
    RunOutcome.INTERRUPTED: palette.Ink("#8A5A44", "#C08A70"),
    RunOutcome.RUNNING: palette.BLUE,
    RunOutcome.UNKNOWN: palette.GREY,
}
"""How a run ended, the same on every page"""


def spend_over_time(spend: pl.DataFrame, mode: Mode) -> go.Figure:
    """Known cost per bucket, stacked by workflow. `spend`: start_ns, workflow, cost_usd (see `run_reads.Overview`)."""
    figure = _figure()
    names = (
        spend.group_by("workflow").agg(pl.col("cost_usd").sum()).sort("cost_usd", "workflow", descending=[True, False])
    )["workflow"].to_list()  # fmt: skip
    ordered = [name for name in names if name != "other"] + [name for name in names if name == "other"]
    starts = spend["start_ns"].unique().sort()
    for slot, name in enumerate(ordered):
        ink = palette.GREY if name == "other" else palette.agent_ink(slot)
        own = spend.filter(pl.col("workflow") == name)
        joined = starts.to_frame().join(own, on="start_ns", how="left", maintain_order="left")
        figure.add_bar(
            x=_times(joined), y=joined["cost_usd"].fill_null(0.0).to_list(), name=_legend(name),
            marker={"color": ink.of(mode), "line": {"width": 0}},
            hovertemplate=f"{_escape(name)}<br>%{{x|%d %b %H:%M}}<br><b>$%{{y:,.4f}}</b><extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.15, showlegend=len(ordered) > 1)
    figure.update_yaxes(tickprefix="$", rangemode="tozero")
    return figure


def latency_over_time(trend: pl.DataFrame, mode: Mode) -> go.Figure:
    """Median and 95th percentile of ended runs, seconds. `trend`: start_ns, p50_s, p95_s."""
    figure = _figure()
    for column, name, ink, dash in (("p95_s", "p95", palette.RUST, "solid"), ("p50_s", "p50", palette.BLUE, "dot")):
        figure.add_scatter(
            x=_times(trend), y=trend[column].to_list(), name=name, mode="lines+markers", connectgaps=False,
            line={"color": ink.of(mode), "width": 2, "dash": dash}, marker={"size": 5},
            hovertemplate=f"{name} %{{y:,.2f}} s<br>%{{x|%d %b %H:%M}}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(ticksuffix=" s", rangemode="tozero")
    return figure


def success_over_time(trend: pl.DataFrame, mode: Mode) -> go.Figure:
    """Share of ended runs that completed, and that needed a person. `trend`: start_ns, ended, completed, escalated."""
    figure = _figure()
    rates = trend.with_columns(
        [
            pl.when(pl.col("ended") > 0).then(pl.col(column) / pl.col("ended")).alias(f"{column}_rate")
            for column in ("completed", "escalated")
        ]
    )
    lines = (
        ("completed_rate", "completed", palette.GREEN, "solid"),
        ("escalated_rate", "escalated", palette.PINK, "dot"),
    )
    for column, name, ink, dash in lines:
        figure.add_scatter(
            x=_times(rates), y=rates[column].to_list(), name=name, mode="lines+markers", connectgaps=False,
            customdata=rates["ended"].to_list(), line={"color": ink.of(mode), "width": 2, "dash": dash}, marker={"size": 5},
            hovertemplate=f"{name} %{{y:.0%}} of %{{customdata}} ended<br>%{{x|%d %b %H:%M}}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", range=[-0.04, 1.06])
    return figure


def outcome_bars(outcomes: pl.DataFrame, mode: Mode) -> go.Figure:
    """Runs by outcome, the largest on top, the number at the bar's end. `outcomes`: outcome, runs."""
    figure = _figure()
    rows = outcomes.sort("runs", "outcome", descending=[False, True])
    names = rows["outcome"].to_list()
    figure.add_bar(
        y=[name.replace("_", " ") for name in names], x=rows["runs"].to_list(), orientation="h",
        marker={"color": [OUTCOME_INKS.get(name, palette.GREY).of(mode) for name in names], "line": {"width": 0}},
        text=[f"{count:,}" for count in rows["runs"].to_list()], textposition="outside", cliponaxis=False,
        hovertemplate="%{y}: %{x:,} runs<extra></extra>",
    )  # fmt: skip
    figure.update_layout(showlegend=False, bargap=0.35, margin={"l": 8, "r": 40, "t": 8, "b": 8})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(automargin=True, showgrid=False, ticksuffix="  ")
    return figure


def _figure() -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left", "title": None},
        hovermode="closest",
        dragmode=False,
    )
    figure.update_xaxes(automargin=True, fixedrange=True, showgrid=False)
    figure.update_yaxes(automargin=True, fixedrange=True, nticks=5)
    return figure


def _times(frame: pl.DataFrame) -> list[Any]:
    return frame.select(pl.from_epoch("start_ns", time_unit="ns")).to_series().to_list()


def _escape(text: str) -> str:
    """Plotly reads a little HTML in texts, and `%{...}` in hover templates; a name must do neither."""
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("%{", "% {")
        .replace("{", "(")
        .replace("}", ")")
    )


def _legend(text: str) -> str:
    return _escape(text if len(text) <= 28 else text[:27] + "…")
