"""The weekend of conversations nobody asked for: a window over the store stops it, a budget for each run does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tracer
from reference_runtime.batch import Batch
from reference_runtime.incidents.cost_weekend import build
from tracer.errors import BudgetExceeded
from tracer.testing import recording

SIZE: dict[str, Any] = {"conversations": 16, "at_once": 4, "weeks": 0, "weekday": 3, "weekend": 1, "messages_each": 1}


def guarded(batch: Batch, **limits: Any) -> Counter[tuple[str, str]]:
    """Play it with a guard of its own around every run: (kind of day, which guard stopped it or "fine") -> runs."""
    ends: Counter[tuple[str, str]] = Counter()

    def under_guard(runtime: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        inner = tracer.guard(clock=runtime.clock, **limits)(run)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            day = "weekend" if "-weekend-" in runtime.run_id else "ordinary"
            try:
                result = await inner(*args, **kwargs)
            except BudgetExceeded as stop:
                assert datetime.fromtimestamp(runtime.clock.now_ns() / 1e9, UTC).weekday() >= 5
                ends[day, stop.guard] += 1
                return None
            ends[day, "fine"] += 1
            return result

        return counted

    with recording() as recorder:
        for planned in batch.runs:
            tracer.instrument(planned.runtime)
            planned.runtime.run = under_guard(planned.runtime, planned.runtime.run)
        batch.play()
        assert recorder.dropped == 0
        trips = recorder.of_kind("guard_trip")
    assert len([t for t in trips if t.attributes["tracehound.guard.level"] == "stop"]) == sum(
        number for (_, end), number in ends.items() if end != "fine"
    )
    return ends


def test_a_budget_for_each_run_never_trips() -> None:
    """Sixteen more runs, none of them dear: $5 a run lets all of them through."""
    ends = guarded(build(seed=3, **SIZE), budget_usd=5)
    assert ends["weekend", "fine"] == 16
    assert {end for _, end in ends} == {"fine"}


def test_the_window_of_the_store_stops_the_weekend_and_nothing_else(tmp_path: Path) -> None:
    """A little over two ordinary days (three runs of $0.09 each): no weekday run is touched, much of the weekend is."""
    ends = guarded(build(seed=3, **SIZE), budget_usd=5, per_day_usd="0.65", store=tmp_path / "traces.duckdb")
    assert {end for day, end in ends if day == "ordinary"} == {"fine"}
    assert {end for day, end in ends if day == "weekend"} == {"fine", "per day"}
    assert ends["weekend", "per day"] >= 5
