"""Health: what `tracehound doctor` says of the store, of what waits beside it, and of this environment."""

from __future__ import annotations

import streamlit as st

from analyzers.wording import amount
from dashboard import gate, queries
from dashboard.components import document_view
from dashboard.documents.health import environment_document, missing_document, problems_document, store_document


def render() -> None:
    """Draw the page."""
    state = queries.current()
    found = queries.health(state)
    st.title("Health", anchor=False)
    if "runs" in found.document["store"] and found.document["store"]["runs"] == 0:
        st.info("The store is there, but no run has been recorded in it yet.")
    who = gate.signed_in_as()
    if who is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"Signed in as {who}.")
            st.button("Sign out", on_click=st.logout)
    serious = sum(problem.severity != "info" for problem in found.problems)
    if serious:
        st.text(f"{amount(serious, 'problem')}. 'tracehound doctor' says the same, and can mend some of them.")
    document_view(
        problems_document(found.problems), key="problems", label="Problems and what to do", subject="problems"
    )
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Store and spool", anchor=False)
        document_view(store_document(found.document), key="store", label="Store and spool", subject="store")
        st.subheader("What is not known", anchor=False)
        document_view(missing_document(found.document), key="missing", label="Missing prices and tokens", subject="missing")  # fmt: skip
    with right:
        st.subheader("Where this page runs", anchor=False)
        document_view(environment_document(found.document), key="environment", label="Libraries and versions", subject="environment")  # fmt: skip


render()
