"""Runs programs under `tracehound run`, as a user does, in an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.capture.spool import read_spool
from tracer.model import RawSpan

SPAN = "from opentelemetry import trace\nspan = trace.get_tracer('program').start_as_current_span\n"


@dataclass
class Done:
    code: int
    out: str
    err: str
    store: Path

    @property
    def last_line(self) -> str:
        """What `tracehound run` itself says at the end."""
        return self.err.strip().rpartition("\n")[2]


def write(directory: Path, **programs: str) -> None:
    """Write `name="..."` to name.py."""
    for name, text in programs.items():
        (directory / f"{name}.py").write_text(textwrap.dedent(text))


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "dashboard.cli", "run", *words]


def variables(**more: str) -> dict[str, str]:
    """This environment without what a surrounding run or a developer may have set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEHOUND_", "TRACEPARENT"))}
    return {**kept, **more}


def run(directory: Path, *words: str, **more: str) -> Done:
    """`tracehound run *words` in `directory`; its store is `directory/traces.duckdb`."""
    done = subprocess.run(
        command(*words), cwd=directory, env=variables(**more), capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr, directory / "traces.duckdb")


def bootstrapped(directory: Path, *words: str, **more: str) -> dict[str, RawSpan]:
    """Run `python *words` with the bootstrap only, without folding; the recorded spans by name. Fails if the program does."""
    from dashboard.commands.run import environment

    started = environment(directory / "traces.duckdb", [sys.executable, *words])
    started = {key: value for key, value in started.items() if key.startswith("TRACEHOUND_") or key == "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words], cwd=directory, env=variables(**{**started, **more}), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {span.name: span for span in read_spool(directory / "traces.duckdb").spans}
