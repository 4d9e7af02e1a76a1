"""Guards: limits that really stop agents, whichever framework runs them.

    with tracer.guard(budget_usd=5, iterations=50, loop="critical") as guard:
        run_my_agents()

The limits are counted by pure cores in `tracer.online`; `intercept` puts them between the agents and the providers.
"""

from __future__ import annotations

from . import heirs as heirs
from .core import Escalate, Guard, current, install, uninstall
from .public import GuardScope, guard, guards_from_options, stop_in

__all__ = [
    "Escalate",
    "Guard",
    "GuardScope",
    "current",
    "guard",
    "guards_from_options",
    "install",
    "stop_in",
    "uninstall",
]
