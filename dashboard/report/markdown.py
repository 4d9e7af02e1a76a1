"""The post-mortem as Markdown with a Mermaid sequence diagram, for issues, wikis and chat."""

from __future__ import annotations

from collections.abc import Sequence

from analyzers.finding import Check, DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from dashboard.documents.run import started_cell
from dashboard.documents.state import state_document
from dashboard.figures import palette, units
from dashboard.figures.dependency import build_dependencies
from dashboard.figures.markup import clip
from dashboard.figures.sequence import build_sequence
from dashboard.figures.sequence_text import mermaid
from dashboard.figures.trace_view import build_view
from dashboard.report.blocks_markdown import Block, line, plain, render_blocks_markdown, rule
from dashboard.report.case import Case
from dashboard.report.contacts import contacts_document
from dashboard.report.html import AGENT_HEADS, agent_rows
from dashboard.report.moments import moments_document
from dashboard.report.money import ledger_document
from dashboard.report.path import path_document
from dashboard.report.reproduce import reproduce_document
from dashboard.report.stops import stops_document
from dashboard.report.suspects import suspects_document
from dashboard.report.verdict import numbers, quality, run_row, verdict
from tracer.clock import has_clock


def render_markdown(
    frames: Frames,
    findings: Sequence[Finding] = (),
    skipped: Sequence[Skipped] = (),
    failures: Sequence[DetectorFailure] = (),
) -> str:
    """The whole document for one run."""
    return case_markdown(Case.of(frames, findings, skipped, failures))


def case_markdown(case: Case) -> str:
    """The whole document for a case whose questions are asked already."""
    frames, findings = case.frames, case.findings
    view = build_view(frames, findings)
    names = dict(zip(view.tree.ids, view.label, strict=True))
    graph = build_dependencies(frames, findings)
    row = run_row(frames)
    out = [
        f"# Post-mortem: {plain(row['workflow'] or 'unnamed workflow')}",
        "",
        f"Run `{row['run_id']}`, "
        + (f"started {started_cell(row, 19)} UTC" if has_clock(row["start_ns"]) else "a transcript without times"),
        "",
    ]
    out += [f"{k}. {plain(text)}" for k, text in enumerate(verdict(frames, findings, case.run["suspects"]), 1)]
    strip = numbers(frames, findings)
    out += ["", line([n.label for n in strip]), rule(len(strip))]
    out += [line([plain(n.value + (f" ({n.hint})" if n.hint else "")) for n in strip]), ""]
    out += _section("What happened when", moments_document(case))
    out += [f"## Findings ({len(findings)})", ""]
    for finding in findings:
        out += _finding(finding)
    if not findings:
        out += ["No detector objects to this run.", ""]
    out += _section("Who is to blame", suspects_document(case, names))
    out += _section("What would have stopped it", stops_document(case))
    out += _section("Where the money went", ledger_document(case))
    out += _section("What took the time", path_document(case, names))
    diagram = build_sequence(frames, findings)
    if diagram.rows:
        out += ["## Who said what to whom", "", "```mermaid", mermaid(diagram), "```", ""]
    out += _section("Who depends on whom", contacts_document(graph))
    agents = agent_rows(frames)
    if agents:
        out += ["## Agents", "", line(AGENT_HEADS), rule(len(AGENT_HEADS))]
        out += [*(line([plain(c) for c in cells]) for cells in agents), ""]
    out += _section("Shared state", _changes(state_document(frames, findings)))
    out += _section("How to reproduce", reproduce_document(case))
    lacks = quality(frames)
    out += ["## What this record lacks", "", *(f"- {plain(what)}: {n}" for what, n in lacks)]
    out += [f"- not judged, {plain(s.detector)}: {plain(s.reason)}" for s in case.skipped]
    out += [f"- detector crashed, {plain(f.detector)}: {plain(f.error)}" for f in case.failures]
    if not (lacks or case.skipped or case.failures):
        out.append("Nothing.")
    return "\n".join(out) + "\n"


def _section(title: str, blocks: Sequence[Block]) -> list[str]:
    return [f"## {title}", "", *render_blocks_markdown(blocks)] if blocks else []


def _changes(blocks: Sequence[Block]) -> list[Block]:
    """A card of the state history as one line: who did what, when, on which version. The values stand in the HTML form."""
    out: list[Block] = []
    for block in blocks:
        if block["block"] == "card" and block["blocks"] and block["blocks"][0]["block"] == "heading":
            head = block["blocks"][0]
            said = ", ".join(str(one["text"]) for one in head.get("chips") or ())
            note = ", ".join(part for part in (head.get("note") or "", said) if part)
            out.append({"block": "line", "text": head["text"], "note": note})
        elif block["block"] == "heading" and out:
            out += [{"block": "note", "text": ""}, block]
        else:
            out.append(block)
    return out


def _finding(finding: Finding) -> list[str]:
    waste = f", {units.money(finding.wasted_usd)} wasted" if finding.wasted_usd is not None else ""
    out = [
        f"### {palette.SEVERITY_GLYPHS[finding.severity]} {plain(finding.title)}", "",
        f"{finding.severity}, {finding.kind.replace('_', ' ')}, confidence {finding.confidence:.0%}{waste}", "", plain(finding.explanation), "",
    ]  # fmt: skip
    if finding.suggestion:
        out += [f"**What to change:** {plain(finding.suggestion)}", ""]
    if finding.checked:
        out += [
            line(["Rule", "Value", "Threshold", "Speaks for it"]),
            rule(4),
            *(_check(c) for c in finding.checked),
            "",
        ]
    shown = ", ".join(f"`{clip(s, 32)}`" for s in finding.spans[:12] if s.isalnum())
    more = f" and {len(finding.spans) - 12} more" if len(finding.spans) > 12 else ""
    return [*out, f"Spans: {shown}{more}", ""] if shown else out


def _check(check: Check) -> str:
    return line(
        [
            plain(check.rule.replace("_", " ")),
            _value(check.value),
            _value(check.threshold),
            "yes" if check.passed else "no",
        ]
    )


def _value(value: float | str | bool | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) else plain(str(value))
