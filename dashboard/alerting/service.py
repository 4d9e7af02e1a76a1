"""Alerts of a server: a thread that has the rules evaluated by a process of its own, again and again, at a bounded share of the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SHARE = 0.1
"""of the time, at most, that evaluating may take; a large store is looked at less often"""


class AlertService:
    """Runs `tracehound alerts` on the store every `every_s` seconds until `stop`."""

    def __init__(self, store: Path, rules: Path | None, every_s: float, tell: Callable[[str], None]) -> None:
        self._command = [sys.executable, "-P", "-m", "dashboard.cli", "alerts", "--quiet", "--store", str(store)]
        if nice := shutil.which("nice"):
            self._command = [nice, "-n", "10", *self._command]
        if rules is not None:
            self._command += ["--rules", str(rules.absolute())]
        self._store, self._every_s, self._tell = store, every_s, tell
        self._stopping = threading.Event()
        self._last_trouble = ""
        self._thread = threading.Thread(target=self._run, name="alerting", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No last look: what comes later is seen by the next server or command."""
        self._stopping.set()

    def _run(self) -> None:
        rest_s = self._every_s
        while not self._stopping.wait(rest_s):
            began = time.monotonic()
            if self._store.exists():
                self.look()
            rest_s = max(self._every_s, (time.monotonic() - began) * (1 - SHARE) / SHARE)

    def look(self) -> None:
        """One look; trouble is told once, as long as it stays the same."""
        done = subprocess.run(
            self._command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True
        )
        trouble = done.stderr.strip()
        if trouble and trouble != self._last_trouble:
            self._tell(f"alerts: {trouble}")
        self._last_trouble = trouble
