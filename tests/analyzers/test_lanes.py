"""Which spans happen one after the other, and which side by side."""

from __future__ import annotations

from analyzers.lanes import LaneSpan, assign_lanes

NOBODY: dict[str, set[str]] = {}


def span(name: str, parent: str | None, who: str, start: int, end: int, kind: str = "agent") -> LaneSpan:
    return LaneSpan(name, parent, kind, who, start, end)


ROOT = span("root", None, "main", 0, 100, "workflow")


def test_children_of_a_lost_span_stay_together() -> None:
    """Their parent never arrived: they keep one lane in its place, waits included, beside what ran meanwhile."""
    beside = span("side", "root", "Side", 0, 90)
    calls = [span(f"c{n}", "lost", "A:poll", 10 * n, 10 * n + 2, "tool") for n in range(1, 5)]
    waits = [span(f"w{n}", "lost", "A", 10 * n + 2, 10 * n + 9, "wait") for n in range(1, 5)]
    inside = span("work", "side", "Side:read", 5, 85, "tool")
    lanes = assign_lanes([ROOT, beside, inside, *calls, *waits], NOBODY)

    assert len({lanes[s.span_id] for s in (*calls, *waits)}) == 1
    assert lanes["c1"] != lanes["side"]


def test_agents_that_hand_over_beside_a_branch_share_a_lane() -> None:
    """A and B in turn beside a long X: one lane where A hands to B and B to A, two where nothing is said."""
    turns = [span(f"t{n}", "root", "AB"[n % 2], 10 * n, 10 * n + 8) for n in range(6)]
    long = span("x", "root", "X", 0, 95)
    calls = [span(f"k{s.span_id}", s.span_id, f"{s.who}:t", s.start_ns, s.start_ns + 1, "tool") for s in (*turns, long)]
    given = [ROOT, long, *turns, *calls]

    talking = assign_lanes(given, {"A": {"B"}, "B": {"A"}})
    silent = assign_lanes(given, NOBODY)

    assert len({talking[t.span_id] for t in turns}) == 1
    assert talking["x"] not in {talking[t.span_id] for t in turns}
    assert len({silent[t.span_id] for t in turns}) == 2


def test_a_lost_span_among_rivals_hangs_on_what_surely_encloses_it() -> None:
    """Two branches could have held it: it stays beside them, in a lane of its own."""
    one, two = span("one", "root", "One", 0, 90), span("two", "root", "Two", 0, 90)
    calls = [span(f"in-{s.span_id}", s.span_id, f"{s.who}:t", 1, 80, "tool") for s in (one, two)]
    orphan = span("o", "lost", "A:t", 20, 30, "tool")
    lanes = assign_lanes([ROOT, one, two, *calls, orphan], NOBODY)

    assert len({lanes["one"], lanes["two"], lanes["o"]}) == 3
