"""What would have stopped a run: the moment where it is known, and what began later."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from dashboard.report.case import Case
from dashboard.report.stops import find_stops, stops_document
from tests.drawn import agent, frames, llm, run
from tests.figures.scenes import finding, looping


def test_a_loop_breaker_spares_what_begins_after_the_fifth_round() -> None:
    """Of 24 priced calls in 12 rounds, those from the sixth round on: 14 calls at $0.05."""
    drawn, [loop] = looping(12)
    starts = [span for span in loop.spans if span.startswith("mr")]
    [stop] = find_stops(Case.of(frames(drawn), [replace(loop, data={**loop.data, "round_starts": starts})]))

    assert (stop.calls_after, stop.usd_after, stop.tokens_after) == (14, Decimal("0.70"), 14 * 1050)
    assert stop.code == 'tracer.guard(loop="critical")'


def test_without_a_moment_no_saving_is_claimed() -> None:
    """A measure whose moment nobody knows is named without calls or money."""
    drawn, found = looping(12)
    [stop] = find_stops(Case.of(frames(drawn), found))

    assert (stop.at_ns, stop.calls_after, stop.usd_after) == (None, None, None)


def test_a_budget_acts_where_the_run_passes_twice_the_usual_cost() -> None:
    """Usual $0.10, four calls of $0.09: the third ends above $0.20, one more begins later."""
    drawn = run("w", agent("a", 0, 9, *(llm(2 * k, 2 * k + 1, cost="0.09", id=f"c{k}") for k in range(4))))
    anomaly = finding("cost_anomaly", drawn, ["c0"], data={"median_usd": 0.10})
    [stop] = find_stops(Case.of(frames(drawn), [anomaly]))

    assert (stop.calls_after, stop.usd_after) == (1, Decimal("0.09"))
    assert "budget_usd=0.2" in stop.code


def test_kinds_without_a_measure_keep_their_suggestion() -> None:
    """Nothing is left out: the suggestion stands where no measure is known."""
    drawn = run("w", agent("a", 0, 2, id="a"))
    odd = finding("orphan_task", drawn, ["a"], suggestion="Wait for what was started.")

    assert "Wait for what was started." in str(stops_document(Case.of(frames(drawn), [odd])))
