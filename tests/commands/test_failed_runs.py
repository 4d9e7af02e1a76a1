"""A run that failed is told of, whether or not a detector has something to say about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashboard.cli import main


def test_analyze_names_failed_runs_without_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One failed and one good transcript: only the failed one is named, and where to go on."""
    said = [{"agent": "solver", "content": "The answer is 4."}]
    for name, correct in (("wrong", False), ("right", True)):
        record = {"id": name, "question": "What is 2 + 3?", "is_correct": correct, "history": said}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record), encoding="utf-8")
    store = tmp_path / "t.duckdb"
    assert (
        main(["import", *(str(tmp_path / f"{name}.jsonl") for name in ("wrong", "right")), "--store", str(store)]) == 0
    )
    capsys.readouterr()

    assert main(["analyze", "--store", str(store)]) == 0
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Failed without a finding")]
    assert "wrong" in told
    assert "right" not in told
    assert "tracehound analyze RUN" in told
