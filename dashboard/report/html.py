"""The post-mortem as one HTML file: opens from disk, asks for nothing, runs no script but its own.

The policy in its head admits exactly one style sheet and one script, by hash. Without JavaScript everything is there but the
zoomable viewer, whose place a still timeline takes; paper gets the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analyzers.critical_path import Piece, RunTree, walk
from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from analyzers.metrics import metrics
from analyzers.wording import amount
from dashboard.documents.conversation import conversation_document
from dashboard.documents.run import findings_document, started_cell
from dashboard.documents.state import state_document
from dashboard.figures import units
from dashboard.figures.dependency import build_dependencies
from dashboard.figures.dependency_draw import DEPENDENCY_CSS, draw_dependencies
from dashboard.figures.markup import clip, esc, tag
from dashboard.figures.sequence import PAGE, SEQUENCE_CSS, build_sequence, sequence_html
from dashboard.figures.timeline import TIMELINE_CSS, draw_timeline
from dashboard.figures.trace_view import TraceView, build_view, packed, path_columns, payload, viewer_source
from dashboard.report.bars import BAR_CSS, draw_bar
from dashboard.report.blocks_html import Block, render_blocks
from dashboard.report.case import Case
from dashboard.report.contacts import contacts_document
from dashboard.report.moments import moments_document
from dashboard.report.money import ledger_document, ledger_slices
from dashboard.report.page import product_version, whole_page
from dashboard.report.path import path_document, path_slices
from dashboard.report.reproduce import reproduce_document
from dashboard.report.stops import stops_document
from dashboard.report.suspects import suspects_document
from dashboard.report.verdict import alarm, numbers, quality, run_row, verdict
from tracer.clock import has_clock
from tracer.model import RunOutcome

_HERE: Final = Path(__file__).parent
OPENING_TURNS: Final = 20
CLOSING_TURNS: Final = 10
"""Turns of a long conversation that stand open at its ends"""
SEQUENCE_BYTES: Final = 180_000
CONVERSATION_BYTES: Final = 120_000
STATE_BYTES: Final = 60_000
"""What the three sections that grow with a run may take of the megabyte that a report has"""


def render_html(
    frames: Frames,
    findings: Sequence[Finding] = (),
    skipped: Sequence[Skipped] = (),
    failures: Sequence[DetectorFailure] = (),
) -> str:
    """The whole file for one run. `findings` are the run's own, most important first; the others say what was not judged and why."""
    return case_html(Case.of(frames, findings, skipped, failures))


def case_html(case: Case) -> str:
    """The whole file for a case whose questions are asked already."""
    frames, findings = case.frames, case.findings
    view = build_view(frames, findings)
    names = dict(zip(view.tree.ids, view.label, strict=True))
    pieces = _pieces(frames)
    graph = build_dependencies(frames, findings, pieces)
    row = run_row(frames)
    title = f"{row['workflow'] or 'run'} {row['source_id'] or row['run_id'][:8]}"
    sections: list[tuple[str, str, str]] = [
        ("moments", "What happened when", _stack(moments_document(case))),
        (
            "findings",
            "Findings",
            _stack(
                findings_document(
                    findings,
                    case.skipped,
                    case.failures,
                    names=names,
                    selected=None,
                    quiet=row["outcome"] not in (RunOutcome.FAILED, RunOutcome.TIMED_OUT),
                )
            ),
        ),
        ("suspects", "Who is to blame", _stack(suspects_document(case, names))),
        ("stops", "What would have stopped it", _stack(stops_document(case))),
        (
            "ledger",
            "Where the money went",
            draw_bar(ledger_slices(case), "Parts of the cost") + _stack(ledger_document(case)),
        ),
        ("timeline", "Spans over time", _timeline(view)),
        (
            "path",
            "What took the time",
            draw_bar(path_slices(case), "The critical path from start to end") + _stack(path_document(case, names)),
        ),
        ("sequence", "Who said what to whom", _sequence(frames, findings, pieces)),
        (
            "graph",
            "Who depends on whom",
            tag("div", draw_dependencies(graph), class_="figure") + _stack(contacts_document(graph)),
        ),
        ("agents", "Agents", _agents(frames)),
        ("conversation", "Conversation", _conversation(frames)),
        ("state", "Shared state", _fitting(state_document(frames, findings), STATE_BYTES, "reads, writes and keys")),
        ("reproduce", "How to reproduce", _stack(reproduce_document(case))),
        ("quality", "What this record lacks", _quality(case)),
    ]
    nav = "".join(f'<a href="#{name}">{esc(label)}</a>' for name, label, _ in sections)
    body = _header(case) + tag("nav", nav, aria_label="Sections")
    body += "".join(
        f'<section id="{name}"><h2>{esc(label)}</h2>{content}</section>' for name, label, content in sections
    )
    asked = (
        f"{case.asked} was asked for the order of the suspects, and no model for anything else"
        if case.asked
        else "No model was asked"
    )
    body += tag(
        "footer",
        esc(
            f"Written by tracehound {product_version()} from run {row['run_id']}. {asked}; every verdict follows from the evidence shown."
        ),
    )
    css = SEQUENCE_CSS + DEPENDENCY_CSS + TIMELINE_CSS + BAR_CSS
    script = viewer_source() + (_HERE / "report.js").read_text(encoding="utf-8")
    data = f'<script type="text/plain" id="trace-data">{packed(_columns(view, pieces))}</script>'
    return whole_page(f"Post-mortem: {title}", f"{body}\n{data}", css=css, script=script)


def _pieces(frames: Frames) -> Sequence[Piece]:
    """The critical path; none where the source has no times."""
    return () if frames.timeless.len() else walk(RunTree.of(frames))


def _columns(view: TraceView, pieces: Sequence[Piece]) -> dict[str, Any]:
    made = payload(view)
    return {**made, "path": path_columns(made, pieces)}


def _stack(document: Sequence[Block]) -> str:
    return tag("div", render_blocks(document), class_="stack")


def _header(case: Case) -> str:
    frames, findings = case.frames, case.findings
    row = run_row(frames)
    started = f"started {started_cell(row, 19)} UTC" if has_clock(row["start_ns"]) else "a transcript without times"
    facts = " · ".join(
        str(part) for part in (started, f"run {row['run_id']}", row["service"], row["convention"]) if part
    )
    tone = alarm(row["outcome"], findings) or "ok"
    lines = "".join(tag("li", esc(line)) for line in verdict(frames, findings, case.run["suspects"]))
    strip = "".join(
        tag("div", tag("span", esc(n.label)) + tag("b", esc(n.value)) + tag("span", esc(clip(n.hint, 60)), class_="muted"), class_="number alarm" if n.alarm else "number")
        for n in numbers(frames, findings)
    )  # fmt: skip
    heading = tag("h1", esc(f"Post-mortem: {row['workflow'] or 'unnamed workflow'}")) + tag(
        "p", esc(facts), class_="muted"
    )
    return tag("header", heading + tag("ol", lines, class_=f"verdict {tone}") + tag("div", strip, class_="numbers"))


def _timeline(view: TraceView) -> str:
    still = tag("div", draw_timeline(view), class_="still figure")
    return f'<div id="viewer"></div>{still}<noscript><p class="muted">The zoomable viewer needs JavaScript; this still picture shows the same spans.</p></noscript>'


def _conversation(frames: Frames) -> str:
    """All turns in order; of a long conversation the middle waits behind one line, so that the page stays readable."""
    turns = conversation_document(frames)
    if len(turns) <= OPENING_TURNS + CLOSING_TURNS + 1:
        return tag("div", render_blocks(turns), class_="stack")
    opening, middle, closing = turns[:OPENING_TURNS], turns[OPENING_TURNS:-CLOSING_TURNS], turns[-CLOSING_TURNS:]
    summary = tag("summary", esc(f"{len(middle):,} turns in between, of {len(turns):,}"))
    folded = tag("details", summary + _fitting(middle, CONVERSATION_BYTES, "turns in between"), class_="turns")
    return tag("div", render_blocks(opening) + folded + render_blocks(closing), class_="stack")


def _fitting(document: Sequence[Block], most_bytes: int, what: str) -> str:
    """The first blocks that fit into `most_bytes`, and how many do not: a report stays small enough to send."""
    kept: list[str] = []
    used = 0
    for block in document:
        drawn = render_blocks([block])
        used += len(drawn.encode())
        if used > most_bytes:
            note = f"Showing {len(kept):,} of {len(document):,} {what}; the rest is in the store."
            kept.append(tag("p", esc(note), class_="muted"))
            break
        kept.append(drawn)
    return tag("div", "".join(kept), class_="stack")


def _sequence(frames: Frames, findings: Sequence[Finding], pieces: Sequence[Piece]) -> str:
    """The diagram, with as many rows as fit; its caption says which these are."""
    diagram = build_sequence(frames, findings, pieces)
    rows = min(PAGE, max(1, len(diagram.rows)))
    drawn = sequence_html(diagram, page_rows=rows, width=1120, prefix="report-seq")
    while rows > 1 and (size := len(drawn.encode())) > SEQUENCE_BYTES:
        rows = max(1, min(rows - 1, rows * SEQUENCE_BYTES // size))
        drawn = sequence_html(diagram, page_rows=rows, width=1120, prefix="report-seq")
    note = "The dashboard shows all rows." if len(diagram.rows) > rows else ""
    return tag("div", drawn, class_="figure") + (tag("p", esc(note), class_="muted") if note else "")


_AGENT_COLUMNS: Final[Mapping[str, Callable[[Any], str]]] = {
    "calls": units.count,
    "success_rate": lambda v: "–" if v is None else f"{v:.0%}",
    "error_rate": lambda v: "–" if v is None else f"{v:.0%}",
    "latency_p50_s": lambda v: "–" if v is None else units.duration(v * 1e9),
    "latency_p95_s": lambda v: "–" if v is None else units.duration(v * 1e9),
    "llm_calls": units.count,
    "input_tokens": units.count,
    "output_tokens": units.count,
    "cost_usd": units.money,
}
AGENT_HEADS: Final = (
    "Agent",
    "Invocations",
    "Success",
    "Errors",
    "p50",
    "p95",
    "LLM calls",
    "Tokens in",
    "Tokens out",
    "Cost",
)


def agent_rows(frames: Frames) -> list[list[str]]:
    """Per agent the columns of `AGENT_HEADS` as text."""
    table = metrics(frames).agents
    return [
        [
            str(row["agent"]),
            *(
                "–" if name == "cost_usd" and not row["llm_calls"] else show(row.get(name))
                for name, show in _AGENT_COLUMNS.items()
            ),
        ]
        for row in table.iter_rows(named=True)
    ]


def _agents(frames: Frames) -> str:
    head = "".join(tag("th", esc(h), class_=None if k == 0 else "right") for k, h in enumerate(AGENT_HEADS))
    rows = "".join(
        tag("tr", "".join(tag("td", esc(c), class_=None if k == 0 else "right") for k, c in enumerate(cells)))
        for cells in agent_rows(frames)
    )
    if not rows:
        return tag("p", "No agent was recorded in this run.", class_="muted")
    return tag("div", tag("table", tag("thead", tag("tr", head)) + tag("tbody", rows)), class_="table-wrap")


def _quality(case: Case) -> str:
    lacks = quality(case.frames)
    if not lacks and not case.skipped:
        return tag(
            "p",
            "Nothing: every call has tokens and a price, every span its parent, every text its content.",
            class_="muted",
        )
    rows = "".join(tag("tr", tag("td", esc(what)) + tag("td", esc(n), class_="right")) for what, n in lacks)
    said = tag("div", tag("table", tag("tbody", rows)), class_="table-wrap") if rows else ""
    if case.skipped:
        text = f"{amount(len(case.skipped), 'question')} could not be judged; they stand at the end of the findings."
        said += tag("p", esc(text), class_="muted")
    return said
