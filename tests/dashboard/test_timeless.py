"""A transcript without times: every place says the order of its messages, and none an invented second or date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from analyzers.comparison.alignment import compare_runs
from analyzers.frames import Frames
from dashboard.cli import main
from dashboard.documents.choose import choose_document, pairs
from dashboard.documents.conversation import conversation_document
from dashboard.documents.ledger import ledger_view
from dashboard.documents.run import header_document, started_cell, took_cell
from dashboard.documents.span import span_document
from dashboard.figures.dependency import build_dependencies
from dashboard.figures.dependency_draw import draw_dependencies
from dashboard.figures.sequence import build_sequence, sequence_html
from dashboard.figures.sequence_text import mermaid
from dashboard.figures.tables import edges_table, steps_table
from dashboard.figures.timeline import draw_timeline
from dashboard.figures.trace_view import build_view, payload
from dashboard.report import render_html, render_markdown
from dashboard.run_reads import overview
from tests import drawn
from tests.dashboard import stores
from tracer.clock import NO_CLOCK_NS, has_clock
from tracer.importers.turn_times import intervals

AT = NO_CLOCK_NS / 1e9 - drawn.EPOCH_S
INVENTED = re.compile(r"2000-01-01|\b\d+\.\d\d s\b|\b\d+m \d\ds\b")
"""how a date or a length of the run below would be written"""


def transcript(name: str = "talk", rounds: int = 4) -> drawn.Drawn:
    """Two agents in turn, one message a second, as an importer lays out what has no times."""
    marks: dict[str, Any] = {"derived": ["start_ns", "end_ns"]}
    turns = [
        drawn.agent(who, i, i + 1, drawn.message(who, "user", i, f"Word {i}", end=i + 1, **marks), **marks)
        for i, who in enumerate(["Solver", "Checker"] * rounds)
    ]
    return drawn.run("talk", *turns, id=name, at=AT, outcome="failed", outcome_reason="the source says so", **marks)


@pytest.fixture
def frames() -> Frames:
    return drawn.frames(transcript())


def test_importers_begin_where_nothing_has_a_clock() -> None:
    """What is laid out in order lies in the year that no figure takes for a time."""
    real, found = intervals([None, None])
    assert not real
    assert [has_clock(start) for start, _ in found] == [False, False]
    assert has_clock(drawn.ns(0))


def test_no_view_shows_an_invented_time(frames: Frames) -> None:
    """Header, lists, details, conversation, diagrams and their tables."""
    assert frames.timeless.to_list() == [frames.run_ids[0]]
    row = frames.traces.row(0, named=True)
    span = frames.spans.filter(frames.spans["kind"] == "message").sort("start_ns")["span_id"][2]
    diagram, graph = build_sequence(frames), build_dependencies(frames)
    shown = {
        "header": json.dumps(header_document(row, (), None)),
        "list": json.dumps(choose_document(frames.traces)),
        "details": json.dumps(span_document(frames, span, ())),
        "conversation": json.dumps(conversation_document(frames)),
        "sequence": sequence_html(diagram),
        "mermaid": mermaid(diagram),
        "steps": json.dumps(steps_table(diagram, diagram.rows).to_json()),
        "graph": draw_dependencies(graph),
        "edges": json.dumps(edges_table(graph).to_json()),
        "timeline": draw_timeline(build_view(frames)),
    }
    assert {name: INVENTED.findall(text) for name, text in shown.items()} == {name: [] for name in shown}
    assert "in order of its messages" in shown["header"]
    assert "no LLM calls recorded" in shown["header"]
    placed = {name for name, text in shown.items() if re.search(r"#1\b", text)}
    assert placed == {"conversation", "sequence", "steps", "timeline"}
    assert "#2" in shown["details"]
    assert (started_cell(row), took_cell(row)) == ("—", "—")
    assert payload(build_view(frames))["timed"] is False


def test_the_post_mortem_shows_none_either(frames: Frames) -> None:
    """Five lines, numbers, moments, diagrams; the zoomable viewer is told by its payload."""
    told = render_html(frames)
    body = told[told.index("<body") : told.index('id="trace-data"')]
    assert INVENTED.findall(body) == []
    assert "talk ran with 2 agents; the record has no times and no model calls." in body
    assert INVENTED.findall(render_markdown(frames)) == []


def test_a_comparison_counts_no_seconds(frames: Frames) -> None:
    """Steps that only one run has took no second more."""
    other = drawn.frames(transcript("longer", rounds=6))
    steps = compare_runs(frames, other)["steps"]
    assert [step for step in steps if step["change"] == "only_b"]
    assert {side["seconds"] for step in steps for side in (step["a"], step["b"]) if side} == {None}


@pytest.mark.slow
def test_numbers_over_runs_leave_them_out(tmp_path: Path) -> None:
    """Latency and trend are of runs with times; the transcript is counted all the same."""
    store = stores.write(
        tmp_path / "t.duckdb", drawn.frames(transcript(), stores.plain(1, at=0.0), stores.plain(2, at=60.0))
    )
    shown = overview(store)
    assert shown.totals.runs == 3
    assert shown.totals.p95_s == pytest.approx(4.0, abs=0.1)
    assert shown.bucket_s < 60
    assert all(has_clock(start) for start in shown.trend["start_ns"])


@pytest.mark.slow
def test_the_terminal_shows_none_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list and its JSON, the tree, and what `watch` says."""
    store = stores.write(tmp_path / "t.duckdb", drawn.frames(transcript()))
    asked = ["--store", str(store.path)]
    assert main(["traces", "--json", *asked]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["duration_s"] is None
    for command in (["traces"], ["show", row["run_id"]]):
        assert main([*command, *asked]) == 0
        told = capsys.readouterr().out
        assert "Solver" in told or "talk" in told
        assert re.findall(r"\b\d+(?:\.\d+)? s\b|\b\d+m \d\ds\b", told) == []


def test_a_ledger_of_nothing_says_so() -> None:
    """No $0 and no empty table."""
    parts = [{"part": "work", "usd": 0.0, "tokens": 0, "calls": 0, "ns": None}]
    [said] = ledger_view(
        {"ledger": {"parts": parts, "total": {"usd": 0.0, "tokens": 0, "calls": 0, "ns": None}, "unpriced_calls": 0}}
    )
    assert said["block"] == "note"
    assert "nothing to add up" in said["text"]


def test_pairs_worth_comparing() -> None:
    """Good beside bad of one workflow first; else its two newest; a workflow that ran once has no pair."""
    rows = [
        {"run_id": run_id, "workflow": workflow, "outcome": outcome}
        for run_id, workflow, outcome in (
            ("q2", "quiet", "completed"), ("b1", "mixed", "failed"), ("r", "mixed", "running"), ("g1", "mixed", "completed"),
            ("q1", "quiet", "completed"), ("g0", "mixed", "completed"), ("one", "single", "failed"),
        )
    ]  # fmt: skip
    assert [(a["run_id"], other["run_id"]) for a, other in pairs(rows)] == [("g1", "b1"), ("q1", "q2")]
