"""Programs that are killed: run by `tests/benchmarks/crash.py` in processes of their own.

python -m tests.store.killed points DIRECTORY SEED     one child per kill point, forked before DuckDB is started
python -m tests.store.killed record STORE LOG FIRST PAUSE_S  records until killed; an id is in LOG once it is acknowledged
python -m tests.store.killed upkeep STORE              compacts and backs up until killed
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

from tests.store.build import span, trace_id
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


def mid_backup() -> None:
    """Die with half of the copy written."""

    def half(source: Any, target: Any, size: int) -> None:
        target.write(source.read(size))
        target.flush()
        die()

    import_module("tracer.store.backup").shutil = _Os(copyfileobj=half)  # type: ignore[attr-defined]


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
    "in a migration, before COMMIT": ("migrate", before("tracer.store.schema", "commit")),
    "in a migration, after COMMIT": ("migrate", after("tracer.store.schema", "commit")),
    "after a migration, before the checkpoint": ("migrate", no_checkpoint),
    "compacting, with half of the rows copied": ("compact", after("tracer.store.compaction", "_copy")),
    "compacting, before the rename": ("compact", before("tracer.store.compaction", "take_place")),
    "compacting, after the rename": ("compact", after("tracer.store.compaction", "take_place")),
    "pruning, before COMMIT": ("prune", before("tracer.store.retention", "commit")),
    "pruning, after COMMIT": ("prune", after("tracer.store.retention", "commit")),
    "backing up, in the middle of the copy": ("backup", mid_backup),
}
PRUNED = 1
"""the run that is removed where the kind is prune"""


def store_of(directory: Path, point: int) -> Path:
    """Where the child of a kill point works: recorders share a store, the others have one of their own."""
    kind, _ = list(POINTS.values())[point]
    return directory / ("recorded" if kind == "record" else str(point)) / "traces.duckdb"


def points(directory: Path, seed: int) -> None:
    """Kill a child at every point and say how each ended; the stores are left as the kill left them."""
    for name in ("database", "compaction", "backup", "retention"):
        import_module(f"tracer.store.{name}")  # once, not in every child
    for number, (name, (kind, arm)) in enumerate(POINTS.items()):
        store, log = store_of(directory, number), directory / f"{number}.log"
        store.parent.mkdir(exist_ok=True)
        child = os.fork()
        if child == 0:
            try:
                random.seed(seed * 1000 + number)
                _work(kind, store, log, number, arm)
                os._exit(0)
            except BaseException as error:  # noqa: BLE001  (told to the test by the exit code)
                print(repr(error), file=sys.stderr)
                os._exit(3)
        _, status = os.waitpid(child, 0)
        print(f"{number}\t{name}\t{os.waitstatus_to_exitcode(status)}", flush=True)


def _work(kind: str, path: Path, log: Path, number: int, arm: Callable[[], None]) -> None:
    """Bring a store to where a point of this kind lies, arm the kill, and go on into it."""
    if kind == "record":
        arm()
        record(path, log, number * 1000, [200])
        return
    store = import_module("tracer.store.database").Store(path)
    if kind == "migrate":
        _oldest_layout(path)
    record(path, log, 0, [20]).close()
    if kind in ("compact", "prune", "backup"):
        store.fold()
    arm()
    if kind == "compact":
        import_module("tracer.store.compaction").compact(store)
    elif kind == "prune":
        import_module("tracer.store.retention").remove(store, [trace_id(PRUNED)])
    elif kind == "backup":
        import_module("tracer.store.backup").back_up(store, path.with_name("copy.duckdb"))
    else:
        store.fold()


def _oldest_layout(path: Path) -> None:
    steps = import_module("tracer.store.schema").schema_steps()
    with import_module("duckdb").connect(str(path)) as con:
        con.execute(steps[0][1])
        con.execute("INSERT INTO meta VALUES ('layout', '1'), ('created_by', 'tracehound of old')")


def upkeep(path: Path) -> None:
    """Compact and back up, over and over."""
    store = import_module("tracer.store.database").Store(path)
    while True:
        import_module("tracer.store.compaction").compact(store)
        copy = path.with_name(f"copy-{os.getpid()}.duckdb")
        import_module("tracer.store.backup").back_up(store, copy)
        copy.unlink()


if __name__ == "__main__":
    if sys.argv[1] == "points":
        points(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "upkeep":
        upkeep(Path(sys.argv[2]))
    else:
        store, log, first = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
        lines = iter(sys.stdin.readline, "")
        record(store, log, first, map(int, lines), pause_s=float(sys.argv[5]), tell=True)
