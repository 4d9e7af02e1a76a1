"""Programs that are killed: run by `test_kill.py` in processes of their own.

python -m tests.store.killed points DIRECTORY          one child per kill point, forked before DuckDB is started
python -m tests.store.killed record STORE LOG FIRST PAUSE_S  records until killed; an id is in LOG once it is acknowledged
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.store.build import span
from tracer.store import segment as segment_module
from tracer.store.segment import SegmentWriter


def die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def record(
    store: Path, log: Path, first: int, frames: Iterable[int], *, pause_s: float = 0.0, tell: bool = False
) -> SegmentWriter:
    """Write frames of two spans and one start, and note what was acknowledged; every third span never ends."""
    writer = SegmentWriter(store)
    acknowledged = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    number = first
    for count in frames:
        for _ in range(count):
            trace = 1 + number // 30
            writer.write_spans(
                [span(number, trace=trace), span(number + 1, trace=trace, parent=number)],
                starts=[span(number + 2, trace=trace, parent=number, ended=False)],
                contents={number % 7: f"text {number % 7}"},
            )
            os.write(acknowledged, b"%d\n" % number)
            number += 3
            if tell:
                os.write(1, b".")
            if pause_s:
                time.sleep(pause_s)
    return writer


# Modules are named, not imported: a process that only records must not load DuckDB and polars.


def before(module: str, name: str) -> Callable[[], None]:
    return lambda: setattr(import_module(module), name, die)


def after(module_name: str, name: str) -> Callable[[], None]:
    def arm() -> None:
        module = import_module(module_name)
        real = getattr(module, name)

        def then_die(*args: Any, **kwargs: Any) -> None:
            real(*args, **kwargs)
            die()

        setattr(module, name, then_die)

    return arm


def half_write() -> None:
    real = os.write

    def torn(fd: int, data: bytes) -> int:
        if data.startswith(b"THF1") and random.random() < 0.2:
            real(fd, data[: len(data) // 2])
            die()
        return real(fd, data)

    segment_module.os = _Os(write=torn)  # type: ignore[attr-defined]


class _Os:
    """The module `os` with some functions replaced, so that only the module under test sees them."""

    def __init__(self, **replaced: Any) -> None:
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(os, name)


def rename_of(suffix: str, *, done: bool) -> Callable[[], None]:
    def arm() -> None:
        def rename(source: Path, target: Path) -> None:
            if str(target).endswith(suffix):
                if done:
                    os.rename(source, target)
                die()
            os.rename(source, target)

        segment_module.os = _Os(rename=rename)  # type: ignore[attr-defined]
        import_module("tracer.store.schema").os = _Os(rename=rename)  # type: ignore[attr-defined]

    return arm


def unlink() -> None:
    Path.unlink = die  # type: ignore[method-assign]


def no_checkpoint() -> None:
    """Die with the committed rows in the write-ahead log only."""
    import_module("tracer.store.lease").Lease._close = die


POINTS: dict[str, tuple[str, Callable[[], None]]] = {
    "mid-frame": ("record", half_write),
    "before rename of the liveness file": ("record", rename_of(".live", done=False)),
    "after rename of the liveness file": ("record", rename_of(".live", done=True)),
    "before rename of a segment": ("record", rename_of(".seg", done=False)),
    "after rename of a segment": ("record", rename_of(".seg", done=True)),
    "before rename of a new database": ("fold", rename_of(".duckdb", done=False)),
    "after rename of a new database": ("fold", rename_of(".duckdb", done=True)),
    "in a new database": ("fold", before("tracer.store.schema", "_apply")),
    "before reading": ("fold", before("tracer.store.fold", "gather")),
    "before COMMIT": ("fold", before("tracer.store.fold", "commit")),
    "after COMMIT": ("fold", after("tracer.store.fold", "commit")),
    "after COMMIT, before the checkpoint": ("fold", no_checkpoint),
    "after COMMIT, before unlink": ("fold", unlink),
    "while listing": ("fold", after("tracer.store.spool", "is_locked")),
}


def store_of(directory: Path, point: int) -> Path:
    """Where the child of a kill point works: recorders share a store, a fold has one of its own."""
    kind, _ = list(POINTS.values())[point]
    return directory / ("recorded" if kind == "record" else str(point)) / "traces.duckdb"


def points(directory: Path) -> None:
    """Kill a child at every point and say how each ended; the stores are left as the kill left them."""
    database = import_module("tracer.store.database")  # once, not in every child
    for number, (name, (kind, arm)) in enumerate(POINTS.items()):
        store, log = store_of(directory, number), directory / f"{number}.log"
        store.parent.mkdir(exist_ok=True)
        child = os.fork()
        if child == 0:
            try:
                if kind == "record":
                    random.seed(number)
                    arm()
                    record(store, log, number * 1000, [200])
                else:
                    record(store, log, 0, [20]).close()
                    arm()
                    database.Store(store).fold()
                os._exit(0)
            except BaseException as error:  # noqa: BLE001  (told to the test by the exit code)
                print(repr(error), file=sys.stderr)
                os._exit(3)
        _, status = os.waitpid(child, 0)
        print(f"{number}\t{name}\t{os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "points":
        points(Path(sys.argv[2]))
    else:
        store, log, first = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
        lines = iter(sys.stdin.readline, "")
        record(store, log, first, map(int, lines), pause_s=float(sys.argv[5]), tell=True)
