"""The limits kept in a store: whoever reads or serves keeps to them, a bounded share at a time, and nobody else is touched."""

from __future__ import annotations

import os
import time

import pytest

from dashboard.cli import main
from dashboard.loading import open_store
from tests.receiver.serving import request, serving
from tests.store.build import START_NS, span, trace_id
from tracer.store import keeping, reads, retention
from tracer.store.backup import back_up
from tracer.store.database import Store
from tracer.store.keeping import keep_to_limits
from tracer.store.retention import Limits
from tracer.store.segment import SegmentWriter

TODAY_MS = (time.time_ns() - START_NS) // 1_000_000


def record(store: Store, *numbers: int) -> None:
    """Runs of one span each, of three years ago; number 9 is of today."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(TODAY_MS if n == 9 else n, trace=n) for n in numbers])
    writer.close()
    store.fold()


def left(store: Store) -> list[str]:
    return sorted(reads.runs(store)["run_id"])


def an_hour_passes(store: Store) -> None:
    moment = time.time() - keeping.EVERY_S - 1
    os.utime(store.spool_path / ".looked", (moment, moment))


def test_a_reader_keeps_to_the_limits_once_an_hour(empty_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Old runs go before it reads and it says so; pinned and marked ones stay; until an hour has passed nobody looks again."""
    store = empty_store
    record(store, 1, 2, 3, 9)
    retention.keep_limits(store, Limits(retention_days=30))
    retention.pin(store, [trace_id(1)])
    reads.mark(store, trace_id(2), "failed")
    open_store(store.path)
    assert "1 runs went by the limits" in capsys.readouterr().err
    assert left(store) == [trace_id(n) for n in (1, 2, 9)]
    record(store, 4)
    assert keep_to_limits(store) is None
    an_hour_passes(store)
    kept = keep_to_limits(store)
    assert kept is not None
    assert (kept.removed.runs, kept.more) == (1, False)


@pytest.mark.slow
def test_a_look_is_bounded_and_the_rest_follows_soon(empty_store: Store) -> None:
    """Oldest first; the next look is due in a minute, not in an hour; a run larger than the bound still goes."""
    record(empty_store, 1, 2, 3)
    retention.keep_limits(empty_store, Limits(retention_days=30))
    kept = keep_to_limits(empty_store, spans=2)
    assert kept is not None
    assert (kept.removed.runs, kept.more, left(empty_store)) == (2, True, [trace_id(3)])
    due_s = keeping.EVERY_S - (time.time() - (empty_store.spool_path / ".looked").stat().st_mtime)
    assert due_s == pytest.approx(keeping.SOONER_S, abs=10)


@pytest.mark.slow
def test_commands_that_choose_or_copy_remove_nothing_first(
    empty_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run shows what the next look takes, a pin comes in time, and a copy keeps everything whoever reads it."""
    record(empty_store, 1, 2, 9)
    retention.keep_limits(empty_store, Limits(retention_days=30))
    where = ["--store", str(empty_store.path)]
    assert main(["prune", "--dry-run", *where]) == 0
    assert "2 runs would be removed" in capsys.readouterr().err
    assert main(["prune", "--pin", trace_id(1), *where]) == 0
    assert main(["mark", trace_id(2), "ok", *where]) == 0
    copy = back_up(empty_store, empty_store.path.with_name("copy.duckdb")).path
    with Store(copy).lease() as con:
        con.execute("DELETE FROM pins").fetchall()
        con.execute("DELETE FROM marks").fetchall()
    assert main(["traces", "--store", str(copy)]) == 0
    assert len(left(Store(copy))) == 3
    assert retention.read_limits(empty_store) == Limits(retention_days=30)


@pytest.mark.slow
def test_a_size_is_kept_to_with_room_to_spare(empty_store: Store) -> None:
    """The oldest runs go until the file's contents are below the limit, and a receiver's look also shrinks the file."""
    store = empty_store
    writer = SegmentWriter(store.path)
    for n in range(1, 61):
        writer.write_spans([span(n, trace=n, attributes={"text": os.urandom(100_000).hex()})])
    writer.close()
    store.fold()
    with store.lease() as con:
        con.execute("CHECKPOINT").fetchall()
        _, used = retention.used_bytes(con)
    retention.keep_limits(store, Limits(max_bytes=used // 2))
    looks = 0
    while (kept := keep_to_limits(store, spans=1_000_000, compacting=True)) is None or kept.more:
        looks += 1
        assert looks < 10
        an_hour_passes(store)
    gone = 60 - len(left(store))
    assert store.path.stat().st_size <= used // 2 + 4 * 262_144  # in blocks, and with the header
    assert left(store) == [trace_id(n) for n in range(gone + 1, 61)]
    assert 25 <= gone <= 50
    an_hour_passes(store)
    kept = keep_to_limits(store)
    assert kept is not None
    assert kept.removed.runs == 0


@pytest.mark.slow
def test_a_receiver_keeps_to_the_limits_by_itself(empty_store: Store) -> None:
    """What arrives too old is gone after the fold, told on stderr and counted; what is young stays."""
    retention.keep_limits(empty_store, Limits(retention_days=30))
    with serving(empty_store.path, "--fold-every", "0.05") as server:
        assert server.post(request([1, 2], trace=5).SerializeToString()).status == 200
        writer = SegmentWriter(empty_store.path)
        writer.write_spans([span(TODAY_MS, trace=9)])
        writer.close()
        deadline = time.monotonic() + 60
        while trace_id(9) not in left(empty_store) or trace_id(5) in left(empty_store):
            assert time.monotonic() < deadline
            if (empty_store.spool_path / ".looked").exists():
                an_hour_passes(empty_store)
            assert server.post(request([1], trace=9).SerializeToString()).status == 200
        code, told = server.stop()
    assert code == 0
    assert "went by the limits kept in the store" in told
