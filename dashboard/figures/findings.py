"""How a finding is named on a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from analyzers.finding import Finding
from dashboard.figures.markup import readable

_COUNTS: Final = {"loop": "iterations", "ping_pong": "iterations", "hidden_calls": "calls", "guard_trip": "trips"}
"""kind -> name of the number in `data` that says how often"""


def on_figures(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that figures draw: those about what the agents did, not about how well it was recorded."""
    return [finding for finding in findings if finding.kind != "data_quality"]


def finding_word(kind: str) -> str:
    """The kind in plain words: `lost update`."""
    return kind.replace("_", " ")


def finding_tag(finding: Finding) -> str:
    """The short tag drawn on spans: `loop ×47`, `deadlock`, `lost update`."""
    times = finding.data.get(_COUNTS.get(finding.kind, ""))
    counted = isinstance(times, int) and not isinstance(times, bool) and times > 1
    return readable(finding_word(finding.kind) + (f" ×{times}" if counted else ""))
