"""Live: what runs now, who waits for whom, what takes unusually long, and what ended last."""

from __future__ import annotations

import streamlit as st

from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.components import document_view
from dashboard.documents.live import ended_document, running_document
from dashboard.figures import units
from dashboard.parts import part
from tracer.model import SpanKind

EVERY_S = 0.5


def render() -> None:
    """Draw the page; all but the title is drawn again every half second."""
    queries.current()  # says where there is no store, before anything is drawn
    st.title("Live", anchor=False)
    with st.container(key="live"):
        part(_now, every_s=EVERY_S)()


def _now() -> None:
    address.go()  # a click inside a fragment draws the fragment alone
    state = queries.current()
    shown, now_ns = queries.live(state)
    spans = [span for run in shown.runs for span in run.open]
    waits = sum(span.row["kind"] == SpanKind.WAIT for span in spans)
    late = sum(span.late for span in spans)
    stuck = sum(bool(run.stuck) for run in shown.runs)
    figures = (
        ("Running", units.count(len(shown.runs)), "runs that have not ended"),
        ("At work", units.count(len(spans) - waits), "LLM calls, tools and agents"),
        ("Waiting", units.count(waits), f"{amount(stuck, 'run')} in a deadlock" if stuck else "no deadlock"),
        ("Late", units.count(late), "three times longer than usual"),
    )
    chrome.numbers(figures)
    if shown.runs:
        document_view(running_document(shown.runs, now_ns), key="running", label="Running now", subject="running", on_pick=address.remember)  # fmt: skip
    elif shown.recent.is_empty():
        st.info(
            "The store is there, but no run has been recorded in it yet. A run appears here within a second of its start."
        )
    else:
        st.info(
            "Nothing runs at the moment. A run appears here within a second of its start.", icon=":material/schedule:"
        )
    if shown.recent.height:
        st.subheader("Ended last", anchor=False)
        document_view(
            ended_document(shown.recent), key="ended", label="Ended last", subject="ended", on_pick=address.remember
        )


render()
