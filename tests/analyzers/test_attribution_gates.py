"""Floors of the injected-fault program for attribution, on a small sample of the part that nothing was tuned on."""

from __future__ import annotations

import pytest

from tests.benchmarks.attribution import figures


@pytest.mark.slow
def test_injected_faults_are_found() -> None:
    """All tiers together name the step of most faults among the first three, and do far better than the trivial rules."""
    ranks = figures("test", 3)

    def within(method: str, most: int) -> float:
        found = [rank for (name, _), held in ranks.items() if name == method for rank in held]
        return sum(rank is not None and rank <= most for rank in found) / len(found)

    assert within("all tiers", 1) >= 0.65
    assert within("all tiers", 3) >= 0.8
    assert within("all tiers", 3) >= 2 * max(within(rule, 3) for rule in ("random step", "first worker", "most text"))
