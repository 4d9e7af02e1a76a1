"""Holds the findings of an analysis against what an incident is known to have wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzers.finding import Finding
from analyzers.run import Analysis
from reference_runtime.truth import Operation, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the analysis made of one truth."""

    truth: Truth
    finding: Finding | None
    """the finding that tells it; None where it was missed"""
    missing: tuple[str, ...]
    """what is not as it should be, in words; empty where all is well"""

    @property
    def met(self) -> bool:
        return not self.missing


def check_truth(truth: Truth, rows: Sequence[Mapping[str, Any]], analysis: Analysis) -> Verdict:
    """Look for the finding that `truth` demands.

    Args:
        rows: the recorded spans of the truth's run, or of all runs of its workflow where the truth names none.
    """
    missing = [f"not recorded: {_describe(op)}" for op in truth.must_record if not op.select(rows)]
    if truth.finding is None:
        return Verdict(truth=truth, finding=None, missing=tuple(missing))
    candidates = [f for f in _findings(analysis, truth, rows) if f.kind == truth.finding]
    if not candidates:
        return Verdict(truth=truth, finding=None, missing=(*missing, f"no finding of kind {truth.finding}"))
    problems, best = min(
        ((_problems(truth, rows, finding), finding) for finding in candidates), key=lambda pair: len(pair[0])
    )
    return Verdict(truth=truth, finding=best, missing=(*missing, *problems))


def false_alarms(analysis: Analysis, run_ids: set[str], workflows: set[str]) -> list[Finding]:
    """Findings that say something is wrong with healthy runs; remarks of severity info are none."""
    about_runs = [f for f in analysis.findings if f.trace_id in run_ids]
    about_many = [f for f in analysis.fleet if f.data.get("workflow") in workflows]
    return [f for f in (*about_runs, *about_many) if f.severity != "info"]


def _findings(analysis: Analysis, truth: Truth, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    if truth.run_id is None:
        return [f for f in analysis.fleet if f.data.get("workflow") == truth.workflow]
    runs = {row["run_id"] for row in rows}
    return [f for f in analysis.findings if f.trace_id in runs]


def _problems(truth: Truth, rows: Sequence[Mapping[str, Any]], finding: Finding) -> list[str]:
    problems = [
        f"evidence does not touch {_describe(operation)}"
        for operation in truth.must_show
        if not {row["span_id"] for row in operation.select(rows)} & set(finding.spans)
    ]
    problems += [f"{agent} is not named" for agent in truth.agents if agent not in finding.agents]
    for name, expected in truth.numbers.items():
        # A truth may know more than a finding reports; a number that both give must agree.
        if name in finding.data and not _same(finding.data[name], expected):
            problems.append(f"{name} is {finding.data[name]!r}, not {expected!r}")
    return problems


def _same(reported: Any, expected: float | str) -> bool:
    if isinstance(expected, str) or not isinstance(reported, int | float):
        return reported == expected
    return abs(reported - expected) <= 0.05 * abs(expected)


def _describe(operation: Operation) -> str:
    where = ", ".join(f"{column}={value!r}" for column, value in operation.where.items())
    return " ".join(
        part for part in (operation.kind, f"of {operation.agent}" if operation.agent else "", where) if part
    )
