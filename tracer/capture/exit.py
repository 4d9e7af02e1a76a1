"""At a clean exit a process of its own moves the spans into the database; the program does not wait for it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

logger = logging.getLogger("tracehound")


def start_folding(store: Path) -> int | None:
    """Start `python -m tracer.store.fold STORE`; its pid, or None where that cannot be done. Never raises, never waits.

    The recorder may be loaded under a private name in an interpreter without the reading side: then there is nothing to start,
    and the next reader folds.
    """
    package, _, _ = __name__.partition(".capture")
    if package != "tracer" or not sys.executable or not hasattr(os, "posix_spawn"):
        return None
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # -P: a file called tracer.py in the working directory is not ours.
    arguments = [sys.executable, "-P", "-m", "tracer.store.fold", str(store)]
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        # A process group of its own: an interrupt at the terminal is not meant for it.
        return os.posix_spawn(sys.executable, arguments, environment, file_actions=nowhere, setpgroup=0)
    except OSError as error:
        logger.info("tracehound: could not start the folding process (%s); the next reader folds", error)
        return None
