"""The bundled incidents, recorded by the real shim into a real store and analysed: each is found, its healthy twins are silent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tracer
from analyzers.attribution import attribute
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from dashboard.demo.checking import check_truth
from reference_runtime.batch import Batch
from reference_runtime.clock import VirtualClock
from reference_runtime.healthy import HEALTHY
from reference_runtime.incidents import INCIDENTS
from reference_runtime.truth import Incident, Truth, Twin
from tracer.store import reads
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
    frames: Frames
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


def play(parts: Iterable[Incident | Twin], directory: Path, seed: int = 0) -> Recorded:
    """Record `parts` one after the other into one store, fold, read and analyse it; a seed also mixes the order of the ids."""
    batches = {part.name: part.build(seed, clock=VirtualClock(EPOCH_NS)) for part in parts}
    path = directory / "traces.duckdb"
    with recording_to(SegmentWriter(path)):
        for batch in batches.values():
            handles = [tracer.instrument(planned.runtime) for planned in batch.runs]
            batch.play()
            for handle in reversed(handles):
                handle.uninstrument()
    store = Store(path)
    store.fold()
    frames = Frames.loaded(reads.load(store))
    if seed:
        frames = mixed(frames, seed)
    named = {source or run: run for run, source in frames.traces.select("run_id", "source_id").iter_rows()}
    return Recorded(batches, frames, analyse(frames), frames.spans.to_dicts(), named)


def mixed(frames: Frames, seed: int) -> Frames:
    """The same frames with span ids in an order that has nothing to do with time, as real ids are."""

    def other(column: str) -> pl.Expr:
        return pl.col(column).map_elements(
            lambda span: blake2b(f"{seed}{span}".encode(), digest_size=8).hexdigest(), return_dtype=pl.String
        )

    return Frames(
        spans=frames.spans.with_columns(
            *map(other, ("span_id", "parent_span_id", "retry_of", "fallback_of", "duplicate_of"))
        ),
        traces=frames.traces,
        contents=frames.contents,
        events=frames.events.with_columns(other("span_id")),
        links=frames.links.with_columns(other("span_id"), other("linked_span_id")),
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return play([*QUICK, *HEALTHY_RUNS], tmp_path_factory.mktemp("incidents"))


@pytest.fixture(scope="module")
def weekend(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    incident = next(incident for incident in INCIDENTS if incident.name == WEEKEND)
    return play([incident, *incident.twins], tmp_path_factory.mktemp("weekend"))


def check(truth: Truth, recorded: Recorded) -> Finding | None:
    """The finding that tells a truth: kind, run, agents, spans and numbers as they should be; None where none is due."""
    run = recorded.run_of[truth.run_id] if truth.run_id else None
    rows = [row for row in recorded.rows if run is None or row["run_id"] == run]
    verdict = check_truth(truth, rows, recorded.analysis)

    assert verdict.missing == ()
    return verdict.finding


@pytest.mark.parametrize("name", [incident.name for incident in QUICK])
def test_incident_is_told_and_nothing_else(name: str, recorded: Recorded) -> None:
    """Every truth has its own finding, with the spans that show it; beside them stand only remarks that the truth allows."""
    told_and_nothing_else(name, recorded)


def test_the_finding_that_the_readme_opens_with(recorded: Recorded) -> None:
    """Its lines are what is said of that incident, up to where the README leaves off; so are the numbers of incidents and twins."""
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    loop = next(finding for finding in recorded.of("research_loop") if finding.kind == "loop")
    said = [f"{loop.severity} {loop.kind}: {loop.title}", loop.explanation, f"Do: {loop.suggestion}"]
    [shown] = re.findall(r"(critical loop: .*)\n +(The cycle .*?)\.\.\.\n +(Do: .*?)\.\.\.\n", readme)

    assert [whole.startswith(part.rstrip(" ,")) for whole, part in zip(said, shown, strict=True)] == [True] * 3
    assert (len(INCIDENTS), sum(len(i.twins) for i in INCIDENTS) + len(HEALTHY)) == (18, 25)
    assert "through eighteen incidents" in readme
    assert "twenty-five healthy look-alikes" in readme


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_tellings_are_told_the_same(seed: int, tmp_path: Path) -> None:
    """Other words, times and ids: every incident is told and nothing else, and every twin is silent."""
    other = play([*QUICK, *HEALTHY_RUNS], tmp_path, seed)

    for incident in QUICK:
        told_and_nothing_else(incident.name, other)
    assert [(twin.name, f.kind, f.title) for twin in HEALTHY_RUNS for f in other.of(twin.name)] == []


def told_and_nothing_else(name: str, recorded: Recorded) -> None:
    truths = recorded.batches[name].truths
    told = [finding for truth in truths if (finding := check(truth, recorded)) is not None]
    left = [finding for finding in recorded.of(name) if finding.id not in {one.id for one in told}]
    beside = {kind for truth in truths for kind in truth.beside}

    assert len({finding.id for finding in told}) == sum(truth.finding is not None for truth in truths)
    assert "info" not in {finding.severity for finding in told}
    assert [(f.kind, f.title) for f in left if f.severity != "info" or f.kind not in beside] == []


@dataclass(frozen=True, kw_only=True)
class Told:
    """How one finding should read; `agents` exactly, the others as parts of the text."""

    kind: str
    severity: str
    agents: tuple[str, ...]
    title: str = ""
    explanation: tuple[str, ...] = ()
    suggestion: str = ""
    wasted: bool = False
    """whether money was wasted"""


READS: dict[str, tuple[Told, ...]] = {
    "research_loop": (
        Told(kind="loop", severity="critical", agents=("Researcher", "Analyst"), title="47 rounds", wasted=True),
        Told(kind="guard_trip", severity="warning", agents=("Analyst",)),
    ),
    "circular_wait": (
        Told(kind="deadlock", severity="critical", agents=("Ledger", "Payroll", "Audit"), title="resolved by timeout of Ledger",
             explanation=("closing wait", "Ledger holds journal"), suggestion="Releasing"),
        Told(kind="deadlock", severity="critical", agents=("Payroll", "Audit", "Ledger"), title="ended only when the run was cancelled"),
    ),
    "conflicting_decisions": (
        Told(kind="conflicting_decisions", severity="critical", agents=("WestDesk", "EastDesk"), title="Halden Rail",
             explanation=("Neither could have known of the other", "Both were acted on", "what was done last stands")),
    ),
    "lost_update": (
        Told(kind="lost_update", severity="critical", agents=("Hotels", "Flights"), explanation=("flights", "old values"), suggestion="compare-and-set", wasted=True),
        Told(kind="lost_update", severity="critical", agents=("Hotels", "Flights")),
    ),
    "stale_views": (
        Told(kind="divergent_views", severity="critical", agents=("Sales", "Dispatch", "Stock"), title="'stock:pumps', 1 apart",
             explanation=("on version 1 of", "after Stock had written version 2", "did not look again"), suggestion="right before deciding"),
        Told(kind="stale_read", severity="critical", agents=("Sales", "Stock"), explanation=("was given version 1", "1 version missed", "decided"), suggestion="primary"),
    ),
    "write_skew": (
        Told(kind="write_skew", severity="warning", agents=("NorthWard", "SouthWard"), title="'roster:north' and 'roster:south'",
             explanation=("NorthWard rested on 'roster:south' version 1, which SouthWard replaced", "no write was lost"), suggestion="one transaction"),
    ),
    "supervisor_bottleneck": (
        Told(kind="serial_bottleneck", severity="warning", agents=("Editor", *sorted(("Finance", "Markets", "Outlook", "People", "Risks"))), title="Editor holds up",
             explanation=("critical path is Editor's own work", "stood idle", "the waits for it were recorded"), suggestion="several in one call"),
    ),
    "error_cascade": (
        Told(kind="error_cascade", severity="critical", agents=("Loader", "Pricer", "Hedger", "Reporter"), title="and the run failed",
             explanation=("503 service unavailable", "All 3 came after it on a recorded path"), suggestion="Mend fetch_prices of Loader first"),
        Told(kind="retry_storm", severity="critical", agents=("Loader",), title="9 times (3 x 3)",
             explanation=("2 layers retry",), suggestion="one layer only"),
    ),
    "orphan_task": (
        Told(kind="orphan_task", severity="warning", agents=("Searcher",), title="Planner had ended", explanation=("cost $",), suggestion="Wait for what was started", wasted=True),
        Told(kind="orphan_task", severity="warning", agents=("Planner", "Auditor"), title="never taken up"),
    ),
    "ping_pong": (Told(kind="ping_pong", severity="warning", agents=("Sales", "Support"), title="4 times", wasted=True),),
    "runaway_fanout": (
        Told(kind="runaway_fanout", severity="critical", agents=("Scout",), title="121 agents in 5 generations (1 → 1 → 3 → 9 → 27 → 81)",
             explanation=("Scout → Scout → Scout", "No plan of so many parts"), suggestion="depth counter", wasted=True),
    ),
    "state_growth": (Told(kind="state_growth", severity="warning", agents=("Reviewer",), title="99 kB over 50 writes", explanation=("context window", "full in")),),
}  # fmt: skip
"""incident -> its findings, by kind"""


@pytest.mark.parametrize("name", READS)
def test_incident_is_explained(name: str, recorded: Recorded) -> None:
    """What a tired engineer reads names the agents, the cause, what was wasted and what to change."""
    findings = sorted((f for f in recorded.of(name) if f.severity != "info"), key=lambda f: (f.kind, f.start_ns or 0))
    expected = sorted(READS[name], key=lambda told: told.kind)

    assert [f.kind for f in findings] == [told.kind for told in expected]
    for told in expected:
        (finding, *_) = (f for f in findings if f.kind == told.kind and told.title in f.title)

        assert finding.severity == told.severity
        assert sorted(finding.agents) == sorted(told.agents)
        assert [part for part in told.explanation if part not in finding.explanation] == [], finding.explanation
        assert told.suggestion in finding.suggestion
        assert bool(finding.wasted_usd) is told.wasted or not told.wasted
        assert finding.checked
        assert finding.explanation
        assert " into the run" in finding.explanation or finding.kind in (
            "deadlock",
            "guard_trip",
            "loop",
            "ping_pong",
            "retry_storm",
        )


def test_the_wrong_answer_is_traced_to_its_source(recorded: Recorded) -> None:
    """No finding blames a step; compared with good runs, the tool that gave the wrong figure, or the call that asked it, is among the first."""
    (truth,) = recorded.batches["wrong_answer"].truths
    run = recorded.run_of[truth.run_id or ""]
    good = [recorded.run_of[planned.runtime.run_id] for planned in recorded.batches["right_answer"].runs]
    answer = attribute({one: recorded.frames.only(one) for one in (run, *good)})[run]
    rows = [row for row in recorded.rows if row["run_id"] == run]
    (culprit,) = truth.culprit.select(rows) if truth.culprit else []

    assert len([row for row in rows if row["kind"] == "llm"]) == truth.numbers["llm_calls"] == 23
    assert len({row["agent"] for row in rows if row["kind"] == "agent"}) == 5
    assert culprit["span_id"] in [suspect.span_id for suspect in answer.suspects[:3]]
    assert answer.suspects[0].agent == culprit["agent"]


@pytest.mark.parametrize("name", [twin.name for twin in HEALTHY_RUNS])
def test_healthy_twin_is_silent(name: str, recorded: Recorded) -> None:
    """Nothing at all is said about a healthy run, not even a remark."""
    assert [(f.kind, f.title) for f in recorded.of(name)] == []


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
    check(truth, weekend)
    (finding,) = [f for f in weekend.analysis.fleet if f.kind == truth.finding]
    assert {f.kind for f in weekend.analysis.fleet} <= {"spend_rate", "run_rate", "duplicate_calls_across_runs"}

    assert finding.data["runs"] == truth.numbers["conversations"]
    assert finding.data["window_start_ns"] == truth.numbers["window_start_ns"]
    assert finding.data["spent_usd"] == pytest.approx(float(truth.numbers["total_usd"]), rel=0.05)
    assert finding.data["repeated_share"] > 0.5
    assert [f.kind for f in weekend.analysis.findings if f.kind == "cost_anomaly"] == []
    assert [(f.kind, f.title) for f in weekend.of("quiet_weekend") if f.severity != "info"] == []
