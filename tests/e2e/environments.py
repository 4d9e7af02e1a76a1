"""Environments of real frameworks, built from the registry with pinned versions, away from the project's own pins.

Where the registry refuses after retries, a test is skipped and says that nothing was proven; pins that contradict each
other are our fault, and a failure. An environment is built once a run, also where several workers share the run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

OPENAI = "openai==3.54.0"
PINS = {
    "openai": [OPENAI],
    "openai-agents": [
        OPENAI, "openai-agents==0.24.0", "openinference-instrumentation-openai-agents==2.6.0", "opentelemetry-sdk==1.45.1",
    ],
    "openai-agents alone": [OPENAI, "openai-agents==0.24.0"],
    "langgraph": [
        OPENAI, "langgraph==1.2.22", "langgraph-supervisor==0.0.31", "langchain-openai==1.7.3",
        "openinference-instrumentation-langchain==0.1.80", "opentelemetry-sdk==1.45.1",
    ],
    "pydantic-ai": [OPENAI, "pydantic-ai-slim[openai]==2.68.0"],
    "clients": [
        "openai==2.54.0", "anthropic==2.12.0", "google-genai==3.4.0", "litellm==1.106.2", "httpx==0.28.1", "httpx2==2.16.2",
        "aiohttp==3.14.5", "requests==2.34.2", "fastapi==0.165.0", "flask==3.1.3", "uvicorn==0.54.0", "mcp==2.3.0",
    ],
    "mcp 1": ["mcp==1.30.0", "opentelemetry-sdk==1.45.1"],
    "crewai": [
        "openai==2.54.0", "crewai==1.15.30", "openinference-instrumentation-crewai==1.1.21",
        "openinference-instrumentation-openai==0.1.66", "opentelemetry-sdk==1.45.2",
    ],
    "smolagents": [
        OPENAI, "smolagents==1.26.0", "openinference-instrumentation-smolagents==0.1.43", "opentelemetry-sdk==1.45.1",
    ],
}  # fmt: skip
ATTEMPTS = 3
LIMIT_S = 240
"""for one installation; those of a test run are cached by uv"""


CONTRADICTION = "No solution found"
"""how uv begins where the versions asked for do not go together"""


class Environments:
    """Built when first asked for, in a directory that all workers of a test run share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def of_run(cls, factory: pytest.TempPathFactory) -> Environments:
        """Those of this test run, whichever worker asks."""
        base = factory.getbasetemp()
        shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "environments"
        shared.mkdir(exist_ok=True)
        return cls(shared)

    def python(self, name: str) -> Path:
        """The interpreter of the environment `name`; skips the test where it cannot be installed."""
        return self.with_packages(name, PINS[name])

    def with_packages(self, name: str, packages: Sequence[str]) -> Path:
        """The interpreter of an environment with `packages`; fails where they contradict each other."""
        target = self._directory / name.replace(" ", "-")
        said = target.with_suffix(".said")
        with target.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not said.exists():
                said.write_text(self._build(target, packages))
        error = said.read_text()
        if CONTRADICTION in error:
            pytest.fail(f"The pinned versions of {name} contradict each other: {error}")
        if error:
            pytest.skip(f"NOT PROVEN: the registry gave no {', '.join(packages)}: {error}")
        return target / "bin" / "python"

    def _build(self, target: Path, packages: Sequence[str]) -> str:
        """Why it could not be built; "" where it could."""
        uv = shutil.which("uv")
        if uv is None:
            return "uv is not installed"
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(target / "bin" / "python")]
        said = self._run([uv, "venv", "--quiet", "--no-project", "--clear", "--python", sys.executable, str(target)])
        if said:
            return said
        for attempt in range(ATTEMPTS):
            time.sleep(2 * attempt)  # the registry may be busy
            said = self._run([*install, *packages])
            if not said or CONTRADICTION in said:
                break
        return said

    def _run(self, command: list[str]) -> str:
        try:
            done = subprocess.run(
                command, cwd=self._directory, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=_clean()
            )
        except subprocess.TimeoutExpired:
            return f"it took more than {LIMIT_S} s"
        return "" if done.returncode == 0 else done.stderr.strip()[-800:] or f"exit code {done.returncode}"


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")}
