"""Environments of real frameworks, built from the registry with pinned versions; skipped, loudly, where it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
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
}  # fmt: skip
ATTEMPTS = 3


class Environments:
    """Built when first asked for, once a session."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._built: dict[str, Path | str] = {}

    def python(self, name: str) -> Path:
        """The interpreter of the environment `name`; skips the test where it cannot be installed."""
        if name not in self._built:
            self._built[name] = self._build(name)
        found = self._built[name]
        if isinstance(found, str):
            pytest.skip(f"NOT PROVEN: the registry gave no {', '.join(PINS[name])}: {found}")
        return found

    def _build(self, name: str) -> Path | str:
        uv = shutil.which("uv")
        if uv is None:
            return "uv is not installed"
        target = self._directory / name.replace(" ", "-")
        python = target / "bin" / "python"
        commands = [
            [uv, "venv", "--quiet", "--no-project", "--python", "3.11", str(target)],
            [uv, "pip", "install", "--quiet", "--python", str(python), *PINS[name]],
        ]
        said = ""
        for attempt in range(ATTEMPTS):
            for command in commands[attempt > 0 :]:
                try:
                    done = subprocess.run(
                        command, cwd=self._directory, capture_output=True, text=True, check=False, timeout=120,
                        env=_clean(),
                    )  # fmt: skip
                except subprocess.TimeoutExpired:
                    said = "it took more than two minutes"
                    break
                said = done.stderr.strip()
                if done.returncode != 0:
                    break
            else:
                return python
            time.sleep(2 * attempt)
        return said[-500:]


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")}
