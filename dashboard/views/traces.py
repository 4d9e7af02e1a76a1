"""Traces: every run, found by a query, one row each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, SAMPLED_GLYPH, cost_cell, took_cell
from dashboard.figures.findings import finding_tag
from dashboard.figures.markup import readable
from dashboard.figures.palette import SEVERITY_GLYPHS
from dashboard.run_reads import Order, RunPage
from dashboard.trace_query import FIELDS, TraceQuery, parse_query
from tracer.clock import has_clock
from tracer.errors import BadInput

PAGE_ROWS = 50
SHORT_LIST = 18
TALL_LIST_PX = 660
ORDERS: Mapping[str, Order] = {
    "Newest": "newest",
    "Slowest": "slowest",
    "Costliest": "costliest",
    "Most errors": "errors",
}


def render() -> None:
    """Draw the page."""
    state = queries.current()
    st.title("Traces", anchor=False)
    query = _query_box()
    if query is None:
        return
    _facets(state, query)
    _list(state, query)


def _facets(state: queries.StoreState, query: TraceQuery) -> None:
    """What the matches have in common, with counts; a click adds the term to the query."""
    found = queries.facets(state, query, minute=queries.this_minute())
    if not found.facets:
        return
    blocks: list[b.Block] = []
    for facet in found.facets:
        chips = [
            b.chip(f"{value.replace('_', ' ')} · {runs:,}", pick={"query": _term(facet.field, value)}, title=_term(facet.field, value),
                   on=_term(facet.field, value) in str(st.query_params.get("q", "")))
            for value, runs in facet.values
        ]  # fmt: skip
        note = f"showing {len(chips)} of {facet.total:,}" if facet.total > len(chips) else None
        blocks.append(b.line(facet.field, items=chips, note=note))
    if found.looked_into < found.matches:
        blocks.append(b.note(f"Agents, models and findings are counted in the newest {found.looked_into:,} of {found.matches:,} matches."))  # fmt: skip
    with st.expander("Narrow down", icon=":material/filter_list:"):
        document_view(blocks, key="facets", label="Narrow down; a click adds a term to the query", subject="facets",
                      on_pick=lambda pick: _add(pick.get("query", "")))  # fmt: skip


def _term(field: str, value: str) -> str:
    """A term for the box, without quotes where none are needed."""
    plain = bool(value) and all(letter.isalnum() or letter in "_-./" for letter in value)
    return f"{field}:{value}" if plain else address.term(field, value)


def _add(term: str) -> None:
    """Add a term to the query, or take it out again."""
    text = str(st.query_params.get("q", ""))
    padded = f" {text} "
    new = padded.replace(f" {term} ", " ").strip() if f" {term} " in padded else f"{text} {term}".strip()
    st.session_state[address.fresh("query")] = new
    address.put(q=new or None, page=None)


def _query_box() -> TraceQuery | None:
    """The query, or None after saying what is wrong with it."""
    box, order, help_ = st.columns([6, 3, 1], vertical_alignment="center")
    text = box.text_input(
        "Query", value=st.query_params.get("q", ""), key=address.fresh("query"), on_change=address.follows("q", address.fresh("query"), forget=["page"]), type="search", icon=":material/search:", label_visibility="collapsed",
        placeholder='agent:researcher status:error cost>0.5 finding:loop "timed out"',
    )  # fmt: skip
    order.segmented_control(
        "Order", list(ORDERS), default=address.one_of("order", ORDERS, "Newest"), required=True, key=address.fresh("list_order"),
        on_change=address.follows("order", address.fresh("list_order"), default="Newest", forget=["page"]), label_visibility="collapsed",
    )  # fmt: skip
    with help_.popover("Fields", icon=":material/help:", type="tertiary"):
        st.markdown(
            "Every term must hold. A leading `-` turns a term round, `a,b` means any of them, `*` stands for anything."
        )
        rows = [b.row([field.example, field.says]) for field in FIELDS.values()]
        document_view(
            [b.table([b.column("write", mono=True), b.column("finds runs where")], rows)], key="fields", label="Fields"
        )
    try:
        return parse_query(text or "")
    except BadInput as error:
        chrome.explain_input(error)
        return None


def _list(state: queries.StoreState, query: TraceQuery) -> None:
    order = ORDERS[address.one_of("order", ORDERS, "Newest")]
    minute = queries.this_minute()
    page_number = _page_number()
    shown = queries.runs(
        state, query, order=order, limit=PAGE_ROWS, offset=(page_number - 1) * PAGE_ROWS, minute=minute
    )
    if shown.total == 0:
        _nothing(query)
        return
    pages = -(-shown.total // PAGE_ROWS)
    if page_number > pages:  # the query became narrower, or the address is old
        page_number = pages
        shown = queries.runs(state, query, order=order, limit=PAGE_ROWS, offset=(pages - 1) * PAGE_ROWS, minute=minute)
    findings = queries.store_analysis(state)
    kept = {run: findings.kept[run] for run in shown.rows["run_id"] if run in findings.kept} if findings else {}
    picked = st.dataframe(  # pyright: ignore[reportUnknownMemberType]  (numpy is in its signature)
        _table(shown, findings.by_run if findings else {}, queries.marked(state), kept),
        key=f"runs-{page_number}",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-cell",
        height="content" if shown.rows.height <= SHORT_LIST else TALL_LIST_PX,
        column_config=_columns(),
        alt="Runs; click one to open it",
    )
    first = (page_number - 1) * PAGE_ROWS + 1
    foot, pager = st.columns([1, 1], vertical_alignment="center")
    said = f"Showing {first:,}–{first + shown.rows.height - 1:,} of {amount(shown.total, 'run')}"
    if findings is None:
        said += "; findings are still being looked for"
    elif query.findings and len(findings.by_run) < findings.total:
        said += f"; finding: looks at the newest {len(findings.by_run):,} of {findings.total:,}"
    foot.caption(said + ". Click a run to open it.")
    if remark := chrome.sampled_remark(kept, shown.rows.height):
        foot.caption(remark)
    if pages > 1:
        with pager, st.container(horizontal=True, horizontal_alignment="right"):
            st.pagination(
                pages,
                default=page_number,
                key=address.fresh(f"page_of_{pages}"),
                on_change=address.follows("page", address.fresh(f"page_of_{pages}"), default="1"),
            )
    cells = cast("dict[str, Any]", picked)["selection"]["cells"]
    if cells:
        address.open_trace(str(shown.rows["run_id"][cells[0][0]]))
    chrome.follow(
        state,
        recording=bool((shown.rows["outcome"] == "running").any()),
        findings_of=findings.token if findings else None,
    )


def _page_number() -> int:
    wanted = st.query_params.get("page", "1")
    return max(1, int(wanted)) if wanted.isdecimal() else 1


def _nothing(query: TraceQuery) -> None:
    if query.terms:
        st.info("No run matches. Take a term out, or look at the fields on the right.")
    else:
        st.info("The store is there, but no run has been recorded in it yet.")


def _table(
    shown: RunPage, by_run: Mapping[str, Sequence[Finding]], marked: Mapping[str, str], kept: Collection[str] = ()
) -> pl.DataFrame:
    """What the list shows. Unknown cost stays empty, which the grid draws as a dash-free blank, never as zero."""
    rows = shown.rows
    outcomes = [
        f"{OUTCOME_GLYPHS.get(outcome, '?')} {outcome.replace('_', ' ')}"
        + (f" ⚑ {marked[run_id]}" if run_id in marked else "")
        + (f" {SAMPLED_GLYPH}" if run_id in kept else "")
        for outcome, run_id in zip(rows["outcome"], rows["run_id"], strict=True)
    ]
    return pl.DataFrame(
        {
            "outcome": outcomes,
            "run": [source or run_id[:8] for source, run_id in zip(rows["source_id"], rows["run_id"], strict=True)],
            "workflow": [readable(name) if name else None for name in rows["workflow"]],
            "findings": [
                [_tag(f) for f in by_run.get(run_id, ()) if f.severity != "info"][:4] for run_id in rows["run_id"]
            ],
            "agents": [[readable(name) for name in names or ()] for names in rows["agent_names"].to_list()],
            "started": [_moment(start_ns) for start_ns in rows["start_ns"]],
            "took": [took_cell(row) for row in rows.iter_rows(named=True)],
            "spans": rows["spans"],
            "tokens": rows["input_tokens"] + rows["output_tokens"],
            "cost": [cost_cell(row) for row in rows.iter_rows(named=True)],
        },
        schema_overrides={
            "findings": pl.List(pl.String),
            "agents": pl.List(pl.String),
            "started": pl.Datetime("ms", "UTC"),
        },
    )


def _moment(start_ns: int) -> datetime | None:
    """When a run started; nothing where its source has no times."""
    return datetime.fromtimestamp(start_ns // 1_000_000_000, UTC) if has_clock(start_ns) else None


def _tag(finding: Finding) -> str:
    return f"{SEVERITY_GLYPHS[finding.severity]} {finding_tag(finding)}"


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "outcome": config.TextColumn(
            "Outcome", width=135, help="⚑ and a person's verdict, where a run was marked; ≈ where a sampler kept it"
        ),
        "run": config.TextColumn("Run", width=175),
        "workflow": config.TextColumn("Workflow", width=125),
        "findings": config.ListColumn("Findings", width=170),
        "agents": config.ListColumn("Agents", width=180),
        "started": config.DatetimeColumn("Started, UTC", format="DD MMM YYYY HH:mm", width=130),
        "took": config.TextColumn("Took", width=80, alignment="right"),
        "spans": config.NumberColumn("Spans", format="localized", width=60),
        "tokens": config.NumberColumn("Tokens", format="localized", width=72),
        "cost": config.TextColumn("Cost", width=85, help="≥ where some calls have no known price", alignment="right"),
    }


render()
