"""The gate of a build: what of findings, alert rules and regressions is a problem, and what was there before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from analyzers.alerts.evaluate import Observed, evaluate
from analyzers.alerts.rules import Rule
from analyzers.baseline import baseline_of, known_kinds, regressions
from analyzers.finding import SEVERITIES, Finding, Severity
from analyzers.frames import Frames
from analyzers.run import Analysis

FailOn = Literal["critical", "warning", "info", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not as it should be. `known`: the baseline has it already, so it does not fail the gate."""

    source: Literal["finding", "rule", "regression"]
    name: str
    """kind of finding, name of the rule, or metric"""
    severity: Severity
    workflow: str | None
    run_id: str | None
    title: str
    explanation: str = ""
    suggestion: str = ""
    known: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The answer: `problems` most severe first, new ones before known ones."""

    problems: tuple[Problem, ...]
    runs: pl.DataFrame
    """rows of a baseline of the runs that were looked at"""
    fail_on: FailOn

    @property
    def failing(self) -> tuple[Problem, ...]:
        if self.fail_on == "never":
            return ()
        limit = SEVERITIES.index(self.fail_on)
        return tuple(p for p in self.problems if not p.known and SEVERITIES.index(p.severity) <= limit)


def judge(
    frames: Frames,
    analysis: Analysis,
    rules: Iterable[Rule],
    *,
    now_ns: int,
    baseline: pl.DataFrame | None = None,
    fail_on: FailOn = "critical",
    lost_records: int = 0,
) -> Gate:
    """Everything about all runs of `frames`. Rules about findings are left to the findings themselves."""
    workflows = dict(frames.traces.select("run_id", "workflow").iter_rows())
    findings = (*analysis.findings, *analysis.fleet)
    known = known_kinds(baseline) if baseline is not None else frozenset[tuple[str | None, str]]()
    problems = [_found(finding, workflows, known) for finding in findings]
    others = [rule for rule in rules if not rule.about_findings]
    observed = Observed(
        frames=frames, findings=analysis.findings, fleet=analysis.fleet, baseline=baseline, every_run=True,
        lost_records=lost_records,
    )  # fmt: skip
    by_name = {rule.name: rule for rule in others}
    problems += [
        Problem(
            source="rule", name=reading.rule, severity="critical" if reading.status == "critical" else "warning",
            workflow=reading.workflow, run_id=reading.run_id, title=reading.sentence, explanation="; ".join(reading.attached),
            suggestion=by_name[reading.rule].then,
            known=by_name[reading.rule].measure.name == "breaker_trips" and (reading.workflow, "guard_trip") in known,
        )
        for reading in evaluate(others, observed, now_ns)
        if reading.status in ("warning", "critical")
    ]  # fmt: skip
    runs = baseline_of(frames, analysis.findings)
    if baseline is not None:
        problems += [
            Problem(source="regression", name=one.metric, severity=one.severity, workflow=one.workflow, run_id=None,
                    title=f"{one.workflow or 'runs without a workflow'}: {one.sentence}.")
            for one in regressions(runs, baseline)
        ]  # fmt: skip
    return Gate(problems=tuple(sorted(problems, key=_order)), runs=runs, fail_on=fail_on)


def _found(finding: Finding, workflows: dict[str, str | None], known: frozenset[tuple[str | None, str]]) -> Problem:
    workflow = workflows.get(finding.trace_id or "") if finding.trace_id else finding.data.get("workflow")
    return Problem(
        source="finding", name=finding.kind, severity=finding.severity, workflow=workflow, run_id=finding.trace_id, title=finding.title,
        explanation=finding.explanation, suggestion=finding.suggestion, known=(workflow, finding.kind) in known,
    )  # fmt: skip


def _order(problem: Problem) -> tuple[bool, int, Sequence[str]]:
    return (
        problem.known,
        SEVERITIES.index(problem.severity),
        (problem.source, problem.name, problem.run_id or "", problem.title),
    )
