"""Surges of runs, cheap or not."""

from __future__ import annotations

from analyzers.detectors.run_rate import at_once, find_run_rate
from analyzers.finding import Finding, Skipped
from tests.drawn import Drawn, agent, frames, llm, ns, run

HOUR = 3600.0


def runs(starts: list[float], lasts: float = 20.0, workflow: str = "cron") -> list[Drawn]:
    return [
        run(workflow, agent("A", 0, lasts, llm(1, 2, cost="0.0001")), id=f"{workflow}-{n}", at=at)
        for n, at in enumerate(starts)
    ]


QUIET = [hour * HOUR + place * 900 for hour in range(48) for place in range(4)]
BURST = [48 * HOUR + n * 30 for n in range(90)]


def test_a_burst_of_cheap_runs_is_told_with_its_window() -> None:
    """Ninety runs in an hour that has four otherwise, whatever they cost; the finding names the hour and how many."""
    (finding,) = find_run_rate(frames(*runs(QUIET + BURST)))

    assert isinstance(finding, Finding)
    assert (finding.kind, finding.severity, finding.data["runs"]) == ("run_rate", "warning", 90)
    assert finding.start_ns == ns(BURST[0])
    assert [check.passed for check in finding.checked] == [True] * 3 + [False]


def test_runs_that_pile_up_are_told_at_the_usual_rate() -> None:
    """The same four runs an hour, but none comes to an end any more: many at once."""
    (finding,) = find_run_rate(frames(*runs(QUIET), *runs([x + 48 * HOUR for x in QUIET], lasts=15 * HOUR)))

    assert isinstance(finding, Finding)
    assert finding.data["measure"] == "runs at once"
    assert finding.data["at_once"] > 20


def test_the_usual_rate_is_no_surge() -> None:
    """Four runs an hour for four days: nothing; a day of them has no past: no answer."""
    assert find_run_rate(frames(*runs(QUIET + [x + 48 * HOUR for x in QUIET]))) == []
    (skipped,) = find_run_rate(frames(*runs([n * 60.0 for n in range(60)])))
    assert isinstance(skipped, Skipped)


def test_at_once_is_the_peak_of_each_hour() -> None:
    """Counted like fingers: overlapping runs by the hour in which they begin."""
    traces = frames(*runs([0, 10, 3600], lasts=30)).traces.sort("start_ns")

    assert at_once(traces, ns(0), 2) == [2.0, 1.0]
