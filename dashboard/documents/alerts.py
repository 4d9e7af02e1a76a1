"""The Alerts page in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzers.alerts.rules import stretch
from analyzers.alerts.states import Alert
from dashboard.alerting.outbox import Budget
from dashboard.alerting.overview import Burn, On
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units

WARN_AT = 0.75
"""of a limit, as guards warn"""
WORKFLOWS = 9
"""rows of the spend by workflow, beside the chart"""


def on_document(on: Sequence[On]) -> list[b.Block]:
    """One card for each level that is over its threshold; nothing where none is."""
    if not on:
        return []
    return [
        b.card(
            [b.heading(f"{palette.SEVERITY_GLYPHS[one.level]} {one.rule}", level=2, note=f"since {units.moment(one.since_ns)[:16]} UTC"), b.prose(one.sentence)],
            tone=SEVERITY_TONES[one.level],
        )
        for one in on
    ]  # fmt: skip


def budget_document(burn: Burn) -> list[b.Block]:
    """A row per workflow: spent in 24 hours, in 7 days, and where that leads."""
    columns = [b.column("workflow"), *(b.column(name, right=True) for name in ("24 h", "7 days", "30 days at this pace", "against the day before"))]  # fmt: skip
    rows = [
        b.row([row.workflow or "unnamed", units.money(row.day_usd), units.money(row.week_usd), units.money(row.day_usd * 30),
               f"{row.day_usd / row.before_usd:.1f} ×" if row.before_usd else None])
        for row in burn.workflows
    ]  # fmt: skip
    return [b.table(columns, rows, first=WORKFLOWS, noun="workflow")]


def history_document(alerts: Sequence[Alert], sent: Mapping[str, str]) -> list[b.Block]:
    """The newest alerts; a click opens the first run that one names."""
    if not alerts:
        return [b.note("None so far.")]
    rows = [
        b.row(
            [units.moment(alert.at_ns)[:16],
             b.cell("over", "ok") if alert.kind == "resolved" else b.cell(f"{palette.SEVERITY_GLYPHS[alert.level]} {alert.level}", SEVERITY_TONES[alert.level]),
             alert.rule, b.cell(alert.sentence, note=f"and {units.count(len(alert.more))} more" if alert.more else None, title="\n".join(alert.more[:10]) or None),
             sent.get(alert.id)],
            pick={"run": alert.runs[0]} if alert.runs else None,
        )
        for alert in alerts
    ]  # fmt: skip
    return [b.table([b.column("when (UTC)", tight=True), b.column("level", tight=True), b.column("rule", tight=True), b.column("says"), b.column("sent to", tight=True)], rows)]  # fmt: skip


def limits_document(budgets: Sequence[Budget]) -> list[b.Block]:
    """A row per limit on spending, fullest first: how much of it is gone, and when the rest is at the pace of its window."""
    columns = [b.column("budget"), *(b.column(name, right=True) for name in ("spent", "limit", "gone", "lasts"))]
    rows = [
        b.row(
            [b.cell(one.workflow or "the store", note=f"{one.rule}, {stretch(one.window_ns)}"), units.money(one.spent_usd), units.money(one.limit_usd),
             b.cell(f"{one.spent_usd / one.limit_usd:.0%}", SEVERITY_TONES["critical" if one.spent_usd >= one.limit_usd else "warning" if one.spent_usd >= WARN_AT * one.limit_usd else "info"]),
             _lasts(one)],
        )
        for one in sorted(budgets, key=lambda one: (-one.spent_usd / one.limit_usd, one.rule, one.workflow or ""))
    ]  # fmt: skip
    return [b.table(columns, rows)]


def _lasts(one: Budget) -> str:
    """How long the rest would last if money went on going as it did in the window, and nothing of it got old."""
    left = one.limit_usd - one.spent_usd
    if left <= 0:
        return "used up"
    return "—" if one.spent_usd <= 0 else units.duration(round(left / one.spent_usd * one.window_ns))


def rules_document(rules: Sequence[tuple[str, str]]) -> list[b.Block]:
    """Each rule in one sentence."""
    return [b.table([b.column("rule", tight=True), b.column("what it does")], [b.row([name, does]) for name, does in rules])]  # fmt: skip
