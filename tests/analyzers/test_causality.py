"""Happens-before of one run."""

from __future__ import annotations

import polars as pl
import pytest

from analyzers.causality import SKEW_NS, HappensBefore, clock_error_ns
from analyzers.detectors.conflicting_decisions import find_conflicting_decisions
from analyzers.detectors.divergent_views import find_divergent_views
from analyzers.detectors.orphan_task import find_orphan_tasks
from analyzers.detectors.stale_read import find_stale_reads
from analyzers.frames import Frames
from tests.drawn import Node, agent, decision, frames, handoff, llm, message, run, state_read, state_write, tool

CASES: dict[str, tuple[list[Node], bool]] = {
    "parallel siblings": ([agent("a", 0, 5, id="x"), agent("b", 1, 4, id="y")], False),
    "one after the other under one parent": ([agent("a", 0, 2, id="x"), agent("b", 3, 4, id="y")], True),
    "message in between": (
        [agent("a", 0, 9, llm(1, 2, id="x"), message("a", "b", 3)), agent("b", 1, 9, llm(4, 5, id="y"))], True,
    ),
    "message to somebody else": (
        [agent("a", 0, 9, llm(1, 2, id="x"), message("a", "c", 3)), agent("b", 1, 9, llm(4, 5, id="y"))], False,
    ),
    "handoff in between": (
        [agent("a", 0, 9, llm(1, 2, id="x"), handoff("a", "b", 3)), agent("b", 3.5, 9, llm(4, 5, id="y"))], True,
    ),
    "version written and read": (
        [agent("a", 0, 9, llm(1, 2, id="x"), state_write("k", 3, version=2)), agent("b", 1, 9, state_read("k", 4, version=2), llm(5, 6, id="y"))], True,
    ),
    "an older version read": (
        [agent("a", 0, 9, llm(1, 2, id="x"), state_write("k", 3, version=2)), agent("b", 1, 9, state_read("k", 4, version=1), llm(5, 6, id="y"))], False,
    ),
    "linked": ([agent("a", 0, 9, llm(1, 2, id="x")), agent("b", 1, 9, llm(4, 5, id="y", links=["x"]))], True),
    "inner before outer ends": ([agent("b", 0, 9, agent("a", 1, 2, id="x"), id="y")], True),
    "other process, within the clock error": ([agent("a", 0, 2, id="x", pid=1), agent("b", 2.01, 4, id="y", pid=2)], False),
    "other process, well after": ([agent("a", 0, 2, id="x", pid=1), agent("b", 3, 4, id="y", pid=2)], True),
    "one process after the other, a third beside them": (
        [agent("a", 0, 2, llm(0, 1, pid=2), llm(1.5, 1.7, id="x"), llm(1.71, 1.9, id="y"), pid=1)], True,
    ),
    "two marks at one moment": ([message("a", "b", 1, id="x"), message("a", "c", 1, id="y")], False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_who_could_have_known(case: str) -> None:
    """Order follows recorded causes; it never holds both ways."""
    items, expected = CASES[case]
    drawn = frames(run("w", *items))
    relation = HappensBefore(drawn.spans, drawn.links)

    assert relation.before("x", "y") is expected
    assert not relation.before("y", "x")
    assert relation.concurrent("x", "y") is not expected


def test_deep_traces_need_no_recursion() -> None:
    """A chain of thousands of nested spans is searched."""
    inner = agent("a", 0, 1, id="deep")
    for _ in range(900):
        inner = agent("a", 0, 1, inner)
    drawn = frames(run("w", inner, agent("b", 2, 3, id="after")))

    assert HappensBefore(drawn.spans).before("deep", "after")


def two_hosts(behind_s: float) -> Frames:
    """A lead on one host writes a brief, starts a worker on another, whose clock is `behind_s` off, and ends after it.

    The worker reads the newest brief, decides, and calls a tool; then the lead, told of it, decides again.
    """
    drawn = frames(
        run(
            "w",
            agent("Lead", 0, 20, state_write("brief", 1, version=1), state_write("brief", 2, version=2, id="brief2"),
                  agent("Worker", 3, 9, state_read("brief", 4, version=2), decision("go", "yes", 5), tool("send", 6, 7),
                        message("Worker", "Lead", 8), pid=2),
                  state_read("brief", 18, version=2), decision("go", "no", 19), pid=1),
            pid=1,
        )
    )  # fmt: skip
    inside = pl.col("agent") == "Worker"
    moved = [(pl.col(at) - pl.when(inside).then(round(behind_s * 1e9)).otherwise(0)) for at in ("start_ns", "end_ns")]
    pid = pl.when(inside).then(2).otherwise(1).cast(pl.Int64).alias("pid")
    return Frames(spans=drawn.spans.with_columns(*moved, pid), traces=drawn.traces, contents=drawn.contents)


@pytest.mark.parametrize(("behind_s", "proven_s"), [(0, 0.05), (-2, 0.05), (5, 3), (7, 5)])
def test_a_wrong_clock_shows_in_effects_before_their_causes(behind_s: float, proven_s: float) -> None:
    """The worker cannot have started before its lead, nor have read a brief before it was written."""
    assert clock_error_ns(two_hosts(behind_s).spans) == round(proven_s * 1e9) >= SKEW_NS


@pytest.mark.parametrize("behind_s", [-2, -0.5, 0, 0.5, 2])
def test_clocks_of_two_hosts_do_not_make_findings(behind_s: float) -> None:
    """Whatever the second host's clock says, within two seconds, the run is healthy."""
    held = two_hosts(behind_s)
    finders = (find_stale_reads, find_divergent_views, find_orphan_tasks, find_conflicting_decisions)

    assert [finding.title for find in finders for finding in find(held)] == []
