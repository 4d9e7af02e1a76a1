"""`tracehound watch`: a live run line by line, and its findings at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashboard.cli import main
from dashboard.commands.watch import Tail
from tests.dashboard import stores
from tests.drawn import frames, ns
from tracer.store.database import Store


@pytest.mark.slow
def test_starts_and_ends_are_told_once_as_they_come(tmp_path: Path) -> None:
    """A real writer: an agent begins, another begins, the first ends; every look tells only what is new."""
    path = tmp_path / "traces.duckdb"
    with stores.recording(path) as recorder:
        tail = Tail(Store(path), since_ns=ns(0))
        recorder.start("Planner", at_s=1)
        first = list(tail.news(ns(2)))
        recorder.start("Writer", at_s=2)
        recorder.end("Planner", at_s=3)
        second = list(tail.news(ns(4)))
        third = list(tail.news(ns(5)))

    assert [(line["agent"], line["status"], line["seconds"]) for line in first] == [("Planner", "running", None)]
    assert {(line["agent"], line["status"], line["seconds"]) for line in second} == {("Writer", "running", None), ("Planner", "ok", 2.0)}  # fmt: skip
    assert third == []


@pytest.mark.slow
def test_one_run_is_told_to_its_end_with_its_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON lines in order of time; then the run's end and the loop."""
    path = tmp_path / "traces.duckdb"
    loop = stores.looping()
    stores.write(path, frames(loop, stores.plain(1, at=900)))
    code = main(["watch", loop.run_id, "--json", "--store", str(path)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert code == 0
    assert {line["run_id"] for line in lines} == {loop.run_id}
    assert [line["at_ns"] for line in lines] == sorted(line["at_ns"] for line in lines)
    assert [line["event"] for line in lines[-2:]] == ["run", "finding"]
    assert (lines[-1]["kind"], lines[-1]["status"]) == ("loop", "critical")
    assert main(["watch", "--store", str(tmp_path / "none.duckdb")]) == 2
