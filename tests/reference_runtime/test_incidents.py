"""Every incident, twin and pattern: it is listed, it plays, and what it says about itself is so."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import reference_runtime
from reference_runtime import healthy, incidents, patterns
from reference_runtime.batch import Batch
from reference_runtime.cli import catalogue, main
from reference_runtime.healthy import HEALTHY
from reference_runtime.incidents import INCIDENTS, cost_weekend
from reference_runtime.patterns import PATTERNS
from tests.reference_runtime.recorder import Recorder

SMALL: dict[str, dict[str, Any]] = {
    "cost_weekend": {"conversations": 4, "at_once": 2, "weekday": 1, "weekend": 0, "weeks": 1, "messages_each": 3},
    "quiet_weekend": {"weekday": 1, "weekend": 1, "weeks": 0, "messages_each": 3},
}
"""sizes for those that are large by default"""

TWINS = (*(twin for incident in INCIDENTS for twin in incident.twins), *HEALTHY)


def _play(name: str, build: Callable[..., Batch], seed: int) -> tuple[Batch, Recorder, list[Any]]:
    batch = build(seed, **SMALL.get(name, {}))
    recorder = Recorder()
    for planned in batch.runs:
        recorder.watch(planned.runtime)
    return batch, recorder, batch.play()


@pytest.mark.parametrize(
    ("package", "names"),
    [
        (incidents, {incident.build.__module__.rsplit(".", 1)[-1] for incident in INCIDENTS}),
        (healthy, {twin.build.__module__.rsplit(".", 1)[-1] for twin in HEALTHY}),
        (patterns, {pattern.name for pattern in PATTERNS}),
    ],
    ids=["incidents", "healthy", "patterns"],
)
def test_folder_and_table_agree(package: Any, names: set[str]) -> None:
    """A file that is not in its table is an error, and the other way round."""
    folder = Path(package.__file__).parent

    assert names == {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_names_are_unique_and_twins_exist() -> None:
    """Nothing hides behind the name of something else, and every incident has a twin."""
    assert len(catalogue()) == len(INCIDENTS) + len(TWINS) + len(PATTERNS)
    assert all(incident.twins for incident in INCIDENTS)


def test_runtime_imports_only_the_standard_library() -> None:
    """The runtime is a program that a user could have written without us."""
    import ast
    import sys

    roots = set[str]()
    for path in Path(reference_runtime.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add((node.module or "").split(".")[0])

    assert roots - set(sys.stdlib_module_names) == {"reference_runtime"}


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: incident.name)
@pytest.mark.parametrize("seed", [0, 7])
def test_truth_is_in_the_recording(incident: Any, seed: int) -> None:
    """Each truth names a run, agents and operations that an observer really sees."""
    batch, recorder, results = _play(incident.name, incident.build, seed)
    run_ids = {result.run_id for result in results}

    assert batch.truths
    assert len(run_ids) == len(results)
    for truth in batch.truths:
        assert truth.run_id is None or truth.run_id in run_ids
        rows = recorder.rows if truth.run_id is None else recorder.of(truth.run_id)
        assert truth.workflow in {result.workflow for result in results}
        assert set(truth.agents) <= {row["agent"] for row in rows}
        for operation in (*truth.must_show, *truth.must_record):
            if operation.where.get("cas_outcome") != "unversioned":  # seen by comparing snapshots, not by a call
                assert operation.select(rows), operation


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_twins_are_healthy(twin: Any) -> None:
    """Twins complete, claim no truth, and no control stops them."""
    batch, recorder, results = _play(twin.name, twin.build, 3)

    assert not batch.truths
    assert {result.outcome for result in results} == {"completed"}
    assert not [row for row in recorder.rows if row["kind"] == "guard_trip"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*catalogue()])
def test_same_seed_same_run_and_another_seed_another(name: str) -> None:
    """Everything that can be seen from outside is the same twice, times included; the seed matters."""
    _group, _title, build = catalogue()[name]
    digests = [_play(name, build, seed)[1].digest() for seed in (5, 5, 6)]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_loop_iterations_and_wording() -> None:
    """47 turns each, hardly one worded like another, and the limit ends the run."""
    batch, recorder, results = _play("research_loop", INCIDENTS[0].build, 1)
    handoffs = [row for row in recorder.rows if row["kind"] == "handoff" and row["target_agent"] == "Analyst"]
    texts = [row["arguments"] for row in recorder.rows if row["kind"] == "message"]

    assert results[0].outcome == "stopped_by_guard"
    assert len(handoffs) == batch.truths[0].numbers["iterations"] == 47
    assert len({str(text).split("content=")[1] for text in texts}) > 85


def test_circular_wait_ends_by_timeout_or_not_at_all() -> None:
    """One run times out, the other is cancelled once nothing can ever move; each waits for the next in the circle."""
    _, recorder, results = _play("circular_wait", INCIDENTS[1].build, 0)
    waits = {(row["agent"], row["wait_for"]) for row in recorder.rows if row["kind"] == "wait"}

    assert [result.outcome for result in results] == ["timed_out", "failed"]
    assert "deadlock" in results[1].reason
    assert waits == {("Ledger", ("Payroll",)), ("Payroll", ("Audit",)), ("Audit", ("Ledger",))}


@pytest.mark.parametrize("seed", range(4))
def test_lost_update_loses_the_flights(seed: int) -> None:
    """The plan ends without the part that the faster agent wrote; in order, it keeps both."""
    incident = next(incident for incident in INCIDENTS if incident.name == "lost_update")
    batch, recorder, _ = _play("lost_update", incident.build, seed)
    plans = [planned.runtime.state.peek("trip_plan").value for planned in batch.runs]
    ordered = incident.twins[0].build(seed)
    ordered.play()
    kept = ordered.runs[0].runtime.state.peek("trip_plan").value
    writers = [row["agent"] for row in recorder.of(f"lost_update-versioned-{seed}") if row["kind"] == "state_write"]

    assert [plan["flights"]["status"] for plan in plans] == ["open", "open"]
    assert [plan["hotels"]["status"] for plan in plans] == ["booked", "booked"]
    assert writers == ["Planner", "Flights", "Hotels"]
    assert plans[1]["notes"] == ["prices include taxes"]
    assert (kept["flights"]["status"], kept["hotels"]["status"]) == ("booked", "booked")


def test_conflicting_decisions_overlap_and_both_are_acted_on() -> None:
    """Neither desk could have known of the other's choice, and two carriers are booked."""
    _, recorder, _ = _play("conflicting_decisions", INCIDENTS[2].build, 0)
    decisions = [row for row in recorder.rows if row["kind"] == "decision"]
    reads = [row for row in recorder.rows if row["kind"] == "state_read"]
    bookings = [row for row in recorder.rows if row["kind"] == "tool"]

    assert {row["choice"] for row in decisions} == {"Halden Rail", "Petrel Air"}
    assert max(row["end_ns"] for row in reads) < min(row["start_ns"] for row in decisions)
    assert len(bookings) == 2


def test_hidden_calls_and_their_marks() -> None:
    """Five visible messages take 15 to 20 calls, of which only routing and memory say what they are for."""
    incident = next(incident for incident in INCIDENTS if incident.name == "hidden_calls")
    _, recorder, results = _play("hidden_calls", incident.build, 4)
    purposes = [row["purpose"] for row in recorder.rows if row["kind"] == "llm"]

    assert results[0].messages == 5
    assert 15 <= results[0].model_calls <= 20
    assert set(purposes) == {"route", "memory", None}
    assert purposes.count(None) > 5


def test_budget_twin_stays_near_sixty_percent() -> None:
    """The incident warns once and stops; its twin ends at about 60 % of its budget."""
    incident = next(incident for incident in INCIDENTS if incident.name == "budget_trip")
    _, recorder, results = _play("budget_trip", incident.build, 0)
    levels = [row["level"] for row in recorder.rows if row["kind"] == "guard_trip"]
    twin = incident.twins[0].build(0)
    ratio = twin.play()[0].cost_usd / (twin.runs[0].runtime.cost.limit_usd or Decimal(1))

    assert results[0].outcome == "stopped_by_guard"
    assert levels == ["warn", "stop"]
    assert 0.55 < ratio < 0.7


def test_human_answers_late_and_the_run_completes() -> None:
    """The wait for the person is nearly all of the run's time."""
    incident = next(incident for incident in INCIDENTS if incident.name == "human_wait")
    batch, _, results = _play("human_wait", incident.build, 0)
    seconds = (results[0].ended_ns - results[0].started_ns) / 1e9

    assert results[0].outcome == "completed"
    assert 12_000 == batch.truths[0].numbers["waited_s"] < seconds < 12_060


def test_weekend_conversations_cost_what_they_always_cost() -> None:
    """$1.50 on a weekday and at the weekend; weekend runs overlap, and at full scale they pass $3,200."""
    batch = cost_weekend.build(0, conversations=4, at_once=2, weeks=0, weekday=1, weekend=0)
    truth = batch.truths[0]
    results = batch.play()
    start_ns, end_ns = int(truth.numbers["window_start_ns"]), int(truth.numbers["window_end_ns"])
    weekend = [r for r in results if r.started_ns >= start_ns]
    weekday = [r for r in results if r.started_ns < start_ns]
    mean = float(sum(r.cost_usd for r in weekend) / len(weekend))

    assert (len(weekend), len(weekday)) == (4, truth.numbers["ordinary_conversations"])
    assert all(r.model_calls == r.messages == 50 for r in results)
    assert all(1.4 < r.cost_usd < 1.6 for r in results)
    assert mean * 2150 > 3200
    assert weekend[1].started_ns < weekend[0].ended_ns
    assert all(r.ended_ns <= end_ns for r in weekend)


def test_map_reads_forty_documents() -> None:
    """Forty invocations, forty different documents."""
    _, recorder, _ = _play("map_documents", HEALTHY[0].build, 0)
    tools = [row["arguments"]["arguments"] for row in recorder.rows if row["kind"] == "tool"]

    assert len(tools) == len(set(tools)) == 40


def test_compare_and_swap_really_collides() -> None:
    """Some writes are refused, and every count arrives all the same."""
    twin = next(twin for twin in HEALTHY if twin.name == "compare_and_swap")
    batch, recorder, _ = _play("compare_and_swap", twin.build, 0)
    writes = [row for row in recorder.rows if row["kind"] == "state_write"]
    counted = sum(int(row["result"].split("text='")[1].split()[0]) for row in recorder.rows if row["kind"] == "llm")

    assert [row for row in writes if row["status"] == "error"]
    assert sum(batch.runs[0].runtime.state.peek("stock").value.values()) == counted


def test_flaky_services_are_tried_again_and_replaced() -> None:
    """One retry of a model, two of a tool, one fallback to a smaller model; three tries at most."""
    twin = next(twin for twin in HEALTHY if twin.name == "flaky_services")
    _, recorder, _ = _play("flaky_services", twin.build, 0)
    tries = [row["number"] for row in recorder.rows if row["kind"] == "attempt"]
    models = [row["model"] for row in recorder.rows if row["kind"] == "llm"]

    assert tries == [1, 2, 1, 2, 3, 1]
    assert len([row for row in recorder.rows if row["kind"] == "fall_back"]) == 1
    assert models == ["gpt-4.1-mini", "gpt-4.1-mini", "gpt-4.1", "gpt-4.1-mini"]


def test_command_line_plays_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    """The runtime is usable on its own: it lists, plays, and refuses names that it does not know."""
    assert main(["--list"]) == 0
    assert "circular_wait" in capsys.readouterr().out
    assert main(["circular_wait", "--seed", "1"]) == 0
    assert "timed_out" in capsys.readouterr().out
    assert main(["nonsense"]) == 2
    assert "Hint" in capsys.readouterr().err
