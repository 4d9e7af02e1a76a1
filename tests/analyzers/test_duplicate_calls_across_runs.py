"""Questions that other runs had asked."""

from __future__ import annotations

from decimal import Decimal

from analyzers.detectors.duplicate_calls_across_runs import find_duplicate_calls_across_runs
from analyzers.run import analyse
from tests.analyzers.test_run import shuffled
from tests.drawn import Drawn, agent, frames, llm, run, tool

DAY = 86_400.0
WORDINGS = ("opening hours of the Lyon store", "the Lyon store and its opening hours", "opening hours, store in Lyon")


def runs(queries: list[tuple[str, str]], *, cost: str = "0.2", every: float = 600.0, setup: bool = True) -> list[Drawn]:
    """One run for each (query, result)."""
    first = [tool("load_policy", 0, 1, args={"name": "refunds"}, result="v1")] if setup else []
    return [
        run(
            "help",
            agent("H", 0, 9, *first, tool("search", 2, 3, args={"q": query}, result=result), llm(4, 5, cost=cost)),
            id=f"h{n}",
            at=n * every,
        )
        for n, (query, result) in enumerate(queries)
    ]


def test_the_same_question_in_three_wordings_is_told() -> None:
    """Thirty runs repeat three questions; the finding counts them and what they cost, and names the wordings."""
    asked = [
        (WORDINGS[n % 3] if n % 2 else f"price list {n % 4}", "9 to 19" if n % 2 else f"list {n % 4}")
        for n in range(40)
    ]
    (finding,) = find_duplicate_calls_across_runs(frames(*runs(asked)))

    assert (finding.severity, finding.data["repeating_runs"], finding.data["runs"]) == ("warning", 37, 40)
    assert finding.wasted_usd == Decimal("0.2") * 37
    assert set(finding.data["examples"]) <= set(WORDINGS)


def test_what_is_not_known_is_no_repeat() -> None:
    """Other results, other items, answers older than a week, and what every run asks: nothing is told."""
    changed = [("opening hours of the Lyon store", f"9 to {n}") for n in range(40)]
    other = [(f"opening hours of store {n}", "9 to 19") for n in range(40)]
    same = [("opening hours of the Lyon store", "9 to 19")] * 40
    half = [(f"q{n // 2}x{n % 2} store", "9 to 19") for n in range(40)]

    for asked, every in ((changed, 600.0), (other, 600.0), (same, 600.0), (half, 8 * DAY)):
        assert find_duplicate_calls_across_runs(frames(*runs(asked, every=every))) == []


def test_cheap_repetition_is_a_remark_and_order_does_not_matter() -> None:
    """Below five dollars it is said quietly; rows in any order give the same."""
    held = frames(*runs([(f"question {n % 5}", f"answer {n % 5}") for n in range(40)], cost="0.001"))
    (finding,) = find_duplicate_calls_across_runs(held)

    assert finding.severity == "info"
    assert analyse(shuffled(held, 3)).fleet == analyse(held).fleet
