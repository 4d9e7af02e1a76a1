"""Which runs failed: a person's mark before evaluations before the outcome; and what `analyze RUN` compares a failed run with."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzers import document
from analyzers.attribution import attribute, verdicts
from analyzers.document import analysis_document
from analyzers.run import analyse
from dashboard.commands import analyze
from dashboard.loading import alone, analyse_runs
from tests.drawn import Drawn, agent, frames, run, tool
from tracer.importers import import_file
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


def judged(*events: dict[str, Any], outcome: str = "completed", mark: str | None = None) -> tuple[bool | None, str]:
    """(failed, by) of a drawn run with these evaluations and this mark."""
    said = [("gen_ai.evaluation.result", 1.0, event) for event in events]
    drawn = run("w", agent("a", 0, 2, events=said), outcome=outcome)
    rows = [{"run_id": drawn.run_id, "time_ns": 1, "verdict": mark, "note": "why"}] if mark else []
    marks = pl.DataFrame(
        rows, schema={"run_id": pl.String, "time_ns": pl.Int64, "verdict": pl.String, "note": pl.String}
    )
    verdict = verdicts(replace(frames(drawn), marks=marks))[drawn.run_id]
    return verdict.failed, verdict.by


LABEL, VALUE = "gen_ai.evaluation.score.label", "gen_ai.evaluation.score.value"


@pytest.mark.parametrize(
    ("events", "outcome", "mark", "expected"),
    [
        ([], "completed", None, (False, "outcome")),
        ([], "timed_out", None, (True, "outcome")),
        ([], "unknown", None, (None, "outcome")),
        ([{LABEL: "fail"}], "completed", None, (True, "evaluation")),
        ([{LABEL: "Pass"}], "failed", None, (False, "evaluation")),
        ([{VALUE: 0.2}], "completed", None, (True, "evaluation")),
        ([{VALUE: 0.9}, {LABEL: "incorrect"}], "completed", None, (True, "evaluation")),
        ([{VALUE: 7.0}], "completed", None, (False, "outcome")),
        ([{LABEL: "rather long", VALUE: 1}], "failed", None, (False, "evaluation")),
        ([{LABEL: "fail"}], "completed", "ok", (False, "mark")),
        ([{LABEL: "pass"}], "completed", "failed", (True, "mark")),
    ],
)
def test_who_says_that_a_run_failed(
    events: list[dict[str, Any]], outcome: str, mark: str | None, expected: tuple[bool | None, str]
) -> None:
    """The first of mark, evaluation and outcome that says anything counts; a scale nobody knows says nothing."""
    assert judged(*events, outcome=outcome, mark=mark) == expected


def calls(name: str, *names: str, outcome: str) -> Drawn:
    return run("book", agent("clerk", 0, 9, *(tool(n, i, i + 1, args=1) for i, n in enumerate(names))), id=name, outcome=outcome)  # fmt: skip


def test_a_mark_makes_suspects_and_takes_them_away() -> None:
    """A run marked as failed is attributed though it completed; one marked as good serves as comparison though it failed."""
    bad, good = (
        calls("bad", "find", "cancel", "pay", outcome="completed"),
        calls("good", "find", "pay", outcome="failed"),
    )
    marks = pl.DataFrame({"run_id": [bad.run_id, good.run_id], "time_ns": [1, 1], "verdict": ["failed", "ok"], "note": ["lost", None]})  # fmt: skip
    held = replace(frames(bad, good), marks=marks)
    said = verdicts(held)
    answers = attribute({one.run_id: frames(one) for one in (bad, good)}, (), said)
    assert list(answers) == [bad.run_id]
    assert "calls cancel" in answers[bad.run_id].suspects[0].evidence[0]
    entries = {e["run_id"]: e for e in analysis_document(held, analyse(held))["traces"]}
    assert entries[bad.run_id]["verdict"] == {"failed": True, "by": "mark", "why": "marked as failed: lost"}
    assert entries[bad.run_id]["suspects"]
    assert not entries[good.run_id]["suspects"]


def test_runs_that_only_serve_as_comparison_are_not_answered_for() -> None:
    """`asked` limits the answers, not what they are made from."""
    bad, other, good = (calls(n, "find", *more, outcome=o) for n, more, o in
                        (("b", ["cancel"], "failed"), ("o", ["cancel"], "failed"), ("g", [], "completed")))  # fmt: skip
    runs = {one.run_id: frames(one) for one in (bad, other, good)}
    assert attribute(runs, asked={bad.run_id}) == {bad.run_id: attribute(runs)[bad.run_id]}


def trial(number: int, reward: float, *tools: str) -> dict[str, Any]:
    asked: list[dict[str, Any]] = [{"role": "user", "content": "Book me the flight to Lisbon."}]
    for n, name in enumerate(tools):
        call = {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        asked += [{"role": "assistant", "content": "", "tool_calls": [call]},
                  {"role": "tool", "tool_call_id": f"c{n}", "name": name, "content": f"{name} done"}]  # fmt: skip
    return {"id": f"7/{number}", "task": "airline", "workflow": "airline", "reward": reward, "messages": [*asked, {"role": "assistant", "content": "Done."}]}  # fmt: skip


def booked(name: str, outcome: str, *tools: str) -> Drawn:
    """A clerk that calls tools one after the other."""
    items = [tool(tool_name, n, n + 1, args={}, id=f"{name}-{tool_name}") for n, tool_name in enumerate(tools)]
    return run("book", agent("clerk", 0, len(tools) + 1, *items), outcome=outcome, id=name)


BAD = booked("bad", "failed", "find", "cancel", "book")
GOOD = [booked(f"good-{n}", "completed", "find", "book") for n in range(3)]


def test_a_run_that_is_taken_out_of_many_keeps_what_it_is_compared_with() -> None:
    """A report of one of many runs names the suspect that a report of all names; good runs need no peers."""
    many = frames(BAD, *GOOD, run("other", agent("a", 0, 1), id="other"))
    one = alone(many, BAD.run_id)

    assert one.run_ids == [BAD.run_id]
    (entry,) = analysis_document(one, analyse(one))["traces"]
    assert [(s["span_id"], s["tier"]) for s in entry["suspects"][:1]] == [("bad-cancel", "differential")]
    assert one.peers is not None
    assert sorted(one.peers.run_ids) == sorted(drawn.run_id for drawn in GOOD)
    assert alone(many, GOOD[0].run_id).peers is None


def test_a_failed_run_is_compared_with_runs_that_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a document looks into one run only, the good ones are compared with all the same."""
    monkeypatch.setattr(document, "DEEP_RUNS", 1)
    many = frames(BAD, *GOOD)
    entries = {entry["trace_id"]: entry for entry in analysis_document(many, analyse(many))["traces"]}

    assert [s["span_id"] for s in entries[BAD.run_id]["suspects"][:1]] == ["bad-cancel"]
    assert entries[GOOD[0].run_id]["ledger"] is None


@pytest.mark.slow
def test_analyze_of_one_run_compares_with_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Good runs of the workflow come from the store though only the failed one was named; a mark reaches the JSON and the terminal."""
    source = tmp_path / "runs.jsonl"
    records = [trial(0, 1.0, "find", "book"), trial(1, 1.0, "find", "cancel", "book"), trial(2, 1.0, "find", "book")]
    source.write_text("\n".join(json.dumps(record) for record in records))
    store = Store(tmp_path / "traces.duckdb")
    writer = SegmentWriter(store.path)
    import_file(source, writer, "auto")
    writer.close()
    store.fold()
    bad = reads.find_run(store, "7/1")
    reads.mark(store, bad, "failed", "the booking was gone")
    frames_of_one, analysis = analyse_runs(store, [bad])
    assert frames_of_one.run_ids == [bad]
    (entry,) = analysis_document(frames_of_one, analysis)["traces"]
    assert entry["verdict"]["by"] == "mark"
    assert any("cancel" in text for text in entry["suspects"][0]["evidence"])
    assert "differential" in entry["suspects"][0]["tier"]

    parser = ArgumentParser()
    analyze.add_arguments(parser)
    assert analyze.run(parser.parse_args([bad, "--store", str(store.path)])) == 0
    shown = capsys.readouterr().out
    assert "marked as failed: the booking was gone" in " ".join(shown.split())
    assert "[differential" in shown
