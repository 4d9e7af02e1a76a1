"""Alerts: what is on, how fast budgets burn, and what was told to whom."""

from __future__ import annotations

import streamlit as st

from dashboard import address, chrome, queries
from dashboard.charts import budgets
from dashboard.components import document_view
from dashboard.documents.alerts import budget_document, history_document, limits_document, on_document, rules_document
from dashboard.figures import units


def render() -> None:
    """Draw the page."""
    state = queries.current()
    st.title("Alerts", anchor=False)
    seen = queries.alerting(state)
    if seen.runs == 0:
        st.info("The store is there, but no run has been recorded in it yet.")
        return
    looked = "never evaluated" if seen.looked_ns is None else f"last look {units.moment(seen.looked_ns)[:16]} UTC"
    burn = seen.burn
    unpriced = f", {units.count(burn.unpriced_calls)} unpriced" if burn.unpriced_calls else ""
    chrome.numbers(
        (
            ("On now", units.count(len(seen.on)), "over their threshold"),
            ("Sent so far", units.count(len(seen.alerts)), looked),
            ("Not delivered", units.count(len(seen.undelivered)), "kept, and tried again"),
            (
                "Spent, 24 h",
                "unknown" if burn.unknown else units.money(burn.day_usd),
                f"to {units.moment(burn.end_ns)[5:16]} UTC{unpriced}",
            ),
            ("At this pace", "unknown" if burn.unknown else units.money(burn.month_usd), "in 30 days"),
        )
    )
    if seen.looked_ns is None:
        st.text("No alert was evaluated on this store yet. `tracehound alerts` does it once, `tracehound serve` every minute.".replace("`", "'"))  # fmt: skip
    for channel, reason in seen.late_channels.items():
        st.warning(f"Channel {channel}: {reason}")
    if seen.on:
        st.subheader("On now", anchor=False)
        document_view(on_document(seen.on), key="alerts_on", label="What is on", subject="alerts")
    st.subheader("Budget burn", anchor=False)
    left, right = st.columns(2, gap="medium")
    if burn.workflows:
        chrome.chart(left, "Known cost of the 24 hours before each hour, USD", budgets.burn(burn.hours, chrome.mode()), "burn")  # fmt: skip
    else:
        left.text("No call of the last seven days has a known price, so money cannot be watched; tokens and time can.")
    with right:
        if seen.looked.budgets:
            document_view(
                limits_document(seen.looked.budgets),
                key="limits",
                label="Budgets of the alert rules",
                subject="budgets",
            )
        else:
            st.caption('No alert rule limits spending; a rule with measure = "spend_usd" makes a budget.')
        if burn.workflows:
            document_view(budget_document(burn), key="budgets", label="Spend by workflow", subject="workflows")
    st.subheader("Newest alerts", anchor=False)
    document_view(
        history_document(seen.alerts, seen.sent), key="alerts_history", label="Newest alerts", subject="alerts",
        on_pick=lambda pick: st.session_state.update(alert_run=pick.get("run")),
    )  # fmt: skip
    run_id = st.session_state.pop("alert_run", None)
    if run_id:
        address.open_trace(run_id)
    st.subheader("Rules", anchor=False)
    st.caption(_whose(seen.looked.source, looked=seen.looked_ns is not None))
    document_view(rules_document(seen.looked.rules), key="alert_rules", label="What each rule does", subject="rules")


def _whose(source: str | None, *, looked: bool) -> str:
    if not looked:
        return "The built-in rules, not evaluated yet; tracehound serve --rules FILE takes your own."
    return f"By these the last look went: {f'those of {source}, over the defaults' if source else 'the defaults'}."


render()
