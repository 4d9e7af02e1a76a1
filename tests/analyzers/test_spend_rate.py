"""Surges of spending that no single run shows."""

from __future__ import annotations

import random
from typing import Any

import pytest

from analyzers.detectors.spend_rate import find_spend_rate
from analyzers.finding import Finding, Skipped
from tests.drawn import EPOCH_S, Drawn, agent, frames, llm, run, tool

HOUR, DAY = 3600.0, 86400.0
WORDINGS = ("{} freight volume in {} part 1", "part 1: freight volume of {} in {}", "{}, freight volume, {}, part 1")
MIDNIGHT = -(EPOCH_S % DAY)
"""second of the drawing at which its first day began"""


def conversation(
    number: int, at: float, query: str, *, cost: float = 1.5, lasts: float = 600.0, workflow: str = "desk"
) -> Drawn:
    inside = [
        llm(1, 2, input_tokens=1000, output_tokens=100, cost=str(cost)),
        tool("search", 3, 4, args={"query": query}),
    ]
    return run(workflow, agent("scout", 0, lasts, *inside), id=f"{workflow}-{number}", at=at)


def weeks(days: int, per_day: int, seed: int = 1, **fields: Any) -> list[Drawn]:
    """Ordinary days: each run asks something of its own."""
    rng = random.Random(seed)
    starts = [MIDNIGHT + day * DAY + rng.uniform(9, 17) * HOUR for day in range(days) for _ in range(per_day)]
    return [conversation(n, at, f"question {n} about item {n * 7}", **fields) for n, at in enumerate(starts)]


def storm(day: int, runs: int, at_once: int = 5, **fields: Any) -> list[Drawn]:
    """A day of runs that ask the same three questions in other words, several at once."""
    rng = random.Random(2)
    places = [("Halden", "Iberia"), ("Petrel", "Anatolia"), ("Northgate", "Benelux")]
    waves = -(-runs // at_once)
    return [
        conversation(10_000 + n, MIDNIGHT + day * DAY + (n // at_once) * DAY / waves + n % at_once * 7.0,
                     rng.choice(WORDINGS).format(*places[n % 3]), **fields)
        for n in range(runs)
    ]  # fmt: skip


def one(answers: list[Finding | Skipped]) -> Finding:
    (finding,) = answers
    assert isinstance(finding, Finding)
    return finding


def test_a_weekend_of_ordinary_runs_is_found() -> None:
    """Runs of a normal cost are found by their number, with window, factors, concurrency and repeated questions."""
    finding = one(find_spend_rate(frames(*weeks(14, 4), *storm(14, 100))))

    assert (finding.severity, finding.trace_id, finding.data["workflow"]) == ("critical", None, "desk")
    assert finding.data["runs"] == 100
    assert finding.data["factors"]["runs"] == pytest.approx(25, rel=0.2)
    assert finding.data["factors"]["tokens_per_call"] == pytest.approx(1.0)
    assert finding.data["at_once"] == 5
    assert finding.data["repeated_share"] > 0.9
    assert finding.data["repeated_share_before"] < 0.1
    assert finding.data["window_start_ns"] == round((EPOCH_S + MIDNIGHT + 14 * DAY) * 1e9)
    assert 130 < float(finding.wasted_usd or 0) <= 150
    assert finding.spans


@pytest.mark.parametrize("seed", range(4))
def test_quiet_weeks_are_silent(seed: int) -> None:
    """Ordinary days, with two or three runs close together now and then, are no surge."""
    assert find_spend_rate(frames(*weeks(21, 4, seed))) == []


def test_growth_that_others_share_is_no_surge() -> None:
    """Twice the usual number of runs stays below the limit."""
    assert find_spend_rate(frames(*weeks(14, 4), *storm(14, 8))) == []


def test_dearer_runs_are_told_as_such() -> None:
    """Where not the number but the price of a call grew, the factors say so, and the checks change sides."""
    finding = one(find_spend_rate(frames(*weeks(14, 4), *storm(14, 12, cost=15.0))))
    check = next(c for c in finding.checked if c.rule.startswith("median run cost"))

    assert finding.data["factors"]["usd_per_token"] == pytest.approx(10.0)
    assert not check.passed


def test_a_young_store_is_judged_by_the_hour() -> None:
    """With less than nine days of history, hours are compared."""
    hours = [conversation(n, MIDNIGHT + n * HOUR, f"question {n}") for n in range(12)]
    finding = one(find_spend_rate(frames(*hours, *storm(1, 600))))

    assert finding.data["runs"] == 600


def test_no_history_but_repetition_is_only_likely() -> None:
    """A burst without a past is told at low confidence if its runs repeat each other, else the question is skipped."""
    burst = one(
        find_spend_rate(
            frames(*(s for s in storm(0, 700) if s.spans[0].start_ns < (EPOCH_S + MIDNIGHT + 5 * HOUR) * 1e9))
        )
    )
    own = [conversation(n, MIDNIGHT + n * 100.0, f"question {n} about item {n * 7}") for n in range(150)]
    (skipped,) = find_spend_rate(frames(*own))

    assert (burst.severity, burst.confidence) == ("warning", 0.6)
    assert isinstance(skipped, Skipped)


def test_workflows_do_not_mix() -> None:
    """A storm in one workflow says nothing about another."""
    finding = one(
        find_spend_rate(frames(*weeks(14, 4), *storm(14, 100, workflow="desk"), *weeks(14, 4, workflow="other")))
    )

    assert finding.data["workflow"] == "desk"
