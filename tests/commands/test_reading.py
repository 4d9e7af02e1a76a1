"""The reading commands on what real frameworks wrote: the JSON contract, and answers that agree with each other."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from dashboard.cli import main
from tests.commands.conftest import CAPTURES, RUNS, Ask

TRACE_KEYS = {
    "trace_id", "run_id", "source_id", "workflow", "outcome", "start_ns", "duration_s", "spans", "agents", "llm_calls",
    "input_tokens", "output_tokens", "cost_usd", "findings",
}  # fmt: skip
AGENT_KEYS = {
    "agent", "calls", "success_rate", "error_rate", "latency_mean_s", "latency_p50_s", "latency_p95_s", "llm_calls",
    "input_tokens", "output_tokens", "cached_tokens", "cost_usd", "coverage",
}  # fmt: skip
WORKFLOW_KEYS = {
    "workflow", "runs", "completed", "completion_rate", "escalation_rate", "latency_mean_s", "latency_p95_s",
    "cost_mean_usd", "cost_total_usd",
}  # fmt: skip
FINDING_KEYS = {
    "id", "kind", "severity", "confidence", "title", "explanation", "agents", "spans", "steps", "start_ns", "end_ns",
    "wasted_usd", "wasted_tokens", "data", "suggestion",
}  # fmt: skip
ANALYSED_KEYS = {
    "trace_id", "workflow", "outcome", "findings", "suspects", "ledger", "critical_path", "architecture",
}  # fmt: skip


@pytest.mark.smoke
def test_traces_lists_every_run_newest_first(ask: Ask) -> None:
    """One object per run with the contract's keys; a run that was split over traces is one."""
    rows = ask("traces")

    assert len(rows) == len(RUNS)
    assert all(set(row) == TRACE_KEYS for row in rows)
    starts = [row["start_ns"] for row in rows]
    assert starts == sorted(starts, reverse=True)


def test_traces_filter_narrows_the_list(ask: Ask) -> None:
    """A filter lets through what it names, and only that."""
    rows = ask("traces --filter 'workflow:SelectorGroupChat'")

    assert {row["workflow"] for row in rows} == {"SelectorGroupChat"}
    assert 0 < len(rows) < len(RUNS)


@pytest.mark.smoke
def test_metrics_add_up_to_the_list(ask: Ask) -> None:
    """Tokens and calls per agent sum to those of the runs: nothing counted twice, nothing lost."""
    runs, metrics = ask("traces"), ask("metrics")

    assert all(set(row) >= AGENT_KEYS for row in metrics["agents"])
    assert all(set(row) >= WORKFLOW_KEYS for row in metrics["workflows"])
    for column in ("llm_calls", "input_tokens", "output_tokens"):
        assert sum(row[column] for row in runs) == sum(row[column] for row in metrics["agents"]), column
    assert len(runs) == sum(row["runs"] for row in metrics["workflows"])
    assert all(row["coverage"] is None or 0 <= row["coverage"] <= 1 for row in metrics["agents"])
    costs = [[row["cost_usd"] for row in rows if row["cost_usd"] is not None] for rows in (runs, metrics["agents"])]
    assert sum(costs[0]) == pytest.approx(sum(costs[1]))
    assert any(row["cost_usd"] is None for row in runs), "no price is known for the mock model"


@pytest.mark.smoke
def test_analyze_gives_the_contract_document(ask: Ask) -> None:
    """Every run is there; findings have evidence that exists, checks, and the contract's keys."""
    document = ask("analyze")

    assert document["failures"] == []
    assert len(document["traces"]) == len(RUNS)
    assert all(set(trace) >= ANALYSED_KEYS for trace in document["traces"])
    findings = [finding for trace in document["traces"] for finding in trace["findings"]]
    assert all(set(finding) >= FINDING_KEYS for finding in findings)
    assert all(finding["spans"] and finding["data"]["checked"] for finding in findings)
    for check in (check for finding in findings for check in finding["data"]["checked"]):
        assert set(check) == {"rule", "value", "threshold", "passed"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capture", "agents"),
    [
        ("autogen-openinference-loop", {"researcher", "analyst"}),
        ("langgraph-openinference-loop", {"supervisor", "researcher"}),
        ("openai-agents-openinference-loop", None),
        ("pydantic-ai-native-loop", None),
    ],
)
def test_the_loops_of_real_frameworks_are_found_once(
    capture: str, agents: set[str] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The four captured loops: one loop finding each, at least a warning, with the agents that loop."""
    import json

    from tests.commands.conftest import CAPTURES

    store = tmp_path / "one.duckdb"
    [file] = [path for path in CAPTURES.iterdir() if path.name.startswith(f"{capture}.otlp.json")]
    assert main(["import", str(file), "--store", str(store)]) == 0
    capsys.readouterr()
    main(["analyze", "--json", "--store", str(store)])
    [trace] = json.loads(capsys.readouterr().out)["traces"]
    loops = [finding for finding in trace["findings"] if finding["kind"] == "loop"]

    assert len(loops) == 1
    assert loops[0]["severity"] in ("warning", "critical")
    assert agents is None or set(loops[0]["agents"]) == agents
    assert loops[0]["data"]["iterations"] >= 4
    assert {"period", "path"} <= set(loops[0]["data"])


def test_ordinary_runs_of_real_frameworks_have_no_findings(ask: Ask) -> None:
    """Captures of ordinary runs are healthy: whatever is said of what they did is a remark of severity info."""
    document = ask("analyze")
    healthy = [trace for trace in document["traces"] if trace["outcome"] == "completed"]

    assert len(healthy) >= 20
    told = [(t["workflow"], f["kind"], f["title"]) for t in healthy for f in t["findings"] if f["severity"] != "info"]
    # Some instrumentors leave token counts out; that is a finding about the recording, not about the agents.
    assert [finding for finding in told if finding[1] != "data_quality"] == []


@pytest.mark.smoke
@pytest.mark.parametrize(
    "suffix", [pytest.param(".html", marks=pytest.mark.slow), ".md", pytest.param(".json", marks=pytest.mark.slow)]
)
def test_report_writes_every_form(suffix: str, ask: Ask, captured: Path, tmp_path: Path) -> None:
    """A post-mortem of a real run is written in each form and names the run."""
    run_id = ask("traces")[0]["run_id"]
    target = tmp_path / f"report{suffix}"

    assert main(["report", run_id, "-o", str(target), "--store", str(captured)]) == 0
    assert run_id in target.read_text()


def test_a_mark_is_kept_and_an_unknown_run_is_answered_with_near_names(
    captured: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mark` finds a run by the beginning of its id; a wrong id exits with 2 and a hint."""
    run_id = ask("traces")[0]["run_id"]

    assert main(["mark", run_id[:12], "failed", "--note", "wrong answer", "--store", str(captured)]) == 0
    [row] = ask(f"sql \"SELECT verdict, note FROM marks WHERE run_id = '{run_id}'\"")
    assert row == {"verdict": "failed", "note": "wrong answer"}
    assert main(["mark", "zzzz", "ok", "--store", str(captured)]) == 2
    assert "Hint:" in capsys.readouterr().err


@pytest.mark.slow
def test_lists_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of the JSON form under a heading that stands there without rows too; nothing that a spreadsheet would run."""
    store = str(tmp_path / "t.duckdb")
    assert main(["import", str(CAPTURES / "autogen-openinference-loop.otlp.json.gz"), "--store", store]) == 0

    def printed(*words: str) -> str:
        capsys.readouterr()
        assert main([*words, "--store", store]) == 0
        return capsys.readouterr().out

    def listed(*words: str) -> tuple[list[str], list[dict[str, str]]]:
        heading, *rows = csv.reader(io.StringIO(printed(*words), newline=""))
        assert len(heading) == len(set(heading))
        return heading, [dict(zip(heading, row, strict=True)) for row in rows]

    def same(found: list[dict[str, str]], told: list[dict[str, Any]], *names: str) -> bool:
        shown = [["" if row[name] is None else str(row[name]) for name in names] for row in told]
        return len(told) > 0 and [[row[name] for name in names] for row in found] == shown

    heading, rows = listed("traces", "--csv")
    told = json.loads(printed("traces", "--json"))
    assert set(heading) == TRACE_KEYS
    assert same(rows, told, "run_id", "workflow", "outcome", "start_ns", "duration_s", "input_tokens")
    assert json.loads(rows[0]["findings"]) == [one["kind"] for one in told[0]["findings"]] != []
    assert listed("traces", "--csv", "--filter", "workflow:nobody") == (heading, [])

    heading, rows = listed("metrics", "--csv", "agents")
    assert set(heading) >= AGENT_KEYS
    assert same(
        rows, json.loads(printed("metrics", "--json"))["agents"], "agent", "calls", "success_rate", "latency_p95_s"
    )

    heading, rows = listed("analyze", "--csv")
    found = [one for trace in json.loads(printed("analyze", "--json"))["traces"] for one in trace["findings"]]
    assert set(heading) == {"trace_id", *FINDING_KEYS}
    assert same(rows, found, "id", "trace_id", "kind", "confidence", "title", "wasted_tokens")
    assert all("checked" in json.loads(row["data"]) for row in rows)

    query = "SELECT '=1+1' AS formula, NULL AS unknown, [1, 2] AS list, 0.10::DECIMAL(4, 2) AS money"
    assert listed("sql", query, "--csv")[1] == [{"formula": "'=1+1", "unknown": "", "list": "[1, 2]", "money": "0.10"}]


@pytest.mark.slow
def test_sql_reads_only_the_store(captured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Writing, files and settings are refused, and nothing changes."""
    for query in (
        "DELETE FROM spans",
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY spans TO '/tmp/x.csv'",
        "SELECT 1; SELECT 2",
    ):
        assert main(["sql", query, "--store", str(captured)]) == 2, query
    assert "Traceback" not in capsys.readouterr().err


def test_show_draws_the_tree(captured: Path, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal tree has every span of the run once; the JSON form nests the same spans."""
    row = next(row for row in ask("traces") if row["workflow"] == "SelectorGroupChat")

    def size(node: dict[str, object]) -> int:
        children = node["children"]
        assert isinstance(children, list)
        return 1 + sum(size(child) for child in children)

    document = ask(f"show {row['run_id']}")
    assert sum(size(root) for root in document["spans"]) == row["spans"]
    assert main(["show", row["run_id"], "--store", str(captured)]) == 0
    assert "researcher" in capsys.readouterr().out


@pytest.mark.slow
def test_terminal_output_shows_control_characters_instead_of_obeying_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An escape sequence in a message cannot move the cursor or colour the terminal."""
    import json

    file = tmp_path / "chat.jsonl"
    history = [{"name": "evil\x1b[2J", "content": "\x1b[31mred\x00"}, {"name": "b", "content": "fine"}]
    file.write_text(json.dumps({"id": "x\x1b]0;title\x07", "history": history}) + "\n")
    store = tmp_path / "t.duckdb"
    assert main(["import", str(file), "--store", str(store)]) == 0
    capsys.readouterr()
    run_id = "x\x1b]0;title\x07"
    for words in (["traces"], ["metrics"], ["analyze"], ["show", run_id]):
        assert main([*words, "--store", str(store)]) == 0
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err, words
        assert "\x00" not in out + err, words
