"""The spans of a run as a table: CSV for spreadsheets, JSON for programs. Prompts and payloads are not in it."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

from analyzers.frames import Frames
from dashboard.commands.common import csv_cell

COLUMNS = (
    "run_id", "trace_id", "span_id", "parent_span_id", "name", "kind", "workflow", "agent", "target_agent", "status",
    "error_type", "error_message", "start_ns", "end_ns", "model", "provider", "input_tokens", "output_tokens",
    "cached_tokens", "reasoning_tokens", "cost_usd", "cost_source", "purpose", "tool_name", "state_key", "version_read",
    "version_written", "attempt", "retry_of", "duplicate_of",
)  # fmt: skip


def spans_json(frames: Frames) -> bytes:
    """`{"spans": [...]}` in order of start: times in ns, cost as decimal text (exact), null for unknown."""
    rows = [{name: _plain(value) for name, value in row.items()} for row in _rows(frames)]
    return json.dumps({"spans": rows}, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def spans_csv(frames: Frames) -> bytes:
    """UTF-8 with a byte order mark, so that spreadsheets read it as such; a cell that would be run as a formula gets a `'` in front."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(frames):
        writer.writerow([csv_cell(value) for value in row.values()])
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _rows(frames: Frames) -> list[dict[str, Any]]:
    return frames.spans.sort("start_ns", "span_id").select(COLUMNS).to_dicts()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
