"""The receiver's side of folding: a thread that orders folds from a process of its own and knows how far behind it is.

The process also keeps the store to its limits; where nothing arrives it is asked for that from time to time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from tracer.receiver.counts import Counts

SHIP_EVERY_S = 30.0
"""between two looks at which runs are at rest"""
UPKEEP_S = 600.0
"""longest time without an order to the process: old runs must go although nothing arrives"""


class Folding:
    """Folds every `every_s` seconds as long as there is something new, and once more at the end."""

    def __init__(
        self, store: Path, every_s: float, counts: Counts, tell: Callable[[str], None], lake: str | None = None
    ) -> None:
        self._lake, self._shipped = lake, time.monotonic()
        self._store, self._every_s, self._counts, self._tell = store, every_s, counts, tell
        self._lock = threading.Lock()
        self._oldest: float | None = None
        """monotonic time of the first write since the running or last fold started"""
        self._being_folded: float | None = None
        self._pending_bytes = 0
        self._ordered = time.monotonic()
        self._last_error = ""
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folding", daemon=True)

    def start(self) -> None:
        """Begin; the first fold brings in what earlier processes left."""
        self._thread.start()

    def written(self) -> None:
        """A request was written just now."""
        if self._oldest is None:
            with self._lock:
                self._oldest = self._oldest or time.monotonic()

    def gauges(self) -> dict[str, float]:
        """`fold_lag_seconds`, `fold_pending_bytes`."""
        with self._lock:
            oldest = self._being_folded or self._oldest
        return {
            "fold_lag_seconds": 0.0 if oldest is None else time.monotonic() - oldest,
            "fold_pending_bytes": self._pending_bytes,
        }

    def stop(self, timeout_s: float) -> bool:
        """Fold a last time and end the process; False where that takes too long (nothing is lost, it goes on alone)."""
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._last_error

    def _run(self) -> None:
        if self._every_s:
            self._fold()
            while not self._stopping.wait(self._every_s):
                if self._oldest is not None or time.monotonic() > self._ordered + UPKEEP_S:
                    self._fold()
                if self._lake and time.monotonic() > self._shipped + SHIP_EVERY_S:
                    self._ship("ship")
        else:
            self._stopping.wait()
        self._fold()
        if self._lake:
            self._ship("ship all")
        self._end_process()

    def _ship(self, order: str) -> None:
        self._shipped = time.monotonic()
        answer = self._ask(order)
        if failed := str(answer.get("error", "")):
            self._counts.add("lake_failures_total")
            self._tell(f"cannot ship to the lake at the moment: {failed} The runs stay in the store.")
        else:
            self._counts.add("lake_runs_total", int(answer["shipped_runs"]))

    def _fold(self) -> None:
        with self._lock:
            self._being_folded, self._oldest = self._oldest, None
        self._ordered = time.monotonic()
        answer = self._ask()
        failed = str(answer.get("error", ""))
        with self._lock:
            if failed:
                self._oldest = self._being_folded or self._oldest
            self._being_folded = None
        if failed:
            self._counts.add("fold_failures_total")
            if failed != self._last_error:
                self._tell(f"cannot fold at the moment: {failed} Nothing is lost.")
        else:
            self._counts.add("fold_spans_total", int(answer["spans"]))
            self._pending_bytes = int(answer["pending_bytes"])
            if removed := int(answer["removed_runs"]):
                self._counts.add("retention_removed_runs_total", removed)
                self._tell(f"{removed:,} runs went by the limits kept in the store.")
        self._last_error = failed

    def _ask(self, order: str = "fold") -> dict[str, Any]:
        """Order something and wait for it; an answer with "error" where the process could not."""
        try:
            process = self._process or self._start_process()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{order}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if line:
                return cast("dict[str, Any]", json.loads(line))
        except (OSError, ValueError) as error:
            self._end_process()
            return {"error": f"the folding process does not answer ({error})."}
        code = self._end_process()
        return {"error": f"the folding process ended (exit code {code})."}

    def _start_process(self) -> subprocess.Popen[str]:
        # -P: a file tracer.py in the current directory must not be taken for ours.
        # A session of its own: Ctrl-C in the terminal is for the receiver, which then asks for the last fold.
        command = [
            sys.executable,
            "-P",
            "-m",
            "tracer.receiver.folder",
            str(self._store),
            *([self._lake] if self._lake else []),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        return self._process

    def _end_process(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not flushed to a dead process
                    pipe.close()
        try:
            return process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
