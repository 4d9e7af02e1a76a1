"""The charts as data: what is plotted, and what must not be invented."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
import pytest

from dashboard.charts import base, breakdowns, distributions
from dashboard.charts import trends as charts

HOUR = 3_600 * 10**9
TREND = pl.DataFrame(
    {
        "start_ns": [0, HOUR, 2 * HOUR],
        "ended": [4, 0, 2],
        "completed": [3, 0, 2],
        "escalated": [1, 0, 0],
        "p50_s": [2.0, None, 3.0],
        "p95_s": [9.0, None, 8.0],
    }
)
SPEND = pl.DataFrame({"start_ns": [0, 0, HOUR], "workflow": ["triage", "other", "triage"], "cost_usd": [1.5, 9.0, 0.5]})


def test_spend_stacks_workflows_with_other_last() -> None:
    """Every bar has every bucket; "other" is grey and last however large it is."""
    figure = charts.spend_over_time(SPEND, "light")
    assert [bar["name"] for bar in figure["data"]] == ["triage", "other"]
    assert [bar["y"] for bar in figure["data"]] == [[1.5, 0.5], [9.0, 0.0]]


def test_a_moment_that_is_alone_stands_in_a_minute() -> None:
    """Plotly would show a fraction of a second around it, with a bar as wide as the page."""
    alone = charts.spend_over_time(SPEND.head(1), "light")
    low, high = alone["layout"]["xaxis"]["range"]
    assert (high - low).total_seconds() == 60
    assert alone["data"][0]["width"] < 10_000
    assert "range" not in charts.spend_over_time(SPEND, "light")["layout"]["xaxis"]


def test_rates_have_gaps_where_nothing_ended() -> None:
    """A bucket without ended runs has no rate: neither 0 % nor a line across."""
    completed, escalated = charts.shares_over_time(TREND, charts.RUN_SHARES, "dark")["data"]
    assert completed["y"] == [0.75, None, 1.0]
    assert escalated["y"] == [0.25, None, 0.0]
    assert completed["connectgaps"] is False


def test_latency_shows_both_percentiles() -> None:
    """Median and 95th percentile, unknown where nothing ended."""
    assert [line["y"] for line in charts.latency_over_time(TREND, "light")["data"]] == [
        [9.0, None, 8.0],
        [2.0, None, 3.0],
    ]


def test_outcomes_keep_their_colour_in_both_modes() -> None:
    """The colour belongs to the outcome, not to its place in the chart."""
    outcomes = pl.DataFrame({"outcome": ["failed", "completed"], "runs": [2, 40]})
    light, dark = (charts.outcome_bars(outcomes, mode)["data"][0] for mode in ("light", "dark"))
    assert light["y"] == ["failed", "completed"]
    assert light["marker"]["color"] != dark["marker"]["color"]
    assert light["marker"]["color"][0] == charts.OUTCOME_INKS["failed"].light


@pytest.mark.parametrize(
    "figure",
    [
        charts.spend_over_time(SPEND, "light"),
        charts.spend_over_time(SPEND.clear(), "light"),
        charts.spend_over_time(SPEND.head(1), "light"),
        charts.tokens_over_time(TREND.with_columns(tokens=7), "light"),
        charts.latency_over_time(TREND, "dark"),
        charts.shares_over_time(TREND.clear(), charts.RUN_SHARES, "dark"),
        charts.outcome_bars(pl.DataFrame({"outcome": [], "runs": []}, schema={"outcome": str, "runs": int}), "light"),
    ],
)
def test_plotly_accepts_every_chart(figure: base.Figure) -> None:
    """The dicts are valid figures, empty frames included."""
    assert go.Figure(figure).to_dict()["layout"]["height"] == base.HEIGHT


def test_names_cannot_become_markup() -> None:
    """Plotly renders some HTML and evaluates hover templates; a workflow's name does neither."""
    hostile = SPEND.with_columns(workflow=pl.lit("<b>%{y}</b><a href='javascript:x'>"))
    [bar] = charts.spend_over_time(hostile, "light")["data"]
    assert "<b>" not in bar["name"]
    assert "<a" not in bar["hovertemplate"]
    assert "%{y}" not in bar["hovertemplate"].split("<br>")[0]


def test_boxes_show_the_slowest_on_top_and_leave_out_the_rest() -> None:
    """Quartiles come from the data; the unit suits the longest."""
    rows = pl.DataFrame(
        {"name": ["a"] * 5 + ["b"] * 5, "seconds": [1.0, 2.0, 3.0, 4.0, 5.0, 600.0, 600.0, 600.0, 600.0, 600.0]}
    )
    figure = distributions.latency_boxes(rows, "light", rows=1)
    assert figure["data"][0]["y"] == ["b"]
    assert figure["data"][0]["median"] == [10.0]
    assert figure["layout"]["xaxis"]["ticksuffix"] == " min"
    go.Figure(distributions.latency_boxes(rows, "dark"))


def test_bars_sum_to_the_total_however_many_there_are() -> None:
    """What is too small for a bar of its own is in "others"; unknown values are left out, not drawn as zero."""
    rows = pl.DataFrame(
        {"name": [f"n{i}" for i in range(20)] + ["unknown"], "usd": [float(i) for i in range(20)] + [None]}
    )
    figure = breakdowns.bars_by_name(rows, "usd", "light", text=lambda usd: f"${usd:.2f}", most=5)
    bar = figure["data"][0]
    assert sum(bar["x"]) == sum(range(20))
    assert bar["y"][0] == "15 others"
    assert bar["y"][-1] == "n19"
    go.Figure(figure)


def test_a_stack_keeps_its_parts_apart() -> None:
    """Every part is a series of its own, the largest total on top."""
    rows = pl.DataFrame({"name": ["a", "b"], "fresh_tokens": [5, 50], "cached_tokens": [1, 0], "output_tokens": [2, 3]})
    figure = breakdowns.stacked_by_name(rows, breakdowns.TOKEN_PARTS, "dark", text=str)
    assert [series["x"] for series in figure["data"]] == [[5.0, 50.0], [1.0, 0.0], [2.0, 3.0]]
    assert figure["data"][0]["y"] == ["a", "b"]
    go.Figure(figure)


def test_a_chart_is_a_table_too() -> None:
    """Every mark that is drawn with its series, place and value; gaps are no rows; names are as they were; a box has its quantiles and unit."""
    rows = base.table_of(charts.spend_over_time(SPEND, "light"))
    assert rows.rows() == [
        ("triage", "1970-01-01 00:00:00", 1.5), ("triage", "1970-01-01 01:00:00", 0.5),
        ("other", "1970-01-01 00:00:00", 9.0), ("other", "1970-01-01 01:00:00", 0.0),
    ]  # fmt: skip
    shares = base.table_of(charts.shares_over_time(TREND, charts.RUN_SHARES, "dark"))
    assert shares["value"].to_list() == [0.75, 1.0, 0.25, 0.0]
    bars = base.table_of(
        breakdowns.bars_by_name(pl.DataFrame({"name": ["<b>&"], "usd": [2.0]}), "usd", "light", text=str)
    )
    assert bars["at"].to_list() == ["<b>&"]
    durations = pl.DataFrame({"name": ["a"] * 5, "seconds": [1.0, 2.0, 3.0, 4.0, 5.0]})
    box = base.table_of(distributions.latency_boxes(durations, "light"))
    assert (box["of"].to_list(), box["median, s"].to_list(), box["75 %, s"].to_list()) == (["a"], [3.0], [4.0])


def test_a_chart_without_room_says_so() -> None:
    """Twelve of twenty are called twelve of twenty."""
    assert base.some_of("Took", 12, 20, "slowest") == "Took: the 12 slowest of 20, the others in the table"
    assert base.some_of("Took", 12, 12, "slowest") == "Took"
