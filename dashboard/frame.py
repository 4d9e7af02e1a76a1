"""What the pages over many runs share: the choice of window and workflow, the runs in it, what was found in them, and news.

A page is a function that draws a `Scene`; everything around it happens here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from analyzers.finding import Finding
from dashboard import address, chrome, queries
from dashboard.analyst import StoreAnalysis
from dashboard.population import Population
from dashboard.window import Window, heading, say_nothing_in


@dataclass(frozen=True, slots=True)
class Scene:
    """The runs a page is about. `findings` are those in these runs, None while the first analysis is being made."""

    state: queries.StoreState
    window: Window
    shown: Population
    analysis: StoreAnalysis | None
    findings: list[Finding] | None

    @property
    def fleet(self) -> list[Finding]:
        """Findings that only a view over many runs can see, of this window and workflow."""
        if self.analysis is None:
            return []
        since, wanted = self.window.since_ns or 0, self.window.workflow
        return [
            finding
            for finding in self.analysis.fleet
            if (finding.end_ns or since) >= since and wanted in (None, finding.data.get("workflow"))
        ]


def over_runs(title: str, draw: Callable[[Scene], None], *, one_workflow: bool = False) -> None:
    """Draw a page over many runs.

    Args:
        draw: what the page shows; called only where there are runs.
        one_workflow: the page can be narrowed down to one of the store's workflows.
    """
    state = queries.current()
    window = heading(title, workflows=queries.workflows(state) if one_workflow else ())
    shown = queries.population(state, window.since_ns, window.workflow)
    if shown.total == 0:
        say_nothing_in(window)
        return
    analysis = queries.store_analysis(state)
    chrome.looked_at(shown, analysis)
    draw(Scene(state, window, shown, analysis, shown.findings(analysis.by_run) if analysis else None))
    running = bool((shown.frames.traces["outcome"] == "running").any())
    chrome.follow(state, recording=running, findings_of=analysis.token if analysis else None)


def one_of_them(name: address.Name, title: str, *, all_of_them: str, query: str | None) -> None:
    """The head of the part about one row that was chosen: its name, the way to its runs, the way back to all.

    Args:
        query: finds its runs on the Traces page; None where no query can.
    """
    left, links = st.columns([5, 2], vertical_alignment="center")
    with left:
        chrome.name(title)
    with links, st.container(horizontal=True, horizontal_alignment="right"):
        if query is not None and st.button("Its runs", icon=":material/list:"):
            address.open_traces(query)
        if st.button(all_of_them, icon=":material/close:", type="tertiary"):
            address.put(**{name: None})
            st.rerun()
