"""`tracehound compare` on a real store: two runs, groups, and what cannot be compared."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from dashboard.cli import main
from tests.analyzers.test_comparison import many, pair
from tests.dashboard.stores import write
from tests.drawn import frames


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "traces.duckdb"
    write(path, frames(*many("old", 30, seed=1), *many("new", 30, seed=2, cost=0.03, version="2"), *pair()))
    return path


def told(line: str, store: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    code = main([*shlex.split(line), "--store", str(store)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_versions_are_compared(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Version 2 costs three times as much; JSON and table say so."""
    code, out, _ = told("compare --by version --json", store, capsys)
    (comparison,) = json.loads(out)["comparisons"]
    cost = next(change for change in comparison["changes"] if change["metric"] == "cost_usd")

    assert (code, comparison["a"]["label"], comparison["b"]["label"], comparison["verdict"]) == (0, "1", "2", "changed")
    assert 2.2 < cost["interval_95"][0] < cost["effect"] < cost["interval_95"][1] < 3.6
    assert "changed" in told("compare --filter-a 'cost<0.02' --filter-b 'cost>0.02'", store, capsys)[1]


def test_two_runs_by_name(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Step by step, in words and as JSON."""
    a, b = pair()
    code, out, _ = told(f"compare {a.run_id} {b.run_id}", store, capsys)

    assert code == 0
    assert "tool a search" in next(line for line in out.splitlines() if line.startswith("+"))
    assert "1 only in B" in out
    assert json.loads(told(f"compare {a.run_id} {b.run_id} --json", store, capsys)[1])["counts"]["only_b"] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare", "nothing to compare"),
        ("compare A", "two were expected"),
        ("compare --by prompt", "no prompt"),
        ("compare --filter-a agent:planner", "belong together"),
        ("compare --before 1999-01-01", "No run is on the side"),
        ("compare --filter-a finding:loop --filter-b agent:planner", "asks for findings"),
    ],
)
def test_what_cannot_be_compared_is_said(line: str, said: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, a sentence, nothing on stdout."""
    code, out, err = told(line, store, capsys)

    assert (code, out) == (2, "")
    assert said in err
