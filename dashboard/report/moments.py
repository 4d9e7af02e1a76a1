"""What happened when: the few moments of a run that a reader must know, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag, on_figures
from dashboard.figures.markup import clip
from dashboard.report.case import Case
from tracer.clock import has_clock
from tracer.model import SpanKind, SpanStatus

SHOWN: Final = 40
_TOLD: Final = (SpanKind.GUARD_TRIP, SpanKind.GUARDRAIL, SpanKind.ESCALATION, SpanKind.DECISION)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened; `span_id` where a span tells of it, `weight` 0 for what must be shown."""

    at_ns: int
    glyph: str
    text: str
    who: str
    tone: b.Tone
    weight: int
    span_id: str | None = None


def find_moments(case: Case) -> list[Moment]:
    """Start and end, every finding's begin, the first suspect, guards, escalations, decisions and failures, in order of time."""
    row = case.frames.traces.row(0, named=True)
    moments = [Moment(case.start_ns, "▶", f"{row['workflow'] or 'The run'} starts", row["user_id"] or "", "neutral", 0)]
    for finding in on_figures(case.findings):
        if finding.start_ns is not None:
            text = f"{finding_tag(finding)} begins: {finding.title}"
            moments.append(
                Moment(finding.start_ns, palette.SEVERITY_GLYPHS[finding.severity], text, ", ".join(finding.agents[:4]),
                       SEVERITY_TONES[finding.severity], 0, finding.spans[0] if finding.spans else None)
            )  # fmt: skip
    moments += _suspected(case)
    telling = case.frames.spans.filter(
        pl.col("duplicate_of").is_null() & (pl.col("kind").is_in(_TOLD) | (pl.col("status") == SpanStatus.ERROR))
    )
    moments += [_told(span) for span in telling.iter_rows(named=True)]
    if row["end_ns"] is not None:
        how = str(row["outcome"]).replace("_", " ")
        reason = f": {row['outcome_reason']}" if row["outcome_reason"] else ""
        moments.append(Moment(row["end_ns"], "■", f"ends, {how}{reason}", "", "neutral", 0))
    return sorted(moments, key=lambda one: (one.at_ns, one.glyph == "■", one.weight, one.span_id or "", one.text))


def _suspected(case: Case) -> list[Moment]:
    """Where the evidence points first, in a run to which no detector objects."""
    if any(finding.severity != "info" for finding in case.findings):
        return []
    suspects: list[dict[str, Any]] = case.run["suspects"][:1]
    starts = case.frames.spans.filter(pl.col("span_id").is_in([one["span_id"] for one in suspects]))["start_ns"]
    return [
        Moment(at_ns, "?", "the first suspect: " + "; ".join(dict.fromkeys(one["evidence"])), one["agent"] or "", "warning", 0, one["span_id"])
        for one, at_ns in zip(suspects, starts, strict=False)
    ]  # fmt: skip


def _told(span: Mapping[str, Any]) -> Moment:
    at, who, kind = span["start_ns"], span["agent"] or "", span["kind"]
    name = span["tool_name"] or span["model"] or span["name"]
    if kind == SpanKind.GUARD_TRIP or (kind == SpanKind.GUARDRAIL and span["status"] == SpanStatus.ERROR):
        text = f"guard {span['guard'] or span['name']} speaks" + (f": {span['reason']}" if span["reason"] else "")
        return Moment(at, palette.look(kind).glyph, text, who, "warning", 0, span["span_id"])
    if kind == SpanKind.ESCALATION:
        text = f"escalates to {span['target_agent'] or 'a person'}" + (f": {span['reason']}" if span["reason"] else "")
        return Moment(at, palette.look(kind).glyph, text, who, "warning", 0, span["span_id"])
    if span["status"] == SpanStatus.ERROR:
        said = ": ".join(part for part in (span["error_type"], clip(span["error_message"] or "", 160)) if part)
        at = span["end_ns"] or at
        return Moment(at, "✕", f"{name} fails" + (f": {said}" if said else ""), who, "critical", 1, span["span_id"])
    if kind == SpanKind.DECISION and span["choice"]:
        text = f"decides {span['scope_key'] or span['name']}: {span['choice']}"
        return Moment(at, palette.look(kind).glyph, text, who, "neutral", 2, span["span_id"])
    return Moment(at, palette.look(kind).glyph, str(name), who, "neutral", 3, span["span_id"])


def _when(moment: Moment, origin_ns: int) -> str | None:
    """How far into the run; of one without times, at which message, and nothing at its two ends."""
    return units.after(moment.at_ns, origin_ns) if has_clock(origin_ns) or moment.weight or moment.span_id else None


def moments_document(case: Case) -> list[b.Block]:
    """The moments as a table; where there are too many, the telling ones stay and the rest is counted."""
    moments = find_moments(case)
    kept = sorted(range(len(moments)), key=lambda k: (moments[k].weight, k))[:SHOWN]
    rows = [
        b.row(
            [_when(one, case.start_ns), b.cell(f"{one.glyph} {clip(one.text, 260)}", one.tone), one.who],
            pick={"span": one.span_id} if one.span_id else None,
        )
        for one in (moments[k] for k in sorted(kept))
    ]  # fmt: skip
    document = [b.table([b.column("when", right=True, tight=True), b.column("what"), b.column("who")], rows)]
    if len(moments) > len(rows):
        document.append(b.note(f"Showing {len(rows)} of {amount(len(moments), 'moment')}, the most telling ones."))
    return document
