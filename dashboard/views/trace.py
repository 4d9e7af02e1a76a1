"""Trace: one run in nine views with one selection, and everything known about the selected span beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from dashboard import address, queries
from dashboard.components import Pick, document_view, figure_view, page_keys, viewer
from dashboard.documents import blocks as b
from dashboard.documents.choose import choose_document
from dashboard.documents.conversation import conversation_document, conversation_pages, page_of
from dashboard.documents.ledger import ledger_view
from dashboard.documents.path import path_document
from dashboard.documents.run import SEVERITY_TONES, finding_summary, findings_document, header_document
from dashboard.documents.span import span_document
from dashboard.documents.state import state_document
from dashboard.documents.suspects import suspects_view
from dashboard.exports import FORMATS, seen
from dashboard.figures.dependency_draw import MATRIX_ABOVE
from dashboard.parts import part
from dashboard.queries import StoreState
from dashboard.run_view import RunView
from dashboard.stored_texts import read_ahead
from dashboard.trace_query import TraceQuery

VIEWS = ("Waterfall", "Flame", "Sequence", "Graph", "Path", "Conversation", "State", "Ledger", "Findings")
LIVE_EVERY_S = 1.0
EVERY_EDGE = "Every edge"
"""form of the graph that is only offered where it is not the first one anyway"""


def render() -> None:
    """Draw the page."""
    state = queries.current()
    name = address.get("trace")
    if name is None:
        _choose(state)
        return
    shown = queries.run(state, name)
    head, actions = st.columns([4, 2], vertical_alignment="top")
    running = shown.row["outcome"] == "running"
    with head:
        part(_header, every_s=LIVE_EVERY_S if running else None)(name)
        if not shown.judged:
            part(_until_judged, every_s=LIVE_EVERY_S)(name)
    with actions, st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Compare", icon=":material/compare_arrows:", help="Put this run beside another one"):
            address.open_compare(shown.run_id, None)
        _export(shown)
        _mark(state, shown)
    part(_body, every_s=LIVE_EVERY_S if running else None)(name, running)


def _until_judged(name: str) -> None:
    """Says that findings are on their way, and draws the page once more when they are there."""
    if queries.run(queries.current(), name).judged:
        st.rerun()
    st.caption("This run is large: its findings are being made and appear here by themselves.")


def _header(name: str) -> None:
    """The head of the page; it counts along while the run goes on. What is picked here changes the views below."""
    shown = queries.run(queries.current(), name)

    document_view(
        header_document(shown.row, shown.findings, shown.mark, selected=address.get("finding"), kept=shown.kept),
        key="head", label="Run", subject=shown.run_id, on_pick=lambda pick: _pick(shown, pick, elsewhere=True),
    )  # fmt: skip
    _redraw_if_asked()


def _redraw_if_asked() -> None:
    """A fragment redraws only itself; what was picked in it may change the rest of the page."""
    if st.session_state.pop("redraw", False):
        st.rerun()


def _choose(state: StoreState) -> None:
    """The page without a run: the newest ones to choose from."""
    st.title("Trace", anchor=False)
    newest = queries.runs(state, TraceQuery(), order="newest", limit=12, offset=0, minute=0)
    if newest.total == 0:
        st.info("The store is there, but no run has been recorded in it yet.")
        return
    st.text("Choose a run to look into. These are the newest:")
    document_view(choose_document(newest.rows), key="choose", label="Newest runs", subject="choose", on_pick=lambda pick: address.put(trace=pick["run"]))  # fmt: skip
    st.page_link(address.TRACES, label=f"All {newest.total:,} runs", icon=":material/list:")


def _pick(shown: RunView, pick: Pick, *, elsewhere: bool = False) -> None:
    """Select what was clicked. A finding selects its first span, unless one of its spans was named or is selected.

    Args:
        elsewhere: the selection is shown outside the fragment that was clicked.
    """
    before = address.get("finding")
    if "clear" in pick:
        address.put(finding=None)
        st.session_state["redraw"] = True
        return
    finding = shown.finding(pick.get("finding"))
    if finding is not None:
        selected = pick.get("span") or address.get("span")
        if selected not in finding.spans:
            selected = finding.spans[0] if finding.spans else None
        address.put(finding=finding.id, span=selected, conversation_page=None)
    elif "span" in pick:
        kept = shown.finding(address.get("finding"))
        address.put(
            span=pick["span"], finding=kept.id if kept and pick["span"] in kept.spans else None, conversation_page=None
        )
    if elsewhere or address.get("finding") != before:
        st.session_state["redraw"] = True


def _body(name: str, was_running: bool) -> None:
    """Views and details, redrawn alone when the selection changes or a running trace grew."""
    shown = queries.run(queries.current(), name)
    if was_running and shown.row["outcome"] != "running":
        st.rerun()  # nothing more will come: the whole page once more, without the timer
    _redraw_if_asked()
    view = st.segmented_control(
        "View", VIEWS, default="Waterfall", required=True, key="view", bind="query-params", label_visibility="collapsed"
    )
    view = view or "Waterfall"
    main, side = st.columns([7, 3], gap="small")
    with main:
        if view in _DEEP:
            # They wait for an analysis of their own where the run is large, and ask again until it is there.
            waits = _insight(shown, view) is None
            part(_deep, every_s=LIVE_EVERY_S if waits else None)(name, view, waits)
        else:
            _DRAW[view](shown)
    with side:
        _details(shown, view)
    page_keys(VIEWS, key="keys", on_pick=lambda pick: _pressed(shown, pick))


def _pressed(shown: RunView, pick: Pick) -> None:
    """A key of the page: another finding, or none."""
    if "step" in pick and shown.findings:
        ids = [finding.id for finding in shown.findings]
        at = ids.index(chosen) if (chosen := address.get("finding")) in ids else None
        ahead = pick["step"] == "next"
        place = (0 if ahead else -1) if at is None else (at + (1 if ahead else -1)) % len(ids)
        address.put(span=None)
        _pick(shown, {"finding": ids[place]})
    elif "clear" in pick:
        _pick(shown, pick)


def _insight(shown: RunView, view: str) -> Mapping[str, Any] | None:
    """What the deeper analysis says, None while it is being made; nothing where the view needs none of it."""
    if view == "Findings" and not shown.failed:
        return {}
    return queries.insight(queries.current(), shown)


def _deep(name: str, view: str, waited: bool) -> None:
    shown = queries.run(queries.current(), name)
    insight = _insight(shown, view)
    if waited and insight is not None:
        st.rerun()
    _DEEP[view](shown, insight)


def _details(shown: RunView, view: str) -> None:
    span, finding = address.get("span"), shown.finding(address.get("finding"))
    blocks: list[b.Block] = []
    if finding is not None and view != "Findings":
        summary = [*finding_summary(finding, shown.names), *_stepper(shown, finding, span)]
        blocks.append(b.card(summary, tone=SEVERITY_TONES[finding.severity]))
    if span is not None:
        read_ahead(shown.frames.contents, shown.frames.spans.filter(pl.col("span_id") == span))
        blocks += span_document(shown.frames, span, shown.findings)
    elif finding is None:
        blocks += _hint(shown.findings)
    document_view(
        blocks, key="details", label="Details", subject=f"{span} {finding.id if finding else ''}", panel=True,
        on_pick=lambda pick: _pick(shown, pick),
    )  # fmt: skip


def _stepper(shown: RunView, finding: Finding, span: str | None) -> list[b.Block]:
    """From span to span of a finding, and out of it."""
    spans = [one for one in finding.spans if one in shown.names]
    if not spans:
        return []
    at = spans.index(span) if span in spans else -1
    chips: list[b.Block] = []
    if at > 0:
        chips.append(b.chip("‹ previous", pick={"finding": finding.id, "span": spans[at - 1]}))
    if at + 1 < len(spans):
        chips.append(b.chip("next ›" if at >= 0 else "first ›", pick={"finding": finding.id, "span": spans[at + 1]}))
    where = f"{at + 1:,} of {len(spans):,}" if at >= 0 else f"{len(spans):,}"
    chips += [b.chip(f"{where} spans"), b.chip("show everything", pick={"clear": "finding"})]
    return [b.chips(chips)]


def _hint(findings: tuple[Finding, ...]) -> list[b.Block]:
    """What to do while nothing is selected."""
    blocks = [
        b.heading("Nothing selected"),
        b.prose("Click a span, an arrow or a node to see what was said, what it cost and how long it took. Press ? for the keyboard."),
    ]  # fmt: skip
    if findings and findings[0].severity != "info":
        blocks.append(b.prose(f"Start with the most serious finding: {findings[0].title}"))
        blocks.append(
            b.chips([b.chip("Show it", tone=SEVERITY_TONES[findings[0].severity], pick={"finding": findings[0].id})])
        )
    return blocks


def _timeline(mode: str) -> Callable[[RunView], None]:
    def draw(shown: RunView) -> None:
        viewer(
            shown.packed, key="timeline", mode=mode, weight=address.get("weight") or "time",
            selected=address.get("span"), finding=address.get("finding"),
            on_pick=lambda pick: _pick(shown, pick), on_weight=lambda weight: address.put(weight=None if weight == "time" else weight),
        )  # fmt: skip

    return draw


def _figure(label: str, forms: Mapping[str, str]) -> Callable[[RunView], None]:
    """A drawn figure in several forms: what a form is called -> its name in `PICTURES`."""

    def draw(shown: RunView) -> None:
        words = [word for word in forms if word != EVERY_EDGE or shown.row["agents"] > MATRIX_ABOVE]
        page = 0
        with st.container(horizontal=True, vertical_alignment="center"):
            form = st.segmented_control(
                label, words, default=words[0], required=True, key=f"{label.split()[0].lower()}_as", bind="query-params", label_visibility="collapsed"
            )  # fmt: skip
            name = forms[form or words[0]]
            first = queries.picture(shown, name)
            if first.pages > 1:
                page = st.pagination(first.pages, key=f"{name}_page", bind="query-params") - 1
        picture = first if page == 0 else queries.picture(shown, name, page)
        figure_view(
            picture.markup, key=name, css=picture.css, label=label, selected=address.get("span"), finding=address.get("finding"),
            table=picture.table, file=f"{shown.run_id[:12]}-{name}", on_pick=lambda pick: _pick(shown, pick),
        )  # fmt: skip

    return draw


def _savable(shown: RunView, name: str, rows: Callable[[], list[seen.Row]]) -> None:
    """The view as files, at the place where figures have theirs; made when somebody asks for one."""
    file = f"{shown.run_id[:12]}-{name}"
    with st.container(horizontal=True, horizontal_alignment="right", key="save_view"):
        st.download_button(
            "CSV", lambda: seen.rows_csv(rows()), f"{file}.csv", "text/csv", key=f"{name}_csv", on_click="ignore",
            help="Save what this view shows as a table with exact values",
        )  # fmt: skip
        st.download_button(
            "JSON", lambda: seen.rows_json(name, rows()), f"{file}.json", "application/json", key=f"{name}_json", on_click="ignore",
            help="Save what this view shows for a program",
        )  # fmt: skip


def _conversation(shown: RunView) -> None:
    pages = conversation_pages(shown.frames)
    page = 0
    if pages > 1:
        at = page_of(shown.frames, address.get("span"))
        wanted = st.query_params.get("conversation_page", "")
        at = min(int(wanted), pages) if wanted.isdecimal() and int(wanted) else at + 1
        key = address.fresh(f"conversation_page_{at}")
        page = st.pagination(pages, default=at, key=key, on_change=address.follows("conversation_page", key)) - 1
    _savable(shown, "conversation", lambda: seen.conversation_rows(shown.frames, page))
    document_view(
        conversation_document(shown.frames, selected=address.get("span"), page=page), key="conversation",
        label="Conversation", subject=f"{shown.run_id} {page}", panel=True, on_pick=lambda pick: _pick(shown, pick),
    )  # fmt: skip


def _path(shown: RunView) -> None:
    path = shown.path
    _savable(shown, "path", lambda: seen.path_rows(shown.frames, path.pieces))
    document_view(
        path_document(shown.frames, path.pieces, path.slack, selected=address.get("span")), key="path",
        label="Critical path", subject=shown.run_id, panel=True, on_pick=lambda pick: _pick(shown, pick),
    )  # fmt: skip


def _ledger(shown: RunView, insight: Mapping[str, Any] | None) -> None:
    _savable(shown, "ledger", lambda: seen.ledger_rows(insight))
    document_view(
        ledger_view(insight), key="ledger", label="Ledger", subject=shown.run_id, panel=True,
        on_pick=lambda pick: _pick(shown, pick, elsewhere=True),
    )  # fmt: skip


def _state(shown: RunView) -> None:
    _savable(shown, "state", lambda: seen.state_rows(shown.frames))
    document_view(
        state_document(shown.frames, shown.findings, selected=address.get("span")), key="state", label="Shared state",
        subject=shown.run_id, panel=True, on_pick=lambda pick: _pick(shown, pick),
    )  # fmt: skip


def _findings(shown: RunView, insight: Mapping[str, Any] | None) -> None:
    _savable(shown, "findings", lambda: seen.findings_rows(shown.findings))
    blocks = findings_document(
        shown.findings,
        shown.skipped,
        shown.failures,
        names=shown.names,
        selected=address.get("finding"),
        quiet=not shown.failed,
    )
    if not shown.judged:
        blocks = [b.note("The findings of a run this large are being made. They appear here by themselves.", tone="running")]  # fmt: skip
    if shown.failed:
        blocks = [*suspects_view(insight, shown.names, shown.frames), *blocks]
    document_view(
        blocks, key="findings", label="Findings", subject=shown.run_id, panel=True,
        on_pick=lambda pick: _pick(shown, pick, elsewhere=True),
    )  # fmt: skip


_DRAW: Mapping[str, Callable[[RunView], None]] = {
    "Waterfall": _timeline("waterfall"),
    "Flame": _timeline("flame"),
    "Sequence": _figure("Sequence diagram", {"Repeats folded": "sequence", "Every step": "sequence_unfolded"}),
    "Graph": _figure(
        "Dependency graph",
        {"Summed up": "graph", "As it ran": "turns", "Matrix": "graph_matrix", EVERY_EDGE: "graph_drawn"},
    ),
    "Path": _path,
    "Conversation": _conversation,
    "State": _state,
}
_DEEP: Mapping[str, Callable[[RunView, Mapping[str, Any] | None], None]] = {"Ledger": _ledger, "Findings": _findings}


def _export(shown: RunView) -> None:
    """Files for other tools, made when somebody asks for one."""
    with st.popover("Export", icon=":material/download:"):
        st.caption("Spans, times, tokens and costs of the whole run. Prompts and payloads stay here.")
        for name, kind in FORMATS.items():
            if kind.texts:
                continue  # `tracehound export` writes it
            st.download_button(
                kind.title, partial(kind.write, shown.frames), f"{shown.run_id[:12]}.{kind.suffix}", kind.media_type,
                key=f"export_{name}", on_click="ignore", width="stretch",
            )  # fmt: skip


def _mark(state: StoreState, shown: RunView) -> None:
    """A person's verdict: the label that comparison with good runs needs."""
    with st.popover("Mark run", icon=":material/flag:"), st.form("mark", border=False):
        verdict = st.segmented_control(
            "Verdict", ["ok", "failed"], default=shown.mark["verdict"] if shown.mark else None
        )
        note = st.text_input("Note", value=(shown.mark["note"] or "") if shown.mark else "", max_chars=500, placeholder="why, in a few words")  # fmt: skip
        if st.form_submit_button("Save verdict", type="primary"):
            if verdict is None:
                st.warning("Choose ok or failed first.")
            else:
                queries.mark(state, shown.run_id, verdict, note or "")
                st.rerun()


render()
