"""The Alerts page in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzers.alerts.rules import Rule, preview
from analyzers.alerts.states import Alert
from dashboard.alerting.overview import Burn, On
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units


def on_document(on: Sequence[On]) -> list[b.Block]:
    """One card for each level that is over its threshold."""
    if not on:
        return [b.note("Nothing is on.")]
    return [
        b.card(
            [b.heading(f"{palette.SEVERITY_GLYPHS[one.level]} {one.rule}", level=2, note=f"since {units.moment(one.since_ns)[:16]} UTC"), b.prose(one.sentence)],
            tone=SEVERITY_TONES[one.level],
        )
        for one in on
    ]  # fmt: skip


def budget_document(burn: Burn) -> list[b.Block]:
    """A row per workflow: spent in 24 hours, in 7 days, and where that leads."""
    columns = [b.column("workflow"), *(b.column(name, right=True) for name in ("24 h", "7 days", "30 days at this pace", "of the day before"))]  # fmt: skip
    rows = [
        b.row([row.workflow or "unnamed", units.money(row.day_usd), units.money(row.week_usd), units.money(row.day_usd * 30),
               f"{row.day_usd / row.before_usd:.1f} ×" if row.before_usd else None])
        for row in burn.workflows
    ]  # fmt: skip
    return [b.table(columns, rows)] if rows else [b.note("No call has a known price.")]


def history_document(alerts: Sequence[Alert], sent: Mapping[str, str]) -> list[b.Block]:
    """The newest alerts; a click opens the first run that one names."""
    if not alerts:
        return [b.note("No alert so far.")]
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


def rules_document(rules: Sequence[Rule]) -> list[b.Block]:
    """Each rule in one sentence."""
    return [b.table([b.column("rule", tight=True), b.column("what it does")], [b.row([rule.name, preview(rule)]) for rule in rules])]  # fmt: skip
