"""What one view of a run shows, as rows with exact values: CSV for spreadsheets, JSON for programs.

Every function gives rows of one shape, in the order of the view: times in ns, money as a number in USD, None for unknown.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analyzers.critical_path import Piece
from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.commands.common import csv_cell
from dashboard.documents.conversation import conversation_document
from dashboard.documents.state import touches
from dashboard.figures.trace_view import labels

Row = dict[str, Any]


def path_rows(frames: Frames, pieces: Sequence[Piece]) -> list[Row]:
    """Every stretch of the critical path, those included that a long path leaves out on the screen."""
    spans = frames.spans.filter(pl.col("span_id").is_in([piece.span_id for piece in pieces if piece.span_id]))
    names = dict(zip(spans["span_id"].to_list(), labels(spans), strict=True))
    return [
        {
            "start_ns": piece.start_ns, "length_ns": piece.length_ns, "agent": piece.agent, "kind": piece.kind,
            "what": names.get(piece.span_id or "", piece.name), "waited_by": piece.waited_by, "span_id": piece.span_id,
        }
        for piece in pieces
    ]  # fmt: skip


def ledger_rows(document: Mapping[str, Any] | None) -> list[Row]:
    """The parts of the ledger, none while it is being made."""
    ledger: Mapping[str, Any] = (document or {}).get("ledger") or {}
    parts: Sequence[Mapping[str, Any]] = ledger.get("parts", ())
    names = ("part", "usd", "usd_share", "tokens", "calls", "ns", "time_share")
    return [{name: part[name] for name in names} | {"span_id": next(iter(part["spans"]), None)} for part in parts]


def conversation_rows(frames: Frames, page: int | None = None) -> list[Row]:
    """The entries of a page of the transcript, texts whole. Control characters are written out, as on the screen."""
    starts = dict(frames.spans.select("span_id", "start_ns").iter_rows())
    return [
        {
            "span_id": block["pick"]["span"], "start_ns": starts[block["pick"]["span"]], "at": block["time"], "from": block["role"],
            "to": block.get("to"), "note": block.get("note"), "text": block["text"],
            "calls": [{name: call.get(name) for name in ("name", "arguments", "result")} for call in block.get("calls", ())],
        }
        for block in conversation_document(frames, page=page)
        if block["block"] == "message"
    ]  # fmt: skip


def state_rows(frames: Frames) -> list[Row]:
    """Every read and write of shared state, key by key, with the value before and after where it was recorded."""
    names = ("state_key", "kind", "agent", "start_ns", "version_read", "version_expected", "version_written", "cas_outcome",
             "changed_paths", "value_bytes", "span_id")  # fmt: skip
    return [
        {name: row[name] for name in names}
        | {when: _text(frames, row[slot]) for when, slot in (("before", "input_refs"), ("after", "output_refs"))}
        for row in touches(frames).iter_rows(named=True)
    ]


def _text(frames: Frames, refs: Sequence[int] | None) -> str | None:
    return frames.contents.get(refs[0]) if refs else None


def findings_rows(findings: Sequence[Finding]) -> list[Row]:
    """The findings with their evidence, as `analyze --json` gives them."""
    return [one.to_json() for one in findings]


def rows_json(name: str, rows: Sequence[Row]) -> bytes:
    """`{name: [row, ...]}`."""
    return json.dumps({name: rows}, ensure_ascii=False, indent=1, default=str).encode("utf-8", "replace")


def rows_csv(rows: Sequence[Row]) -> bytes:
    """UTF-8 with a byte order mark; a cell that would be run as a formula gets a `'` in front."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(list(rows[0]) if rows else [])
    for row in rows:
        writer.writerow([csv_cell(value) for value in row.values()])
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")
