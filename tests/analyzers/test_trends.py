"""Trends of the metrics, and output variance, against plain Python."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.metrics import metrics
from analyzers.metrics.trends import metric_trends, theil_sen, trend_slopes
from analyzers.metrics.variance import output_variance
from tests.drawn import Drawn, frames, llm, run, tool

DAY_S = 86_400
USED: dict[str, Any] = {"input_tokens": 100, "output_tokens": 20}


def one(number: int, *, day: float, cost: str = "0.01", outcome: str = "completed") -> Drawn:
    return run("w", llm(0, 2, cost=cost, **USED), id=f"r{number}", at=day * DAY_S, outcome=outcome)


def test_a_row_per_day_and_its_slope() -> None:
    """Cost rises by a cent a day; failures count on their day; a day without runs has no row."""
    runs = [one(n, day=day, cost=f"0.0{day + 1}") for n, day in enumerate([0, 1, 2, 4, 5])]
    rows = metric_trends(frames(*runs, one(9, day=0, outcome="failed"))).to_dicts()
    slope = next(s for s in trend_slopes(metric_trends(frames(*runs))) if s["metric"] == "cost_mean_usd")

    assert [(row["runs"], row["completion_rate"]) for row in rows] == [(2, 0.5), (1, 1), (1, 1), (1, 1), (1, 1)]
    assert all(row["start_ns"] % (DAY_S * 10**9) == 0 for row in rows)
    assert (slope["per_period"], slope["share_per_period"], slope["periods"]) == (
        pytest.approx(0.01),
        pytest.approx(1 / 3),
        5,
    )
    assert trend_slopes(metric_trends(frames(*runs[:4]))) == []


def test_weeks_begin_on_monday() -> None:
    """Second 0 of a drawing is a Tuesday: six days later it is Monday, and another week."""
    rows = metric_trends(frames(one(0, day=0), one(1, day=5), one(2, day=6)), "week")

    assert rows["runs"].to_list() == [2, 1]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-5, 5)), max_size=8))
def test_theil_sen_is_the_median_slope(points: list[tuple[int, int]]) -> None:
    """Oracle: all pairs."""
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0])
    expected = (slopes[(len(slopes) - 1) // 2] + slopes[len(slopes) // 2]) / 2 if slopes else 0

    assert theil_sen([(float(x), float(y)) for x, y in points]) == pytest.approx(expected)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("pq"), st.sampled_from("xyz"), st.booleans()), max_size=10
    )
)
def test_variance_of_equal_inputs(calls: list[tuple[str, str, str, bool]]) -> None:
    """Oracle: pairs of calls with the same model and prompt, failed ones left out."""
    drawn = [
        llm(i, i + 1, model=model, prompt=prompt, answer=said, status="ok" if ok else "error")
        for i, (model, prompt, said, ok) in enumerate(calls)
    ]
    answers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for model, prompt, said, ok in calls:
        if ok:
            answers[model, prompt].append(said)
    repeated = {key: held for key, held in answers.items() if len(held) > 1}
    rows = {row["name"]: row for row in output_variance(frames(run("w", *drawn, tool("t", 0, 1)))).to_dicts()}

    assert set(rows) == {model for model, _ in repeated}
    for model, row in rows.items():
        own = [held for (name, _), held in repeated.items() if name == model]
        chance = sum(
            len(h) * sum(a != b for a, b in combinations(h, 2)) / (len(h) * (len(h) - 1) / 2) for h in own
        ) / sum(map(len, own))
        assert (row["inputs"], row["calls"], row["varied_inputs"]) == (
            len(own),
            sum(map(len, own)),
            sum(len(set(h)) > 1 for h in own),
        )
        assert row["answer_variance"] == pytest.approx(chance)


def test_tools_vary_too_and_the_document_has_it() -> None:
    """A tool that gave two results for the same arguments, beside one that did not."""
    calls = [tool("clock", n, n + 1, args={}, result=n) for n in range(2)] + [
        tool("sum", n, n + 1, args={"a": 1}, result=2) for n in range(2, 4)
    ]
    document = metrics(frames(run("w", *calls))).to_json()

    assert [(row["name"], row["variance"]) for row in document["variance"]] == [("clock", 1.0), ("sum", 0.0)]
    assert (len(document["trends"]), document["slopes"]) == (1, [])
