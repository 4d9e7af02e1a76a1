"""Shared state over the run: every write to every key, who made it, on which version, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.diffs import json_diff
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from dashboard.stored_texts import read_ahead
from tracer.model import CasOutcome, SpanKind

SHOWN_WRITES = 120
"""writes drawn at once; what is left out is said"""

_TONES: Mapping[str, b.Tone] = {
    CasOutcome.OK: "ok", CasOutcome.CONFLICT: "warning", CasOutcome.UNCHECKED: "neutral", CasOutcome.UNVERSIONED: "critical",
}  # fmt: skip
_WORDS: Mapping[str, str] = {
    CasOutcome.OK: "checked against its version", CasOutcome.CONFLICT: "refused: version had moved on",
    CasOutcome.UNCHECKED: "written without a check", CasOutcome.UNVERSIONED: "changed behind the store's back",
}  # fmt: skip


def state_document(frames: Frames, findings: Sequence[Finding] = (), *, selected: str | None = None) -> list[b.Block]:
    """A section per key in order of first use: its writes with their diffs, its readers."""
    touched = touches(frames)
    if touched.is_empty():
        return [b.note("This run reads and writes no shared state that was recorded.")]
    origin = frames.spans["start_ns"].min()
    start = origin if isinstance(origin, int) else 0
    keys = touched["state_key"].unique(maintain_order=True).to_list()
    blocks: list[b.Block] = []
    shown = 0
    for key in keys:
        own = touched.filter(pl.col("state_key") == key)
        writes = own.filter(pl.col("kind") == SpanKind.STATE_WRITE)
        reads = own.height - writes.height
        writers = ", ".join(sorted({row["agent"] or "unknown" for row in writes.iter_rows(named=True)}))
        note = f"{amount(writes.height, 'write')}{f' by {writers}' if writers else ''}, {amount(reads, 'read')}"
        blocks.append(b.heading(key, level=1, glyph="▤", kind="state_write", note=note))
        read_ahead(frames.contents, own.head(SHOWN_WRITES - shown))
        for row in own.iter_rows(named=True):
            if shown >= SHOWN_WRITES:
                break
            shown += 1
            blocks.append(_access(frames, row, start, findings, row["span_id"] == selected))
    if shown < touched.height:
        blocks.append(
            b.note(f"Showing {shown:,} of {touched.height:,} reads and writes. The CSV and the JSON have them all.")
        )
    return blocks


def touches(frames: Frames) -> pl.DataFrame:
    """The spans that read or write shared state: keys in order of first use, each key's accesses in order of time."""
    kinds = pl.col("kind").is_in([SpanKind.STATE_READ, SpanKind.STATE_WRITE])
    found = (
        frames.spans.filter(kinds & pl.col("duplicate_of").is_null())
        .with_columns(pl.col("state_key").fill_null("(unnamed)"))
        .sort("start_ns", "span_id")
    )
    first = pl.col("start_ns").rank("ordinal").min().over("state_key")
    return found.sort(first, "start_ns", "span_id")


def _access(frames: Frames, row: Mapping[str, Any], start: int, findings: Sequence[Finding], selected: bool) -> b.Block:
    writes = row["kind"] == SpanKind.STATE_WRITE
    pick = {"span": row["span_id"]}
    chips = [
        b.chip(finding_tag(f), tone=SEVERITY_TONES[f.severity], glyph=palette.SEVERITY_GLYPHS[f.severity], title=f.title,
               pick={"finding": f.id, **pick})
        for f in findings
        if row["span_id"] in f.spans
    ]  # fmt: skip
    if row["cas_outcome"]:
        chips.append(
            b.chip(_WORDS.get(row["cas_outcome"], row["cas_outcome"]), tone=_TONES.get(row["cas_outcome"], "neutral"))
        )
    if row["derived"]:
        chips.append(b.chip("derived", title=f"Not recorded, worked out from other spans: {', '.join(row['derived'])}"))
    versions = _versions(row)
    what = f"{row['agent'] or 'unknown agent'} {'writes' if writes else 'reads'}"
    when = f"{units.after(row['start_ns'], start)}{f' · {versions}' if versions else ''}"
    if not writes:
        return b.line(what, note=when, items=chips, pick=pick, selected=selected)
    body = [b.heading(what, level=2, note=when, items=chips)]
    before, after = (_body(frames, row[slot]) for slot in ("input_refs", "output_refs"))
    if before is not None or after is not None:
        body.append(b.diff(json_diff(before or "", after or "")))
    elif row["changed_paths"]:
        body.append(b.note("Changed: " + ", ".join(row["changed_paths"])))
    tone: b.Tone = "critical" if row["cas_outcome"] == CasOutcome.UNVERSIONED else "neutral"
    return b.card(body, tone=tone, pick=pick, selected=selected)


def _versions(row: Mapping[str, Any]) -> str:
    parts = [
        f"{word} v{row[column]}"
        for word, column in (("read", "version_read"), ("expected", "version_expected"), ("wrote", "version_written"))
        if row[column] is not None
    ]
    return ", ".join(parts)


def _body(frames: Frames, refs: list[int] | None) -> str | None:
    return frames.contents.get(refs[0]) if refs else None
