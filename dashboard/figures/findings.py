"""How a finding is named on a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from analyzers.finding import Finding
from dashboard.figures import units
from dashboard.figures.markup import readable

_COUNTS: Final = {"loop": "iterations", "ping_pong": "iterations", "hidden_calls": "calls", "guard_trip": "trips"}
"""kind -> name of the number in `data` that says how often"""
_LASTING: Final = frozenset({"deadlock", "serial_bottleneck", "no_answer"})
"""kinds whose cost is time"""


def on_figures(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that figures draw: those about what the agents did, not about how well it was recorded."""
    return [finding for finding in findings if finding.kind != "data_quality"]


def finding_word(kind: str) -> str:
    """The kind in plain words: `lost update`."""
    return kind.replace("_", " ")


def finding_times(finding: Finding) -> int:
    """How often it happened, 0 where that is not counted."""
    times = finding.data.get(_COUNTS.get(finding.kind, ""))
    return times if isinstance(times, int) and not isinstance(times, bool) else 0


def finding_tag(finding: Finding) -> str:
    """The short tag of a finding: `loop ×47`, `deadlock`, `lost update`."""
    times = finding_times(finding)
    return readable(finding_word(finding.kind) + (f" ×{times}" if times > 1 else ""))


def finding_mark(finding: Finding) -> str:
    """The tag with what the finding cost, as it stands on spans: `loop ×47 · $0.14`, `deadlock · 45m 00s`."""
    if finding.wasted_usd:
        return f"{finding_tag(finding)} · {units.money(finding.wasted_usd)}"
    if finding.wasted_tokens:
        return f"{finding_tag(finding)} · {units.count(finding.wasted_tokens)} tokens"
    lost_s = finding.data.get("lost_s")
    if isinstance(lost_s, int | float) and lost_s > 0:
        return f"{finding_tag(finding)} · {units.duration(lost_s * 1e9)}"
    if finding.kind in _LASTING and finding.start_ns is not None and finding.end_ns is not None:
        return f"{finding_tag(finding)} · {units.duration(finding.end_ns - finding.start_ns)}"
    return finding_tag(finding)
