"""What a scenario is, and where scenarios are listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.scenarios.stage import Stage

Act = Callable[[Stage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to go wrong, or one that only looks like it."""

    name: str
    what: str
    act: Act
    kind: str | None
    """kind of finding that is due; None for a healthy run"""
    also: tuple[str, ...] = ()
    """kinds that may be told as well, because they are true of this run too"""
    runs: int = 1
    """how many runs of one workflow make the scenario"""
    at: Callable[[int], float] = float
    """number of a run -> seconds after the first one at which it starts, where there are many"""
    needs_text: bool = False
    """the fault cannot be seen where texts were not recorded"""


class Catalogue:
    """Collects the scenarios of a file; the order is that of the file."""

    def __init__(self) -> None:
        self.scenarios: list[Scenario] = []

    def fault(
        self,
        kind: str,
        what: str,
        *,
        also: tuple[str, ...] = (),
        runs: int = 1,
        at: Callable[[int], float] = float,
        needs_text: bool = False,
    ) -> Callable[[Act], Act]:
        def add(act: Act) -> Act:
            self.scenarios.append(
                Scenario(
                    name=act.__name__, what=what, act=act, kind=kind, also=also, runs=runs, at=at, needs_text=needs_text
                )
            )
            return act

        return add

    def healthy(
        self, what: str, *, also: tuple[str, ...] = (), runs: int = 1, at: Callable[[int], float] = float
    ) -> Callable[[Act], Act]:
        def add(act: Act) -> Act:
            self.scenarios.append(
                Scenario(name=act.__name__, what=what, act=act, kind=None, also=also, runs=runs, at=at)
            )
            return act

        return add
