"""Rules asked of what was observed: `evaluate(rules, observed) -> readings`. Pure; what was told before is the business of `states`.

level readings   one per rule and agent, workflow or store: ok, warning, critical or no_data now
event readings   one per rule and run (or finding) that is over a threshold: they happen once and have no end
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import polars as pl

from analyzers.alerts.rules import Level, Rule, amount_of, matches, stretch
from analyzers.finding import SEVERITIES, Finding
from analyzers.frames import Frames
from analyzers.metrics.agents import agent_metrics
from analyzers.metrics.workflows import workflow_metrics
from analyzers.wording import listing, usd
from tracer.model import RunOutcome

Status = Literal["ok", "warning", "critical", "no_data"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the rules look at. `frames` hold the runs of the longest window; texts are not needed."""

    frames: Frames
    findings: Sequence[Finding] = ()
    fleet: Sequence[Finding] = ()
    lost_records: int = 0
    """since the last look"""
    baseline: pl.DataFrame | None = None
    """usual runs (columns workflow, cost_usd) in the place of those before; for a gate that compares with the main branch"""
    every_run: bool = False
    """event rules look at all runs, however old: for a gate over files"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one rule says about one subject."""

    rule: str
    status: Status
    workflow: str | None = None
    agent: str | None = None
    run_id: str | None = None
    finding_id: str | None = None
    value: float | None = None
    threshold: float | None = None
    samples: int = 0
    at_ns: int = 0
    """when it happened; for a level, the moment of the evaluation"""
    sentence: str = ""
    attached: tuple[str, ...] = ()
    """what the detectors that the rule names answered, in words"""
    event: bool = False

    @property
    def group(self) -> str:
        """What cooldown counts by: the rule, and the workflow and agent it is about."""
        return "|".join((self.rule, self.workflow or "", self.agent or ""))

    @property
    def key(self) -> str:
        """Tells an event apart from all others of its group."""
        return f"{self.run_id or ''}|{self.finding_id or ''}"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One rule, what was observed, and the moment."""

    rule: Rule
    observed: Observed
    now_ns: int
    by_run: Mapping[str, Sequence[Finding]] = field(default_factory=dict[str, Sequence[Finding]])

    @property
    def since_ns(self) -> int:
        return self.now_ns - self.rule.window_ns

    def runs(self) -> pl.DataFrame:
        """Runs that an event rule looks at: begun by now, and in its window unless all count."""
        runs = self.observed.frames.traces.filter(pl.col("start_ns") <= self.now_ns)
        last = pl.coalesce("end_ns", pl.lit(self.now_ns))
        return runs if self.observed.every_run else runs.filter(last > self.since_ns)

    def window(self) -> Frames:
        """The runs that started in the window, for level rules."""
        frames = self.observed.frames
        within = pl.col("start_ns").is_between(self.since_ns, self.now_ns, closed="right")
        traces = frames.traces.filter(within) if not self.observed.every_run else frames.traces
        return Frames(spans=frames.spans.filter(pl.col("run_id").is_in(traces["run_id"].implode())), traces=traces)


def evaluate(rules: Iterable[Rule], observed: Observed, now_ns: int) -> list[Reading]:
    """Every reading of every rule at `now_ns`, in the order of the rules; event rules give only what is over a threshold."""
    by_run: dict[str, list[Finding]] = {}
    for finding in observed.findings:
        by_run.setdefault(finding.trace_id or "", []).append(finding)
    return [reading for rule in rules for reading in READERS[rule.measure.name](_Ask(rule, observed, now_ns, by_run))]


# levels


def _level(ask: _Ask, value: float | None, samples: int, *, workflow: str | None = None, agent: str | None = None) -> Reading:  # fmt: skip
    rule, measure = ask.rule, ask.rule.measure
    who = f"Agent {agent!r}" if rule.per == "agent" else "The store" if rule.per == "store" else f"Workflow {workflow!r}" if workflow else "Runs without a workflow"  # fmt: skip
    enough = value is not None and (not measure.samples or samples >= rule.min_samples)
    level = rule.level_of(value) if enough and value is not None else None
    status: Status = level or ("ok" if enough else "no_data")
    counted = f" ({samples} {measure.samples})" if measure.samples else ""
    window = "in all runs given" if ask.observed.every_run else f"in the last {stretch(rule.window_ns)}"
    if not enough:
        sentence = f"{who}: {samples} {measure.samples or 'samples'} {window}, {rule.min_samples} are needed to judge {measure.name.replace('_', ' ')}."
    else:
        limit = rule.threshold(level) if level else None
        held = f"{amount_of(value or 0, measure.unit)} {window}{counted}"
        allowed = f"; {'at least' if measure.below else 'less than' if measure.unit == 'count' else 'at most'} {amount_of(limit, measure.unit)} was expected" if limit is not None else ""  # fmt: skip
        sentence = (
            f"{who}: {measure.name.removesuffix('_s').removesuffix('_usd').replace('_', ' ')} is {held}{allowed}."
        )
    return Reading(
        rule=rule.name, status=status, workflow=workflow, agent=agent, value=value, samples=samples, at_ns=ask.now_ns,
        threshold=rule.threshold(level) if level else rule.critical if rule.critical is not None else rule.warning, sentence=sentence,
    )  # fmt: skip


def _agents(column: str) -> Callable[[_Ask], list[Reading]]:
    def read(ask: _Ask) -> list[Reading]:
        known = ask.observed.frames.spans["agent"].drop_nulls().unique().sort().to_list()
        rows = {row["agent"]: row for row in agent_metrics(_of_workflows(ask.window(), ask.rule)).to_dicts()}
        found: list[Reading] = []
        for agent in known:
            if matches(agent, ask.rule.agent):
                row = rows.get(agent)
                ended = row["calls"] - row["running"] if row else 0
                found.append(_level(ask, row[column] if row else None, ended, agent=agent))
        return found

    return read


def _workflows(column: str) -> Callable[[_Ask], list[Reading]]:
    def read(ask: _Ask) -> list[Reading]:
        known = _known_workflows(ask)
        rows = {row["workflow"]: row for row in workflow_metrics(ask.window()).to_dicts()}
        found: list[Reading] = []
        for workflow in known:
            row = rows.get(workflow)
            ended = row["runs"] - row["running"] - row["unknown"] if row else 0
            found.append(_level(ask, row[column] if row else None, ended, workflow=workflow))
        return found

    return read


def _latency(ask: _Ask) -> list[Reading]:
    return (_agents if ask.rule.per == "agent" else _workflows)("latency_p95_s")(ask)


def _sums(value: pl.Expr) -> Callable[[_Ask], list[Reading]]:
    """Sums over runs that started in the window, of each workflow or of the store."""

    def read(ask: _Ask) -> list[Reading]:
        runs = ask.window().traces
        if ask.rule.per == "store":
            return [_level(ask, float(runs.select(value).item() or 0), runs.height)]
        rows = {row["workflow"]: row for row in runs.group_by("workflow").agg(value.alias("value"), pl.len()).to_dicts()}  # fmt: skip
        return [
            _level(ask, float(row["value"] or 0) if (row := rows.get(workflow)) else 0.0, row["len"] if row else 0, workflow=workflow)
            for workflow in _known_workflows(ask)
        ]  # fmt: skip

    return read


def _lost(ask: _Ask) -> list[Reading]:
    """Records are lost at one moment and stay lost: an event."""
    lost = ask.observed.lost_records
    level = ask.rule.level_of(lost) if lost else None
    if level is None:
        return []
    sentence = f"{lost:,} spans were dropped, rejected or could not be read since the last look; what they said is not judged."  # fmt: skip
    return [Reading(rule=ask.rule.name, status=level, value=float(lost), threshold=ask.rule.threshold(level), samples=1,
                    at_ns=ask.now_ns, sentence=sentence, event=True, finding_id=str(ask.now_ns))]  # fmt: skip


# events


def _each_run(value: Callable[[_Ask, pl.DataFrame], pl.DataFrame]) -> Callable[[_Ask], list[Reading]]:
    """Runs whose `value` column (added by `value`, with `samples` and `usual`) is over a threshold."""

    def read(ask: _Ask) -> list[Reading]:
        rule = ask.rule
        runs = value(ask, ask.runs()).sort("start_ns", "run_id")
        found: list[Reading] = []
        for row in runs.filter(pl.col("value").is_not_null()).iter_rows(named=True):
            level = rule.level_of(row["value"])
            if level and matches(row["workflow"], rule.workflow) and row["samples"] >= rule.min_samples:
                found.append(_event(ask, row, level))
        return found

    return read


def _event(ask: _Ask, row: Row, level: Level) -> Reading:
    rule, measure = ask.rule, ask.rule.measure
    name = row["source_id"] or row["run_id"]
    run = f"Run {name[:32]} of {row['workflow'] or 'no workflow'}"
    limit = rule.threshold(level)
    over = amount_of(limit or 0, measure.unit)
    value = row["value"]
    said = {
        "run_cost_ratio": f"{run} cost {usd(row['cost_usd'])}, {amount_of(value, 'times')} the median of {row['samples']} usual runs ({usd(row['usual'])}); more than {over} is too much",
        "run_cost_usd": f"{run} cost {usd(row['cost_usd'])}, more than {over}",
        "run_duration_s": f"{run} {'has been going on for' if row['end_ns'] is None else 'took'} {amount_of(value, 's')}, longer than {over}",
        "run_tokens": f"{run} used {value:,.0f} tokens, more than {over}",
    }[measure.name]  # fmt: skip
    return Reading(
        rule=rule.name, status=level, workflow=row["workflow"], run_id=row["run_id"], value=value, threshold=limit,
        samples=row["samples"], at_ns=row["end_ns"] or ask.now_ns, sentence=f"{said}.",
        attached=_attached(ask, row["run_id"]), event=True,
    )  # fmt: skip


def _attached(ask: _Ask, run_id: str) -> tuple[str, ...]:
    """For each kind the rule names, what was found, or that nothing was."""
    found = ask.by_run.get(run_id, ())
    told = [f"{f.kind}: {f.title}" for kind in ask.rule.attach for f in found if f.kind == kind]
    silent = [kind for kind in ask.rule.attach if not any(f.kind == kind for f in found)]
    return (*told, f"not found: {listing(silent)}") if silent else tuple(told)


def _plain(expression: pl.Expr) -> Callable[[_Ask, pl.DataFrame], pl.DataFrame]:
    return lambda ask, runs: runs.with_columns(value=expression.cast(pl.Float64), samples=1, usual=None)


def _seconds(ask: _Ask, runs: pl.DataFrame) -> pl.DataFrame:
    """Of runs with real times; one that goes on has taken as long as it has been going on."""
    timed = runs.filter(~pl.col("run_id").is_in(ask.observed.frames.timeless.implode()))
    going_on = pl.when(pl.col("outcome") == RunOutcome.RUNNING).then(pl.lit(ask.now_ns))
    return timed.with_columns(value=(pl.coalesce("end_ns", going_on) - pl.col("start_ns")) / 1e9, samples=1, usual=None)


def _ratio(ask: _Ask, runs: pl.DataFrame) -> pl.DataFrame:
    """Cost over the median of the runs of the workflow that started in the window before it, or of the baseline's."""
    cost = pl.col("cost_usd").cast(pl.Float64)
    priced = ask.observed.frames.traces.filter((cost > 0) & (pl.col("outcome") != RunOutcome.RUNNING))
    window = f"{ask.rule.window_ns}i"
    before = priced.sort("start_ns", "run_id").select(
        "run_id",
        usual=cost.rolling_median_by("start_ns", window_size=window, closed="left").over("workflow"),
        samples=(cost > 0).cast(pl.Int64).rolling_sum_by("start_ns", window_size=window, closed="left").over("workflow"),
    )  # fmt: skip
    joined = runs.join(before, on="run_id", how="left")
    if ask.observed.baseline is not None:
        held = ask.observed.baseline.filter(cost > 0).group_by("workflow").agg(main=cost.median(), main_runs=pl.len().cast(pl.Int64))  # fmt: skip
        joined = joined.join(held, on="workflow", how="left", nulls_equal=True).with_columns(
            usual=pl.coalesce("main", "usual"), samples=pl.coalesce("main_runs", "samples")
        )
    return joined.with_columns(value=cost / pl.col("usual"), samples=pl.col("samples").fill_null(0))


def _trips(ask: _Ask) -> list[Reading]:
    """Guards that stopped something, one event per run."""
    runs = {row["run_id"]: row for row in ask.runs().iter_rows(named=True)}
    found: list[Reading] = []
    for run_id, row in runs.items():
        stopped = [f for f in ask.by_run.get(run_id, ()) if f.kind == "guard_trip" and f.data.get("level") == "stop"]
        level = ask.rule.level_of(len(stopped)) if stopped else None
        if level and matches(row["workflow"], ask.rule.workflow):
            name = str(row["source_id"] or run_id)[:32]
            told = "; ".join(f.title for f in stopped)
            found.append(Reading(
                rule=ask.rule.name, status=level, workflow=row["workflow"], run_id=run_id, value=float(len(stopped)),
                threshold=ask.rule.threshold(level), samples=1, at_ns=stopped[0].start_ns or row["start_ns"], event=True,
                sentence=f"A guard stopped run {name} of {row['workflow'] or 'no workflow'}: {told}.", attached=_attached(ask, run_id),
            ))  # fmt: skip
    return sorted(found, key=lambda reading: (reading.at_ns, reading.run_id or ""))


def _findings(ask: _Ask) -> list[Reading]:
    runs = {row["run_id"]: row for row in ask.runs().iter_rows(named=True)}
    found: list[Reading] = []
    for finding in ask.observed.findings:
        row = runs.get(finding.trace_id or "")
        if row is not None and _wanted(ask.rule, finding) and matches(row["workflow"], ask.rule.workflow):
            found.append(_told(ask, finding, row["workflow"], row["end_ns"]))
    return found


def _fleet(ask: _Ask) -> list[Reading]:
    found: list[Reading] = []
    for finding in ask.observed.fleet:
        workflow = finding.data.get("workflow")
        workflow = str(workflow) if workflow else None
        ended = finding.end_ns or ask.now_ns
        recent = ask.observed.every_run or ended > ask.since_ns
        begun = (finding.start_ns or 0) <= ask.now_ns
        if recent and begun and _wanted(ask.rule, finding) and matches(workflow, ask.rule.workflow):
            found.append(_told(ask, finding, workflow, None))
    return found


def _wanted(rule: Rule, finding: Finding) -> bool:
    grave = SEVERITIES.index(finding.severity) <= SEVERITIES.index(rule.severity)
    return grave and matches(finding.kind, rule.kinds)


def _told(ask: _Ask, finding: Finding, workflow: str | None, ended_ns: int | None) -> Reading:
    return Reading(
        rule=ask.rule.name, status="critical" if finding.severity == "critical" else "warning", workflow=workflow,
        run_id=finding.trace_id, finding_id=finding.id if finding.trace_id else _fleet_key(finding), value=1.0, threshold=1.0, samples=1,
        at_ns=ended_ns or finding.end_ns or ask.now_ns, sentence=f"{finding.kind}: {finding.title}.", event=True,
        attached=(finding.suggestion,) if finding.suggestion else (),
    )  # fmt: skip


def _fleet_key(finding: Finding) -> str:
    """A surge that goes on gains runs, and so another id, with each look: its kind and beginning tell it apart."""
    return f"{finding.kind}@{finding.data.get('window_start_ns', finding.start_ns)}"


def _known_workflows(ask: _Ask) -> list[str | None]:
    names: list[str | None] = ask.observed.frames.traces["workflow"].unique().sort().to_list()
    return [name for name in names if matches(name, ask.rule.workflow)]


def _of_workflows(frames: Frames, rule: Rule) -> Frames:
    if rule.workflow == ("*",):
        return frames
    keep = [name for name in frames.traces["workflow"].unique().to_list() if matches(name, rule.workflow)]
    traces = frames.traces.filter(pl.col("workflow").is_in(keep, nulls_equal=True))
    return Frames(spans=frames.spans.filter(pl.col("run_id").is_in(traces["run_id"].implode())), traces=traces)


READERS: Final[Mapping[str, Callable[[_Ask], list[Reading]]]] = {
    "success_rate": _agents("success_rate"),
    "error_rate": _agents("error_rate"),
    "completion_rate": _workflows("completion_rate"),
    "escalation_rate": _workflows("escalation_rate"),
    "latency_p95_s": _latency,
    "spend_usd": _sums(pl.col("cost_usd").cast(pl.Float64).sum()),
    "runs": _sums(pl.len().cast(pl.Float64)),
    "run_cost_usd": _each_run(_plain(pl.col("cost_usd"))),
    "run_cost_ratio": _each_run(_ratio),
    "run_duration_s": _each_run(_seconds),
    "run_tokens": _each_run(_plain(pl.col("input_tokens") + pl.col("output_tokens"))),
    "breaker_trips": _trips,
    "findings": _findings,
    "fleet_findings": _fleet,
    "lost_records": _lost,
}
"""measure -> how it is read; the keys are those of `rules.MEASURES`"""
