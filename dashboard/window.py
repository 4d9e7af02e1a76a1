"""The stretch of time a page looks at, chosen once and kept in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from dashboard import address, queries
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
    """`since_ns` is the first moment inside, None for all of the store."""

    label: str
    since_ns: int | None

    @property
    def since(self) -> int:
        """As `since_ns`, with 0 for "all"."""
        return self.since_ns or 0


def heading(title: str) -> Window:
    """Draw a page's title with the choice of window beside it."""
    left, control = st.columns([1, 1], vertical_alignment="center")
    left.title(title, anchor=False)
    with control, st.container(horizontal=True, horizontal_alignment="right"):
        chosen = st.segmented_control(
            "Window", list(WINDOWS), default=address.one_of("window", WINDOWS, "All"), required=True, key="time_window",
            on_change=address.follows("window", "time_window", default="All"), label_visibility="collapsed",
        )  # fmt: skip
    label = chosen or "All"
    length_s = WINDOWS[label]
    return Window(label, None if length_s is None else (queries.this_minute() * 60 - length_s) * SECOND_NS)


def say_nothing_in(window: Window) -> None:
    """The page of a window without runs."""
    if window.since_ns is None:
        st.info("The store is there, but no run has been recorded in it yet.")
    else:
        st.info(f"No run started within the last {window.label}. Choose a longer window.")
