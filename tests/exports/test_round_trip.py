"""What `export --format otlp` writes, `import` reads back to the same analysis, whoever recorded the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tracer
from dashboard.cli import main
from dashboard.demo.recording import play, start_ns
from reference_runtime.clock import VirtualClock
from reference_runtime.incidents import INCIDENTS

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
SOME = (
    "openai-agents-openinference-toolerror.otlp.json.gz",
    "langgraph-langsmith-state.otlp.json.gz",
    "strands-native-ordinary.otlp.json.gz",
    "langgraph-genai-ordinary.otlp.json.gz",
    "langgraph-genai-ordinary.logs.otlp.json.gz",
)
"""flattened messages, whole JSON texts with graph state, messages in events, messages in log records"""


def analysis(store: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["analyze", "--json", "--store", str(store)]) == 0
    return capsys.readouterr().out


def there_and_back(store: Path, folder: Path, *runs: str) -> Path:
    """A fresh store with what the export of `store` holds."""
    again, file = folder / "again.duckdb", folder / "spans.otlp.json"
    assert main(["export", *runs, "--format", "otlp", "--store", str(store), "-o", str(file)]) == 0
    assert main(["import", str(file), "--store", str(again)]) == 0
    return again


@pytest.mark.slow
def test_captures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of several conventions in one file, with a person's verdict on one of them."""
    store = tmp_path / "store.duckdb"
    assert main(["import", *(str(CAPTURES / name) for name in SOME), "--store", str(store)]) == 0
    told = json.loads(analysis(store, capsys))
    assert len(told["traces"]) == 4
    assert main(["mark", told["traces"][0]["trace_id"], "failed", "--note", "wrong", "--store", str(store)]) == 0

    first = analysis(store, capsys)
    assert analysis(there_and_back(store, tmp_path), capsys) == first
    assert main(["sql", "SELECT verdict, note FROM marks", "--json", "--store", str(tmp_path / "again.duckdb")]) == 0
    assert json.loads(capsys.readouterr().out) == [{"verdict": "failed", "note": "wrong"}]


@pytest.mark.slow
def test_transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts of our own records come back one by one, in order; a named run is the only one in the file."""
    store, file = tmp_path / "store.duckdb", tmp_path / "runs.jsonl"
    call = {"id": "c", "function": {"name": "find", "arguments": '{"q":1}'}}
    history = [
        {"role": "assistant", "name": "clerk", "content": "looking", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "none"},
    ]
    file.write_text("".join(json.dumps({"id": f"r{n}", "history": history, "reward": 0}) + "\n" for n in range(2)))
    assert main(["import", str(file), "--store", str(store)]) == 0
    again = there_and_back(store, tmp_path, "r1")
    read = "SELECT span_id, args_hash, result_hash, input_refs, output_refs FROM spans ORDER BY span_id"
    capsys.readouterr()
    assert main(["sql", f"SELECT * FROM ({read}) WHERE span_id IN (SELECT span_id FROM spans s JOIN traces t USING (run_id) WHERE t.source_id = 'r1')", "--json", "--store", str(store)]) == 0  # fmt: skip
    held = capsys.readouterr().out
    assert main(["sql", read, "--json", "--store", str(again)]) == 0
    assert capsys.readouterr().out == held
    assert len(json.loads(held)) == 4


@pytest.mark.slow
def test_all_captures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every recorded framework and convention, with its log records."""
    store = tmp_path / "store.duckdb"
    assert main(["import", *map(str, sorted(CAPTURES.glob("*.otlp.json.gz"))), "--store", str(store)]) == 0
    first = analysis(store, capsys)
    assert len(json.loads(first)["traces"]) > 30
    assert analysis(there_and_back(store, tmp_path), capsys) == first


@pytest.mark.slow
def test_every_incident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of our own recorder, as OTLP and as Parquet: decisions, state, messages, waits, guard trips, the links between them."""
    store, lake, rows = tmp_path / "store.duckdb", tmp_path / "lake", tmp_path / "rows.duckdb"
    tracer.init(store, service="demo", fold_at_exit=False)
    try:
        for incident in INCIDENTS:
            if len(incident.build(0).runs) < 20:  # those over weeks of runs hold nothing that the others do not
                play(incident.build(0, clock=VirtualClock(start_ns(incident, 0, 1_780_000_000 * 10**9))))
    finally:
        tracer.shutdown()
    first = analysis(store, capsys)
    found = {finding["kind"] for run in json.loads(first)["traces"] for finding in run["findings"]}
    assert len(found) >= 15
    assert analysis(there_and_back(store, tmp_path), capsys) == first
    assert main(["export", "--parquet", str(lake), "--store", str(store)]) == 0
    assert main(["import", str(lake), "--store", str(rows)]) == 0
    assert analysis(rows, capsys) == first
    capsys.readouterr()
    assert main(["analyze", "--lake", str(lake), "--json"]) == 0
    assert capsys.readouterr().out == first
