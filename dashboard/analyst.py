"""Keeps the analysis of a store's newest runs up to date in the background, so that no page waits for a detector.

A page asks with the store's present state. It gets the newest answer there is, which may be of an earlier state or none
at all, and the work starts if it is due. One thread works at a time; while runs are being recorded it rests in between.
A large store is analysed by a process of its own, because a detector that computes for seconds would hold up every page
of the server meanwhile: `python -m dashboard.analyst STORE TOKEN` writes its answer to stdout.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.run import analyse
from analyzers.sampling import kept_with
from dashboard.loading import load_frames
from dashboard.run_reads import count_runs
from tracer.errors import TracehoundError
from tracer.store import reads
from tracer.store.database import Store

NEWEST = 1_000
"""how many runs are looked at; pages say so where there are more"""
REST_S = 15.0
"""least time between two analyses"""
APART_FROM_SPANS = 4_000
"""from how many spans on a process of its own pays for its start of about two seconds"""
PATIENCE_S = 0.5
"""how long a page waits for an analysis that may be quick before it goes on without"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnalysis:
    """What the detectors said of the newest runs. `by_run` has an entry for every run looked at, findings or not."""

    token: str
    """state of the store it was made of"""
    by_run: Mapping[str, tuple[Finding, ...]]
    fleet: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    failures: tuple[DetectorFailure, ...]
    traces: pl.DataFrame
    """rows of `traces` of the runs looked at"""
    total: int
    """runs in the store"""
    took_s: float
    kept: Mapping[str, float] = field(default_factory=dict[str, float])
    """runs that a sampler kept, with its probability"""


def analyse_newest(store: Store, token: str, *, newest: int = NEWEST) -> StoreAnalysis:
    """Analyse the `newest` runs of the store together. One lease to copy them out, none while thinking."""
    began = time.monotonic()
    looked_at = reads.runs(store, limit=newest)
    total = count_runs(store)
    frames = load_frames(store, looked_at["run_id"].to_list())
    analysis = analyse(frames)
    by_run: dict[str, list[Finding]] = {run_id: [] for run_id in looked_at["run_id"].to_list()}
    for finding in analysis.findings:
        if finding.trace_id in by_run:
            by_run[finding.trace_id].append(finding)
    return StoreAnalysis(
        token=token,
        by_run={run_id: tuple(found) for run_id, found in by_run.items()},
        fleet=analysis.fleet,
        skipped=analysis.skipped,
        failures=analysis.failures,
        traces=looked_at,
        total=total,
        took_s=time.monotonic() - began,
        kept=kept_with(frames.spans),
    )


class AnalysisFailed(TracehoundError):
    """The analysing process ended without an answer."""


def analyse_in_background(store: Store, token: str) -> StoreAnalysis:
    """As `analyse_newest`, in a process of its own where the store is large."""
    if int(reads.runs(store, limit=NEWEST)["spans"].sum()) < APART_FROM_SPANS:
        return analyse_newest(store, token)
    command = [sys.executable, "-P", "-m", "dashboard.analyst", str(store.path), token]
    # Our end of this pipe closes when we end, even by SIGKILL: an analysis that nobody waits for must not go on.
    watched, held = os.pipe()
    try:
        ended = subprocess.run(command, stdin=watched, capture_output=True, check=False)
    finally:
        os.close(watched)
        os.close(held)
    if ended.returncode != 0:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        raise AnalysisFailed(
            f"The analysis ended with exit code {ended.returncode}: {lines[-1] if lines else 'no message'}",
            hint="`tracehound analyze --debug` shows more.",
        )
    answer = pickle.loads(ended.stdout)  # written by our own process a moment ago
    if isinstance(answer, TracehoundError):
        raise answer
    assert isinstance(answer, StoreAnalysis)
    return answer


class Analyst:
    """One store's analysis, shared by all sessions of the server. Thread-safe."""

    def __init__(self, work: Callable[[str], StoreAnalysis], *, rest_s: float = REST_S) -> None:
        """`work` makes the analysis of a state; it may take long and runs in a thread of its own."""
        self._work = work
        self._rest_s = rest_s
        self._changed = threading.Condition()
        self._answer: StoreAnalysis | None = None
        self._error: Exception | None = None
        self._working = False
        self._ended = 0.0

    def ask(self, token: str, *, patience_s: float = PATIENCE_S) -> StoreAnalysis | None:
        """The newest answer, None if there is none yet. Waits up to `patience_s` for one of this very state.

        Raises:
            Exception: what went wrong in the thread, once; the next call starts over.
        """
        deadline = time.monotonic() + patience_s
        with self._changed:
            self._start(token)
            while not self._is_current(token) and self._working and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return self._answer

    def wait(self, token: str) -> StoreAnalysis:
        """An answer, however long it takes; of an earlier state only where the analyst rests."""
        while (answer := self.ask(token, patience_s=60.0)) is None:
            pass
        return answer

    @property
    def working(self) -> bool:
        """Whether an analysis is being made now."""
        with self._changed:
            return self._working

    def _is_current(self, token: str) -> bool:
        return self._answer is not None and self._answer.token == token

    def _start(self, token: str) -> None:
        rests = self._answer is not None and time.monotonic() - self._ended < self._rest_s
        if self._working or rests or self._is_current(token):
            return
        self._working = True
        threading.Thread(target=self._run, args=(token,), name="tracehound-analyst", daemon=True).start()

    def _run(self, token: str) -> None:
        try:
            answer: StoreAnalysis | None = self._work(token)
            error = None
        except Exception as caught:  # noqa: BLE001  handed to the page that asks next
            answer, error = None, caught
        with self._changed:
            self._answer, self._error = answer or self._answer, error
            self._working, self._ended = False, time.monotonic()
            self._changed.notify_all()


def end_with_parent() -> None:
    """End this process as soon as whoever holds the other end of its stdin has ended."""

    def watch() -> None:
        # Not `sys.stdin.read()`: its lock, held by a daemon thread, would be fatal when the interpreter ends.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="tracehound-parent", daemon=True).start()


def _main(path: str, token: str) -> None:
    """The body of the process: politely, since somebody waits for a page."""
    os.nice(10)
    end_with_parent()
    # Under `-m` this file is `__main__`; the answer must carry the name the reader knows the class by.
    from dashboard import analyst

    try:
        answer: StoreAnalysis | TracehoundError = analyst.analyse_newest(Store(path), token)
    except TracehoundError as error:
        answer = error
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
