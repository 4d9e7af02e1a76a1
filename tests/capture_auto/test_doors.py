"""Programs that have packages called `dashboard`, `tracer` or `analyzers`: the command, pytest and what they start still find ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tracehound_cli

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

APP = """
import dashboard, sys, tracer
from opentelemetry import trace
import subprocess
assert (dashboard.MINE, tracer.MINE) == (True, True), (dashboard, tracer)
with trace.get_tracer("app").start_as_current_span(sys.argv[1]):
    if len(sys.argv) == 2:
        subprocess.run([sys.executable, "app.py", "child", "last"], check=True)
sys.exit(7 if len(sys.argv) == 2 else 0)
"""
TEST = "def test_its_own():\n    import dashboard\n    assert dashboard.MINE\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("dashboard", "tracer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "test_project.py").write_text(TEST)
    return tmp_path


def started(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """`command` with the project on PYTHONPATH."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEHOUND", "PYTEST"))}
    return subprocess.run(
        command, cwd=project, env={**variables, "PYTHONPATH": "."}, capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip


def test_the_command_finds_ours_and_the_program_its_own(project: Path) -> None:
    """`PYTHONPATH=.` is the program's: it and its children import their own modules, and are one run."""
    command = str(Path(sys.executable).parent / "tracehound")
    done = started(project, command, "run", "--", "app.py", "parent")
    assert done.returncode == 7, done.stderr
    assert "1 run, 2 spans" in done.stderr
    shown = started(project, command, "traces", "--json")
    assert '"parent"' in shown.stdout, shown.stderr


def test_pytest_starts_in_such_a_project(project: Path) -> None:
    """There is no fixture of ours then, and no error either; in any other project there is."""
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = started(project, sys.executable, *arguments)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    shutil.rmtree(project / "dashboard")
    fixtures = started(project, sys.executable, *arguments, "--fixtures", "test_project.py")
    assert "tracehound_run" in fixtures.stdout, fixtures.stdout + fixtures.stderr


@pytest.mark.parametrize(
    ("given", "kept", "told"),
    [
        (lambda project: "", None, None),
        (lambda project: str(project / "src"), lambda project: str(project / "src"), None),
        (lambda project: str(ROOT), lambda project: str(ROOT), None),
        (lambda project: str(project), None, lambda project: str(project)),
        (
            lambda project: f"{project}{os.pathsep}{project / 'src'}",
            lambda project: str(project / "src"),
            lambda project: f"{project}{os.pathsep}{project / 'src'}",
        ),
    ],
    ids=["nothing", "harmless", "ours", "foreign", "both"],
)
def test_what_is_left_of_the_path(
    given: Callable[[Path], str],
    kept: Callable[[Path], str] | None,
    told: Callable[[Path], str] | None,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only directories with foreign packages of our names go, from the path and for children; what was given is remembered."""
    text = given(project)
    expected: Any = kept(project) if kept is not None else text if told is None else None
    monkeypatch.setenv("PYTHONPATH", text)
    monkeypatch.setenv(tracehound_cli.GIVEN, "")  # so that what is set meanwhile is taken back
    monkeypatch.delenv(tracehound_cli.GIVEN)
    monkeypatch.setattr(sys, "path", [*filter(None, text.split(os.pathsep)), *sys.path])
    tracehound_cli.make_way()
    assert os.environ.get("PYTHONPATH") == expected
    assert os.environ.get(tracehound_cli.GIVEN) == (told(project) if told is not None else None)
    assert str(project) not in sys.path
