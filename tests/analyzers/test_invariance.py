"""What must not matter to any verdict: order of rows, the clock, names of agents, other runs. One run per kind of trouble."""

from __future__ import annotations

import polars as pl
import pytest

from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from tests.analyzers import (
    test_context_growth,
    test_divergent_views,
    test_duplicate_calls,
    test_error_cascade,
    test_no_answer,
    test_orphan_task,
    test_ping_pong,
    test_retry_storm,
    test_runaway_fanout,
    test_serial_bottleneck,
    test_stale_read,
    test_state_growth,
    test_write_skew,
)
from tests.analyzers.test_run import shuffled
from tests.drawn import Drawn, agent, frames, llm, run, tool, wait

DAY_NS = 86_400 * 10**9


def troubled() -> dict[str, Drawn]:
    """kind -> a run that has it."""
    fields = {"deadline": 35, **test_no_answer.TIMED_OUT}
    return {
        "ping_pong": run("desk", *test_ping_pong.bounce(4), id="ping"),
        "retry_storm": run("crawl", agent("Crawler", 0, 99, *test_retry_storm.nested(3, 3)), id="storm"),
        "duplicate_calls": run("search", *(agent(f"S{n}", n, n + 1, test_duplicate_calls.look(n)) for n in range(8)), id="same"),
        "context_growth": run("chat", agent("C", 0, 99, *test_context_growth.chat(24)), id="grow"),
        "stale_read": run("sale", *test_stale_read.case(tool("invoice", 6, 7)), id="stale"),
        "state_growth": run("log", agent("L", 0, 99, *test_state_growth.writes(test_state_growth.GROWING)), id="state"),
        "orphan_task": run("plan", test_orphan_task.started(30, llm(12, 13, cost="0.5")), id="orphan"),
        "no_answer": run("file", test_no_answer.clerk(wait("Archive", 5, 35, **fields)), id="wait"),
        "write_skew": run("ward", *test_write_skew.on_call(), id="skew"),
        "divergent_views": run("pumps", *test_divergent_views.split(), id="views"),
        "runaway_fanout": run("scan", agent("Lead", 0, 100, *test_runaway_fanout.tree(2, 4)), id="fan"),
        "serial_bottleneck": run("queue", *test_serial_bottleneck.queue(), id="serial"),
        "error_cascade": run("load", *test_error_cascade.chain("Loader", "Parser", "Reporter"), id="fall", outcome="failed"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def given() -> Frames:
    return frames(*troubled().values())


@pytest.fixture(scope="module")
def told(given: Frames) -> Analysis:
    return analyse(given)


def test_every_trouble_is_told_in_its_run(told: Analysis) -> None:
    """Each run has its kind of finding, and no detector failed."""
    assert told.failures == ()
    for kind, drawn in troubled().items():
        assert kind in {f.kind for f in told.of(drawn.run_id)}, kind


def test_the_order_of_rows_does_not_matter(given: Frames, told: Analysis) -> None:
    """Rows in any order, same analysis, ids included."""
    assert analyse(shuffled(given, 7)) == told


def test_the_clock_does_not_matter(given: Frames, told: Analysis) -> None:
    """A day later, the same findings in the same words."""
    moved = Frames(
        spans=given.spans.with_columns(pl.col("start_ns", "end_ns", "deadline_ns") + DAY_NS),
        traces=given.traces.with_columns(pl.col("start_ns", "end_ns") + DAY_NS),
        contents=given.contents,
    )

    assert [(f.id, f.severity, f.explanation) for f in analyse(moved).findings] == [
        (f.id, f.severity, f.explanation) for f in told.findings
    ]


def test_names_of_agents_do_not_matter(given: Frames, told: Analysis) -> None:
    """Other names, same findings and evidence."""

    def named(name: str) -> pl.Expr:
        return pl.lit("Agent ") + pl.col(name)

    renamed = Frames(
        spans=given.spans.with_columns(
            agent=named("agent"),
            target_agent=named("target_agent"),
            wait_for=pl.col("wait_for").list.eval(pl.lit("Agent ") + pl.element()),
        ),
        traces=given.traces,
        contents=given.contents,
    )

    def evidence(analysis: Analysis) -> list[tuple[str, str, tuple[str, ...]]]:
        return sorted((f.kind, f.severity, f.spans) for f in analysis.findings)

    assert evidence(analyse(renamed)) == evidence(told)


@pytest.mark.slow
def test_each_run_is_judged_by_itself(given: Frames, told: Analysis) -> None:
    """Alone or among others, a run gets the same findings."""
    alone = [f for run_id in given.run_ids for f in analyse(given.only(run_id)).findings]

    assert sorted(f.id for f in alone) == sorted(f.id for f in told.findings)
