"""The post-mortem as Markdown with a Mermaid sequence diagram, for issues, wikis and chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from analyzers.finding import Check, DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from dashboard.figures import palette, units
from dashboard.figures.markup import clip, readable
from dashboard.figures.sequence import build_sequence
from dashboard.figures.sequence_text import mermaid
from dashboard.report.html import agent_rows
from dashboard.report.verdict import numbers, quality, run_row, verdict

_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]<>()#+!|~&@:-]")
_HEADS: Final = (
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


def plain(text: str, limit: int = 2_000) -> str:
    """Recorded text as Markdown that renders as that text: no link, no HTML, no table cell of its own."""
    line = readable(text[:limit] + ("…" if len(text) > limit else "")).replace("\n", " ")
    return _SPECIAL.sub(lambda m: f"&#{ord(m[0])};" if m[0] in "<>&|@:" else f"\\{m[0]}", line)


def render_markdown(
    frames: Frames,
    findings: Sequence[Finding] = (),
    skipped: Sequence[Skipped] = (),
    failures: Sequence[DetectorFailure] = (),
) -> str:
    """The whole document for one run."""
    row = run_row(frames)
    out = [
        f"# Post-mortem: {plain(row['workflow'] or 'unnamed workflow')}",
        "",
        f"Run `{row['run_id']}`, started {units.moment(row['start_ns'])[:19]} UTC",
        "",
    ]
    out += [f"{k}. {plain(line)}" for k, line in enumerate(verdict(frames, findings), 1)]
    strip = numbers(frames, findings)
    out += [
        "",
        _line([n.label for n in strip]),
        _rule(len(strip)),
        _line([plain(n.value + (f" ({n.hint})" if n.hint else "")) for n in strip]),
    ]
    out += ["", f"## Findings ({len(findings)})", ""]
    for finding in findings:
        out += _finding(finding)
    if not findings:
        out += ["No detector objects to this run.", ""]
    diagram = build_sequence(frames, findings)
    if diagram.rows:
        out += ["## Who said what to whom", "", "```mermaid", mermaid(diagram), "```", ""]
    agents = agent_rows(frames)
    if agents:
        out += [
            "## Agents",
            "",
            _line(_HEADS),
            _rule(len(_HEADS)),
            *(_line([plain(c) for c in cells]) for cells in agents),
            "",
        ]
    lacks = quality(frames)
    out += ["## What this record lacks", "", *(f"- {what}: {n}" for what, n in lacks)]
    out += [f"- not judged, {plain(s.detector)}: {plain(s.reason)}" for s in skipped]
    out += [f"- detector crashed, {plain(f.detector)}: {plain(f.error)}" for f in failures]
    if not (lacks or skipped or failures):
        out.append("Nothing.")
    return "\n".join(out) + "\n"


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
            _line(["Rule", "Value", "Threshold", "Speaks for it"]),
            _rule(4),
            *(_check(c) for c in finding.checked),
            "",
        ]
    shown = ", ".join(f"`{clip(s, 32)}`" for s in finding.spans[:12] if s.isalnum())
    more = f" and {len(finding.spans) - 12} more" if len(finding.spans) > 12 else ""
    return [*out, f"Spans: {shown}{more}", ""] if shown else out


def _check(check: Check) -> str:
    return _line(
        [
            plain(check.rule.replace("_", " ")),
            plain(str(check.value)),
            plain(str(check.threshold)),
            "yes" if check.passed else "no",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns
