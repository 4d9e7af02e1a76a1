"""Sessions: conversations that stretch over several runs, and the runs of one of them in order."""

from __future__ import annotations

import streamlit as st

from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.components import document_view
from dashboard.documents.session import session_document, sessions_document
from dashboard.window import heading

PAGE_ROWS = 40


def render() -> None:
    """Draw the page."""
    state = queries.current()
    chosen = address.get("session")
    if chosen is not None:
        _one(state, chosen)
        return
    window = heading("Sessions")
    text = st.text_input(
        "Session or user", value=st.query_params.get("q", ""), key=address.fresh("session_text"), type="search", icon=":material/search:",
        placeholder="part of a session id or user id", label_visibility="collapsed",
        on_change=address.follows("q", address.fresh("session_text"), forget=["page"]),
    )  # fmt: skip
    wanted = st.query_params.get("page", "1")
    page = max(1, int(wanted)) if wanted.isdecimal() else 1
    shown = queries.sessions(state, window.since_ns, text or "", limit=PAGE_ROWS, offset=(page - 1) * PAGE_ROWS)
    if shown.total == 0:
        _nothing(bool(text) or window.since_ns is not None)
        return
    document_view(sessions_document(shown.rows), key="sessions", label="Sessions", subject="sessions",
                  on_pick=lambda pick: address.put(session=pick["run"]))  # fmt: skip
    foot, pager = st.columns([1, 1], vertical_alignment="center")
    first = (page - 1) * PAGE_ROWS + 1
    foot.caption(f"Showing {first:,}–{first + shown.rows.height - 1:,} of {amount(shown.total, 'session')}.")
    pages = -(-shown.total // PAGE_ROWS)
    if pages > 1:
        with pager, st.container(horizontal=True, horizontal_alignment="right"):
            st.pagination(pages, default=min(page, pages), key=address.fresh(f"sessions_of_{pages}"),
                          on_change=address.follows("page", address.fresh(f"sessions_of_{pages}"), default="1"))  # fmt: skip
    chrome.follow(state, recording=bool((shown.rows["running"] > 0).any()), findings_of=None)


def _nothing(narrowed: bool) -> None:
    if narrowed:
        st.info("No session matches.")
        return
    st.info("No run in this store belongs to a session: no run has been recorded with a conversation id.")
    st.text("Frameworks send one as gen_ai.conversation.id or session.id. In your own code:")
    st.code('with tracer.workflow("support", session_id="conversation-17"):\n    ...', language="python")


def _one(state: queries.StoreState, session_id: str) -> None:
    """The runs of one session, oldest first, with what was found in each."""
    runs = queries.session(state, session_id)
    left, right = st.columns([5, 1], vertical_alignment="center")
    with left:
        chrome.name(session_id)
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("All sessions", icon=":material/close:", type="tertiary"):
            address.put(session=None)
            st.rerun()
    if runs.is_empty():
        st.info("No run belongs to this session.")
        return
    analysis = queries.store_analysis(state)
    document_view(
        session_document(runs, analysis.by_run if analysis else {}), key="session", label=f"Runs of session {session_id}", subject=session_id,
        on_pick=address.remember,
    )  # fmt: skip
    running = bool((runs["outcome"] == "running").any())
    chrome.follow(state, recording=running, findings_of=analysis.token if analysis else None)


render()
