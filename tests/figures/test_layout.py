"""Lanes, trees and payloads: nothing concurrent overlaps, nothing is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.figures.lanes import assign_lanes
from dashboard.figures.trace_view import DUPLICATE, ORPHAN, UNPRICED, UNPRICED_BELOW, TraceView, build_view, payload
from dashboard.figures.tree import build_tree
from tests.drawn import Drawn, agent, frames, llm, message, run, tool
from tests.figures.scenes import three_way


def boxes_of(view: TraceView) -> list[tuple[str, int, int, int]]:
    """(span id, lane, start, stop) of every span."""
    return list(zip(view.tree.ids, view.lane, view.tree.start, view.tree.stop, strict=True))


def overlapping(boxes: list[tuple[str, int, int, int]]) -> list[tuple[str, str]]:
    return [
        (a[0], b[0])
        for n, a in enumerate(boxes)
        for b in boxes[n + 1 :]
        if a[1] == b[1] and a[2] < b[3] and b[2] < a[3]
    ]


def test_three_concurrent_agents_never_share_a_lane() -> None:
    """The 3-way parallel run: no two rectangles overlap, and every child lies below its parent."""
    view = build_view(frames(three_way()))

    assert overlapping(boxes_of(view)) == []
    assert all(p < 0 or view.lane[p] < view.lane[i] for i, p in enumerate(view.tree.parent))
    agents = {view.tree.ids.index(name) for name in ("flights", "hotels", "activities")}
    assert len({view.lane[i] for i in agents}) == 3


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    """A forest in depth-first order with siblings by start; children may outlive or precede their parents."""
    n = draw(st.integers(1, 30))
    above = [draw(st.integers(-1, i - 1)) if i else -1 for i in range(n)]
    start = [draw(st.integers(0, 40)) for _ in range(n)]
    length = [draw(st.integers(0, 20)) for _ in range(n)]
    order: list[int] = []

    def walk(i: int) -> None:
        order.append(i)
        for child in sorted((c for c in range(n) if above[c] == i), key=lambda c: start[c]):
            walk(child)

    for root in sorted((r for r in range(n) if above[r] < 0), key=lambda r: start[r]):
        walk(root)
    spot = {i: k for k, i in enumerate(order)}
    return [spot.get(above[i], -1) for i in order], [start[i] for i in order], [start[i] + length[i] for i in order]


@settings(max_examples=40, deadline=None)
@given(forests())
def test_lanes_never_overlap_whatever_the_forest(forest: tuple[list[int], list[int], list[int]]) -> None:
    """In any forest two intervals of one lane are apart, empty ones count as one unit, and children are below their parents."""
    parent, start, stop = forest

    lane = assign_lanes(parent, start, stop)

    boxes = [(str(i), lane[i], start[i], max(stop[i], start[i] + 1)) for i in range(len(parent))]
    assert overlapping(boxes) == []
    assert all(p < 0 or lane[p] < lane[i] for i, p in enumerate(parent))


@st.composite
def named_parents(draw: st.DrawFn) -> list[tuple[int, int]]:
    """(start, whom it names as its parent) of each span: itself, one that never came (-2), none (-1), in circles, born later."""
    n = draw(st.integers(1, 8))
    return [(draw(st.integers(0, 6)), draw(st.integers(-2, n - 1))) for _ in range(n)]


@settings(max_examples=40, deadline=None)
@given(named_parents())
def test_the_tree_is_what_a_walk_from_the_roots_finds(drawn: list[tuple[int, int]]) -> None:
    """Whoever names whom, the order, parents and depths are those of a walk that takes rows in order of start and sees each once."""
    made = run("w", *(llm(start, start + 1, id=f"s{i:02}") for i, (start, _) in enumerate(drawn)), root=False)
    for span in made.spans:
        above = drawn[int(span.span_id[1:])][1]
        span.parent_span_id = {-1: None, -2: "gone"}.get(above, f"s{above:02}")
    tree = build_tree(frames(made))

    rows = sorted(range(len(drawn)), key=lambda i: (drawn[i][0], i))
    found: list[tuple[str, int, int]] = []

    def walk(i: int, parent: int, depth: int) -> None:
        if all(name != f"s{i:02}" for name, _, _ in found):
            found.append((f"s{i:02}", parent, depth))
            position = len(found) - 1
            for child in rows:
                if drawn[child][1] == i:
                    walk(child, position, depth + 1)

    for i in [i for i in rows if drawn[i][1] < 0 or drawn[i][1] == i] + rows:
        walk(i, -1, 0)
    assert list(zip(tree.ids, tree.parent, tree.depth, strict=True)) == found
    assert [tree.ids[i] for i, end in enumerate(tree.subtree_end) if end == i + 1] == [
        name for i, (name, _, _) in enumerate(found) if all(parent != i for _, parent, _ in found)
    ]


def test_sequential_siblings_stay_in_one_lane() -> None:
    """Work one after the other does not spread over lanes."""
    view = build_view(frames(run("w", *(llm(k, k + 1) for k in range(5)))))

    assert view.lane == [0, 1, 1, 1, 1, 1]


def test_sums_count_every_call_once_and_say_what_is_unknown() -> None:
    """Totals roll up, a repeated span counts nowhere, a call without a price makes its ancestors' totals lower bounds."""
    drawn = run("w", agent("a", 0, 10, llm(1, 2, input_tokens=10, output_tokens=5, cost="0.01"),
                           llm(1, 2, input_tokens=10, output_tokens=5, cost="0.01", duplicate_of="x", id="dup"),
                           llm(3, 4, input_tokens=7, output_tokens=1, cost=None, id="free")))  # fmt: skip
    view = build_view(frames(drawn))
    dup, free = (view.tree.ids.index(name) for name in ("dup", "free"))

    assert view.total_tokens[0] == 23
    assert view.total_cost[0] == pytest.approx(0.01)
    assert view.flags[dup] & DUPLICATE
    assert view.own_tokens[dup] == 0
    assert view.flags[free] & UNPRICED
    assert view.flags[0] & UNPRICED_BELOW
    assert view.flags[1] & UNPRICED_BELOW


def test_self_time_is_what_no_child_covers() -> None:
    """Overlapping children are counted once, and only inside their parent."""
    drawn = run("w", agent("a", 0, 10, llm(1, 4), llm(3, 6), llm(9, 12)), root=False)

    assert build_tree(frames(drawn)).self_ns[0] == 4 * 10**9


def test_orphans_and_cycles_are_kept() -> None:
    """A span whose parent is missing becomes a marked root; parents in a circle are cut, not lost."""
    drawn = run(
        "w",
        llm(0, 1, id="a", parent_span_id="b"),
        llm(1, 2, id="b", parent_span_id="a"),
        llm(2, 3, id="c", parent_span_id="gone"),
        root=False,
    )
    drawn.spans[0].parent_span_id, drawn.spans[1].parent_span_id, drawn.spans[2].parent_span_id = "b", "a", "gone"
    view = build_view(frames(drawn))

    assert sorted(view.tree.ids) == ["a", "b", "c"]
    assert view.flags[view.tree.ids.index("c")] & ORPHAN
    assert overlapping(boxes_of(view)) == []


def test_running_spans_reach_to_the_last_thing_that_happened() -> None:
    """A span without an end is drawn up to the present."""
    view = build_view(frames(run("w", agent("a", 0, None, llm(1, 5)), outcome="running")))

    assert set(view.tree.stop) == {view.tree.horizon}


def test_payload_carries_no_texts_and_is_plain_json() -> None:
    """Prompts stay in the store; names with control characters become visible ones."""
    drawn = run(
        "w",
        agent(
            "a\x00\u202e",
            0,
            3,
            llm(1, 2, prompt="SECRET PROMPT", answer="SECRET ANSWER"),
            tool("t", 2, 3, args={"k": "SECRET"}),
        ),
        message("user", "a", 0, "SECRET"),
    )
    text = json.dumps(payload(build_view(frames(drawn))), allow_nan=False, ensure_ascii=False)

    assert "SECRET" not in text
    assert "a⟦NUL⟧⟦U+202E⟧" in text
    assert "\x00" not in text
    assert "\u202e" not in text


def test_depth_first_order_makes_a_subtree_a_range() -> None:
    """Children follow their parent directly, siblings by start."""
    drawn: Drawn = run("w", agent("b", 5, 9, llm(6, 7)), agent("a", 0, 4, llm(1, 2), llm(2, 3)))
    tree = build_tree(frames(drawn))

    assert list(tree.column("name")) == ["w", "a", "chat gpt-4o", "chat gpt-4o", "b", "chat gpt-4o"]
    assert tree.subtree_end == [6, 4, 3, 4, 6, 6]
