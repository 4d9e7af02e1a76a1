"""The code blocks of the documentation, and the folder in which they are run."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT / "fixtures" / "captures"
RUNNABLE = ("python", "sh", "sql")
_BLOCK = re.compile(
    r"(?:<!-- (?P<word>before|not run here|file):? ?(?P<said>(?:(?!-->).)*?) ?-->\s*)?^```(?P<language>\w*)[ \t]*\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: str
    """path of the page, from the root of the repository"""
    line: int
    language: str
    code: str
    before: str
    """code to run ahead of it, from a comment `<!-- before ... -->` above the block"""
    not_run: str
    """why it is not run, from a comment `<!-- not run here: ... -->` above the block"""
    file: str
    """name under which later blocks of the page find it, from a comment `<!-- file: ... -->` above the block"""

    @property
    def name(self) -> str:
        """How the block is called in a test's id."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page a reader may open, decisions and the changelog aside."""
    return [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """All fenced blocks, in the order of the pages."""
    for path in pages():
        text = path.read_text("utf-8")
        for found in _BLOCK.finditer(text):
            said = found["said"] or ""
            yield Block(
                page=str(path.relative_to(ROOT)),
                line=text.count("\n", 0, found.start("code")),
                language=found["language"],
                code=found["code"],
                before=said if found["word"] == "before" else "",
                not_run=said if found["word"] == "not run here" else "",
                file=said if found["word"] == "file" else "",
            )


APP = """import tracer

tracer.init()
with tracer.workflow("app"), tracer.agent("planner"):
    with tracer.llm_call("gpt-4o-mini", provider="openai", messages=[{"role": "user", "content": "plan"}]) as call:
        call.completion("done")
        call.usage(input_tokens=10, output_tokens=2)
"""
PAST = """import sys

import tracer

version, first_day = sys.argv[1], int(sys.argv[2])
recording = tracer.init(service="app", service_version=version)
for day in range(first_day, first_day + 3):
    begin = 1_793_491_200_000_000_000 + day * 86_400_000_000_000  # days from 2026-11-01
    with tracer.workflow("app", start_ns=begin) as run, tracer.agent("planner", start_ns=begin) as planner:
        tracer.record_llm_call(
            "gpt-4o" if version == "1.0" else "gpt-4o-mini", provider="openai",
            messages=[{"role": "user", "content": f"plan day {day}"}], completion="done",
            input_tokens=100, output_tokens=20, start_ns=begin, end_ns=begin + 1_000_000_000,
        )
        run.end_ns = planner.end_ns = begin + 2_000_000_000
"""


def furnish(folder: Path) -> dict[str, str]:
    """Put into `folder` what the pages talk of: a store with runs, a program, files to import.

    Returns the words of the pages that stand for an id, with an id of that store for each.
    """
    (folder / "app.py").write_text(APP)
    (folder / "past.py").write_text(PAST)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copy(_unpacked("openai-agents-openinference-ordinary", folder), folder / "spans.otlp.json")
    with gzip.open(folder / "more.otlp.json.gz", "wb") as packed:
        packed.write(_unpacked("langgraph-openinference-loop", folder).read_bytes())
    (folder / "chat-transcripts.jsonl").write_text(
        '{"id": "chat-1", "history": [{"name": "Planner", "role": "assistant", "content": "Look it up."},'
        ' {"name": "Researcher", "role": "assistant", "content": "It is 720,000."}]}\n'
    )
    run("tracehound import spans.otlp.json more.otlp.json.gz chat-transcripts.jsonl", folder)
    run("python past.py 1.0 -4; python past.py 1.1 1", folder)
    listed = run("tracehound traces --json", folder)
    ids = re.findall(r'"run_id": "([^"]+)"', listed)
    return {"RUN": ids[0], "OTHER_RUN": ids[1]}


def _unpacked(capture: str, folder: Path) -> Path:
    path = folder / f"{capture}.otlp.json"
    with gzip.open(CAPTURES / f"{capture}.otlp.json.gz") as packed:
        path.write_bytes(packed.read())
    return path


def run(script: str, folder: Path) -> str:
    """Run `script` in bash, stopping at the first command that fails; returns what it printed.

    Raises:
        AssertionError: a command failed; the text holds what it printed.
    """
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    here.pop("TRACEHOUND_STORE", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=here, capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
