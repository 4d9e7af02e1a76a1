"""Values over time. Where nothing ended there is no rate and the line has a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboard.charts.base import Figure, around, escape, figure, short, time_unit, times
from dashboard.figures import palette
from dashboard.figures.palette import Mode
from tracer.model import RunOutcome

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
_BAR_MS = 4_000
"""width of a bar that is alone, in the minute that is shown around it"""


def spend_over_time(spend: pl.DataFrame, mode: Mode) -> Figure:
    """Known cost per bucket, stacked by workflow. `spend`: start_ns, workflow, cost_usd (see `run_reads.Overview`)."""
    totals = spend.group_by("workflow").agg(pl.col("cost_usd").sum())
    names: list[str] = totals.sort("cost_usd", "workflow", descending=[True, False])["workflow"].to_list()
    ordered = [name for name in names if name != "other"] + [name for name in names if name == "other"]
    starts = spend.select(pl.col("start_ns").unique().sort())
    bars: list[dict[str, Any]] = []
    for slot, name in enumerate(ordered):
        ink = palette.GREY if name == "other" else palette.agent_ink(slot)
        own = spend.filter(pl.col("workflow") == name)
        joined = starts.join(own, on="start_ns", how="left", maintain_order="left")
        bars.append({
            "type": "bar", "name": short(name), "x": times(joined), "y": joined["cost_usd"].fill_null(0.0).to_list(),
            "marker": {"color": ink.of(mode), "line": {"width": 0}}, "width": _BAR_MS if starts.height == 1 else None,
            "hovertemplate": f"{escape(name)}<br>%{{x|%d %b %H:%M}}<br><b>$%{{y:,.4f}}</b><extra></extra>",
        })  # fmt: skip
    return figure(
        bars,
        layout={"barmode": "stack", "bargap": 0.15, "showlegend": len(ordered) > 1},
        x=around(spend),
        y={"tickprefix": "$", "rangemode": "tozero"},
    )


def tokens_over_time(trend: pl.DataFrame, mode: Mode) -> Figure:
    """Tokens per bucket, for stores where no price is known. `trend`: start_ns, tokens."""
    bar = {
        "type": "bar", "x": times(trend), "y": trend["tokens"].to_list(), "marker": {"color": palette.BLUE.of(mode), "line": {"width": 0}},
        "width": _BAR_MS if trend.height == 1 else None, "hovertemplate": "%{x|%d %b %H:%M}<br><b>%{y:,} tokens</b><extra></extra>",
    }  # fmt: skip
    return figure([bar], layout={"showlegend": False, "bargap": 0.15}, x=around(trend), y={"rangemode": "tozero"})


def latency_over_time(trend: pl.DataFrame, mode: Mode) -> Figure:
    """Median and 95th percentile of ended runs, in the unit that suits. `trend`: start_ns, p50_s, p95_s."""
    longest = trend["p95_s"].max()
    unit_s, unit = time_unit(longest if isinstance(longest, float) else 0.0)
    scaled = trend.with_columns(pl.col("p50_s", "p95_s") / unit_s)
    lines = [
        _line(scaled, column, name, ink.of(mode), dash, hover=f"{name} %{{y:,.2f}} {unit}<br>%{{x|%d %b %H:%M}}")
        for column, name, ink, dash in (
            ("p95_s", "95th percentile", palette.RUST, "solid"),
            ("p50_s", "median", palette.BLUE, "dot"),
        )
    ]
    return figure(lines, x=around(trend), y={"ticksuffix": f" {unit}", "rangemode": "tozero"})


Share = tuple[str, str, palette.Ink, str]
"""column of a trend that counts, what the legend calls it, its colour, its line"""
RUN_SHARES: tuple[Share, ...] = (
    ("completed", "completed", palette.GREEN, "solid"),
    ("escalated", "escalated to a person", palette.PINK, "dot"),
    ("looping", "in a loop", palette.ERROR, "dash"),
)


def shares_over_time(trend: pl.DataFrame, shares: Sequence[Share], mode: Mode) -> Figure:
    """Shares of what ended, one line each. `trend`: start_ns, ended, and a count per share; a share without its column is left out."""
    known = [share for share in shares if share[0] in trend.columns]
    rates = trend.with_columns(
        pl.when(pl.col("ended") > 0).then(pl.col(column) / pl.col("ended")).alias(f"{column}_rate")
        for column, *_ in known
    )
    lines = [
        _line(rates, f"{column}_rate", name, ink.of(mode), dash, extra="ended",
              hover=f"{name}: %{{y:.0%}} of %{{customdata}} ended<br>%{{x|%d %b %H:%M}}")
        for column, name, ink, dash in known
    ]  # fmt: skip
    return figure(
        lines, layout={"showlegend": len(lines) > 1}, x=around(trend), y={"tickformat": ".0%", "range": [-0.04, 1.06]}
    )


def outcome_bars(outcomes: pl.DataFrame, mode: Mode) -> Figure:
    """Runs by outcome, the largest on top, the number at the bar's end. `outcomes`: outcome, runs."""
    rows = outcomes.sort("runs", "outcome", descending=[False, True])
    names: list[str] = rows["outcome"].to_list()
    bar = {
        "type": "bar", "orientation": "h", "x": rows["runs"].to_list(), "y": [name.replace("_", " ") for name in names],
        "marker": {"color": [OUTCOME_INKS.get(name, palette.GREY).of(mode) for name in names], "line": {"width": 0}},
        "text": [f"{runs:,}" for runs in rows["runs"].to_list()], "textposition": "outside", "cliponaxis": False,
        "hovertemplate": "%{y}: %{x:,} runs<extra></extra>",
    }  # fmt: skip
    return figure(
        [bar],
        layout={
            "showlegend": False,
            "bargap": max(0.35, 1 - 0.16 * rows.height),
            "margin": {"l": 8, "r": 44, "t": 8, "b": 8},
        },
        x={"visible": False, "type": "linear"},
        y={"showgrid": False, "ticksuffix": "  ", "nticks": None},
    )


def _line(
    frame: pl.DataFrame, column: str, name: str, colour: str, dash: str, *, hover: str, extra: str | None = None
) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": times(frame), "y": frame[column].to_list(),
        "connectgaps": False, "line": {"color": colour, "width": 2, "dash": dash}, "marker": {"size": 5},
        "customdata": frame[extra].to_list() if extra else None, "hovertemplate": f"{hover}<extra></extra>",
    }  # fmt: skip
