"""The state of a page is its address: read here, changed here, so that a copied link shows the same picture."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st

VIEWS = Path(__file__).with_name("views")
OVERVIEW, TRACES, TRACE = VIEWS / "overview.py", VIEWS / "traces.py", VIEWS / "trace.py"

Name = Literal["trace", "span", "finding", "weight"]


def get(name: Name) -> str | None:
    """The value in the address, None where it is absent or empty."""
    return st.query_params.get(name) or None


def put(**values: str | None) -> None:
    """Change some values; None takes one out."""
    for name, value in values.items():
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = value


def open_trace(run_id: str, **more: str) -> None:
    """Go to the trace page of a run."""
    st.switch_page(TRACE, query_params={"trace": run_id, **more})


def open_traces(query: str = "") -> None:
    """Go to the list, filtered."""
    st.switch_page(TRACES, query_params={"q": query} if query else {})
