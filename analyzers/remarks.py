"""Says once of a workflow what is the same in all of its runs: a hundred imported transcripts without a clock are one remark, not a hundred.

Only remarks (severity info) about the recording are folded; whatever calls for somebody stays with its run. A run that is looked at by itself keeps
its remark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from analyzers.detectors.data_quality import said
from analyzers.finding import Check, Finding
from analyzers.wording import amount, listing

KIND = "data_quality"
MANY = 10
"""runs of a workflow with the same flaws, from which on they are one remark"""
NAMED = 200
"""runs that it names"""


def folded(findings: Sequence[Finding], traces: pl.DataFrame) -> tuple[list[Finding], list[Finding]]:
    """(findings that stay with their runs, remarks about workflows in their stead); `traces` needs run_id and workflow."""
    workflows = dict(traces.select("run_id", "workflow").iter_rows())
    alike: dict[tuple[str, tuple[str, ...]], list[Finding]] = defaultdict(list)
    for one in findings:
        workflow = workflows.get(one.trace_id)
        if one.kind == KIND and one.severity == "info" and workflow is not None:
            alike[workflow, tuple(one.data["issues"])].append(one)
    many = {key: held for key, held in alike.items() if len(held) >= MANY}
    gone = {id(one) for held in many.values() for one in held}
    return [one for one in findings if id(one) not in gone], [_one(*key, held) for key, held in sorted(many.items())]


def _one(workflow: str, issues: tuple[str, ...], held: Sequence[Finding]) -> Finding:
    ordered = sorted(held, key=lambda one: (one.start_ns or 0, one.trace_id or ""))
    runs = [one.trace_id for one in ordered]
    counts = {name: sum(one.data["issues"][name] for one in ordered) for name in issues}
    told = listing([said(name, count) for name, count in counts.items()])
    start_ns, end_ns = ordered[0].start_ns, max((one.end_ns or one.start_ns or 0 for one in ordered), default=None)
    return replace(
        ordered[0],
        title=f"Recording: {told}, in {amount(len(runs), 'run')} of {workflow!r}",
        explanation=(
            f"{amount(len(runs), 'run')} of {workflow!r} have the same flaws, {told} in all. No number is wrong because of this; "
            "some are unknown. A run that is looked at by itself says how often it has each. These are counts, not guesses."
        ),
        trace_id=None,
        spans=tuple(span for one in ordered for span in one.spans[:1])[:NAMED],
        end_ns=end_ns,
        checked=(Check(rule="runs with the same flaws", value=len(runs), threshold=MANY, passed=True),),
        data={
            "key": f"{workflow}: {', '.join(issues)}",
            "workflow": workflow,
            "window_start_ns": start_ns,
            "window_end_ns": end_ns,
            "runs": len(runs),
            "run_ids": runs[:NAMED],
            "issues": counts,
        },
    )
