"""What an attribution says: ranked suspects with their evidence, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A step that may have made the run fail."""

    rank: int
    """from 1"""
    agent: str | None
    span_id: str
    step: int | None
    """0-based index of the message, where the source is a transcript"""
    score: float
    """0 to 1, comparable within one run only"""
    evidence: tuple[str, ...]
    tier: str
    """evidence, differential, spectrum, or several joined by +; ends with +judge where a model ordered the suspects"""
    spread: Mapping[str, float] = field(default_factory=dict[str, float])
    """agent -> share of its later steps that rest on this one; empty where the run does not show it"""
    rank_before: int | None = None
    """rank by the tiers alone, where a judge was asked"""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "evidence": list(self.evidence)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The answer for one run; no suspects means the evidence does not suffice, and `reasons` say for what."""

    suspects: tuple[Suspect, ...]
    reasons: tuple[str, ...] = ()
    """tiers that could not answer, and why"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One tier's say about one step of a run."""

    place: int
    score: float
    """higher is worse; comparable within the tier"""
    evidence: tuple[str, ...]


class Charge(Protocol):
    """Writes down what speaks against a step: its place, the signal, why, and what share of the signal's weight it is worth."""

    def __call__(self, place: int, signal: str, why: str, share: float = 1.0) -> None: ...


def ranked(votes: Sequence[Vote]) -> list[Vote]:
    """Highest score first, of equals the earlier step."""
    return sorted(votes, key=lambda vote: (-vote.score, vote.place))
