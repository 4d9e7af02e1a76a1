"""`run --install`: which instrumentors are missing, and for whom."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dashboard.overlay import Interpreter, canonical, interpreter_of, look_at, missing, overlay
from tests.capture_auto.running import run, write
from tracer.errors import BadInput

ENVIRONMENTS = {
    "nothing of interest": ([], [], []),
    "a framework alone": (["agents"], [], ["openinference-instrumentation-openai-agents"]),
    "with the preferred one": (["crewai"], ["openinference-instrumentation-crewai"], []),
    "with another one, oddly spelled": (["langchain_core"], ["OpenTelemetry_Instrumentation.LangChain"], []),
    "two, one of which writes spans itself": (
        ["pydantic_ai", "smolagents"],
        [],
        ["openinference-instrumentation-smolagents"],
    ),
}


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_the_preferred_instrumentor_of_each_framework_that_has_none(case: str) -> None:
    """One package a framework; none where any of its instrumentors is there, or it needs none."""
    modules, installed, wanted = ENVIRONMENTS[case]
    versions = {canonical(name): "1" for name in installed}
    assert missing(Interpreter("python", "3.11", modules, versions)) == wanted


def test_the_interpreter_is_the_command_or_in_its_first_line(tmp_path: Path) -> None:
    """A console script names it; what is no Python is refused with a hint."""
    console, shell = tmp_path / "tool", tmp_path / "shell"
    console.write_text(f"#!{sys.executable} -s\nprint()\n")
    shell.write_text("#!/bin/sh\n")
    for path in (console, shell):
        path.chmod(0o755)
    assert interpreter_of([sys.executable, "app.py"]) == sys.executable
    assert interpreter_of([str(console)]) == sys.executable
    with pytest.raises(BadInput, match="no Python program"):
        interpreter_of([str(shell)])


@pytest.mark.slow
def test_an_interpreter_tells_what_it_has(tmp_path: Path) -> None:
    """Ours has no framework, so nothing is installed and nothing is written."""
    there = look_at(sys.executable)
    assert (there.modules, there.version) == ([], f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert "opentelemetry-sdk" in there.versions
    assert overlay([sys.executable, "app.py"], tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_program_that_lacks_nothing_runs_as_without(tmp_path: Path) -> None:
    """It is said, and the program runs."""
    write(tmp_path, program="print('ran')\n")
    done = run(tmp_path, "--install", "--", "program.py")
    assert (done.code, done.out) == (0, "ran\n")
    assert "tracehound: nothing is missing." in done.err
