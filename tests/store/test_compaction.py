"""Compaction and back-up: the same rows, while others record, read and fold."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.store.build import START_NS, in_threads, span, span_id, trace_id
from tests.store.test_lease import HOLD, another_program
from tracer.errors import BadInput, StoreError, StoreLocked
from tracer.model import RawEvent, RawLink
from tracer.store import backup, compaction, reads, retention
from tracer.store.backup import back_up
from tracer.store.compaction import compact, compacted_path
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Twelve runs that arrived in turns, one of them with a log record outside of any trace, one running, one marked."""
    writer = SegmentWriter(empty_store.path)
    for turn in range(3):
        for n in range(12):
            event = RawEvent(name="note", time_ns=START_NS + turn, attributes={"n": n})
            link = RawLink(trace_id=trace_id(n + 1), span_id=span_id(n * 10))
            writer.write_spans(
                [span(n * 10 + turn, trace=n + 1, events=[event], links=[link], attributes={"text": f"{n}" * 2000})]
            )
        empty_store.fold()
    writer.write_spans([], starts=[span(500, trace=1, ended=False)])
    empty_store.fold()
    with empty_store.lease() as con:
        con.execute("INSERT INTO events VALUES ('', '', 5, 'alone', '{}', NULL)").fetchall()
    reads.mark(empty_store, trace_id(2), "ok", "fine")
    retention.pin(empty_store, [trace_id(3)])
    return empty_store


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, sorted."""
    with store.lease() as con:
        names = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'store'").fetchall()
        return {name: con.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for (name,) in names}


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.mark.slow
def test_the_same_rows_sorted_by_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of whatever size; nothing is left lying about, and the store goes on as before."""
    before = everything(store)
    monkeypatch.setattr(compaction, "AT_ONCE_SPANS", 4)
    monkeypatch.setattr(compaction, "AT_ONCE_TEXTS", 3)
    monkeypatch.setattr(compaction, "WRITTEN_AT_ONCE", 10)
    told: list[int] = []
    compact(store, progress=told.append)
    assert everything(store) == before
    assert sum(told) == sum(row["spans"] for row in reads.runs(store).to_dicts())
    assert names_in(store.path.parent) == {"traces.duckdb", "traces.spool"}
    with store.lease() as con:
        order = con.execute("SELECT run_id, start_ns FROM spans ORDER BY rowid").fetchall()
    assert order == sorted(order)
    writer = SegmentWriter(store.path)
    writer.write_spans([span(700, trace=1)])
    writer.close()
    assert store.fold().spans >= 1


@pytest.mark.slow
def test_a_store_shrinks_when_most_of_it_was_removed(empty_store: Store) -> None:
    """The holes that removed rows leave are gone."""
    writer = SegmentWriter(empty_store.path)
    noise = random.Random(1)
    for n in range(40):
        writer.write_spans([span(n, trace=n + 1, attributes={"text": noise.randbytes(60_000).hex()})])
    writer.close()
    empty_store.fold()
    retention.remove(empty_store, [trace_id(n + 1) for n in range(38)])
    done = compact(empty_store)
    assert done.bytes_after < done.bytes_before / 2
    assert done.bytes_after == empty_store.path.stat().st_size
    assert reads.runs(empty_store).height == 2


@pytest.mark.slow
def test_readers_and_a_recorder_go_on_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces others read, mark and record; a fold leaves things pending until afterwards."""
    monkeypatch.setattr(compaction, "AT_ONCE_SPANS", 6)
    copied, read = threading.Event(), threading.Event()

    def others() -> None:
        copied.wait(20)
        writer = SegmentWriter(store.path)
        writer.write_spans([span(900, trace=40)])
        writer.close()
        assert store.fold().pending_bytes > 0
        assert reads.runs(store).height == 12
        reads.mark(store, trace_id(5), "failed", "seen while it was compacted")
        read.set()

    def progress(_: int) -> None:
        copied.set()
        read.wait(20)

    in_threads(lambda: (compact(store, progress=progress), None)[1], others)
    assert reads.marks(store)["run_id"].to_list() == [trace_id(2), trace_id(5)]
    assert store.fold().spans == 1
    assert reads.runs(store).height == 13


@pytest.mark.slow
def test_a_copy_that_is_not_equal_is_thrown_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is left as it is, and says so."""
    before, inode = everything(store), store.path.stat().st_ino
    real: Callable[..., Any] = compaction._rows_of  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(compaction, "_rows_of", lambda con, runs: real(con, runs.head(3)))
    with pytest.raises(StoreError, match=r"into \d+; it was left as it is"):
        compact(store)
    assert (everything(store), store.path.stat().st_ino) == (before, inode)
    assert not compacted_path(store.path).exists()


@pytest.mark.slow
def test_a_backup_is_a_store(store: Store, tmp_path: Path) -> None:
    """It has every row, can be used in the place of the store, and never overwrites."""
    copy = tmp_path / "kept" / "monday.duckdb"
    copy.parent.mkdir()
    done = back_up(store, copy)
    assert (done.runs, done.spans, done.bytes) == (12, 37, copy.stat().st_size)
    assert names_in(copy.parent) == {"monday.duckdb"}
    assert everything(Store(copy)) == everything(store)
    with pytest.raises(BadInput, match="exists already"):
        back_up(store, copy)
    with pytest.raises(StoreError, match="Cannot write"):
        back_up(store, tmp_path / "nowhere" / "x.duckdb")


@pytest.mark.slow
def test_a_foreign_program_stops_a_backup_with_its_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half-written is left, whenever that program comes."""
    monkeypatch.setattr("tracer.store.lease.FOREIGN_WAIT_S", 0.05)
    with another_program(HOLD, store.path) as pid, pytest.raises(StoreLocked, match=rf"process {pid}"):
        back_up(store, tmp_path / "a.duckdb")
    real = backup.lock_file

    def slow(*args: Any) -> int:
        held = real(*args)
        programs.append(another_program(HOLD, store.path))
        programs[-1].__enter__()
        return held

    programs: list[Any] = []
    monkeypatch.setattr(backup, "lock_file", slow)
    with pytest.raises(StoreLocked, match="another program"):
        back_up(store, tmp_path / "b.duckdb")
    programs[0].__exit__(None, None, None)
    assert {name for name in names_in(tmp_path) if "duckdb" in name} == {"traces.duckdb"}


@pytest.mark.slow
def test_backups_while_others_record_and_fold(empty_store: Store, tmp_path: Path) -> None:
    """Each holds a whole moment: every span in it once, runs summed up as they were, and all that was folded before it began."""
    store = empty_store
    record = (
        "import sys; from tests.store.build import span; from tracer.store.segment import SegmentWriter\n"
        "writer = SegmentWriter(sys.argv[1]); base = int(sys.argv[2])\n"
        "print('up', flush=True)\n"
        "for n in range(4000): writer.write_spans([span(base + n, trace=base + n // 10)])\n"
    )
    fold = "import sys; from tracer.store.database import Store\nfor _ in range(40): Store(sys.argv[1]).fold(budget_spans=200)"
    programs = [subprocess.Popen([sys.executable, "-c", record, store.path, str(10**6 * n)]) for n in (1, 2)]
    programs += [subprocess.Popen([sys.executable, "-c", fold, store.path])]
    least, number = 0, 0
    while number < 3 or any(program.poll() is None for program in programs):
        copy = tmp_path / f"{number}.duckdb"
        done = back_up(store, copy)
        with duckdb.connect(str(copy), read_only=True) as con:
            [(spans, distinct, summed)] = con.execute(
                "SELECT count(*), count(DISTINCT span_id), (SELECT coalesce(sum(spans), 0) FROM traces) FROM spans"
            ).fetchall()
        assert spans == distinct == summed == done.spans >= least
        copy.unlink()
        least, number = done.spans, number + 1
        store.fold(budget_spans=500)
    assert [program.wait() for program in programs] == [0, 0, 0]
    store.fold()
    assert reads.runs(store)["spans"].sum() == 8000
