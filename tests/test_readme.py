"""The README is true: its Python records a run, its commands exist, every finding is listed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from analyzers.detectors import DETECTORS
from dashboard.commands import COMMANDS
from tracer.store import reads
from tracer.store.database import Store

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="only where the sources are")


def test_the_python_example_records_a_run(tmp_path: Path) -> None:
    """The example runs as it stands; its store holds the workflow, the agent, and a priced call."""
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code)

    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    store = Store(tmp_path / "traces.duckdb")
    store.fold()
    [run] = reads.runs(store).to_dicts()

    assert (run["workflow"], run["outcome"], run["agents"], run["llm_calls"]) == ("city-facts", "completed", 1, 1)
    assert float(run["cost_usd"]) == pytest.approx(812 * 2.5e-6 + 14 * 10e-6)


def test_commands_that_are_named_exist() -> None:
    """Every `tracehound NAME` in the README is a command."""
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", README.read_text(), re.DOTALL))
    named = set(re.findall(r"tracehound ([a-z]+)", code))

    assert "import" in named
    assert named <= {command.name for command in COMMANDS}
    assert Path(sys.executable).with_name("tracehound").exists()


def test_every_kind_of_finding_is_listed_and_has_its_page() -> None:
    """A detector without its line in the table, or without its page, is a failing test."""
    kinds = [detector.name for detector in DETECTORS]

    assert [kind for kind in kinds if f"(docs/findings/{kind}.md)" not in README.read_text()] == []
    assert sorted(path.stem for path in (ROOT / "docs" / "findings").glob("*.md")) == sorted(kinds)
