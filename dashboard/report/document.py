"""The post-mortem as JSON: the document of `tracehound analyze --json` for one run, with what the other forms show besides.

The run's entry holds, next to what `analyze` says, `report`: {verdict, numbers, moments, stops, agents, reproduce, data_quality}.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from analyzers.metrics import metrics
from dashboard.report.case import Case
from dashboard.report.moments import find_moments
from dashboard.report.reproduce import reproduction
from dashboard.report.stops import find_stops
from dashboard.report.verdict import numbers, quality, run_row, verdict


def render_json(
    frames: Frames,
    findings: Sequence[Finding] = (),
    skipped: Sequence[Skipped] = (),
    failures: Sequence[DetectorFailure] = (),
) -> str:
    """The whole document; money is numbers of USD, non-finite numbers never occur."""
    return case_json(Case.of(frames, findings, skipped, failures))


def case_json(case: Case) -> str:
    """The whole document for a case whose questions are asked already."""
    frames = case.frames
    report: dict[str, Any] = {
        "outcome_reason": run_row(frames)["outcome_reason"],
        "verdict": verdict(frames, case.findings, case.run["suspects"]),
        "numbers": [asdict(number) for number in numbers(frames, case.findings)],
        "moments": [
            {"at_ns": one.at_ns, "what": one.text, "who": one.who or None, "span_id": one.span_id}
            for one in find_moments(case)
        ],
        "stops": [stop.to_json() for stop in find_stops(case)],
        "agents": metrics(frames).agents.to_dicts(),
        "reproduce": reproduction(case),
        "data_quality": [{"what": what, "count": count} for what, count in quality(frames)],
    }
    document = {**case.document, "traces": [{**case.run, "report": report}]}
    return json.dumps(document, indent=2, ensure_ascii=False, default=_number, allow_nan=False) + "\n"


def _number(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)
