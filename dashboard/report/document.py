"""The post-mortem as JSON: the document of `tracehound analyze --json`, for one run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from dashboard.report.verdict import quality, run_row, verdict


def render_json(
    frames: Frames,
    findings: Sequence[Finding] = (),
    skipped: Sequence[Skipped] = (),
    failures: Sequence[DetectorFailure] = (),
) -> str:
    """The run, its findings, its verdict in words and what its record lacks; non-finite numbers never occur."""
    row = run_row(frames)
    trace: dict[str, Any] = {
        "trace_id": row["trace_id"],
        "run_id": row["run_id"],
        "source_id": row["source_id"],
        "workflow": row["workflow"],
        "outcome": row["outcome"],
        "outcome_reason": row["outcome_reason"],
        "verdict": verdict(frames, findings),
        "findings": [finding.to_json() for finding in findings],
        "data_quality": [{"what": what, "count": count} for what, count in quality(frames)],
    }
    document = {
        "traces": [trace],
        "fleet": [],
        "skipped": [asdict(s) for s in skipped],
        "failures": [asdict(f) for f in failures],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"
