"""Compare: two runs step by step, or two groups of runs by what changed from one to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from analyzers.comparison.selection import By, Group
from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.comparing import Sides
from dashboard.components import Pick, document_view
from dashboard.documents.choose import pairs_document
from dashboard.documents.compare import (
    changes_document,
    step_document,
    steps_document,
    summary,
    totals_document,
    verdict_sentence,
)
from dashboard.documents.run import OUTCOME_GLYPHS, cost_cell, started_cell
from dashboard.figures.markup import readable
from dashboard.window import heading, say_nothing_in
from tracer.errors import BadInput

TWO, MANY = "Two runs", "Groups of runs"
OFFERED = 200
PAGE_STEPS = 150
ALL, DIFFERENCES = "All steps", "Differences"
QUERIES = "Queries"
WAYS: Mapping[str, By | None] = {
    "Version": "version", "Prompt": "prompt", "Model": "model", "Day": "day", "Week": "week", QUERIES: None,
}  # fmt: skip


def render() -> None:
    """Draw the page."""
    state = queries.current()
    known = queries.newest_runs(state, OFFERED)
    if known.is_empty():
        st.title("Compare", anchor=False)
        st.info("The store is there, but no run has been recorded in it yet.")
        return
    if _what() == TWO:
        st.title("Compare", anchor=False)
        _choice()
        _two(state, known.rows(named=True))
    else:
        window = heading("Compare", workflows=queries.workflows(state))
        _choice()
        if queries.population(state, window.since_ns, window.workflow).total:
            _many(state, window.since_ns, window.workflow)
        else:
            say_nothing_in(window)


def _what() -> str:
    return address.one_of("what", (TWO, MANY), TWO)


def _choice() -> None:
    st.segmented_control(
        "What to compare", [TWO, MANY], default=_what(), required=True, key=address.fresh("compare_what"), label_visibility="collapsed",
        on_change=address.follows("what", address.fresh("compare_what"), default=TWO, forget=["step", "page"]),
    )  # fmt: skip


def _two(state: queries.StoreState, newest: Sequence[Mapping[str, Any]]) -> None:
    """Two runs, chosen or by address."""
    rows = {str(row["run_id"]): row for row in newest}
    chosen = {side: queries.find_run(state, name) if (name := address.get(side)) else None for side in ("a", "b")}
    options = [*dict.fromkeys([*(run for run in chosen.values() if run), *rows])]
    left, right, swap = st.columns([5, 5, 1], vertical_alignment="bottom")
    for place, side in ((left, "a"), (right, "b")):
        run = chosen[side]
        place.selectbox(
            f"Run {side.upper()}", options, index=options.index(run) if run else None, key=address.fresh(f"compare_{side}_{run}"),
            placeholder="Choose a run", format_func=lambda run_id: _run_label(run_id, rows.get(run_id)),
            on_change=address.follows(side, address.fresh(f"compare_{side}_{run}"), forget=["step", "page"]),
        )  # fmt: skip
    a, other = chosen["a"], chosen["b"]
    if swap.button("Swap", icon=":material/swap_horiz:", help="A becomes B", disabled=not (a and other)):
        address.put(a=other, b=a, step=None, page=None)
        st.rerun()
    if a is None or other is None:
        said = f"The newest {OFFERED:,} runs are offered; any other is reached by address: ?a=RUN&b=RUN."
        st.text("Choose two runs. They are aligned step by step, by who did what." + (f" {said}" if len(rows) == OFFERED else ""))  # fmt: skip
        if a is None and other is None and (offered := pairs_document(newest)):
            st.subheader("Worth comparing", anchor=False)
            st.caption(
                "Of each workflow a run that completed beside one that did not, else its two newest. Click a line to compare them."
            )
            document_view(
                offered, key="pairs", label="Pairs of runs worth comparing", subject="pairs", on_pick=_take_pair
            )
        return
    if a == other:
        st.info("A and B are the same run. Choose another one to compare it with.")
        return
    with st.spinner("Aligning …", show_time=False):
        shown = queries.two_runs(state, a, other)
    st.text(summary(shown.document))
    document_view(totals_document(shown.document), key="totals", label="Both runs in numbers", subject=f"{a}{other}")
    steps: Sequence[Mapping[str, Any]] = shown.document["steps"]
    number = st.query_params.get("step", "")
    step = int(number) if number.isdecimal() and int(number) < len(steps) else None
    listed, details = st.columns([3, 2], gap="medium")
    with listed:
        _steps(steps, step, f"{a}{other}")
    with details:
        if step is None:
            st.info("Choose a step to see its texts side by side.")
        else:
            document_view(step_document(shown, steps[step]), key="step", label="The chosen step", subject=f"{a}{other}{step}",
                          panel=True, on_pick=address.remember)  # fmt: skip


def _take_pair(pick: Pick) -> None:
    a, _, other = pick.get("query", "").partition(" ")
    address.put(a=a, b=other, step=None, page=None)


def _steps(steps: Sequence[Mapping[str, Any]], chosen: int | None, subject: str) -> None:
    show = address.one_of("show", (ALL, DIFFERENCES), ALL)
    st.segmented_control("Steps", [ALL, DIFFERENCES], default=show, required=True, key=address.fresh("compare_show"), label_visibility="collapsed",
                         on_change=address.follows("show", address.fresh("compare_show"), default=ALL, forget=["page"]))  # fmt: skip
    wanted = st.query_params.get("page", "1")
    page = max(1, int(wanted)) if wanted.isdecimal() else 1
    blocks, lines = steps_document(steps, first=(page - 1) * PAGE_STEPS, most=PAGE_STEPS, chosen=chosen, only_differences=show == DIFFERENCES)  # fmt: skip
    pages = max(1, -(-lines // PAGE_STEPS))
    document_view(blocks, key="steps", label="Steps of both runs; click one for its texts", subject=f"{subject}{show}{page}",
                  on_pick=lambda pick: address.put(step=pick.get("query")))  # fmt: skip
    if pages > 1:
        st.caption(f"Showing {(page - 1) * PAGE_STEPS + 1:,}–{min(page * PAGE_STEPS, lines):,} of {lines:,} lines.")
        st.pagination(pages, default=min(page, pages), key=address.fresh(f"steps_of_{pages}"), on_change=address.follows("page", address.fresh(f"steps_of_{pages}"), default="1"))  # fmt: skip


def _run_label(run_id: str, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return run_id
    name = readable(f"{row['workflow'] or 'unnamed'}  {row['source_id'] or run_id[:8]}")
    return f"{name}  {OUTCOME_GLYPHS.get(row['outcome'], '')} {row['outcome'].replace('_', ' ')}  {started_cell(row)}  {cost_cell(row)}"


def _many(state: queries.StoreState, since_ns: int | None, workflow: str | None) -> None:
    """Two groups of runs: neighbours in versions or time, or what two queries find."""
    word = address.one_of("by", WAYS, "Version")
    st.segmented_control("Grouped by", list(WAYS), default=word, required=True, key=address.fresh("compare_by"),
                         on_change=address.follows("by", address.fresh("compare_by"), default="Version", forget=["pair"]))  # fmt: skip
    by = WAYS[word]
    found = _by_queries(state, since_ns, workflow) if by is None else queries.sides(state, since_ns, workflow, by)
    if found is None:
        return
    if not found.pairs:
        chrome.say(found.why)
        return
    a, other = _pair(found)
    with st.spinner("Comparing …", show_time=False):
        told = queries.changes(state, since_ns, workflow, a.run_ids, other.run_ids, by is None)
    shown = queries.population(state, since_ns, workflow)
    if shown.looked_at < shown.total:
        st.caption(f"Over the newest {shown.looked_at:,} of {amount(shown.total, 'run')}.")
    st.text(verdict_sentence(told))
    document_view(changes_document(told), key="changes", label="What changed from A to B", subject=f"{a.label}{other.label}")  # fmt: skip
    st.caption(
        "Changed: at most 5 % of such verdicts are expected to be chance (q), and the effect is at least 5 points, 20 %, or a distance of 0.1. "
        "Same: the whole interval lies within that. Anything else is inconclusive: too few runs to say."
    )


def _pair(found: Sides) -> tuple[Group, Group]:
    """The chosen pair of neighbours, the newest where none is."""
    labels = [f"{a.label} → {other.label}" for a, other in found.pairs]
    wanted = st.query_params.get("pair")
    place = labels.index(wanted) if wanted in labels else len(labels) - 1
    if len(labels) > 1:
        key = address.fresh(f"compare_pair_{len(labels)}")
        st.selectbox(
            "A → B", labels, index=place, key=key, format_func=readable, on_change=address.follows("pair", key)
        )
    a, other = found.pairs[place]
    st.text(readable(f"A: {a.label}, {amount(len(a.run_ids), 'run')}. B: {other.label}, {amount(len(other.run_ids), 'run')}."))  # fmt: skip
    return a, other


def _by_queries(state: queries.StoreState, since_ns: int | None, workflow: str | None) -> Sides | None:
    """The sides of two queries; None after saying what is wrong with them, or that they are still to be written."""
    texts: list[str] = []
    for place, name, example in zip(st.columns(2), ("qa", "qb"), ("model:gpt-4o", "model:gpt-4o-mini"), strict=True):
        texts.append(place.text_input(
            f"Side {name[1].upper()}", value=st.query_params.get(name, ""), key=address.fresh(f"compare_{name}"), placeholder=example,
            on_change=address.follows(name, address.fresh(f"compare_{name}")),
        ))  # fmt: skip
    if not all(text.strip() for text in texts):
        st.info("Write a query for each side, as on the Traces page.")
        return None
    try:
        return queries.sides_of_queries(state, since_ns, workflow, texts[0], texts[1], queries.this_minute())
    except BadInput as error:
        chrome.explain_input(error)
        return None


render()
