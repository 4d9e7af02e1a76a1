"""The stretch of time a page looks at, chosen once and kept in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import address, chrome, queries
from dashboard.figures.markup import readable
from dashboard.run_reads import SECOND_NS

WINDOWS: Mapping[str, int | None] = {
    "1 hour": 3_600,
    "24 hours": 86_400,
    "7 days": 604_800,
    "30 days": 2_592_000,
    "All": None,
}
"""label -> length in seconds, None for everything"""


@dataclass(frozen=True, slots=True)
class Window:
    """`since_ns` is the first moment inside, None for all of the store; `workflow` the one kind of run looked at, None for all."""

    label: str
    since_ns: int | None
    workflow: str | None = None


def heading(title: str, *, workflows: Sequence[str] = ()) -> Window:
    """Draw a page's title with the choice of window beside it, and of one of `workflows` where there are several."""
    left, control = st.columns([2, 3] if len(workflows) > 1 else [1, 1], vertical_alignment="center")
    left.title(title, anchor=False)
    workflow = None
    with control, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        if len(workflows) > 1:
            known = address.get("workflow")
            workflow = st.selectbox(
                "Workflow", workflows, index=workflows.index(known) if known in workflows else None, key=address.fresh("one_workflow"),
                placeholder="All workflows", label_visibility="collapsed", width=220, format_func=readable,
                on_change=address.follows("workflow", address.fresh("one_workflow")),
            )  # fmt: skip
        chosen = st.segmented_control(
            "Window", list(WINDOWS), default=address.one_of("window", WINDOWS, "All"), required=True, key=address.fresh("time_window"),
            on_change=address.follows("window", address.fresh("time_window"), default="All"), label_visibility="collapsed",
        )  # fmt: skip
    label = chosen or "All"
    length_s = WINDOWS[label]
    since_ns = None if length_s is None else (queries.this_minute() * 60 - length_s) * SECOND_NS
    return Window(label, since_ns, workflow)


def say_nothing_in(window: Window) -> None:
    """The page of a window without runs."""
    if window.workflow is not None:
        st.text(f"No run of {readable(window.workflow)} started in this window.")
    elif window.since_ns is None:
        st.info("The store is there, but no run has been recorded in it yet.")
        chrome.how_to_record()
    else:
        st.info(f"No run started within the last {window.label}. Choose a longer window.")
