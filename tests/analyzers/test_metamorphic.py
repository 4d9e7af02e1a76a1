"""What must not matter to any verdict, for every kind, on runs recorded by the shim and read from a store; and what must."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl
import pytest

from analyzers.detectors.loop import find_loops
from analyzers.events import recorded_events
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from tests.analyzers.test_run import shuffled
from tests.benchmarks.scenarios import tuning
from tests.benchmarks.scenarios.knobs import Knobs
from tests.benchmarks.scenarios.playing import Case, played
from tests.benchmarks.scenarios.scoring import hits, told
from tracer.online.loop import LoopCore, replay

pytestmark = pytest.mark.slow

DAY_NS = 86_400 * 10**9
Evidence = list[tuple[str, str, tuple[str, ...]]]


@dataclass(frozen=True)
class Stage:
    cases: list[Case]
    analysis: Analysis
    frames: Frames


def case_of(number: int) -> Case:
    scenario = FAULTS[number]
    return Case(scenario=scenario, knobs=Knobs(size=20), seed=number, workflow=scenario.name)


FAULTS = [scenario for scenario in tuning.SCENARIOS if scenario.kind is not None]


@pytest.fixture(scope="module")
def stage() -> Stage:
    """One run of each fault of the tuning part, in one store."""
    ((cases, analysis, frames),) = played([case_of(number) for number in range(len(FAULTS))])
    return Stage(cases, analysis, frames)


def evidence(analysis: Analysis) -> Evidence:
    return sorted((f.kind, f.severity, tuple(sorted(f.spans))) for f in (*analysis.findings, *analysis.fleet))


def with_spans(frames: Frames, spans: pl.DataFrame, traces: pl.DataFrame | None = None) -> Frames:
    ids = spans["span_id"].implode()
    return Frames(
        spans=spans.sort("run_id", "start_ns", "span_id"),
        traces=frames.traces if traces is None else traces,
        contents=frames.contents,
        events=frames.events.filter(pl.col("span_id").is_in(ids)),
        links=frames.links.filter(pl.col("span_id").is_in(ids)),
    )


def test_every_kind_is_told(stage: Stage) -> None:
    """Each kind that has a scenario is found at least once, none crashes: the rest of this file is about something."""
    found = {case.scenario.kind for case in stage.cases if hits(case)}

    assert stage.analysis.failures == ()
    assert {scenario.kind for scenario in FAULTS} == found


def test_frames_are_never_modified(stage: Stage) -> None:
    """Columns, rows and texts are the same after the analysis as before."""
    before = [stage.frames.spans.clone(), stage.frames.traces.clone(), stage.frames.links.clone()]
    texts = dict(stage.frames.contents)
    analyse(stage.frames)

    assert stage.frames.spans.equals(before[0])
    assert stage.frames.traces.equals(before[1])
    assert stage.frames.links.equals(before[2])
    assert dict(stage.frames.contents) == texts


def test_the_order_of_rows_does_not_matter(stage: Stage) -> None:
    """Shuffled rows give the same analysis, words and ids included."""
    assert analyse(shuffled(stage.frames, 5)) == stage.analysis


def test_the_clock_does_not_matter(stage: Stage) -> None:
    """Four weeks later, the same evidence."""
    later = 28 * DAY_NS
    moved = Frames(
        spans=stage.frames.spans.with_columns(pl.col("start_ns", "end_ns", "deadline_ns") + later),
        traces=stage.frames.traces.with_columns(pl.col("start_ns", "end_ns") + later),
        contents=stage.frames.contents,
        events=stage.frames.events.with_columns(pl.col("time_ns") + later),
        links=stage.frames.links,
    )

    assert evidence(analyse(moved)) == evidence(stage.analysis)


def test_names_of_agents_do_not_matter(stage: Stage) -> None:
    """Other names of agents, same evidence."""

    def named(name: str) -> pl.Expr:
        return pl.lit("Bureau of ") + pl.col(name)

    agents = stage.frames.spans["agent"].drop_nulls().unique().to_list()
    waits = pl.col("wait_for").list.eval(
        pl.when(pl.element().is_in(agents)).then(pl.lit("Bureau of ") + pl.element()).otherwise(pl.element())
    )
    renamed = with_spans(
        stage.frames,
        stage.frames.spans.with_columns(agent=named("agent"), target_agent=named("target_agent"), wait_for=waits),
    )

    assert evidence(analyse(renamed)) == evidence(stage.analysis)


def test_an_unrelated_branch_does_not_matter(stage: Stage) -> None:
    """A healthy agent that is done in a moment: the same faults are told, and no other kind."""
    roots = stage.frames.spans.filter(pl.col("parent_span_id").is_null())
    empty = [
        c for c, kind in stage.frames.spans.schema.items()
        if c not in {"trace_id", "run_id", "workflow", "span_id", "parent_span_id", "kind", "name", "start_ns", "end_ns", "status", "agent", "pid"}
        and c not in {"agent_inferred", "progress", "user_visible", "dropped_attributes", "attributes"}
    ]  # fmt: skip
    branch = roots.with_columns(
        parent_span_id="span_id",
        span_id=pl.lit("beside-") + pl.col("span_id"),
        kind=pl.lit("agent", stage.frames.spans.schema["kind"]),
        name=pl.lit("Gardener"),
        agent=pl.lit("Gardener"),
        status=pl.lit("ok", stage.frames.spans.schema["status"]),
        end_ns=pl.col("start_ns") + 1_000_000,
        attributes=pl.lit("{}"),
        **{column: pl.lit(None, stage.frames.spans.schema[column]) for column in empty},
    )
    more = analyse(with_spans(stage.frames, pl.concat([stage.frames.spans, branch])))

    def kinds(analysis: Analysis) -> set[tuple[str, str | None]]:
        return {(f.kind, f.trace_id) for f in (*analysis.findings, *analysis.fleet) if told(f)}

    assert kinds(more) == kinds(stage.analysis)


def test_duplicate_delivery_does_not_matter(stage: Stage) -> None:
    """Every span sent twice: nothing is counted twice."""
    ((_, analysis, frames),) = played([case_of(number) for number in range(len(FAULTS))], twice=True)

    assert frames.spans.height == stage.frames.spans.height
    assert evidence(analysis) == evidence(stage.analysis)


def test_without_the_fault_nothing_is_told(stage: Stage) -> None:
    """Take the spans that show the fault out of a run, with all below them: its finding is gone."""
    gone = {span for case in stage.cases for span in case.keys if case.scenario.runs == 1}
    parents = dict(stage.frames.spans.select("span_id", "parent_span_id").iter_rows())

    def below(span: str | None) -> bool:
        while span is not None and span in parents:
            if span in gone:
                return True
            span = parents[span]
        return False

    guilty = {run for case in stage.cases for run in case.guilty_traces}
    kept = stage.frames.spans.filter(
        ~pl.col("span_id").map_elements(below, return_dtype=pl.Boolean) & ~pl.col("run_id").is_in(sorted(guilty))
    )
    traces = stage.frames.traces.filter(~pl.col("run_id").is_in(sorted(guilty)))
    traces = traces.with_columns(outcome=pl.lit("completed", traces.schema["outcome"]))
    healed = analyse(with_spans(stage.frames, kept, traces))

    for case in stage.cases:
        left = [
            f
            for f in (*healed.findings, *healed.fleet)
            if f.trace_id in case.run_ids or f.data.get("workflow") == case.workflow
        ]
        assert hits(replace(case, findings=left, keys=set(), guilty_traces=set(), guilty_ns=[(0, 2**62)])) == [], case.scenario.name  # fmt: skip


def test_streaming_and_offline_agree_about_loops(stage: Stage) -> None:
    """Fed event by event, the core raises an alarm in exactly the runs in which the detector finds a loop."""
    found = {f.trace_id for f in find_loops(stage.frames) if isinstance(f, Finding)}
    alarmed = set[str | None]()
    for (run_id,), rows in stage.frames.spans.group_by("run_id", maintain_order=True):
        if replay((one.event for one in recorded_events(rows, stage.frames.contents)), LoopCore()):
            alarmed.add(str(run_id))

    assert alarmed == found
