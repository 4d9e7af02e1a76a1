"""The questions asked of every run, and of a store. One file a question, one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from analyzers.detectors.conflicting_decisions import find_conflicting_decisions
from analyzers.detectors.context_growth import find_context_growth
from analyzers.detectors.cost_anomaly import find_cost_anomaly
from analyzers.detectors.data_quality import find_data_quality
from analyzers.detectors.deadlock import find_deadlocks
from analyzers.detectors.divergent_views import find_divergent_views
from analyzers.detectors.drift import find_drift
from analyzers.detectors.duplicate_calls import find_duplicate_calls
from analyzers.detectors.duplicate_calls_across_runs import find_duplicate_calls_across_runs
from analyzers.detectors.error_cascade import find_error_cascades
from analyzers.detectors.guard_trip import find_guard_trip
from analyzers.detectors.hidden_calls import find_hidden_calls
from analyzers.detectors.loop import find_loops
from analyzers.detectors.lost_update import find_lost_update
from analyzers.detectors.no_answer import find_no_answer
from analyzers.detectors.orphan_task import find_orphan_tasks
from analyzers.detectors.ping_pong import find_ping_pong
from analyzers.detectors.retry_storm import find_retry_storms
from analyzers.detectors.run_rate import find_run_rate
from analyzers.detectors.runaway_fanout import find_runaway_fanout
from analyzers.detectors.serial_bottleneck import find_serial_bottleneck
from analyzers.detectors.spend_rate import find_spend_rate
from analyzers.detectors.stale_read import find_stale_reads
from analyzers.detectors.state_growth import find_state_growth
from analyzers.detectors.write_skew import find_write_skew
from analyzers.finding import Finding, Skipped
from analyzers.frames import Frames


@dataclass(frozen=True, slots=True)
class Detector:
    """A named question.

    `find` gets many runs at once and answers with findings and refusals to judge; it never changes its input.
    `scope` "fleet" looks at many runs together: its findings are about a workflow and a window of time, not one run.
    `compares` says that a run is judged by the others it came with; without it every run can be looked at on its own.
    """

    name: str
    find: Callable[[Frames], Sequence[Finding | Skipped]]
    scope: Literal["run", "fleet"] = "run"
    compares: bool = False


DETECTORS: tuple[Detector, ...] = (
    Detector("loop", find_loops),
    Detector("ping_pong", find_ping_pong),
    Detector("retry_storm", find_retry_storms),
    Detector("duplicate_calls", find_duplicate_calls),
    Detector("context_growth", find_context_growth),
    Detector("deadlock", find_deadlocks),
    Detector("orphan_task", find_orphan_tasks),
    Detector("runaway_fanout", find_runaway_fanout),
    Detector("no_answer", find_no_answer),
    Detector("error_cascade", find_error_cascades),
    Detector("serial_bottleneck", find_serial_bottleneck),
    Detector("lost_update", find_lost_update),
    Detector("stale_read", find_stale_reads),
    Detector("write_skew", find_write_skew),
    Detector("divergent_views", find_divergent_views),
    Detector("state_growth", find_state_growth),
    Detector("conflicting_decisions", find_conflicting_decisions),
    Detector("cost_anomaly", find_cost_anomaly, compares=True),
    Detector("hidden_calls", find_hidden_calls),
    Detector("guard_trip", find_guard_trip),
    Detector("data_quality", find_data_quality),
    Detector("spend_rate", find_spend_rate, scope="fleet", compares=True),
    Detector("drift", find_drift, scope="fleet", compares=True),
    Detector("run_rate", find_run_rate, scope="fleet", compares=True),
    Detector("duplicate_calls_across_runs", find_duplicate_calls_across_runs, scope="fleet", compares=True),
)
