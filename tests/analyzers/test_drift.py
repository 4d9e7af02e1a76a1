"""Drift: known changes at known times are found and placed; mix shifts, weekly cycles and quiet series are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sin
from typing import Any

import polars as pl
import pytest

from analyzers.comparison.changepoints import find_changes, kolmogorov_p
from analyzers.comparison.groups import run_table
from analyzers.comparison.shifts import adjusted
from analyzers.detectors.drift import find_drift
from analyzers.finding import Finding, Skipped
from analyzers.frames import Frames
from tests.drawn import EPOCH_S, Drawn, agent, frames, llm, run

HOUR = 3600.0


@dataclass(frozen=True)
class Level:
    """How runs are at one time."""

    cost: float = 0.01
    completed: float = 0.95
    task: str = "A question."
    version: str | None = None
    calls: int = 2


def series(how: Callable[[int, random.Random], Level], n: int, *, seed: int, gap_s: float = 300.0) -> Frames:
    """`n` runs, one every `gap_s`; `how` says of each how it is."""
    chance = random.Random(seed)
    runs: list[Drawn] = []
    for number in range(n):
        level = how(number, chance)
        spread = chance.lognormvariate(0, 0.3)
        calls = [
            llm(
                i,
                i + spread,
                purpose="work",
                input_tokens=100,
                output_tokens=10,
                cost=f"{level.cost * spread / level.calls:.9f}",
                agent="solver",
            )
            for i in range(level.calls)
        ]
        runs.append(
            run("desk", agent("solver", 0, level.calls + spread, *calls), id=f"r{number}", at=number * gap_s, inputs=[level.task], service_version=level.version,
                outcome="completed" if chance.random() < level.completed else "failed")
        )  # fmt: skip
    return frames(*runs)


def found(given: Frames) -> list[Finding]:
    return [answer for answer in find_drift(given) if isinstance(answer, Finding)]


def step(before: Level, after: Level, at: int) -> Callable[[int, random.Random], Level]:
    return lambda number, _: before if number < at else after


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_change_is_found_where_it_was_made(seed: int) -> None:
    """Cost doubles at run 70 of 120, nothing said when: placed within eight runs, with its size and the money it took."""
    (finding,) = found(series(step(Level(), Level(cost=0.02), 70), 120, seed=seed))
    at = (finding.start_ns or 0) / 1e9 - EPOCH_S

    assert finding.severity in ("critical", "warning")
    assert abs(at / 300 - 70) <= 8
    assert set(finding.data["metrics"]) == {"cost_usd"}
    low, high = finding.data["metrics"]["cost_usd"]["interval_95"]
    assert low < 2 < high
    assert finding.data["excess_usd"] == pytest.approx(0.01 * 50, rel=0.35)
    assert finding.spans
    assert finding.data["boundary"] is None


def test_a_new_version_is_named() -> None:
    """Version 2 fails one time in two: the boundary is known, completed is what changed, and it is critical."""
    (finding,) = found(series(step(Level(version="1"), Level(version="2", completed=0.5), 60), 120, seed=4))

    assert finding.data["boundary"] == "version 1 -> 2"
    assert finding.severity == "critical"
    assert "completed" in finding.data["metrics"]
    assert all(check.passed for check in finding.checked)
    assert finding.data["moved_with_it"] == ["version 1 -> 2"]


def test_for_the_better_is_a_remark() -> None:
    """Half the cost is told as info, not as trouble."""
    (finding,) = found(series(step(Level(), Level(cost=0.005), 60), 120, seed=5))

    assert finding.severity == "info"
    assert finding.data["metrics"]["cost_usd"]["worse"] is False


def _mix(number: int, chance: random.Random) -> Level:
    large = chance.random() < (0.2 if number < 100 else 0.8)
    return Level(cost=0.05, task="A long question. " * 40) if large else Level()


def _week(number: int, _: random.Random) -> Level:
    day = (EPOCH_S + number * 3 * HOUR) // 86_400
    return Level(cost=0.03) if (day + 3) % 7 >= 5 else Level()


def _daily(number: int, _: random.Random) -> Level:
    return Level(cost=0.01 * (1.6 + sin(number / 8 * 6.2832)))


SILENT: list[Any] = [
    pytest.param(lambda number, chance: Level(), 120, 300.0, id="nothing changes"),
    pytest.param(_mix, 200, 300.0, id="larger tasks come more often"),
    pytest.param(_week, 170, 3 * HOUR, id="weekends are dearer, three weeks"),
    pytest.param(_week, 84, 3 * HOUR, id="weekends are dearer, ten days"),
    pytest.param(_daily, 160, 3 * HOUR, id="every day has its hours"),
    pytest.param(step(Level(version="1"), Level(version="2"), 60), 120, 300.0, id="a version that changes nothing"),
    pytest.param(step(Level(), Level(cost=0.0105), 60), 120, 300.0, id="five per cent"),
    pytest.param(step(Level(), Level(cost=0.1), 115), 120, 300.0, id="five dear runs at the end"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("how", "n", "gap_s"), SILENT)
def test_no_drift(how: Callable[[int, random.Random], Level], n: int, gap_s: float) -> None:
    """Quiet series, mixes and cycles say nothing."""
    assert found(series(how, n, seed=6, gap_s=gap_s)) == []


def test_mix_alone_would_have_looked_like_drift() -> None:
    """The same runs without the texts that show their size: the change is there to be seen."""
    given = series(_mix, 200, seed=6)

    assert found(
        Frames(spans=given.spans.with_columns(input_refs=pl.lit(None, dtype=pl.List(pl.Int64))), traces=given.traces)
    )


def _cheaper_but_larger(number: int, chance: random.Random) -> Level:
    """As `_mix`, and from run 100 on every task costs half of what it did."""
    usual = _mix(number, chance)
    return usual if number < 100 else replace(usual, cost=usual.cost / 2)


def test_medians_that_go_the_other_way_are_explained() -> None:
    """Half the cost for like tasks while the median run became dearer: the sentence says what each number is of, else it names the medians alone."""
    (mixed,) = found(series(_cheaper_but_larger, 200, seed=6))
    (plain,) = found(series(step(Level(), Level(cost=0.02), 70), 120, seed=1))
    cost = mixed.data["metrics"]["cost_usd"]

    assert cost["interval_95"][1] < 1 < cost["after"] / cost["before"]
    assert "for tasks of one length at one time of the week (all runs as they were: median " in mixed.title
    assert "], median " in plain.title


def test_a_short_past_is_no_answer() -> None:
    """Fewer than twenty runs on either side: skipped, with the reason."""
    (answer,) = find_drift(series(step(Level(), Level(cost=0.1), 15), 30, seed=7))

    assert isinstance(answer, Skipped)
    assert "20 before and after" in answer.reason


def test_rows_in_any_order_give_the_same() -> None:
    """Arrival order does not matter, ids included."""
    given = series(step(Level(), Level(cost=0.02), 70), 120, seed=1)
    shuffled = Frames(
        spans=given.spans.sample(fraction=1, shuffle=True, seed=3),
        traces=given.traces.sample(fraction=1, shuffle=True, seed=4),
        contents=given.contents,
    )

    assert find_drift(shuffled) == find_drift(given)


@pytest.mark.slow
def test_clock_names_neighbours_and_a_second_look_change_nothing() -> None:
    """Four weeks later, under other names, beside another workflow: the same runs on the same sides of the same place. Frames stay as
    they are; without the change there is nothing to tell."""
    given = series(step(Level(version="1"), Level(version="2", cost=0.02), 60), 120, seed=1)
    spans, traces = given.spans.clone(), given.traces.clone()
    (told,) = found(given)
    weeks = 28 * 86_400 * 10**9
    moved = replace(
        given,
        spans=spans.with_columns(pl.col("start_ns", "end_ns") + weeks),
        traces=traces.with_columns(pl.col("start_ns", "end_ns") + weeks),
    )
    named = replace(given, spans=spans.with_columns(agent=pl.lit("Bureau of ") + pl.col("agent")))
    other = frames(*(run("help", agent("h", 0, 9, llm(1, 2, cost="0.3")), id=f"h{n}", at=n * 400.0) for n in range(60)))
    beside = Frames(
        spans=pl.concat([spans, other.spans]),
        traces=pl.concat([traces, other.traces]),
        contents={**given.contents, **other.contents},
    )

    for changed in (moved, named, beside):
        (again,) = found(changed)
        assert (again.severity, again.spans, again.data["boundary"]) == (
            told.severity,
            told.spans,
            told.data["boundary"],
        )
        assert again.data["metrics"].keys() == told.data["metrics"].keys()
    assert (given.spans.equals(spans), given.traces.equals(traces)) == (True, True)
    assert found(series(step(Level(version="1"), Level(version="2"), 60), 120, seed=1)) == []


def test_change_points_of_a_drawn_series() -> None:
    """Two steps are found in order, with all of the neighbouring levels on either side; a straight line has none."""
    chance = random.Random(8)
    values = [chance.gauss(level, 1) for level in (0, 3, 1) for _ in range(60)]
    first, second = find_changes(values)

    assert (abs(first.at - 60) <= 4, abs(second.at - 120) <= 4) == (True, True)
    assert (first.start, first.end, second.start, second.end) == (0, second.at, first.at, 180)
    assert first.first <= first.at <= first.last
    assert find_changes([1.0] * 100) == []


def test_quiet_series_are_left_alone() -> None:
    """Of 200 series without a change at most 5 % are called changed; the p of the excursion is Kolmogorov's."""
    chance = random.Random(9)
    called = sum(bool(find_changes([chance.random() for _ in range(80)])) for _ in range(200))

    assert called <= 10
    assert kolmogorov_p(1.358) == pytest.approx(0.05, abs=1e-3)


def test_long_series_are_averaged() -> None:
    """Ten thousand values, a change at 7,000: found within a few blocks."""
    chance = random.Random(10)
    (change,) = find_changes([chance.gauss(0 if place < 7_000 else 0.5, 1) for place in range(10_000)])

    assert abs(change.at - 7_000) <= 150


def test_the_slope_over_length_is_one_for_the_workflow() -> None:
    """Taken season by season, a handful of runs of nearly one length would bend it at will, and costs of 30 % spread would differ by tens."""
    quiet = series(lambda n, c: Level(task="?" * (80 + c.randrange(8))), 100, seed=5, gap_s=4_700.0)

    rest = adjusted(run_table(quiet))["cost_usd_r"]
    assert (rest.max(), rest.min()) == (pytest.approx(0, abs=1.5), pytest.approx(0, abs=1.5))
