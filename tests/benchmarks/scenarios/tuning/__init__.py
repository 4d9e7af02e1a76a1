"""The tuning part: what the detectors get wrong here may guide a change."""

from __future__ import annotations

from tests.benchmarks.scenarios.tuning.calls import CALLS
from tests.benchmarks.scenarios.tuning.coordination import COORDINATION
from tests.benchmarks.scenarios.tuning.errands import ERRANDS
from tests.benchmarks.scenarios.tuning.loops import LOOPS
from tests.benchmarks.scenarios.tuning.programs import PROGRAMS
from tests.benchmarks.scenarios.tuning.state import STATE

SCENARIOS = (
    *LOOPS.scenarios,
    *COORDINATION.scenarios,
    *STATE.scenarios,
    *CALLS.scenarios,
    *PROGRAMS.scenarios,
    *ERRANDS.scenarios,
)
