"""Who may have the database open: turns between processes, sharing between threads, and clear refusals."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from tests.store.build import in_threads, span, span_id
from tracer.errors import BadInput, SchemaTooNew, StoreError, StoreLocked
from tracer.model import SPAN_FIELDS
from tracer.store import lease as lease_module
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.lease import Lease, lock_file
from tracer.store.schema import layout, schema_steps
from tracer.store.segment import SegmentWriter


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


@contextmanager
def another_program(code: str, *arguments: str | Path) -> Iterator[int]:
    """Run `code` in another process until it prints a line and as long as the block lasts; gives its process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "the other program failed"
        yield process.pid
    finally:
        process.communicate()


HOLD = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
OPEN = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('SELECT count(*) FROM spans').fetchall(), flush=True)"


@pytest.mark.slow
def test_a_foreign_program_is_named_and_costs_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the DuckDB shell holds the file, recording goes on and reading says who is in the way; later all is there."""
    monkeypatch.setattr(lease_module, "FOREIGN_WAIT_S", 0.05)
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    store.fold()
    with another_program(HOLD, store.path) as pid:
        writer.write_spans([span(2)])
        with pytest.raises(StoreLocked, match=rf"python.*\(process {pid}\)"):
            store.fold()
        with pytest.raises(StoreLocked):
            reads.runs(store)
    assert store.fold().spans == 1
    assert reads.load(store).spans["span_id"].to_list() == [span_id(1), span_id(2)]
    writer.close()


def test_nothing_keeps_the_file_after_a_read(store: Store) -> None:
    """Frames that were read, and a lease that failed, leave the database to other programs."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    store.fold()
    frames = reads.load(store)
    try:
        with store.lease() as con:
            con.execute("SELECT * FROM spans")  # a result left open
            raise ZeroDivisionError
    except ZeroDivisionError as error:
        kept = error
    with another_program(OPEN, store.path):
        pass
    assert (frames.spans.height, str(kept)) == (1, "")
    writer.close()


def test_work_that_was_not_committed_is_rolled_back(store: Store) -> None:
    """A lease that ends in the middle of a transaction leaves no trace."""
    with store.lease() as con:
        con.execute("BEGIN").fetchall()
        con.execute("INSERT INTO counters VALUES ('x', 1)").fetchall()
    with store.lease() as con:
        assert con.execute("SELECT * FROM counters").fetchall() == []


def test_threads_share_the_lease_and_a_thread_may_take_it_twice(store: Store) -> None:
    """Two threads are inside at once, each with its own transaction."""
    inside = threading.Barrier(2, timeout=10)

    def work(name: str) -> None:
        with store.lease() as con:
            con.execute("BEGIN").fetchall()
            con.execute("INSERT INTO counters VALUES ($name, 1)", {"name": name}).fetchall()
            inside.wait()
            with Store(store.path).lease() as again:
                assert again.execute("SELECT * FROM counters").fetchall() == []
            inside.wait()
            con.execute("COMMIT").fetchall()

    in_threads(lambda: work("a"), lambda: work("b"))
    with store.lease() as con:
        assert sorted(con.execute("SELECT name FROM counters").fetchall()) == [("a",), ("b",)]


def test_many_threads_come_and_go(store: Store) -> None:
    """Overlapping leases of many threads open and close the database without error."""

    def work() -> None:
        for _ in range(8):
            assert reads.runs(store).height == 0

    in_threads(*[work] * 6)


def test_an_old_lease_takes_no_newcomers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose threads overlap all the time still lets go now and then."""
    monkeypatch.setattr(lease_module, "JOIN_S", -1.0)
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        with store.lease():
            entered.set()
            leave.wait(10)
            order.append("first")

    def second() -> None:
        entered.wait(10)
        leave.set()
        with store.lease():
            order.append("second")

    in_threads(first, second)
    assert order == ["first", "second"]


def test_another_process_has_its_turn_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is not given back is reported with the process that has it."""
    monkeypatch.setattr(lease_module, "WAIT_S", 0.05)
    hold = "import sys; from pathlib import Path; from tracer.store.lease import lock_file; fd = lock_file(Path(sys.argv[1]), '.lease', 1); print('held', flush=True); sys.stdin.read()"
    with another_program(hold, store.spool_path) as pid, pytest.raises(StoreLocked, match=f"process {pid}"):
        reads.runs(store)
    assert reads.runs(store).height == 0


def test_a_newer_layout_is_refused_and_left_alone(store: Store) -> None:
    """The hint says to update; the file keeps its layout and the spool its spans."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    with store.lease() as con:
        con.execute("UPDATE meta SET value = '99' WHERE key = 'layout'").fetchall()
    with pytest.raises(SchemaTooNew, match="layout 99") as refused:
        store.fold()
    assert "update" in str(refused.value.hint)
    with duckdb.connect(str(store.path)) as con:
        assert con.execute("SELECT value FROM meta WHERE key = 'layout'").fetchall() == [("99",)]
        con.execute("UPDATE meta SET value = $layout WHERE key = 'layout'", {"layout": str(layout())}).fetchall()
    assert store.fold().spans == 1
    writer.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"not a database" * 2000, "not a valid DuckDB database"), (None, "not a tracehound store")],
    ids=["another file", "another DuckDB database"],
)
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    """Neither is written to."""
    path = tmp_path / "other.duckdb"
    if content is None:
        with duckdb.connect(str(path)) as con:
            con.execute("CREATE TABLE mine (a INTEGER)").fetchall()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=says):
        reads.runs(Store(path))
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """As a temporary file made beforehand is."""
    store = Store(tmp_path / "empty.duckdb")
    store.path.touch()
    assert reads.runs(store).height == 0


def test_a_missing_store_is_refused_when_asked(tmp_path: Path) -> None:
    """A reading command with a wrong path does not create one."""
    with pytest.raises(BadInput, match="no store"):
        Store(tmp_path / "wrong.duckdb", create=False)
    assert list(tmp_path.iterdir()) == []


def test_two_stores_in_one_process_are_apart(tmp_path: Path) -> None:
    """Each path has its own lease, and one path has one."""
    stores = [Store(tmp_path / name) for name in ("a.duckdb", "b.duckdb")]
    for number, store in enumerate(stores):
        writer = SegmentWriter(store.path)
        writer.write_spans([span(number)])
        store.fold()
        writer.close()
    with stores[0].lease() as a, stores[1].lease() as b:
        ids = [con.execute("SELECT span_id FROM spans").fetchall() for con in (a, b)]
    assert ids == [[(span_id(0),)], [(span_id(1),)]]
    assert Lease.of(tmp_path / "a.duckdb") is Lease.of(tmp_path / "." / "a.duckdb")


def test_the_lock_file_needs_a_directory(tmp_path: Path) -> None:
    """A path that cannot be written gives one sentence, not a traceback of the system call."""
    (tmp_path / "x.spool").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot use"):
        lock_file(tmp_path / "x.spool", ".lease", 0.1)


def test_the_span_table_has_the_columns_of_the_model(store: Store) -> None:
    """Fields of `Span` and columns of `spans` are one list; running_spans adds the writer."""
    with store.lease() as con:
        described = {
            table: [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall()]
            for table in ("spans", "running_spans")
        }
    assert described["spans"] == list(SPAN_FIELDS)
    assert described["running_spans"] == [*SPAN_FIELDS, "writer"]


def test_an_older_layout_is_brought_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new step runs once, in a transaction, on stores that lack it."""
    assert reads.runs(store).height == 0
    steps = (*schema_steps(), (9000, "ALTER TABLE marks ADD COLUMN author VARCHAR;"))
    monkeypatch.setattr("tracer.store.schema.schema_steps", lambda: steps)
    for _ in range(2):
        with store.lease() as con:
            assert "author" in [row[0] for row in con.execute("DESCRIBE marks").fetchall()]
            assert con.execute("SELECT value FROM meta WHERE key = 'layout'").fetchall() == [("9000",)]
