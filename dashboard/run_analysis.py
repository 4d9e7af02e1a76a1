"""Findings, suspects and ledger of one run, made in the background where the run is large.

A run of 50,000 spans is thought about for half a minute; a page never waits for that. `python -m dashboard.run_analysis
STORE RUN` is the process that does it, and writes its answer to stdout.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzers.document import analysis_document
from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from dashboard.loading import load_frames, with_peers
from tracer.errors import TracehoundError
from tracer.store.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnalysis:
    """What one run's analysis says, alone."""

    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    failures: tuple[DetectorFailure, ...]
    document: Mapping[str, Any]
    """its entry in the document of `tracehound analyze --json`: suspects, ledger, critical_path, architecture"""


class RunAnalysisFailed(TracehoundError):
    """The analysing process ended without an answer."""


def look_into(frames: Frames, findings: Sequence[Finding]) -> Mapping[str, Any]:
    """Suspects, ledger and architecture of the one run in `frames`, with `findings` known. Texts must be loaded."""
    known = Analysis(findings=tuple(findings), fleet=(), skipped=(), failures=())
    return analysis_document(frames, known)["traces"][0]


def analyse_run(store: Store, run_id: str) -> RunAnalysis:
    """Everything about one run, here and now."""
    frames = with_peers(store, load_frames(store, [run_id]))
    made = analyse(frames)
    return RunAnalysis(
        findings=made.of(run_id),
        skipped=made.skipped,
        failures=made.failures,
        document=look_into(frames, made.of(run_id)),
    )


def analyse_apart(path: Path, run_id: str) -> RunAnalysis:
    """As `analyse_run`, in a process of its own.

    Raises:
        RunAnalysisFailed: it ended without an answer.
    """
    command = [sys.executable, "-P", "-m", "dashboard.run_analysis", str(path), run_id]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if ended.returncode != 0:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        raise RunAnalysisFailed(
            f"The analysis of run {run_id} ended with exit code {ended.returncode}: {lines[-1] if lines else 'no message'}",
            hint=f"`tracehound analyze {run_id} --debug` shows more.",
        )
    answer = pickle.loads(ended.stdout)  # written by our own process a moment ago
    assert isinstance(answer, RunAnalysis)
    return answer


class Errand:
    """Work that is done once, in a thread. Thread-safe."""

    def __init__(self, work: Callable[[], RunAnalysis]) -> None:
        self._done = threading.Event()
        self._answer: RunAnalysis | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, args=(work,), name="tracehound-run-analysis", daemon=True).start()

    def answer(self) -> RunAnalysis | None:
        """The answer, None while it is being made.

        Raises:
            Exception: what went wrong in the thread.
        """
        if not self._done.is_set():
            return None
        if self._error is not None:
            raise self._error
        return self._answer

    def _run(self, work: Callable[[], RunAnalysis]) -> None:
        try:
            self._answer = work()
        except Exception as caught:  # noqa: BLE001  handed to the page that asks
            self._error = caught
        self._done.set()


def _main(path: str, run_id: str) -> None:
    """The body of the process: politely, since somebody looks at a page."""
    os.nice(10)
    # Under `-m` this file is `__main__`; the answer must carry the name the reader knows the class by.
    from dashboard import run_analysis

    sys.stdout.buffer.write(pickle.dumps(run_analysis.analyse_run(Store(Path(path)), run_id)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
