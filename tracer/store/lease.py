"""The lease: who may have the database file open, and for how long.

A DuckDB file admits one process, and closing any descriptor of it drops its POSIX lock. So processes take turns on a
lock file (`traces.spool/.lease`), attach the database, do something short, detach it and let go. Threads of one process
share the attached database, each with a cursor of its own; when it has been attached for a while, newcomers wait until
it was detached once, so that a busy process does not shut others out. The engine it is attached to stays: starting one
takes 30 ms, attaching 2 ms.

DuckDB and polars are imported with this module, never under a lease: that would keep everybody waiting for a second.
"""

from __future__ import annotations

import ctypes
import fcntl
import math
import os
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from tracer.errors import StoreError, StoreLocked
from tracer.store import schema
from tracer.store.segment import spool_path
from tracer.store.spool import is_locked

WAIT_S = 30.0
"""how long to wait for other tracehound processes, which let go quickly"""
FOREIGN_WAIT_S = 2.0
"""how long to wait for a program that does not know of the lease, such as the DuckDB shell"""
JOIN_S = 0.25
"""a lease this old takes no more threads in"""

MEMORY, SCRATCH = "1GB", "4GB"
"""what a fenced engine may take of memory, and of disk to go on with less"""

CATALOG = "store"
"""what the database is attached as"""

CHECKPOINT_FROM = "1MB"
"""a transaction this large goes into the database file at once, not into its log first and from there a moment later"""

_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.*?) ?\(PID (?P<pid>\d+)\)")


class Lease:
    """The way into one database file; one object per file and process (`Lease.of`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spool = spool_path(path)
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._local = threading.local()
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._fenced = False
        self._lock_fd = -1
        self._users = 0
        self._since = 0.0

    @staticmethod
    def of(path: str | os.PathLike[str]) -> Lease:
        """The lease of this process for the database at `path`."""
        real = Path(os.path.realpath(path))
        with _registry_lock:
            return _REGISTRY.setdefault(real, Lease(real))

    @contextmanager
    def hold(self, *, alone: bool = False, fenced: bool = False) -> Generator[duckdb.DuckDBPyConnection]:
        """A cursor on the open database, for a short time: copy out what you need and compute after letting go.

        Uncommitted work is rolled back at the end. A thread may take it again while it holds it; `alone` keeps the
        other threads of this process out, too. `fenced` (which implies it) gives an engine of its own for a query that
        nobody has looked at: with a limit on memory, and gone afterwards.

        Raises:
            StoreLocked: another program keeps the file open (named in the message), or a lease is not given back.
            SchemaTooNew: a newer tracehound wrote the file.
            StoreError: the file is no store, or cannot be opened.
        """
        cursor = self._enter(alone or fenced, fenced)
        try:
            yield cursor
        finally:
            try:
                cursor.close()
            finally:
                self._leave()

    def _enter(self, alone: bool, fenced: bool = False) -> duckdb.DuckDBPyConnection:
        with self._changed:
            if not getattr(self._local, "depth", 0):
                deadline = time.monotonic() + WAIT_S
                while self._users and (alone or time.monotonic() - self._since > JOIN_S):
                    if not self._changed.wait(deadline - time.monotonic()):
                        raise StoreLocked(f"Another thread has kept {str(self.path)!r} open for {WAIT_S:.0f} s.")
            if self._users == 0:
                self._open(fenced)
            if alone:
                self._since = -math.inf
            assert self._engine is not None
            cursor = self._engine.cursor()
            cursor.execute(f"USE {CATALOG}").fetchall()
            self._users += 1
            self._local.depth = getattr(self._local, "depth", 0) + 1
            return cursor

    def _leave(self) -> None:
        with self._changed:
            self._local.depth -= 1
            self._users -= 1
            if self._users == 0:
                self._close()
                self._changed.notify_all()

    def _open(self, fenced: bool) -> None:
        if fenced:
            self._drop_engine()
        engine = self._engine or _start_engine(self.path, fenced)
        self._engine, self._fenced = engine, fenced
        self._lock_fd = lock_file(self.spool, ".lease", WAIT_S)
        try:
            schema.prepare(self.path)
            _attach(engine, self.path)
            self._since = time.monotonic()
            with engine.cursor() as cursor:
                cursor.execute(f"USE {CATALOG}").fetchall()
                schema.check(cursor, self.path)
        except BaseException:
            # Whatever state it is in, without the engine no descriptor of the file stays open.
            self._engine = None
            engine.close()
            self._unlock()
            raise

    def _close(self) -> None:
        engine = self._engine
        try:
            if engine is not None:
                engine.execute(f"DETACH {CATALOG}").fetchall()
        except duckdb.Error as error:
            self._engine = None
            raise StoreError(
                f"Cannot write {str(self.path)!r}: {str(error).splitlines()[0]}",
                hint="is the disk full? What was committed is in the .wal file beside it and not lost.",
            ) from error
        finally:
            if engine is not None and (self._fenced or self._engine is None):
                self._engine = None
                engine.close()
            self._unlock()

    def _drop_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _unlock(self) -> None:
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's lease without closing its database, which would write to it."""
        if self._engine is not None:
            # Never destroyed: its threads do not exist here, and its destructor could write to the parent's file.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._engine))
        with suppress(OSError):
            self._unlock()
        self._reset()


def lock_file(spool: Path, name: str, wait_s: float, *, unless: str = "") -> int:
    """Lock `spool/name` exclusively; closing the returned descriptor unlocks it, as does the death of the process.

    Returns -1 at once while somebody has locked `spool/unless`.

    Raises:
        StoreLocked: not to be had within `wait_s` seconds.
        StoreError: the directory cannot be written.
    """
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(spool / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"Cannot use {str(spool)!r}: {error.strerror}.", hint="the store needs a directory it may write to."
        ) from error
    deadline, pause = time.monotonic() + wait_s, 0.001
    while True:
        if unless and is_locked(spool / unless):
            os.close(fd)
            return -1
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(fd, 64, 0).decode("ascii", "replace").strip()
                os.close(fd)
                raise StoreLocked(
                    f"The store at {str(spool.with_suffix('.duckdb'))!r} has been in use by process {holder or '?'} for {wait_s:.0f} s.",
                    hint="recording goes on meanwhile and loses nothing; stop that process or try again.",
                ) from None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        else:
            os.pwrite(fd, f"{os.getpid():<63}\n".encode(), 0)
            return fd


def _start_engine(path: Path, fenced: bool) -> duckdb.DuckDBPyConnection:
    """An engine that can reach the database file and what DuckDB keeps beside it, and no other file."""
    engine = duckdb.connect(":memory:")
    beside = [str(path) + suffix for suffix in ("", ".wal", ".wal.checkpoint", ".wal.recovery")]
    engine.execute(f"SET allowed_paths = [{', '.join(map(_quoted, beside))}]").fetchall()
    engine.execute(f"SET allowed_directories = [{_quoted(f'{path}.tmp/')}]").fetchall()
    engine.execute(f"SET temp_directory = {_quoted(f'{path}.tmp')}").fetchall()
    if fenced:
        engine.execute(f"SET memory_limit = '{MEMORY}'").fetchall()
        engine.execute(f"SET max_temp_directory_size = '{SCRATCH}'").fetchall()
    engine.execute(f"SET wal_autocheckpoint = '{CHECKPOINT_FROM}'").fetchall()
    for name, value in schema.CONFIG.items():
        engine.execute(f"SET {name} = {value}").fetchall()
    return engine


def _attach(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Attach the database, waiting a little for a program that does not know of the lease."""
    deadline = time.monotonic() + FOREIGN_WAIT_S
    while True:
        try:
            engine.execute(f"ATTACH {_quoted(str(path))} AS {CATALOG}").fetchall()
        except duckdb.IOException as error:
            holder = _HOLDER.search(str(error))
            if holder is None:
                raise StoreError(
                    f"Cannot open {str(path)!r}: {str(error).splitlines()[0]}", hint="is it a tracehound store?"
                ) from error
            if time.monotonic() > deadline:
                raise StoreLocked(
                    f"{str(path)!r} is held open by {holder['program'] or 'another program'} (process {holder['pid']}).",
                    hint="close it there; recording goes on meanwhile and nothing is lost.",
                ) from error
        except duckdb.Error as error:
            raise StoreError(
                f"Cannot open {str(path)!r}: {str(error).splitlines()[0]}",
                hint="if this program has the file open with DuckDB itself, close that connection.",
            ) from error
        else:
            return
        time.sleep(0.02)


def _quoted(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


_REGISTRY: dict[Path, Lease] = {}
_registry_lock = threading.Lock()


def _after_fork_in_child() -> None:
    global _registry_lock
    _registry_lock = threading.Lock()
    for lease in _REGISTRY.values():
        lease.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
