"""Back-test: what a guard would have done to the stored runs, for each threshold."""

from __future__ import annotations

import polars as pl
import streamlit as st

from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.charts import budgets
from dashboard.components import document_view
from dashboard.documents.backtest import points_document, saved, stops_document
from dashboard.figures import units
from dashboard.window import heading, say_nothing_in

GUARDS = {"Loop": "loop", "Budget": "budget_usd", "Tokens": "tokens", "Time": "seconds", "LLM calls": "iterations", "Daily budget": "per_day_usd"}  # fmt: skip


def render() -> None:
    """Draw the page."""
    state = queries.current()
    window = heading("Back-test", workflows=queries.workflows(state))
    known = queries.newest_runs(state, queries.BACKTESTED)
    if known.is_empty():
        say_nothing_in(window)
        return
    chosen = st.segmented_control(
        "Guard", list(GUARDS), default=address.one_of("guard", GUARDS, "Loop"), required=True, key=address.fresh("backtest_guard"),
        on_change=address.follows("guard", address.fresh("backtest_guard"), default="Loop"), label_visibility="collapsed",
    )  # fmt: skip
    guard = GUARDS[chosen or "Loop"]
    with st.spinner("Replaying the runs through the guard ..."):
        found = queries.swept(state, window.since_ns, window.workflow, guard)
    if found is None:
        say_nothing_in(window)
        return
    best = found.curve.suggested
    shown = best or (found.curve.points[-1] if found.curve.points else None)
    if shown is None:
        st.info("Nothing in these runs can be measured by this guard.")
        return
    t, judged = shown.tally, found.curve.held_out
    wrong = f"of {units.count(t.good)}" + (f"; held out {judged.good_stopped} of {judged.good}" if judged else "")
    chrome.numbers(
        (
            (f"Suggested {(chosen or 'Loop').lower()}" if best else "No suggestion", f"{shown.threshold:,.12g}" if best else "—", f"confidence {found.curve.confidence}" if best else "see below"),
            ("Saved", saved(t.usd_saved, t.tokens_saved), f"and {units.duration(t.minutes_saved * 60e9)}"),
            ("Stopped", units.count(t.stopped), f"of {amount(t.runs, 'run')}"),
            ("Good runs stopped", units.count(t.good_stopped), wrong if t.good else "no run is known to be good"),
            ("Good work lost", saved(t.usd_lost, t.tokens_lost), "had it been on"),
        )
    )  # fmt: skip
    st.text(found.curve.sentence)
    if not t.good:
        st.text("No run of this window is known to be good, so nothing says what a guard would stop wrongly: runs that completed count, and those marked ok.")  # fmt: skip
    if not found.traces["llm_calls"].sum():
        st.text("No LLM call was recorded in these runs: a guard acts before the next call, so there is nothing it could have stopped.")  # fmt: skip
    left, right = st.columns(2, gap="medium")
    priced = any(p.tally.usd_saved for p in found.curve.points)
    points = [(p.threshold, float(p.tally.usd_saved if priced else p.tally.tokens_saved), p.tally.wrong_rate, p.tally.wrong_low, p.tally.wrong_high) for p in found.curve.points]  # fmt: skip
    chrome.chart(left, f"Saved, {'USD' if priced else 'tokens'} (left), and the share of good runs stopped wrongly with its 95 % interval (right)",
                 budgets.trade_off(points, best.threshold if best else None, chrome.mode(), priced=priced), "trade_off")  # fmt: skip
    with right:
        document_view(points_document(found.curve), key="points", label="Every threshold", subject="thresholds")
    st.subheader(f"Runs stopped at {shown.threshold:,.12g}", anchor=False)
    rows = {row["run_id"]: row for row in found.traces.filter(pl.col("run_id").is_in(list(found.stops))).iter_rows(named=True)}  # fmt: skip
    document_view(
        stops_document(found.stops, rows, found.good), key="stops", label="Runs that would have been stopped", subject="runs",
        on_pick=lambda pick: st.session_state.update(backtest_run=pick.get("run")),
    )  # fmt: skip
    run_id = st.session_state.pop("backtest_run", None)
    if run_id:
        address.open_trace(run_id)


render()
