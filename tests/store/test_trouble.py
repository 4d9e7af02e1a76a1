"""Trouble outside of our hands: full disks, lost files, jumping clocks. A clear error, nothing lost, recording goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.store.build import span, span_id, trace_id
from tests.store.test_lease import HOLD, another_program
from tracer.clock import Clock
from tracer.errors import StoreError, StoreLocked
from tracer.store import reads, retention
from tracer.store.backup import back_up
from tracer.store.compaction import compact
from tracer.store.database import Store
from tracer.store.segment import ROTATE_NS, SegmentWriter


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """A disk that is full for files of `size` bytes: writes beyond fail, as ENOSPC makes them fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def found(store: Store) -> list[str]:
    store.fold()
    return sorted(reads.load(store).spans["span_id"])


def test_a_full_disk_under_the_segments(store: Store) -> None:
    """A write that did not fit raises and leaves nothing behind; what was acknowledged before and afterwards is there."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    with no_file_grows_beyond(2_000):
        with pytest.raises(OSError):
            writer.write_spans([span(2, attributes={"text": os.urandom(4000).hex()})])
        writer.write_spans([span(3)])  # a small one still fits
    writer.write_spans([span(4)])
    assert found(store) == [span_id(n) for n in (1, 3, 4)]
    assert (writer.dropped, reads.counters(store)["dropped_spans"]) == (1, 1)
    writer.close()


@pytest.mark.slow
def test_a_full_disk_under_the_database(store: Store) -> None:
    """The fold says so; recording goes on, and with room everything is folded, once."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    store.fold()
    text = os.urandom(300_000).hex()
    writer.write_spans([span(2, attributes={"text": text})])
    with no_file_grows_beyond(store.path.stat().st_size - 300_000):
        for _ in range(3):
            with pytest.raises(StoreError):
                store.fold()
    writer.write_spans([span(3)])
    assert found(store) == [span_id(n) for n in (1, 2, 3)]
    assert text in reads.bodies(store, _content_ids(store)).values()
    writer.close()


def _content_ids(store: Store) -> list[int]:
    with store.lease() as con:
        return [key for (key,) in con.execute("SELECT content_id FROM contents").fetchall()]


@pytest.mark.slow
@pytest.mark.parametrize("work", ["compact", "backup", "prune"])
def test_a_full_disk_under_upkeep(store: Store, tmp_path: Path, work: str) -> None:
    """The store is as it was, nothing half-written is left, and it works once there is room."""
    writer = SegmentWriter(store.path)
    for n in (1, 2, 3):
        writer.write_spans([span(n, trace=n, attributes={"text": os.urandom(100_000).hex()})])
    writer.close()
    store.fold()
    doing = {
        "compact": lambda: compact(store),
        "backup": lambda: back_up(store, tmp_path / "copy.duckdb"),
        "prune": lambda: retention.remove(store, [trace_id(1)]),
    }[work]
    # Deleting a little may or may not need room.
    expected = suppress(StoreError) if work == "prune" else pytest.raises(StoreError, match="Cannot")
    with no_file_grows_beyond(150_000), expected:
        doing()
    removed = work == "prune" and trace_id(1) not in set(reads.runs(store)["run_id"])
    assert found(store) == [span_id(n) for n in (1, 2, 3)][removed:]
    assert {path.name for path in tmp_path.iterdir()} == {"traces.duckdb", "traces.spool"}
    doing()


READ_ONLY = """
import os, sys
from pathlib import Path
from tests.store.build import span
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter
directory, elsewhere = Path(sys.argv[1]), Path(sys.argv[2]) / "traces.duckdb"
SegmentWriter(elsewhere).write_spans([span(0)])
Store(elsewhere).fold()  # imports what it needs while that can be read
reads.load(Store(elsewhere))
if os.getuid() == 0:  # whom no permission stops
    os.chown(directory, 65534, 65534)
    os.setuid(65534)
store, writer = Store(directory / "traces.duckdb"), SegmentWriter(directory / "traces.duckdb")
for work in (lambda: writer.write_spans([span(1)]), store.fold, lambda: reads.runs(store)):
    try:
        print(work() and "")
    except Exception as error:
        print(type(error).__name__, str(error).splitlines()[0])
directory.chmod(0o700)
writer.write_spans([span(2)])
store.fold()
print(reads.load(store).spans["span_id"].to_list(), writer.dropped)
"""


@pytest.mark.slow
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """Recording raises an OSError, which the shim counts; reading names the directory; with permission both go on."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o500)
    try:
        command = [sys.executable, "-c", READ_ONLY, directory, tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(directory)
    assert done.returncode == 0, done.stderr
    refused, folding, reading, found_ids = done.stdout.splitlines()
    assert refused.startswith("PermissionError")
    assert folding == reading == f"StoreError Cannot use '{directory}/traces.spool': Permission denied."
    assert found_ids == f"{[span_id(2)]} 1"


@pytest.mark.slow
def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    """It is named, and once it is gone recording and folding go on."""
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "traces.duckdb")
    writer = SegmentWriter(store.path)
    with pytest.raises(OSError):
        writer.write_spans([span(1)])
    with pytest.raises(StoreError, match="Cannot use"):
        store.fold()
    (tmp_path / "file").unlink()
    writer.write_spans([span(2)])
    assert found(store) == [span_id(2)]
    writer.close()


@pytest.mark.slow
def test_no_room_for_a_new_database(tmp_path: Path) -> None:
    """The error says so and leaves no file; the spans wait in their segments."""
    store = Store(tmp_path / "traces.duckdb")
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    with no_file_grows_beyond(100_000), pytest.raises(StoreError, match="Cannot create"):
        store.fold()
    assert [path.name for path in tmp_path.iterdir()] == ["traces.spool"]
    assert found(store) == [span_id(1)]
    writer.close()


class JumpingClock(Clock):
    """Says what it is told to say."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ns(self) -> int:
        return self.now


def test_a_clock_that_jumps_back_and_forth(store: Store) -> None:
    """Segments are ended, none is lost, and spans that end before they started are kept."""
    clock = JumpingClock(10 * ROTATE_NS)
    writer = SegmentWriter(store.path, clock=clock)
    jumps = [0, -5 * ROTATE_NS, 20 * ROTATE_NS, -9 * ROTATE_NS, 1, -(10**6)]
    for n, jump in enumerate(jumps):
        clock.now += jump
        writer.write_spans([span(n)])
    backwards = span(9)
    backwards.end_ns = backwards.start_ns - 5
    writer.write_spans([backwards])
    assert found(store) == [span_id(n) for n in (*range(len(jumps)), 9)]
    assert reads.counters(store) == dict.fromkeys(reads.counters(store), 0)
    writer.close()


@pytest.mark.slow
def test_a_segment_that_was_deleted(store: Store) -> None:
    """What was folded stays, the recorder goes on in the file nobody sees until it starts the next one."""
    clock = JumpingClock(10 * ROTATE_NS)
    writer = SegmentWriter(store.path, clock=clock)
    writer.write_spans([span(1)])
    store.fold()
    for path in store.spool_path.glob("*.seg"):
        path.unlink()
    writer.write_spans([span(2)])
    clock.now += 2 * ROTATE_NS
    writer.write_spans([span(3)])
    assert set(found(store)) >= {span_id(1), span_id(3)}
    writer.close()
    with store.lease() as con:
        assert con.execute("SELECT count(*) FROM segments").fetchall() == [(1,)]


@pytest.mark.slow
def test_a_database_that_was_deleted(store: Store) -> None:
    """A new one is made; what still lies in segments comes into it, and recording goes on."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    store.fold()
    store.path.unlink()
    writer.write_spans([span(2)])
    assert found(store) == [span_id(1), span_id(2)]
    writer.close()


@pytest.mark.slow
def test_a_spool_that_was_deleted_while_recording(store: Store) -> None:
    """The next segment makes it anew; readers make their locks anew."""
    clock = JumpingClock(10 * ROTATE_NS)
    writer = SegmentWriter(store.path, clock=clock)
    writer.write_spans([span(1)])
    store.fold()
    shutil.rmtree(store.spool_path)
    assert found(store) == [span_id(1)]
    clock.now += 2 * ROTATE_NS
    writer.write_spans([span(2)])
    assert found(store) == [span_id(1), span_id(2)]
    writer.close()


@pytest.mark.slow
def test_a_foreign_program_is_named_by_every_door(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruning, compacting and backing up say who is in the way, too; afterwards recording, folding and they go on."""
    monkeypatch.setattr("tracer.store.lease.FOREIGN_WAIT_S", 0.05)
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    store.fold()
    doors = [
        lambda: compact(store),
        lambda: back_up(store, tmp_path / "copy.duckdb"),
        lambda: retention.remove(store, [trace_id(1)]),
    ]
    with another_program(HOLD, store.path) as pid:
        for door in doors:
            with pytest.raises(StoreLocked, match=rf"process {pid}"):
                door()
        writer.write_spans([span(2)])
    for door in doors:
        door()
    assert found(store) == [span_id(2)]
    writer.close()
