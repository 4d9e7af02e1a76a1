"""Small-sample statistics in plain Python: no assumption about distributions, the same answer every time.

    rates       Fisher's exact test; Newcombe's interval for the difference (Wilson intervals of both rates)
    amounts     Mann-Whitney with ties; Hodges-Lehmann shift of logs, that is a ratio, with the interval of the same test
    shares      Jensen-Shannon distance of two sets of counts; whole runs change sides in the permutation test
    many tests  Benjamini-Hochberg

Strata (input size, say) are compared inside and then combined with weights n*m/(n+m), so that a changed mix alone is no change.
Sources: Newcombe 1998 method 10; Hollander & Wolfe for the interval of the shift; van Elteren 1960 for strata; note on algorithms, section 9.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, erfc, exp, lgamma, log, sqrt

Z95 = 1.959963984540054
THIN = 120
"""quantiles that stand for a longer sample in pairwise differences"""
EXACT_PAIRS = 400
"""up to so many pairs the Mann-Whitney distribution is counted out, where there are no ties"""


@dataclass(frozen=True, slots=True)
class Effect:
    """An estimate with its 95 % interval and p value."""

    value: float
    low: float
    high: float
    p: float


def fisher_exact(a_yes: int, a: int, b_yes: int, b: int) -> float:
    """Two-sided p of two rates `a_yes` of `a` and `b_yes` of `b`: all tables as unlikely as this one or more."""
    yes, total = a_yes + b_yes, a + b
    if not a or not b or yes in (0, total):
        return 1.0

    def log_probability(k: int) -> float:
        return _log_comb(a, k) + _log_comb(b, yes - k) - _log_comb(total, yes)

    here = log_probability(a_yes)
    span = range(max(0, yes - b), min(a, yes) + 1)
    return min(1.0, sum(exp(one) for one in map(log_probability, span) if one <= here + 1e-9))


def _log_comb(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def wilson(yes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval of a rate; (0, 1) for no observation."""
    if not n:
        return 0.0, 1.0
    p, zz = yes / n, z * z
    middle, half = p + zz / (2 * n), z * sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return max(0.0, (middle - half) / (1 + zz / n)), min(1.0, (middle + half) / (1 + zz / n))


def rate_difference(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> Effect | None:
    """Rate of `b` minus rate of `a`; both hold (yes, n) per stratum. None where no stratum has both sides."""
    both = [(x, y) for x, y in zip(a, b, strict=True) if x[1] and y[1]]
    if not both:
        return None
    if len(both) == 1:
        (a_yes, a_n), (b_yes, b_n) = both[0]
        first, second = a_yes / a_n, b_yes / b_n
        (a_low, a_high), (b_low, b_high) = wilson(a_yes, a_n), wilson(b_yes, b_n)
        change = second - first
        low = change - sqrt((second - b_low) ** 2 + (a_high - first) ** 2)
        high = change + sqrt((b_high - second) ** 2 + (first - a_low) ** 2)
        return Effect(change, low, high, fisher_exact(a_yes, a_n, b_yes, b_n))
    weights = [x[1] * y[1] / (x[1] + y[1]) for x, y in both]
    change = sum(w * (y[0] / y[1] - x[0] / x[1]) for w, (x, y) in zip(weights, both, strict=True)) / sum(weights)
    # Rates of nearly 0 or 1 have no spread in the sample; Agresti-Coull's two more of each keep the interval honest.
    spread = sqrt(sum((w * w) * (_spread(x) + _spread(y)) for w, (x, y) in zip(weights, both, strict=True))) / sum(
        weights
    )
    return Effect(change, change - Z95 * spread, change + Z95 * spread, two_sided(change / spread if spread else 0.0))


def _spread(told: tuple[int, int]) -> float:
    p = (told[0] + 1) / (told[1] + 2)
    return p * (1 - p) / told[1]


def two_sided(z: float) -> float:
    """p of a standard normal deviate."""
    return erfc(abs(z) / sqrt(2))


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """(U of b, its mean, its variance) under "no difference", ties corrected; U counts pairs in which b is larger, ties half."""
    n, m = len(a), len(b)
    held = sorted(a)
    u = sum((bisect_left(held, one) + bisect_right(held, one)) / 2 for one in b)
    total = n + m
    ties = sum(count**3 - count for count in Counter([*a, *b]).values())
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
    return u, n * m / 2, variance


def rank_test(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    """Two-sided p that the values of `b` are neither larger nor smaller; one sequence per stratum (van Elteren)."""
    both = [(x, y) for x, y in zip(a, b, strict=True) if x and y]
    if not both:
        return 1.0
    if len(both) == 1:
        x, y = both[0]
        if len(x) * len(y) <= EXACT_PAIRS and len(set(x) | set(y)) == len(x) + len(y):
            return _exact_rank_p(round(mann_whitney(x, y)[0]), len(x), len(y))
    shift = spread = 0.0
    for x, y in both:
        u, mean, variance = mann_whitney(x, y)
        weight = 1 / (len(x) + len(y) + 1)
        shift += weight * (u - mean)
        spread += weight * weight * variance
    if not spread:
        return 1.0
    correct = 0.5 / (len(both[0][0]) + len(both[0][1]) + 1) if len(both) == 1 else 0.0
    return two_sided(max(0.0, abs(shift) - correct) / sqrt(spread))


def _exact_rank_p(u: int, n: int, m: int) -> float:
    """Share of all orders whose U lies as far from the middle or farther. O(n * m * nm), for small samples."""
    ways: dict[tuple[int, int], list[int]] = {}
    for i in range(n + 1):
        for j in range(m + 1):
            row = [0] * (i * j + 1)
            if not i or not j:
                row[0] = 1
            else:
                for value, number in enumerate(ways[i - 1, j]):  # the largest is of a: no pair
                    row[value] += number
                for value, number in enumerate(ways[i, j - 1]):  # the largest is of b: above all of a
                    row[value + i] += number
            ways[i, j] = row
    row = ways[n, m]
    far = abs(u - n * m / 2)
    return min(
        1.0, sum(number for value, number in enumerate(row) if abs(value - n * m / 2) >= far - 1e-9) / comb(n + m, n)
    )


def shift(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Effect | None:
    """Hodges-Lehmann: the median of all differences b - a, with its 95 % interval; strata are combined. None without pairs."""
    estimates: list[tuple[float, float, float, float]] = []
    for x, y in zip(a, b, strict=True):
        if not x or not y:
            continue
        n, m = len(x), len(y)
        few, others = _thinned(sorted(x)), _thinned(sorted(y))
        differences = sorted(one - other for one in others for other in few)
        half = Z95 * sqrt((n + m + 1) / (12 * n * m))
        low, middle, high = (_at(differences, share) for share in (0.5 - half, 0.5, 0.5 + half))
        estimates.append((n * m / (n + m), low, middle, high))
    if not estimates:
        return None
    p = rank_test(a, b)
    total = sum(weight for weight, *_ in estimates)
    value = sum(weight * middle for weight, _, middle, _ in estimates) / total
    below = sqrt(sum((weight * (middle - low)) ** 2 for weight, low, middle, _ in estimates)) / total
    above = sqrt(sum((weight * (high - middle)) ** 2 for weight, _, middle, high in estimates)) / total
    return Effect(value, value - below, value + above, p)


def ratio(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Effect | None:
    """b over a for amounts above zero, by the shift of their logs."""
    found = shift([[log(v) for v in part if v > 0] for part in a], [[log(v) for v in part if v > 0] for part in b])
    return None if found is None else Effect(exp(found.value), exp(found.low), exp(found.high), found.p)


def _thinned(ordered: Sequence[float]) -> Sequence[float]:
    if len(ordered) <= THIN:
        return ordered
    return [_at(ordered, (place + 0.5) / THIN) for place in range(THIN)]


def _at(ordered: Sequence[float], share: float) -> float:
    """Quantile by linear interpolation; shares beyond 0 and 1 give the ends."""
    position = min(1.0, max(0.0, share)) * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def jensen_shannon(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Distance of two sets of counts, 0 (the same shares) to 1 (nothing in common); square root of the divergence in bits."""
    total_a, total_b = sum(a.values()), sum(b.values())
    if not total_a or not total_b:
        return 0.0 if total_a == total_b else 1.0
    divergence = 0.0
    for key in {*a, *b}:
        p, q = a.get(key, 0) / total_a, b.get(key, 0) / total_b
        middle = (p + q) / 2
        for share in (p, q):
            if share:
                divergence += share * log(share / middle, 2) / 2
    return sqrt(max(0.0, divergence))


def permuted_distance(
    a: Sequence[Mapping[str, int]], b: Sequence[Mapping[str, int]], *, rounds: int = 199, most: int = 300, seed: int = 7
) -> tuple[float, float]:  # fmt: skip
    """(Jensen-Shannon distance of the sums, p by letting whole runs change sides); beyond `most` runs a side a seeded sample does."""
    chance = random.Random(seed)
    first = list(a) if len(a) <= most else chance.sample(list(a), most)
    second = list(b) if len(b) <= most else chance.sample(list(b), most)
    seen = jensen_shannon(_summed(first), _summed(second))
    if not first or not second or not seen:
        return seen, 1.0
    pool = [*first, *second]
    total = _summed(pool)
    reached = 1
    for _ in range(rounds):
        one = _summed(chance.sample(pool, len(first)))
        other = {key: number - one.get(key, 0) for key, number in total.items()}
        reached += jensen_shannon(one, other) >= seen - 1e-12
    return seen, reached / (rounds + 1)


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    held: dict[str, int] = defaultdict(int)
    for one in counts:
        for key, number in one.items():
            held[key] += number
    return held


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """q values in the order given: the false discovery rate at which each test would be called a change."""
    order = sorted(range(len(ps)), key=lambda place: -ps[place])
    found, least = [1.0] * len(ps), 1.0
    for rank, place in zip(range(len(ps), 0, -1), order, strict=True):
        least = min(least, ps[place] * len(ps) / rank)
        found[place] = least
    return found


def runs_needed(p: float, q: float) -> int | None:
    """Runs a side to tell two rates apart (5 % two-sided, power 80 %); None where they are equal."""
    if p == q:
        return None
    middle = (p + q) / 2
    spread = Z95 * sqrt(2 * middle * (1 - middle)) + 0.8416212335729143 * sqrt(p * (1 - p) + q * (1 - q))
    return int((spread / (p - q)) ** 2) + 1
