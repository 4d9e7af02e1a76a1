"""A store with the recorded captures of real frameworks, imported once through the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.cli import main
from tests.store.conftest import empty_store  # noqa: F401  (a fixture)

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
FILES = sorted(path for path in CAPTURES.glob("*.otlp.json*") if "-state." not in path.name)
"""all but the programs that were written to lose updates"""
RUNS = [path for path in FILES if ".logs." not in path.name]
"""every capture is one run, whatever the framework split it into"""
Ask = Callable[[str], Any]


@pytest.fixture(scope="session")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the store."""
    store = tmp_path_factory.mktemp("captured") / "captures.duckdb"
    assert main(["import", *map(str, FILES), "--store", str(store)]) == 0
    return store


@pytest.fixture(scope="session")
def answers() -> dict[str, Any]:
    """What was asked before; the captures do not change, only marks are added."""
    return {}


@pytest.fixture
def ask(captured: Path, answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a reading command with --json on the captures; gives the parsed document, of questions about marks anew."""

    def run(line: str) -> Any:
        if line not in answers or "marks" in line:
            answers[line] = once(line)
        return answers[line]

    def once(line: str) -> Any:
        capsys.readouterr()
        assert main([*shlex.split(line), "--json", "--store", str(captured)]) == 0
        return json.loads(capsys.readouterr().out)

    return run
