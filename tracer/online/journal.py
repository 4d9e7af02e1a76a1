"""A file that several processes append to and read: checksummed lines under a lock, and who of them still lives.

    <folder>/<name>          lines "<crc32> <json>"
    <folder>/lock            flock around read-check-append, so that two processes cannot both take the last dollar
    <folder>/<owner>.live    flock-ed by each process while it lives

A torn line is skipped. Standard library only; a write has happened when the kernel has it, so `kill -9` loses nothing.
After a fork the child is an owner of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from ..clock import Clock, SystemClock

COMPACT_BYTES = 1_000_000
_journals: WeakSet[Journal] = WeakSet()


class Journal(ABC):
    """One process's view of the shared file; thread-safe. Nothing is created before the first use.

    A subclass keeps books: `_start_books` empties them, `_take` enters a line, `_kept` gives the lines that a rewritten
    file needs. Methods raise OSError where the folder cannot be used.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str, *, clock: Clock | None = None) -> None:
        self.folder = Path(folder)
        self._name = name
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._forget()
        _journals.add(self)

    def close(self) -> None:
        """Let the files go; what this owner has open counts as ended."""
        with self._lock:
            if self._live_fd >= 0:
                self._live_path(self._owner).unlink(missing_ok=True)
            self._let_go()

    @abstractmethod
    def _start_books(self) -> None: ...

    @abstractmethod
    def _take(self, entry: dict[str, Any]) -> None: ...

    @abstractmethod
    def _kept(self, now_ns: int) -> list[dict[str, Any]]: ...

    def _let_go(self) -> None:
        for fd in (self._live_fd, self._lock_fd, self._file_fd):
            if fd >= 0:
                os.close(fd)
        self._forget()

    def after_fork(self) -> None:
        """In the child: an owner of its own. Closing its copies of the parent's descriptors leaves the parent's locks alone."""
        self._lock = threading.RLock()  # the thread that held it does not exist here
        self._let_go()

    def _forget(self) -> None:
        self._owner = os.urandom(8).hex()
        self._live_fd = -1
        self._lock_fd = -1
        self._file_fd = -1
        self._inode = -1
        self._offset = 0
        self._torn = False
        self._compact_at = COMPACT_BYTES
        self._count = 0
        self._start_books()

    # everything below runs under both locks

    def _lives(self, owner: str) -> bool:
        try:
            fd = os.open(self._live_path(owner), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(fd)

    def _live_path(self, owner: str) -> Path:
        return self.folder / f"{owner}.live"

    def _append(self, kind: str, at_ns: int, name: str | None = None, **more: Any) -> str:
        if name is None:
            self._count += 1
            name = f"{self._owner}-{self._count}"
            more["o"] = self._owner
        entry = {"k": kind, "t": at_ns, "i": name, **more}
        data = _line(entry)
        if self._torn:
            data, self._torn = b"\n" + data, False
        os.write(self._file_fd, data)
        self._offset += len(data)
        self._take(entry)
        return name

    @contextmanager
    def _exclusive(self) -> Generator[int]:
        """Both locks, the file read to its end; gives the time."""
        with self._lock:
            if self._lock_fd < 0:
                self._open()
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
            try:
                self._catch_up()
                yield self._clock.now_ns()
            finally:
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._live_fd = os.open(self._live_path(self._owner), flags, 0o600)
        fcntl.flock(self._live_fd, fcntl.LOCK_EX)
        self._lock_fd = os.open(self.folder / "lock", flags, 0o600)

    def _catch_up(self) -> None:
        path = self.folder / self._name
        try:
            replaced = os.stat(path).st_ino != self._inode
        except FileNotFoundError:
            replaced = True
        if replaced:
            if self._file_fd >= 0:
                os.close(self._file_fd)
            self._file_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._inode, self._offset = os.fstat(self._file_fd).st_ino, 0
            self._start_books()
        size = os.fstat(self._file_fd).st_size
        self._torn = False
        if size > self._offset:
            data = os.pread(self._file_fd, size - self._offset, self._offset)
            for line in data.split(b"\n"):
                entry = _entry(line)
                if entry is not None:
                    self._take(entry)
            self._torn = not data.endswith(b"\n")
            self._offset = size
        if replaced:
            self._compact_at = max(COMPACT_BYTES, 2 * size)  # a busy day fills it anyway
        if size > self._compact_at:
            self._compact()

    def _compact(self) -> None:
        kept = self._kept(self._clock.now_ns())
        fresh = self.folder / f"{self._name}.new"
        fresh.write_bytes(b"".join(map(_line, kept)))
        os.replace(fresh, self.folder / self._name)
        self._catch_up()


def _line(entry: dict[str, Any]) -> bytes:
    body = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None for an empty, torn or damaged one."""
    checksum, _, body = line.partition(b" ")
    if not body or checksum != b"%08x" % zlib.crc32(body):
        return None
    return json.loads(body)


def _after_fork() -> None:
    for journal in list(_journals):
        journal.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
