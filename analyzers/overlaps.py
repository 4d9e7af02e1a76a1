"""One trouble, one finding: where two kinds see the same repetition, the more telling one stays.

A loop of handoffs is also a ping-pong, a storm of retries is also a row of duplicate calls. `YIELDS` says who gives way;
a finding gives way where half of what it rests on is in the evidence of stronger findings about the same run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from analyzers.finding import Finding

YIELDS: Mapping[str, tuple[str, ...]] = {
    "ping_pong": ("loop",),
    "retry_storm": ("loop",),
    "duplicate_calls": ("loop", "ping_pong", "retry_storm", "runaway_fanout", "hidden_calls"),
    "context_growth": ("loop", "ping_pong"),
    "error_cascade": ("loop",),
    "stale_read": ("lost_update",),
    "write_skew": ("lost_update",),
    "divergent_views": ("stale_read",),
    "no_answer": ("deadlock",),
    "orphan_task": ("deadlock", "no_answer"),
    "serial_bottleneck": ("loop", "deadlock"),
}
"""kind -> kinds it gives way to"""
SHARE = 0.5
MARKED = "marked"
"""`data[MARKED]` of a storm: its tries are recorded as retries, or follow each other without a thought in between, so a loop over the same
calls gives way to it, not the reverse"""


def without_repetition(findings: Sequence[Finding]) -> list[Finding]:
    """`findings` without those that a stronger finding about the same run tells already. O(findings + their spans)."""
    told: dict[tuple[str | None, str], list[set[str]]] = defaultdict(list)
    storms: dict[str | None, list[set[str]]] = defaultdict(list)
    stronger = {kind for kinds in YIELDS.values() for kind in kinds}
    for finding in findings:
        if finding.kind in stronger:
            told[finding.trace_id, finding.kind].append(set(finding.spans))
        if finding.data.get(MARKED):
            storms[finding.trace_id].append(set(finding.spans))
    return [finding for finding in findings if not _told(finding, told, storms)]


def _told(
    finding: Finding,
    told: Mapping[tuple[str | None, str], list[set[str]]],
    storms: Mapping[str | None, list[set[str]]],
) -> bool:
    spans = set(finding.spans)
    if finding.data.get(MARKED):
        return False
    rivals = [evidence for kind in YIELDS.get(finding.kind, ()) for evidence in told.get((finding.trace_id, kind), ())]
    if finding.kind == "loop":
        rivals += storms.get(finding.trace_id, [])
    # All of them together: a loop may be told as one finding for each pair of agents in it.
    return bool(rivals) and len(spans & set[str]().union(*rivals)) >= SHARE * len(spans)
