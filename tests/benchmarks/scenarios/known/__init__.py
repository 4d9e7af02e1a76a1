"""The first test part, written before anything was tuned. It has been read since and may guide a change, like the tuning part."""

from __future__ import annotations

from tests.benchmarks.scenarios.known.calls import CALLS
from tests.benchmarks.scenarios.known.coordination import COORDINATION
from tests.benchmarks.scenarios.known.loops import LOOPS
from tests.benchmarks.scenarios.known.state import STATE

SCENARIOS = (*LOOPS.scenarios, *COORDINATION.scenarios, *STATE.scenarios, *CALLS.scenarios)
