"""Where the money goes: every cut sums to the whole."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest

from analyzers.frames import Frames
from analyzers.metrics.spending import By, spending, spending_over_time
from tests import drawn


def _frames() -> Frames:
    return drawn.frames(
        drawn.run("a", drawn.agent("X", 0, 9, drawn.llm(0, 1, cost="0.10"), drawn.llm(2, 3, cost="0.20", model="other")), id="r1"),
        drawn.run("b", drawn.agent("Y", 0, 9, drawn.llm(0, 1, cost="0.40", input_tokens=5, output_tokens=1), drawn.llm(2, 3, cost=None)), id="r2", at=7_200.0),
    )  # fmt: skip


@pytest.mark.parametrize("by", get_args(By))
def test_every_cut_sums_to_the_whole(by: By) -> None:
    """Calls without a value stand in a row of their own."""
    rows = spending(_frames(), by)
    assert rows["cost_usd"].sum() == Decimal("0.70")
    assert rows["llm_calls"].sum() == 4


def test_unknown_prices_lower_the_coverage_not_the_cost() -> None:
    """A call without a price is counted, and costs nothing known."""
    rows = {row["name"]: row for row in spending(_frames(), "agent").iter_rows(named=True)}
    assert rows["Y"]["cost_usd"] == Decimal("0.40")
    assert rows["Y"]["coverage"] == 0.5
    assert list(rows) == ["Y", "X"]


def test_over_time_what_is_small_becomes_other() -> None:
    """Buckets start at whole multiples; the sum stays."""
    rows = spending_over_time(_frames(), "agent", bucket_ns=3_600 * 10**9, top=1)
    assert rows["cost_usd"].sum() == pytest.approx(0.70)
    assert set(rows["name"]) == {"Y", "other"}
    assert rows["start_ns"].n_unique() == 2
