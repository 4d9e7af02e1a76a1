"""The run as it went: turns, what led to them, and their places."""

from __future__ import annotations

import re

from dashboard.figures.tables import turns_table
from dashboard.figures.turns import build_turns
from dashboard.figures.turns_draw import COLUMNS, draw_turns, pages
from tests.drawn import agent, frames, llm, message, run
from tests.figures.scenes import hostile, looping, three_way


def test_turns_come_from_invocations_and_what_led_to_them() -> None:
    """The supervisor starts three workers at once: one column for all three, right of it, with a link each."""
    turns = build_turns(frames(three_way()))
    at = {turn.agent: turn for turn in turns.turns}
    assert list(at) == ["supervisor", "flights", "hotels", "activities"]
    assert (at["supervisor"].column, {at[name].column for name in ("flights", "hotels", "activities")}) == (0, {1})
    assert {(turns.turns[link.source].agent, turns.turns[link.target].agent) for link in turns.links} == {
        ("supervisor", name) for name in ("flights", "hotels", "activities")
    }
    assert (at["hotels"].calls, at["hotels"].failed) == (4, False)


def test_a_loop_is_a_turn_for_every_round_under_one_bracket() -> None:
    """47 rounds of two are 94 turns on pages that say what they show; time goes from left to right."""
    drawn, findings = looping()
    turns = build_turns(frames(drawn), findings)
    looped = [turn for turn in turns.turns if turn.finding == 0]
    assert len(looped) == 94
    assert sum(turn.cost_usd for turn in looped) > 4.6
    assert [turn.column for turn in looped] == sorted(turn.column for turn in looped)
    markup = draw_turns(turns)
    assert re.search(r"Showing 40 of 95 turns.*columns 1–40 of 95", markup)
    assert markup.count('class="tn-mark th-critical"') == 1
    assert "loop ×47 · $4.60" in markup
    held = sum(len(turns_table(turns, page * COLUMNS, (page + 1) * COLUMNS).rows) for page in range(pages(turns)))
    assert held == len(turns.turns)


def test_copies_at_once_share_a_column_and_a_wrapper_is_no_turn() -> None:
    """An agent that starts itself once is wrapped; started three times it has three copies side by side, never overlapping."""
    copies = run(
        "w", agent("scout", 0, 9, agent("scout", 0, 9, *(agent("scout", k / 10 + 1, 8, llm(2, 3)) for k in range(3))))
    )
    turns = build_turns(frames(copies))
    assert [turn.number for turn in turns.turns] == [1, 2, 3, 4]
    assert len({turn.column for turn in turns.turns[1:]}) == 1
    places = [(turn.column, turn.lane) for turn in turns.turns]
    assert len(set(places)) == len(places)
    assert {(link.source, link.target) for link in turns.links} == {(0, 1), (0, 2), (0, 3)}


def test_a_transcript_has_turns_too() -> None:
    """Where no invocation was recorded, who speaks has the turn."""
    talk = run("chat", *(message("a" if k % 2 else "b", "b" if k % 2 else "a", k, "hello") for k in range(6)))
    turns = build_turns(frames(talk))
    assert [turn.agent for turn in turns.turns] == ["b", "a"] * 3
    assert [turn.column for turn in turns.turns] == list(range(6))


def test_recorded_names_stay_text() -> None:
    drawn, findings = hostile()
    markup = draw_turns(build_turns(frames(drawn), findings))
    assert "<img" not in markup
    assert "</script>" not in markup
