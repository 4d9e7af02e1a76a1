"""An analysis as the JSON document of `tracehound analyze --json`.

    {traces: [{trace_id, run_id, source_id, workflow, outcome, findings, suspects, ledger, critical_path, architecture}],
     fleet: [{workflow, window_start_ns, window_end_ns, findings}], skipped: [...], failures: [...]}

Suspects, ledger, critical path and architecture are not computed yet: empty list or null, which says "not looked at".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis


def analysis_document(frames: Frames, analysis: Analysis) -> dict[str, Any]:
    """Every run of `frames` in order of start, with its findings, most important first; then what only many runs show."""
    by_run: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in analysis.findings:
        by_run[finding.trace_id].append(finding)
    runs = frames.traces.sort("start_ns", "run_id").select("trace_id", "run_id", "source_id", "workflow", "outcome")
    return {
        "traces": [
            {
                **run,
                "findings": [finding.to_json() for finding in by_run[run["run_id"]]],
                "suspects": [],
                "ledger": None,
                "critical_path": None,
                "architecture": None,
            }
            for run in runs.iter_rows(named=True)
        ],
        "fleet": _fleet(analysis),
        "skipped": [asdict(skipped) for skipped in analysis.skipped],
        "failures": [asdict(failure) for failure in analysis.failures],
    }


def _fleet(analysis: Analysis) -> list[dict[str, Any]]:
    """One entry per workflow and window, in order of time; a window is what the finding's data name, else its own span of time."""
    windows: dict[tuple[int, int, str], list[Finding]] = defaultdict(list)
    for finding in analysis.fleet:
        start = finding.data.get("window_start_ns", finding.start_ns) or 0
        end = finding.data.get("window_end_ns", finding.end_ns) or 0
        windows[start, end, str(finding.data.get("workflow") or "")].append(finding)
    return [
        {
            "workflow": workflow or None,
            "window_start_ns": start,
            "window_end_ns": end,
            "findings": [finding.to_json() for finding in findings],
        }
        for (start, end, workflow), findings in sorted(windows.items())
    ]
