"""Plays scenarios into real stores and has them analysed: shim -> segments -> fold -> frames -> detectors."""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import polars as pl

from analyzers.detectors import DETECTORS, Detector
from analyzers.finding import Finding, Skipped
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from tests.benchmarks.scenarios.catalogue import Scenario
from tests.benchmarks.scenarios.healthy import play
from tests.benchmarks.scenarios.knobs import Knobs
from tests.benchmarks.scenarios.recording import Recorded, StageClock, recorded_run, span_id_in
from tests.benchmarks.scenarios.sampling import SHORT_SIZES, SIZES, huge, sample
from tests.benchmarks.scenarios.spoiling import deliver, spoiled, write
from tests.benchmarks.scenarios.stage import Stage
from tracer.importers.turns import run_of
from tracer.model import RawSpan
from tracer.semconv import Tracehound
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

EPOCH_NS = 1_788_220_800 * 10**9
"""2026-09-01 00:00 UTC"""
WEEK_S = 6 * 86_400
SPANS_A_STORE = 60_000


@dataclass(kw_only=True)
class Case:
    """One scenario in one set of circumstances, and what was said about it."""

    scenario: Scenario
    knobs: Knobs
    seed: int
    workflow: str
    keys: set[str] = field(default_factory=set[str])
    """spans that show the fault and reached the store"""
    repetitions: list[str] = field(default_factory=list[str])
    guilty_ns: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """start and end of the runs at fault, where there are many runs"""
    guilty_traces: set[str] = field(default_factory=set[str])
    trace_ids: set[str] = field(default_factory=set[str])
    run_ids: set[str] = field(default_factory=set[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    rows: pl.DataFrame | None = None
    """spans as read from the store"""
    spans: int = 0


@dataclass
class Timing:
    """CPU time the detectors took over everything that was played."""

    spans: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))


def cases(scenarios: Iterable[Scenario], runs: int, seed: int, *, short: bool) -> list[Case]:
    """What is to be played, in an order in which neighbours share nothing."""
    planned: list[Case] = []
    for scenario in scenarios:
        rng = random.Random(f"{seed}-{scenario.name}")
        many = scenario.runs > 1
        count = max(2, runs // 3) if many else runs
        drawn = sample(count, rng, SHORT_SIZES if short else SIZES)
        if many:
            drawn = [replace(knobs, size=6, branches=1, topology="pipeline") for knobs in drawn]
        elif not short and rng.random() < 0.1:
            drawn.append(huge(rng))
        planned += [
            Case(scenario=scenario, knobs=knobs, seed=rng.getrandbits(40), workflow=f"{scenario.name}-{number}")
            for number, knobs in enumerate(drawn)
        ]
    random.Random(seed).shuffle(planned)
    return planned


def played(
    planned: Sequence[Case],
    timing: Timing | None = None,
    *,
    twice: bool = False,
    detectors: Sequence[Detector] = DETECTORS,
) -> Iterator[tuple[list[Case], Analysis, Frames]]:
    """Store by store: the cases in it, the analysis of the whole store, and its frames. `twice` delivers every span twice."""
    waiting = list(planned)
    while waiting:
        group: list[Case] = []
        size = 0
        while waiting and (not group or size < SPANS_A_STORE):
            group.append(waiting.pop())
            size += group[-1].knobs.size + 60 * group[-1].scenario.runs
        with tempfile.TemporaryDirectory(prefix="tracehound-bench-") as folder:
            store = _recorded(group, Path(folder) / "traces.duckdb", twice=twice)
            frames = Frames.loaded(reads.load(store))
        yield group, _judged(group, frames, timing or Timing(), detectors), frames


def _recorded(group: Sequence[Case], path: Path, *, twice: bool) -> Store:
    writer = SegmentWriter(path)
    late: list[RawSpan] = []
    numbers = count(1)
    for case in group:
        late += _play(case, numbers, writer, twice=twice)
    store = Store(path)
    if late:
        store.fold()
        write(late, writer)
    writer.close()
    store.fold()
    return store


def _play(case: Case, numbers: Iterator[int], writer: SegmentWriter, *, twice: bool) -> list[RawSpan]:
    rng = random.Random(case.seed)
    late: list[RawSpan] = []
    scenario = case.scenario
    first = EPOCH_NS + (0 if scenario.runs > 1 else round(rng.uniform(0, WEEK_S) * 1e9))
    for index in range(scenario.runs):
        begun = first + round(scenario.at(index) * 1e9 if scenario.runs > 1 else 0)
        clock, number = StageClock(begun), next(numbers)
        with recorded_run(clock, case.knobs.text, number) as (recorded, tracer_of):
            stage = Stage(clock, case.knobs, rng, tracer_of, index)
            play(scenario.act, stage, case.workflow)
        if stage.transcript:
            recorded = _imported(stage, case, number)
        kept = spoiled(recorded, case.knobs, rng)
        late += deliver(kept, case.knobs, rng, writer)
        if twice:
            write(kept.spans, writer)
        there = {span.span_id for span in (*kept.spans, *kept.starts)}
        case.trace_ids.update(span.trace_id for span in recorded.spans)
        case.keys.update(there.intersection(span_id_in(span, number) for span in stage.keys))
        case.repetitions += [span_id_in(span, number) for span in stage.repetitions if span]
        case.spans += len(there)
        if stage.guilty and scenario.runs > 1:
            case.guilty_ns.append((begun, clock.ns))
            case.guilty_traces.update(span.trace_id for span in recorded.spans)
    return late


def _imported(stage: Stage, case: Case, number: int) -> Recorded:
    """The run as the importer of transcripts reads it, instead of what was recorded around it; marks its key spans in `case`."""
    run = run_of({"id": f"{case.workflow} {number}", "history": stage.transcript}, case.workflow)
    of_step = {span.attributes.get(Tracehound.STEP): span.span_id for span in run.spans}
    case.keys.update(of_step[step] for step in stage.key_steps)
    case.repetitions += [of_step[step] for step in stage.repeated_steps]
    return Recorded(list(run.spans), [], dict(run.contents))


def _judged(group: Sequence[Case], frames: Frames, timing: Timing, detectors: Sequence[Detector]) -> Analysis:
    run_id_of = dict(frames.spans.select("trace_id", "run_id").unique().iter_rows())
    analysis = analyse(frames, [_timed(detector, timing) for detector in detectors])
    timing.spans += frames.spans.height
    by_run: dict[str, list[Finding]] = defaultdict(list)
    for finding in analysis.findings:
        by_run[finding.trace_id or ""].append(finding)
    rows = {str(key[0]): part for key, part in frames.spans.partition_by("run_id", as_dict=True).items()}
    for case in group:
        case.run_ids = {run_id_of[t] for t in case.trace_ids if t in run_id_of}
        case.findings = [f for run_id in sorted(case.run_ids) for f in by_run[run_id]]
        case.findings += [f for f in analysis.fleet if f.data.get("workflow") == case.workflow]
        case.guilty_traces = {run_id_of[t] for t in case.guilty_traces if t in run_id_of}
        if case.scenario.runs == 1 and case.run_ids:
            case.rows = rows[min(case.run_ids)]
    return analysis


def _timed(detector: Detector, timing: Timing) -> Detector:
    def find(frames: Frames) -> Sequence[Finding | Skipped]:
        started = time.process_time()
        try:
            return detector.find(frames)
        finally:
            timing.seconds[detector.name] += time.process_time() - started

    return Detector(detector.name, find, detector.scope)
