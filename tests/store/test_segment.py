"""The recording side: when files appear, what they promise, and what happens when the disk or the process gives out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.build import in_threads, span, span_id
from tracer.clock import TickingClock
from tracer.model import RawSpan
from tracer.store import segment as segment_module
from tracer.store.frame import Frame, decode_records
from tracer.store.segment import SegmentWriter, spool_path
from tracer.store.spool import is_locked, list_spool, read_segment


def written(store: Path) -> list[RawSpan]:
    """Everything that can be read from the spool, starts included."""
    found: list[RawSpan] = []
    for segment in list_spool(spool_path(store)).segments:
        for frame in read_segment(segment, 0):
            assert isinstance(frame, Frame)
            records = decode_records(frame.payload)
            found += [*records.starts, *records.spans]
    return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "traces.duckdb"


def test_nothing_is_created_before_the_first_write(store: Path) -> None:
    """A program that records nothing leaves nothing."""
    SegmentWriter(store).close()
    assert list(store.parent.iterdir()) == []


def test_a_write_can_be_read_when_it_returns(store: Path) -> None:
    """Acknowledged means readable by another process, without closing."""
    writer = SegmentWriter(store)
    writer.write_spans([span(1)], starts=[span(2, ended=False)])
    assert written(store) == [span(2, ended=False), span(1)]
    writer.close()


def test_segment_and_process_look_alive_until_closed(store: Path) -> None:
    """Both locks are held while writing and gone afterwards; the files stay for the next reader."""
    writer = SegmentWriter(store)
    writer.write_spans([span(1)])
    during = list_spool(writer.spool)
    assert during.live == {writer.writer_id}
    assert [s.sealed for s in during.segments] == [False]
    writer.close()
    after = list_spool(writer.spool)
    assert (after.live, after.dead) == (frozenset(), {writer.writer_id})
    assert [s.sealed for s in after.segments] == [True]


def test_files_are_locked_before_they_can_be_seen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the rename the lock is held, so no reader can take a newborn segment for a dead one."""
    seen: list[bool | None] = []
    rename = os.rename

    def watching(source: Path, target: Path) -> None:
        rename(source, target)
        seen.append(is_locked(Path(target)))

    monkeypatch.setattr(segment_module.os, "rename", watching)
    writer = SegmentWriter(store)
    writer.write_spans([span(1)])
    assert seen == [True, True]
    writer.close()


def test_contents_are_written_once_per_segment(store: Path) -> None:
    """A text passed again is left out, until a new segment starts."""
    clock = TickingClock(step_ns=20_000_000_000)
    writer = SegmentWriter(store, clock=clock)
    for number in range(4):  # readings 0, 20, 40 and 60 s: the last write opens a second segment
        writer.write_spans([span(number)], contents={5: "body"})
    contents = [
        decode_records(frame.payload).contents
        for segment in list_spool(writer.spool).segments
        for frame in read_segment(segment, 0)
        if isinstance(frame, Frame)
    ]
    assert contents == [{5: "body"}, {}, {}, {5: "body"}]
    writer.close()


def test_a_store_that_is_deleted_meanwhile_begins_afresh(store: Path) -> None:
    """What is written later can be found, with its texts; the writer looks alive again."""
    writer = SegmentWriter(store)
    writer.write_spans([span(1)], contents={5: "body"})
    shutil.rmtree(writer.spool)
    writer.write_spans([span(2)], contents={5: "body"})

    assert written(store) == [span(2)]
    found = list_spool(writer.spool)
    (frame,) = (frame for frame in read_segment(found.segments[0], 0) if isinstance(frame, Frame))
    assert decode_records(frame.payload).contents == {5: "body"}
    assert is_locked(found.segments[0].path)
    writer.close()


@pytest.mark.parametrize("step_ns", [61_000_000_000, -1], ids=["60 s passed", "clock set back"])
def test_an_old_segment_is_left_for_a_new_one(store: Path, step_ns: int) -> None:
    """Segments rotate with time, in the order of their names, also when the clock is set back."""
    writer = SegmentWriter(store, clock=TickingClock(step_ns=step_ns))
    for number in range(3):
        writer.write_spans([span(number)])
    assert [s.sealed for s in list_spool(writer.spool).segments] == [True, True, False]
    assert [s.span_id for s in written(store)] == [span_id(n) for n in range(3)]
    writer.close()


def test_a_full_segment_is_left_for_a_new_one(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments rotate by size."""
    monkeypatch.setattr(segment_module, "ROTATE_BYTES", 500)
    writer = SegmentWriter(store)
    for number in range(20):
        writer.write_spans([span(number)])
    segments = list_spool(writer.spool).segments
    assert len(segments) > 4
    assert all(s.size < 1000 for s in segments)
    assert [s.span_id for s in written(store)] == [span_id(n) for n in range(20)]
    writer.close()


@pytest.mark.slow
def test_a_long_batch_is_cut_into_frames(store: Path) -> None:
    """A reader can take a huge batch in pieces."""
    writer = SegmentWriter(store)
    writer.write_spans([span(n) for n in range(2500)])
    [segment] = list_spool(writer.spool).segments
    frames = [decode_records(f.payload) for f in read_segment(segment, 0) if isinstance(f, Frame)]
    assert [len(records.spans) for records in frames] == [1000, 1000, 500]
    writer.close()


def test_threads_write_whole_frames(store: Path) -> None:
    """Eight threads, one writer: every span once, every frame whole."""
    writer = SegmentWriter(store)

    def record(first: int) -> None:
        for number in range(first, first + 50):
            writer.write_spans([span(number)])

    in_threads(*[lambda first=first: record(first) for first in range(0, 400, 50)])
    assert sorted(s.span_id for s in written(store)) == [span_id(n) for n in range(400)]
    writer.close()


def test_a_forked_child_has_a_segment_of_its_own(store: Path) -> None:
    """The child neither writes into the parent's file nor keeps it looking alive, and the parent goes on."""
    writer = SegmentWriter(store)
    writer.write_spans([span(1)])
    mine = writer.writer_id
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            writer.write_spans([span(2)])
            os.write(ready[1], b"x")
            os.read(go[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    writer.write_spans([span(3)])
    listing = list_spool(writer.spool)
    [theirs] = listing.live - {mine}
    assert {s.writer: s.sealed for s in listing.segments} == {mine: False, theirs: False}
    assert sorted(s.span_id for s in written(store)) == [span_id(n) for n in (1, 2, 3)]
    writer.close()
    assert list_spool(writer.spool).live == {theirs}, "the child holds the parent's lock"
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    assert list_spool(writer.spool).dead == {mine, theirs}
    for fd in (*ready, *go):
        os.close(fd)


FULL_DISK = """
import resource, signal, sys
from tests.store.build import span
from tracer.store.segment import SegmentWriter
writer = SegmentWriter(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limit[1]))
acknowledged = 0
try:
    while True:
        writer.write_spans([span(acknowledged)])
        acknowledged += 1
except OSError as error:
    assert error.args
for _ in range(3):
    try:
        writer.write_spans([span(90_000)], contents={1: "x" * 9000})
        raise SystemExit("a full disk must be reported")
    except OSError:
        pass
dropped = writer.dropped
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
writer.write_spans([span(acknowledged)])
print(acknowledged + 1, dropped)
"""


def test_a_full_disk_is_reported_and_leaves_no_torn_frame(store: Path) -> None:
    """Spans that do not fit raise and are counted; what was acknowledged stays whole, and writing goes on with space."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, store], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    acknowledged, dropped = map(int, done.stdout.split())
    assert [s.span_id for s in written(store)] == [span_id(n) for n in range(acknowledged)]
    assert acknowledged > 5
    assert dropped == 4
    [segment] = list_spool(spool_path(store)).segments
    *_, last = [decode_records(f.payload) for f in read_segment(segment, 0) if isinstance(f, Frame)]
    assert last.dropped == 4, "the loss is told with the next write"


def test_a_directory_that_cannot_be_written_raises(tmp_path: Path) -> None:
    """The caller learns of it and the span is counted."""
    (tmp_path / "traces.spool").write_text("in the way")
    writer = SegmentWriter(tmp_path / "traces.duckdb")
    with pytest.raises(OSError):
        writer.write_spans([span(1), span(2)])
    assert writer.dropped == 2


def test_the_recording_side_imports_nothing_heavy() -> None:
    """The traced program does not pay for the reading side."""
    code = "import sys, tracer.store.segment; print(sorted({'duckdb','polars','pyarrow','numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_spool_lies_beside_the_database(tmp_path: Path) -> None:
    """traces.duckdb has traces.spool, other names get .spool appended, links are followed."""
    assert spool_path(tmp_path / "traces.duckdb") == tmp_path / "traces.spool"
    assert spool_path(tmp_path / "runs.v2") == tmp_path / "runs.v2.spool"
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "traces.duckdb")
    assert spool_path(tmp_path / "link.duckdb") == tmp_path / "traces.spool"
