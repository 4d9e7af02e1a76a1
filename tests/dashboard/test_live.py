"""What runs now: innermost work, waits by name, deadlocks as they stand, and what takes unusually long."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dashboard import live_reads
from dashboard.documents.live import ended_document, running_document
from tests import drawn
from tests.dashboard import stores

SECOND = 10**9


def _open(*items: drawn.Node) -> pl.DataFrame:
    spans = drawn.frames(drawn.run("desk", *items, id="now", end=None)).spans
    return spans.filter(spans["end_ns"].is_null())


def test_only_the_innermost_open_work_is_told() -> None:
    """An agent whose LLM call is open is told by the call; the longest comes first."""
    spans = _open(drawn.agent("A", 0, None, drawn.llm(2, None)), drawn.agent("B", 1, None, drawn.wait("A", 5, None)))
    found = live_reads.open_spans(spans, {}, drawn.ns(10))
    assert [(one.row["kind"], one.for_s) for one in found] == [("llm", 8.0), ("wait", 5.0)]


def test_between_two_steps_nothing_is_done() -> None:
    """The run itself is open all the time; it is no work of anybody."""
    run = drawn.run("desk", drawn.agent("A", 0, 1), id="now", outcome="running")
    spans = drawn.frames(run).spans.filter(pl.col("end_ns").is_null())
    assert spans["kind"].to_list() == ["workflow"]
    assert live_reads.open_spans(spans, {}, drawn.ns(10)) == ()


def test_agents_that_wait_for_each_other_are_stuck_while_it_happens() -> None:
    """A circle of open waits is a deadlock; a chain that ends at somebody who works is none."""
    circle = [drawn.agent(a, 0, None, drawn.wait(b, 1, None)) for a, b in (("A", "B"), ("B", "A"), ("C", "A"))]
    stuck = live_reads.open_spans(_open(*circle), {}, drawn.ns(10))
    assert {one.row["agent"] for one in stuck if one.stuck} == {"A", "B", "C"}
    chain = [drawn.agent("A", 0, None, drawn.wait("B", 1, None)), drawn.agent("B", 0, None, drawn.llm(1, None))]
    assert not any(one.stuck for one in live_reads.open_spans(_open(*chain), {}, drawn.ns(10)))


def test_late_is_three_times_the_usual_or_over_the_deadline() -> None:
    """What is usual is learned per kind, agent and name; without it only a deadline makes late."""
    spans = _open(
        drawn.agent("A", 0, None, drawn.llm(0, None)), drawn.agent("B", 0, None, drawn.wait("A", 0, None, deadline=5.0))
    )
    call = spans.filter(spans["kind"] == "llm").row(0, named=True)
    usual: live_reads.Usual = {("llm", "A", str(call["name"])): 10.0}
    late = {one.row["kind"]: one.late for one in live_reads.open_spans(spans, usual, drawn.ns(31))}
    assert late == {"llm": True, "wait": True}
    early = {one.row["kind"]: one.late for one in live_reads.open_spans(spans, usual, drawn.ns(4))}
    assert early == {"llm": False, "wait": False}
    assert not any(one.late for one in live_reads.open_spans(spans, {}, drawn.ns(4)))


def test_a_store_gives_running_runs_first_and_then_those_that_ended(tmp_path: Path) -> None:
    """The card of a running run names the agents in a deadlock; ended runs are listed with their outcome."""
    circle = [drawn.agent(a, 0, None, drawn.wait(b, 1, None)) for a, b in (("A", "B"), ("B", "A"))]
    frames = drawn.frames(
        drawn.run("close", *circle, id="now", end=None, outcome="running"),
        *(stores.plain(i, at=-60.0 * i) for i in range(25)),
    )
    store = stores.write(tmp_path / "t.duckdb", frames)
    shown = live_reads.live(store, live_reads.usual(store, since_ns=0), now_ns=drawn.ns(10))
    assert [run.row["workflow"] for run in shown.runs] == ["close"]
    assert shown.runs[0].stuck == {"A", "B"}
    said = str(running_document(shown.runs, drawn.ns(10)))
    assert "deadlock: A, B" in said
    assert "waits for B" in said
    assert shown.recent.height == live_reads.RECENT
    assert "completed" in str(ended_document(shown.recent))


def test_trouble_comes_before_news_and_nothing_is_lost(tmp_path: Path) -> None:
    """Of forty running runs the oldest is in a deadlock: it is the first card. A run whose program died is among the last."""
    circle = [drawn.agent(a, 0, None, drawn.wait(b, 1, None)) for a, b in (("A", "B"), ("B", "A"))]
    busy = [drawn.run("busy", drawn.agent("C", 0, None), id=f"b{i}", at=60.0 + i, outcome="running") for i in range(39)]
    died = drawn.run("died", drawn.agent("D", 0, None), id="d", at=30, outcome="running")
    died.summary.update(outcome="interrupted")
    store = stores.write(
        tmp_path / "t.duckdb", drawn.frames(drawn.run("close", *circle, id="now", outcome="running"), *busy, died)
    )
    shown = live_reads.live(store, {}, now_ns=drawn.ns(120))
    assert [run.row["workflow"] for run in shown.runs[:2]] == ["close", "busy"]
    said = str(running_document(shown.runs, drawn.ns(120)))
    assert "Showing 25 of 40 running runs" in said
    assert shown.recent["workflow"].to_list() == ["died"]
    assert "never ended" in str(ended_document(shown.recent))


def test_usual_times_need_enough_examples(tmp_path: Path) -> None:
    """Twenty ended calls like the open one make a usual time; three do not."""
    running = drawn.run("w", drawn.agent("A", 0, None, drawn.llm(1, None)), id="now", end=None, outcome="running")
    ended = [drawn.run("w", drawn.agent("A", 0, 3, drawn.llm(1, 3)), id=f"e{i}", at=-60.0 * (i + 1)) for i in range(24)]
    many = stores.write(tmp_path / "many.duckdb", drawn.frames(running, *ended))
    assert [value for key, value in live_reads.usual(many, since_ns=-(10**15)).items() if key[0] == "llm"] == [2.0]
    few = stores.write(tmp_path / "few.duckdb", drawn.frames(running, *ended[:3]))
    assert not live_reads.usual(few, since_ns=-(10**15))
