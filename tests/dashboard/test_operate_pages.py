"""The pages Alerts and Back-test say what their commands say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.alerting.outbox import Budget
from dashboard.alerting.overview import DAY_NS, alerting_of, burn_of
from dashboard.charts import budgets
from dashboard.cli import main
from dashboard.documents.alerts import history_document, limits_document, on_document
from tests import drawn
from tests.dashboard import stores
from tests.dashboard.opening import Open, said
from tests.dashboard.test_compare_page import texts
from tracer.store.database import Store


def test_money_burns_by_workflow_and_hour() -> None:
    """$1 a day ago and $2 now: the last day, the day before it, the week; the curve ends at the day's sum."""
    runs = [drawn.run("desk", drawn.agent("a", 0, 2, drawn.llm(0, 1, cost=cost)), id=cost, at=at) for cost, at in (("1", 0.0), ("2", 90_000.0))]  # fmt: skip
    burn = burn_of(drawn.frames(*runs).traces)

    assert [(row.workflow, row.day_usd, row.before_usd, row.week_usd) for row in burn.workflows] == [("desk", 2.0, 1.0, 3.0)]  # fmt: skip
    assert (burn.day_usd, burn.month_usd, burn.hours["cost_usd"][-1], burn.hours["cost_usd"].max()) == (2, 60, 2, 2)
    assert burn_of(drawn.frames().traces).workflows == []


def test_a_trade_off_marks_the_suggestion() -> None:
    """One spot in the colour of the suggestion, at its threshold; none where there is none."""
    points = [(3.0, 10.0, 0.2, 0.1, 0.3), (4.0, 9.0, 0.0, 0.0, 0.1)]
    marked = [line for line in budgets.trade_off(points, 4.0, "light")["data"] if line.get("name") == "suggested"]

    assert [(line["x"], line["y"]) for line in marked] == [(["4"], [9.0])]
    assert len(budgets.trade_off(points, None, "light")["data"]) == 3


@pytest.mark.parametrize(
    ("spent", "gone", "lasts"),
    [
        (0.0, "0%", "—"),
        (2.5, "25%", "3d 0h"),
        (9.0, "90%", "2h 40m"),
        (10.0, "100%", "used up"),
        (25.0, "250%", "used up"),
    ],
)
def test_a_budget_says_how_much_is_gone_and_how_long_the_rest_lasts(spent: float, gone: str, lasts: str) -> None:
    """At the pace of its own window: of $10 a day, $2.50 in a day leaves three such days."""
    one = Budget(rule="daily", workflow="desk", spent_usd=spent, limit_usd=10, window_ns=DAY_NS)
    row = texts(limits_document([one]))

    assert {"desk", "daily, 1 d", "$10.00", gone, lasts} <= set(row)


@pytest.mark.slow
def test_the_pages_show_what_was_told_and_what_a_breaker_would_have_done(tmp_path: Path, open_app: Open) -> None:
    """A channel that is down is said; the loop breaker stops the looping run and no good one."""
    path = tmp_path / "traces.duckdb"
    stores.write(path, stores.examples(healthy=20))
    rules = tmp_path / "a.toml"
    rules.write_text('[[rule]]\nname = "completion-rate"\ncritical = 0.99\nwindow = "3650d"\n[[rule]]\nname = "our-budget"\nmeasure = "spend_usd"\nper = "store"\nwindow = "3650d"\ncritical = 10\n[[channel]]\nname = "ops"\ntype = "slack"\nurl = "http://127.0.0.1:9"\n')  # fmt: skip
    assert main(["alerts", "--store", str(path), "--rules", str(rules), "--quiet"]) == 0
    app = open_app(path, "alerts")
    assert not app.exception
    assert f"those of {rules}, over the defaults" in said(app)
    assert "alerts not delivered yet, tried up to 1 time" in said(app)
    seen = alerting_of(Store(path))
    assert "completion rate is" in " ".join(texts(on_document(seen.on)))
    ours = [does for name, does in seen.looked.rules if name == "our-budget"]
    assert ours == ["Watches the whole store: what it spent. Alerts above $10.00 (critical), over the last 3650 d."]
    [budget] = seen.looked.budgets
    assert budget.spent_usd == pytest.approx(float(stores.examples(healthy=20).traces["cost_usd"].sum()))
    told = " ".join(texts(limits_document(seen.looked.budgets)))
    assert f"our-budget, {3650} d" in told
    assert f"{budget.spent_usd / 10:.0%}" in told
    assert "ops (pending)" in " ".join(texts(history_document(seen.alerts, seen.sent)))
    app = open_app(path, "backtest")
    assert not app.exception
    assert "stopped 0 of 10 good runs wrongly" in said(app)
