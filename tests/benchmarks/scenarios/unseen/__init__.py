"""The test part: written from the definitions of the kinds before it was measured, and never tuned on. The figures that are quoted come from here."""

from __future__ import annotations

from tests.benchmarks.scenarios.unseen.rounds import ROUNDS
from tests.benchmarks.scenarios.unseen.shared import SHARED
from tests.benchmarks.scenarios.unseen.spending import SPENDING
from tests.benchmarks.scenarios.unseen.teams import TEAMS

SCENARIOS = (*ROUNDS.scenarios, *TEAMS.scenarios, *SHARED.scenarios, *SPENDING.scenarios)
