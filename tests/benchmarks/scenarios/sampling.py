"""Which circumstances each scenario is played in: Latin hypercube samples, so that few runs cover every value of every factor."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tests.benchmarks.scenarios.knobs import Knobs

T = TypeVar("T")
Block = Literal["clean", "gaps", "harsh"]

MS = 1_000_000
BLOCKS: tuple[Block, ...] = ("clean", "clean", "gaps", "harsh")
"""of four runs two are recorded whole, one has lost 10 % of its spans, one has everything against it"""


@dataclass(frozen=True, slots=True)
class Level:
    """The values a factor takes in a block; one named twice is drawn twice as often."""

    name: str
    clean: Sequence[Any]
    gaps: Sequence[Any]
    harsh: Sequence[Any]


_TOPOLOGIES = ("pipeline", "supervisor", "chat", "map_reduce", "nested")
_WORDINGS = ("verbatim", "template", "pool", "other")
_ARRIVALS = ("ordered", "shuffled", "late")
SIZES = (20, 20, 20, 20, 20, 20, 20, 20, 200, 200, 200, 200, 200, 200, 2_000, 2_000)
"""spans of healthy work around a scenario; the few runs of 20,000 are added apart, see `huge`"""
SHORT_SIZES = (20, 20, 20, 200)


def _levels(sizes: Sequence[int]) -> tuple[Level, ...]:
    return (
        Level("topology", _TOPOLOGIES, _TOPOLOGIES, _TOPOLOGIES),
        Level("size", sizes, sizes, sizes),
        Level("branches", (1, 4, 16), (1, 4, 16), (1, 4, 16)),
        Level("irrelevant", (0.0, 0.1, 0.3), (0.0, 0.1, 0.3), (0.0, 0.1, 0.3)),
        Level("missing", (0.0,), (0.1,), (0.05, 0.2, 0.0)),
        Level("skew_ns", (0, 0, 50 * MS), (0, 50 * MS), (50 * MS, 2_000 * MS)),
        Level("arrival", _ARRIVALS, _ARRIVALS, _ARRIVALS),
        Level("text", ("full",), ("full",), ("full", "hashed", "none")),
        Level("wording", _WORDINGS, _WORDINGS, _WORDINGS),
    )


def sample(runs: int, rng: random.Random, sizes: Sequence[int] = SIZES) -> list[Knobs]:
    """Circumstances of `runs` runs of one scenario: within each block every factor is cut into equal shares, shuffled."""
    blocks = [BLOCKS[number % len(BLOCKS)] for number in range(runs)]
    drawn: list[Knobs] = []
    for block in ("clean", "gaps", "harsh"):
        count = blocks.count(block)
        columns = {level.name: _column(getattr(level, block), count, rng) for level in _levels(sizes)}
        drawn += [
            Knobs(block=block, **{name: values[number] for name, values in columns.items()}) for number in range(count)
        ]
    return drawn


def huge(rng: random.Random) -> Knobs:
    """The circumstances of a run of 20,000 spans, recorded whole."""
    return Knobs(topology=rng.choice(_TOPOLOGIES), size=20_000, branches=rng.choice((4, 16)), irrelevant=0.1)


def _column(values: Sequence[T], count: int, rng: random.Random) -> list[T]:
    """`count` values, each as often as its share, in random order; where it does not come out even, chance decides."""
    offset = rng.random()
    picked = [values[int((number + offset) * len(values) / count) % len(values)] for number in range(count)]
    rng.shuffle(picked)
    return picked
