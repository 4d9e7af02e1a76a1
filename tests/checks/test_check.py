"""`tracehound check`: what closes the gate, what opens it, what build servers are told, and what it refuses to look at."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from analyzers.alerts.parsing import default_rules
from analyzers.gate import judge
from analyzers.run import analyse
from dashboard.checks.outputs import github_annotations, junit_xml
from dashboard.cli import main
from tests.dashboard import stores
from tests.drawn import Drawn, agent, frames, llm, ns, run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six good runs and one that loops."""
    path = tmp_path_factory.mktemp("check") / "traces.duckdb"
    stores.write(path, frames(*(stores.plain(i, at=60.0 * i) for i in range(20, 26)), stores.looping(at=600)))
    return path


def told(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    code = main(["check", *shlex.split(line)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_critical_finding_closes_the_gate(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 with a table, as JSON, on GitHub and in JUnit's words; `--fail-on never` looks and lets pass."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, err = told(f"--store {store} --json --junit {tmp_path / 'out.xml'}", capsys)
    document: dict[str, Any] = json.loads(out)

    assert (code, document["passed"], document["runs"]) == (1, False, 7)
    assert [(p["source"], p["name"], p["workflow"]) for p in document["problems"] if p["fails"]] == [("finding", "loop", "market_report")]  # fmt: skip
    assert {p["name"] for p in document["problems"] if not p["fails"]} >= {"run-latency"}
    assert err.startswith("::error title=tracehound loop in market_report::")
    [failure] = ET.parse(tmp_path / "out.xml").findall("./testsuite[@name='market_report']/testcase/failure")
    assert failure.get("type") == "critical loop"
    monkeypatch.delenv("GITHUB_ACTIONS")
    code, out, err = told(f"--store {store} --fail-on never", capsys)
    assert (code, err) == (0, "")
    assert "check passed: 7 runs" in out
    assert "loop" in out


def test_what_the_baseline_has_does_not_fail_and_new_things_do(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop is known after it was written into the baseline; the same loop in another workflow is new."""
    baseline = tmp_path / "main.parquet"
    assert told(f"--store {store} --write-baseline {baseline}", capsys)[0] == 1
    code, out, _ = told(f"--store {store} --baseline {baseline}", capsys)

    assert code == 0
    assert "known" in out
    assert "1 known from the baseline" in out


def dear(number: int, *, cost: str, failed: bool = False) -> Drawn:
    status = "error" if failed else "ok"
    return run("desk", agent("Clerk", 0, 5, llm(0, 4, cost=cost, input_tokens=900, output_tokens=5), status=status),
               id=f"desk-{number}", at=60.0 * number, outcome="failed" if failed else "completed")  # fmt: skip


@pytest.mark.slow
def test_dearer_runs_and_fewer_that_complete_are_regressions() -> None:
    """Twelve runs at three times the cost, half of them failing, against twelve good ones; the same again is none."""
    main_branch = frames(*(dear(i, cost=f"0.01{i % 3}") for i in range(12)))
    usual = judge(main_branch, analyse(main_branch), (), now_ns=ns(9_999)).runs
    branch = frames(*(dear(i, cost=f"0.03{i % 3}", failed=i % 2 == 0) for i in range(12)))
    gate = judge(branch, analyse(branch), default_rules(), now_ns=ns(9_999), baseline=usual, fail_on="warning")
    found = {problem.name: problem for problem in gate.failing}

    assert found["cost_usd"].title.startswith("desk: cost per run is 2.8 times the baseline's (95 % between ")
    assert (found["completed"].severity, found["completed"].title) == ("critical", "desk: 6 of 12 runs completed, 12 of 12 in the baseline.")  # fmt: skip
    assert {"agent-success-rate", "completion-rate", "run-cost"} <= found.keys()
    again = judge(main_branch, analyse(main_branch), default_rules(), now_ns=ns(9_999), baseline=usual, fail_on="info")
    assert [p for p in again.failing if p.source != "finding"] == []


def test_texts_of_models_break_neither_xml_nor_annotations() -> None:
    """Control characters, markup, and line breaks that would start another command."""
    name = "desk: <b>\x00\x1b,%\n::error::forged"
    drawn = frames(run(name, agent("a", 0, 50, id="a"), id="odd"))
    gate = judge(drawn, analyse(drawn), default_rules(), now_ns=ns(60), fail_on="warning")

    assert gate.failing
    assert all(line.startswith("::") and "\n" not in line for line in github_annotations(gate))
    assert ET.fromstring(junit_xml(gate)).find("./testsuite/testcase/failure") is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--store none.duckdb", "no store"),
        ("absent.json", "Nothing can be read from 'absent.json'"),
        ("empty.json", "Nothing can be read from 'empty.json'"),
        ("--store {store} --since 1m", "no run to check"),
        ("--store {store} --rules bad.toml", "bad.toml:3: window = 'x'"),
        ("--store {store} --baseline none.parquet", "There is no baseline 'none.parquet'"),
        ("--store {store} --baseline bad.toml", "no Parquet file"),
        ("--store {store} --junit bad.toml/out.xml", "Cannot write 'bad.toml/out.xml'"),
    ],
)
def test_a_gate_that_cannot_look_is_never_green(
    line: str,
    said: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit 2, a sentence, no traceback."""
    monkeypatch.chdir(tmp_path)
    Path("empty.json").touch()
    Path("bad.toml").write_text('[[rule]]\nname = "run-cost"\nwindow = "x"\n')
    code, _, err = told(line.format(store=store), capsys)

    assert code == 2
    assert said in err


@pytest.mark.slow
def test_trace_files_are_checked_without_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorded capture of a real framework; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    capture = Path(__file__).parents[2] / "fixtures" / "captures" / "pydantic-ai-native-v2-ordinary.otlp.json.gz"
    code, out, _ = told(f"{capture} --json", capsys)

    assert (code, json.loads(out)["runs"]) == (0, 1)
    assert list(tmp_path.iterdir()) == []
