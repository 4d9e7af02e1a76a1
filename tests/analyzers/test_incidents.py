"""The bundled incidents, recorded by the real shim into a real store and analysed: each is found, its healthy twins are silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tracer
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from reference_runtime.batch import Batch
from reference_runtime.clock import VirtualClock
from reference_runtime.healthy import HEALTHY
from reference_runtime.incidents import INCIDENTS
from reference_runtime.truth import Incident, Truth, Twin
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter
from tracer.testing import recording_to

EPOCH_NS = 1_767_261_600 * 10**9
WEEKEND = "cost_weekend"
QUICK = [incident for incident in INCIDENTS if incident.name != WEEKEND]
HEALTHY_RUNS = [twin for incident in QUICK for twin in incident.twins] + list(HEALTHY)


@dataclass(frozen=True)
class Recorded:
    """What was played, and what the analysis made of all of it at once."""

    batches: Mapping[str, Batch]
    analysis: Analysis
    rows: Sequence[Mapping[str, Any]]
    run_of: Mapping[str, str]
    """the runtime's run id -> run id in the store"""

    def of(self, name: str) -> list[Finding]:
        """Findings about the runs of one incident or twin, and about its workflows."""
        batch = self.batches[name]
        runs = {self.run_of[planned.runtime.run_id] for planned in batch.runs}
        workflows = {planned.runtime.workflow.name for planned in batch.runs}
        fleet = [f for f in self.analysis.fleet if f.data["workflow"] in workflows]
        return [f for f in self.analysis.findings if f.trace_id in runs] + fleet


def play(parts: Iterable[Incident | Twin], directory: Path) -> Recorded:
    """Record `parts` one after the other into one store, fold, read and analyse it."""
    batches = {part.name: part.build(0, clock=VirtualClock(EPOCH_NS)) for part in parts}
    path = directory / "traces.duckdb"
    with recording_to(SegmentWriter(path)):
        for batch in batches.values():
            handles = [tracer.instrument(planned.runtime) for planned in batch.runs]
            batch.play()
            for handle in reversed(handles):
                handle.uninstrument()
    store = Store(path)
    store.fold()
    frames = Frames.loaded(store.frames())
    named = {source or run: run for run, source in frames.traces.select("run_id", "source_id").iter_rows()}
    return Recorded(batches, analyse(frames), frames.spans.to_dicts(), named)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return play([*QUICK, *HEALTHY_RUNS], tmp_path_factory.mktemp("incidents"))


@pytest.fixture(scope="module")
def weekend(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    incident = next(incident for incident in INCIDENTS if incident.name == WEEKEND)
    return play([incident, *incident.twins], tmp_path_factory.mktemp("weekend"))


def check(truth: Truth, name: str, recorded: Recorded) -> None:
    """One finding of the kind that is due, about the right run and agents, whose evidence touches every span that must show it."""
    run = recorded.run_of[truth.run_id] if truth.run_id else None
    about = [f for f in recorded.of(name) if f.kind == truth.finding and f.trace_id == run]
    assert about, f"no {truth.finding} among {[f.kind for f in recorded.of(name)]}"
    (finding,) = about
    rows = [row for row in recorded.rows if run is None or row["run_id"] == run]

    assert finding.severity != "info"
    assert set(truth.agents) <= set(finding.agents)
    for operation in truth.must_show:
        assert {row["span_id"] for row in operation.select(rows)} & set(finding.spans), operation


@pytest.mark.parametrize("name", [incident.name for incident in QUICK])
def test_incident_is_found_with_its_spans(name: str, recorded: Recorded) -> None:
    """What is wrong is told, by the kind of finding that is due and with the spans that show it."""
    for truth in recorded.batches[name].truths:
        if truth.finding is None:
            assert [f for f in recorded.of(name) if f.severity == "critical"] == []
        else:
            check(truth, name, recorded)


@pytest.mark.parametrize("name", [twin.name for twin in HEALTHY_RUNS])
def test_healthy_twin_is_silent(name: str, recorded: Recorded) -> None:
    """Nothing worse than a remark is said about a healthy run."""
    assert [(f.kind, f.title) for f in recorded.of(name) if f.severity != "info"] == []


def test_no_detector_crashes(recorded: Recorded) -> None:
    """The whole store is analysed without a failure."""
    assert recorded.analysis.failures == ()


def test_every_priced_call_is_charged_once(recorded: Recorded) -> None:
    """No run has more waste than it cost."""
    cost: dict[str, float] = {}
    for row in recorded.rows:
        if row["kind"] == "llm" and row["duplicate_of"] is None:
            cost[row["run_id"]] = cost.get(row["run_id"], 0.0) + float(row["cost_usd"] or 0)
    for run in cost:
        wasted = sum(float(f.wasted_usd or 0) for f in recorded.analysis.of(run))
        assert wasted <= cost[run] + 1e-9


@pytest.mark.slow
def test_the_weekend_is_found_and_the_quiet_one_is_not(weekend: Recorded) -> None:
    """200 conversations at an ordinary price are told as a surge of the right window; no single run is blamed."""
    (truth,) = weekend.batches[WEEKEND].truths
    check(truth, WEEKEND, weekend)
    (finding,) = weekend.analysis.fleet

    assert finding.data["runs"] == truth.numbers["conversations"]
    assert finding.data["window_start_ns"] == truth.numbers["window_start_ns"]
    assert finding.data["spent_usd"] == pytest.approx(float(truth.numbers["total_usd"]), rel=0.05)
    assert finding.data["repeated_share"] > 0.5
    assert [f.kind for f in weekend.analysis.findings if f.kind == "cost_anomaly"] == []
    assert [(f.kind, f.title) for f in weekend.of("quiet_weekend") if f.severity != "info"] == []
