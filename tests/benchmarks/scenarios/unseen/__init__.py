"""The test part: scenarios written before anything was tuned, in words of their own. The figures that are quoted come from here."""

from __future__ import annotations

from tests.benchmarks.scenarios.unseen.calls import CALLS
from tests.benchmarks.scenarios.unseen.coordination import COORDINATION
from tests.benchmarks.scenarios.unseen.loops import LOOPS
from tests.benchmarks.scenarios.unseen.state import STATE

SCENARIOS = (*LOOPS.scenarios, *COORDINATION.scenarios, *STATE.scenarios, *CALLS.scenarios)
