"""Alerts: what is on, how fast budgets burn, and what was told to whom."""

from __future__ import annotations

import streamlit as st

from dashboard import address, chrome, queries
from dashboard.charts import budgets
from dashboard.components import document_view
from dashboard.documents.alerts import budget_document, history_document, on_document, rules_document
from dashboard.figures import units


def render() -> None:
    """Draw the page."""
    state = queries.current()
    st.title("Alerts", anchor=False)
    seen = queries.alerting(state)
    if seen.runs == 0:
        st.info("The store is there, but no run has been recorded in it yet.")
        return
    looked = "never" if seen.looked_ns is None else units.moment(seen.looked_ns)[:16] + " UTC"
    chrome.numbers(
        (
            ("On now", units.count(len(seen.on)), "over their threshold"),
            ("Told", units.count(len(seen.alerts)), f"last look {looked}"),
            ("Not delivered", units.count(len(seen.undelivered)), "tried again and again"),
            ("Spent, 24 h", units.money(seen.burn.day_usd), f"up to {units.moment(seen.burn.end_ns)[:16]} UTC"),
            ("At this pace", units.money(seen.burn.month_usd), "in 30 days"),
        )
    )
    if seen.looked_ns is None:
        st.text("No alert was evaluated on this store yet. `tracehound alerts` does it once, `tracehound serve` every minute.".replace("`", "'"))  # fmt: skip
    for channel, reason in seen.late_channels.items():
        st.warning(f"Channel {channel}: {reason}")
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("On now", anchor=False)
        document_view(on_document(seen.on), key="alerts_on", label="What is on", subject="alerts")
    with right:
        st.subheader("Budget burn", anchor=False)
        chrome.chart(right, "Known cost, summed over the last 24 hours at each hour, USD", budgets.burn(seen.burn.hours, chrome.mode()), "burn")  # fmt: skip
        document_view(budget_document(seen.burn), key="budgets", label="Spend by workflow", subject="workflows")
    st.subheader("What was told", anchor=False)
    document_view(
        history_document(seen.alerts, seen.sent), key="alerts_history", label="Newest alerts", subject="alerts",
        on_pick=lambda pick: st.session_state.update(alert_run=pick.get("run")),
    )  # fmt: skip
    run_id = st.session_state.pop("alert_run", None)
    if run_id:
        address.open_trace(run_id)
    st.subheader("Rules", anchor=False)
    st.caption("The defaults; a server may have others (tracehound serve --rules FILE).")
    document_view(rules_document(seen.rules), key="alert_rules", label="What each rule does", subject="rules")


render()
