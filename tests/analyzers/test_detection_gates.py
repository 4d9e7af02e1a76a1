"""The detectors on a small fixed sample of the benchmark's unseen part: floors under what is reached (docs/detection.md has the goals)."""

from __future__ import annotations

import pytest

from tests.benchmarks.detection import Result, evaluate
from tests.benchmarks.scenarios import known, tuning, unseen

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result() -> Result:
    """Each scenario recorded whole twice, and once with a tenth of its spans lost."""
    return evaluate(unseen.SCENARIOS, runs=3, seed=7, short=True)


def test_there_are_enough_scenarios_and_all_parts_cover_every_kind() -> None:
    """At least 35 faults and 35 hard negatives, each name once; a kind that is tuned is also tested unseen."""
    faults = [s for s in unseen.SCENARIOS if s.kind is not None]
    names = [s.name for s in (*unseen.SCENARIOS, *known.SCENARIOS, *tuning.SCENARIOS)]

    assert len(faults) >= 35
    assert len(unseen.SCENARIOS) - len(faults) >= 35
    assert len(set(names)) == len(names)
    for part in (known, tuning):
        assert {s.kind for s in faults} == {s.kind for s in part.SCENARIOS if s.kind is not None}


def test_faults_are_found_and_told_by_their_name(result: Result) -> None:
    """Recall and precision, clean and with lost spans; nothing crashed."""
    found, faults = result.score.recall("clean")
    true, told = result.score.precision("clean")
    found_with_gaps, faults_with_gaps = result.score.recall("gaps")

    assert result.failures == []
    assert found >= 0.85 * faults
    assert true >= 0.8 * told
    assert found_with_gaps >= 0.65 * faults_with_gaps


def test_healthy_runs_raise_no_critical_alarm(result: Result) -> None:
    """None in some 1,000 healthy runs."""
    assert result.score.healthy["clean"] > 500
    assert sum(result.score.critical.values()) == 0


def test_a_live_guard_speaks_within_five_repetitions(result: Result) -> None:
    """In the median over all loops that were played."""
    rounds = sorted(reaction.repetitions for _, reaction in result.reactions if reaction is not None)

    assert len(rounds) >= 0.85 * len(result.reactions)
    assert rounds[len(rounds) // 2] <= 5
