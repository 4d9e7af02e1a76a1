"""Near-duplicates and surges, against brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.similarity import alike, asked, near_duplicates, repeats
from analyzers.surges import find_surges

PAIRS = [
    ("sales of Halden in Q3", "sales of Halden in Q4", False),
    ("freight volume of Halden in Iberia", "Halden freight volume, Iberia", True),
    ("freight volume of Halden in Iberia", "freight volume of Petrel in Iberia", False),
    ('{"query": "freight volume of Halden", "top": 5}', '{"top": 5, "query": "Halden freight volume"}', True),
    ('find "order 17"', 'find "order 18"', False),
    ("What is the refund policy?", "How do I reset my password?", False),
    ("", "", False),
]


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS)
def test_same_question_in_other_words(one: str, other: str, expected: bool) -> None:
    """Word order and small words do not matter; numbers, names and quotes do."""
    assert alike(asked(one), asked(other)) is expected


TEXTS = st.lists(
    st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "eps", "zeta", "1", "2"]), min_size=1, max_size=6).map(
        " ".join
    ),
    max_size=9,
)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_groups_are_those_of_brute_force(texts: list[str]) -> None:
    """The prefix filter loses no pair: groups equal the closure over all pairs."""
    taken = [asked(text) for text in texts]
    groups = list(range(len(texts)))
    for i, j in combinations(range(len(texts)), 2):
        if (taken[i].words, taken[i].items) == (taken[j].words, taken[j].items) or alike(taken[i], taken[j]):
            low, high = sorted((groups[i], groups[j]))
            groups = [low if g == high else g for g in groups]

    assert near_duplicates(texts) == groups


def test_repeats_count_other_runs_only() -> None:
    """A run that asks twice repeats itself, not another."""
    assert repeats([("r1", 0), ("r1", 0), ("r2", 0), ("r2", 1), ("r3", 1)]) == {2, 4}


def surges(bins: list[float], length: int = 2) -> list[tuple[int, int]]:
    found = find_surges(bins, length, ratio=3, z=3.5, spread_floor=0.15, enough=4, memory=60, least=1)
    return [(surge.first, surge.last) for surge in found]


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ([1.0] * 20, []),
        ([1.0] * 12 + [9.0] * 6 + [1.0] * 4, [(12, 17)]),
        ([1.0] * 12 + [9.0] * 2 + [1.0] * 10 + [9.0] * 2, [(12, 13), (24, 25)]),
        ([9.0] * 6 + [1.0] * 12, []),
        ([1.0] * 4 + [9.0] * 2, []),
        ([0.0, 1.0] * 8 + [0.0, 9.0], [(17, 17)]),
        ([1.0] * 20 + [9.0] * 80, [(20, 67)]),
        ([], []),
    ],
)
def test_surges_are_found_at_their_edges(bins: list[float], expected: list[tuple[int, int]]) -> None:
    """A surge begins and ends where the quantity does; a start without a past is none, and a level that stays becomes usual."""
    assert surges(bins) == expected
