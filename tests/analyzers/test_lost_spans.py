"""Verdicts that rest on something not being there, where spans are known to be missing."""

from __future__ import annotations

import polars as pl
import pytest

from analyzers.detectors.lost_update import find_lost_update
from analyzers.detectors.ping_pong import find_ping_pong
from analyzers.detectors.stale_read import find_stale_reads
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.lost_spans import with_lost_parents
from analyzers.run import analyse
from tests.analyzers import (
    test_duplicate_calls,
    test_lost_update,
    test_no_answer,
    test_ping_pong,
    test_serial_bottleneck,
    test_stale_read,
)
from tests.drawn import Drawn, agent, frames, llm, ns, run, tool, wait

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


def less(drawn: Drawn, *lost: str) -> Frames:
    """The run without the spans `lost`, which others still name as their parent."""
    given = frames(drawn)
    kept = given.spans.filter(~pl.col("span_id").is_in(lost))
    return Frames(spans=kept, traces=given.traces, contents=given.contents)


def test_what_a_lost_parent_was_is_told_by_what_hung_from_it() -> None:
    """Work says whose invocation it was; agents alone, or work of several, do not. Nothing is added where all is there."""
    drawn = run(
        "w",
        agent("Chief", 0, 9, llm(0, 2, id="think"), agent("Crew", 2, 5, tool("dig", 2, 5), id="crew"), llm(5, 9), id="chief"),
        agent("Hall", 10, 12, agent("Guest", 10, 11, llm(10, 11)), id="hall"),
    )  # fmt: skip
    whole, lossy = frames(drawn), less(drawn, "chief", "hall")
    root = drawn.spans[0].span_id

    assert with_lost_parents(whole.spans).equals(whole.spans)
    added = with_lost_parents(lossy.spans).filter(pl.col("span_id").is_in(["chief", "hall"])).sort("span_id")
    assert added.select("span_id", "parent_span_id", "kind", "agent", "start_ns", "end_ns").rows() == [
        ("chief", root, "agent", "Chief", ns(0), ns(9)),
        ("hall", root, "other", None, ns(10), ns(11)),
    ]


def test_a_hub_whose_own_invocation_was_lost_is_found_by_its_work() -> None:
    """The workers it started name it as their parent still."""
    (chief,) = test_serial_bottleneck.hub(3, 1)
    chief.fields["id"] = "chief"
    finding = told(less(run("w", chief), "chief"), "serial_bottleneck")

    assert finding.data["bottleneck"] == "Chief"
    assert finding.data["rounds"] == 6
    assert "chief" not in finding.spans


def test_steps_whose_invocation_was_lost_stay_one_step() -> None:
    """Both invocations are lost; what was read and then overwritten is read and overwritten by one step all the same."""
    clash = test_lost_update.LOST["versions and values"]
    for one in clash:
        one.fields["id"] = one.name
    lossy = less(run("w", *clash), "a", "b")

    assert {"r1", "w2", "w3"} <= set(told(lossy, "lost_update").spans)
    assert find_lost_update(less(run("w", *clash), "r1")) == []


def test_a_writer_of_whom_nothing_is_left_is_told_by_the_value_that_was_replaced() -> None:
    """One write is all there is, but it replaced another value than the one its step had read."""
    lossy = less(run("w", *test_lost_update.LOST["versions and values"]), "w2", "r2")
    (finding,) = find_lost_update(lossy)

    assert finding.severity == "warning"
    assert "not recorded" in finding.title
    assert finding.spans == ("r1", "w3")


@pytest.mark.parametrize(("lost", "severity"), [((), "info"), (("old",), None), (("beside",), "warning")])
def test_a_stale_value_whose_use_was_lost_is_suspected(lost: tuple[str, ...], severity: str | None) -> None:
    """In a whole run nothing came of it; where spans were lost and the step ends with the read, what it did was lost."""
    items = [*test_stale_read.case(), agent("Beside", 0, 9, llm(1, 2), id="beside")]
    found = find_stale_reads(less(run("sale", *items), *lost))

    assert [f.severity for f in found] == ([] if severity is None else [severity])
    assert all(("not recorded" in f.title) is (severity == "warning") for f in found)
    went_on = less(run("sale", *test_stale_read.case(llm(6, 7)), items[-1]), *lost)
    assert [f.severity for f in find_stale_reads(went_on)] == ([] if severity is None else ["info"])
