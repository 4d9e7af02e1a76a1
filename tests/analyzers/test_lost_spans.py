"""Verdicts that rest on something not being there, where spans are known to be missing."""

from __future__ import annotations

import polars as pl
import pytest

from analyzers.detectors.ping_pong import find_ping_pong
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import analyse
from tests.analyzers import test_duplicate_calls, test_no_answer, test_ping_pong, test_stale_read
from tests.drawn import Drawn, agent, frames, run, tool, wait

MISSING = "spans of the run known to be missing"
TIMED_OUT = {"deadline": 35, **test_no_answer.TIMED_OUT}
ABSENCE: dict[str, Drawn] = {
    "ping_pong": run("desk", *test_ping_pong.bounce(6), id="ping"),
    "no_answer": run("file", test_no_answer.clerk(wait("Archive", 5, 35, **TIMED_OUT)), id="wait"),
    "stale_read": run("sale", *test_stale_read.case(tool("invoice", 6, 7)), id="stale"),
}


def with_a_gap(drawn: Drawn) -> Frames:
    """The run with a span whose parent never arrived."""
    given = frames(drawn)
    beside = frames(run("w", agent("Beside", 0, 1, id="beside", parent_span_id="lost"), id=drawn.run_id)).spans
    extra = beside.filter(pl.col("span_id") == "beside").with_columns(
        run_id=pl.lit(given.spans["run_id"][0]), trace_id=pl.lit(given.spans["trace_id"][0])
    )
    return Frames(spans=pl.concat([given.spans, extra]), traces=given.traces, contents=given.contents)


def told(given: Frames, kind: str) -> Finding:
    (finding,) = (f for f in analyse(given).findings if f.kind == kind)
    return finding


@pytest.mark.parametrize("kind", ABSENCE)
def test_a_gap_takes_certainty_from_what_rests_on_absence(kind: str) -> None:
    """Less sure, never critical, and it says why; in a whole run the same finding is as it was."""
    whole, doubted = told(frames(ABSENCE[kind]), kind), told(with_a_gap(ABSENCE[kind]), kind)

    assert MISSING not in {check.rule for check in whole.checked}
    assert doubted.confidence < whole.confidence
    assert doubted.severity != "critical"
    assert [(c.value, c.passed) for c in doubted.checked if c.rule == MISSING] == [(1, False)]
    assert "At least a span of this run is missing" in doubted.explanation
    assert doubted.id == whole.id


def test_a_gap_changes_nothing_where_something_was_there() -> None:
    """What rests on recorded calls is as sure as before."""
    searches = [agent(f"S{n}", n, n + 1, test_duplicate_calls.look(n)) for n in range(8)]
    drawn = run("search", *searches, id="same")

    assert MISSING not in {check.rule for check in told(with_a_gap(drawn), "duplicate_calls").checked}


def test_a_turn_of_which_nothing_is_left_is_not_idle_where_spans_are_missing() -> None:
    """Answers of two turns are lost: in a whole run these turns were idle, with gaps nobody knows."""
    drawn = run("desk", *test_ping_pong.bounce(4), id="ping")
    answers = frames(drawn).spans.filter(pl.col("kind") == "llm").sort("start_ns")["span_id"].to_list()

    def without(given: Frames) -> Frames:
        kept = given.spans.filter(~pl.col("span_id").is_in([answers[1], answers[2]]))
        return Frames(spans=kept, traces=given.traces, contents=given.contents)

    assert len(find_ping_pong(without(frames(drawn)))) == 1
    assert find_ping_pong(without(with_a_gap(drawn))) == []
    assert len(find_ping_pong(with_a_gap(drawn))) == 1


def test_lost_turns_among_enough_idle_ones_do_not_hide_a_ping_pong() -> None:
    """Six handoffs, two turns lost: the other two were seen to be idle."""
    given = with_a_gap(run("desk", *test_ping_pong.bounce(6), id="ping"))
    answers = given.spans.filter(pl.col("kind") == "llm").sort("start_ns")["span_id"].to_list()
    kept = given.spans.filter(~pl.col("span_id").is_in([answers[1], answers[3]]))

    assert len(find_ping_pong(Frames(spans=kept, traces=given.traces, contents=given.contents))) == 1
