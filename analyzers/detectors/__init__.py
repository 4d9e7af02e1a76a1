"""The questions asked of every run, and of a store. One file a question, one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from analyzers.finding import Finding, Skipped
from analyzers.frames import Frames


@dataclass(frozen=True, slots=True)
class Detector:
    """A named question.

    `find` gets many runs at once and answers with findings and refusals to judge; it never changes its input.
    `scope` "fleet" looks at many runs together: its findings are about a workflow and a window of time, not one run.
    """

    name: str
    find: Callable[[Frames], Sequence[Finding | Skipped]]
    scope: Literal["run", "fleet"] = "run"


DETECTORS: tuple[Detector, ...] = ()
