"""The recording side of the store: every process appends frames to a segment file of its own.

    traces.duckdb                        never opened here
    traces.spool/<writer>.live           locked while the process lives: tells a long span from an interrupted one
    traces.spool/<writer>.000001.seg     locked while it grows; sealed = unlocked
    traces.spool/.<writer>.000002.seg    being created: locked first, then renamed, so nobody sees it unlocked

A write has happened when it returns: the kernel holds the bytes, so `kill -9` of this process cannot lose them
(a power cut can). Standard library and relative imports only; the traced program pays for every line of this.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from ..clock import Clock, SystemClock
from ..model import RawSpan
from .frame import FrameKind, encode_frame, encode_records

SEGMENT_SUFFIX = ".seg"
LIVE_SUFFIX = ".live"
ROTATE_BYTES = 8 * 1024 * 1024
ROTATE_NS = 60 * 1_000_000_000
SPANS_PER_FRAME = 1_000
"""a longer batch is cut, so that a reader can take it in bounded transactions"""
_NO_CONTENTS: Mapping[int, str] = MappingProxyType({})


def spool_path(store_path: str | os.PathLike[str]) -> Path:
    """The directory of segments that belongs to a database file: `traces.duckdb` -> `traces.spool`."""
    path = Path(os.path.realpath(store_path))
    return path.with_suffix(".spool") if path.suffix == ".duckdb" else path.with_name(path.name + ".spool")


class SegmentWriter:
    """Appends spans to this process's segment; thread-safe, fork-safe, nothing is created before the first write.

    After `close` the writer may be used again; it then appears as a new writer.
    """

    dropped: int
    """spans that could not be written (disk full ...), also told to the store with the next successful write"""

    def __init__(self, store_path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self.spool = spool_path(store_path)
        self.dropped = 0
        self._clock = clock or SystemClock()
        self._untold = 0
        self._forget()
        _WRITERS.add(self)

    def _forget(self) -> None:
        """The state of a writer that has written nothing; descriptors are the caller's business."""
        # Re-entrant: a signal handler or a destructor may record a span while this thread is writing one.
        self._lock = threading.RLock()
        self._live_fd = -1
        self._fd = -1
        self._writer = ""
        self._sequence = 0
        self._size = 0
        self._opened_ns = 0
        self._known: set[int] = set()
        self._counts: dict[str, int] = {}

    @property
    def writer_id(self) -> str:
        """Name of this process's liveness file without its suffix; "" before the first write."""
        return self._writer

    def write_spans(
        self, spans: Sequence[RawSpan], *, starts: Sequence[RawSpan] = (), contents: Mapping[int, str] = _NO_CONTENTS
    ) -> None:
        """Append ended `spans`, `starts` of running ones, and the texts they refer to; durable on return.

        Contents that the current segment already holds are left out, so callers may pass them every time.

        Raises:
            OSError: the bytes could not be written (disk full, no permission ...). The segment is left as it was;
                batches of more than `SPANS_PER_FRAME` spans may be written in part.
        """
        for at in range(0, max(len(spans), len(starts), 1), SPANS_PER_FRAME):
            upto = at + SPANS_PER_FRAME
            try:
                self._write_records(spans[at:upto], starts[at:upto], contents if at == 0 else _NO_CONTENTS)
            except OSError:
                self._count_dropped(len(spans) - at)
                raise

    def write_otlp(self, payload: bytes, *, logs: bool = False) -> None:
        """Append an OTLP export request (protobuf) as it came; durable on return.

        Raises:
            OSError: the bytes could not be written; the segment is left as it was.
        """
        frame = encode_frame(FrameKind.OTLP_LOGS if logs else FrameKind.OTLP_TRACES, payload, compress=False)
        with self._lock:
            self._open_segment()
            self._append(frame)

    def count(self, name: str, number: int) -> None:
        """Tell the store with the next write, or when it is closed, of what is counted in `frame.COUNTS`."""
        with self._lock:
            if number > 0:
                self._counts[name] = self._counts.get(name, 0) + number

    def lost(self, spans: int) -> None:
        """Tell the store likewise of spans that never came to be written."""
        with self._lock:
            self._untold += spans

    def write_logs(self, payload: bytes) -> None:
        """As `write_otlp` for log records: all that a recorder, whose spans are records, needs of it."""
        self.write_otlp(payload, logs=True)

    def close(self) -> None:
        """Seal: the next reader folds everything, and spans still running count as interrupted.

        The files stay for that reader; that they are unlocked is what tells it.
        """
        with self._lock:
            if self._untold or self._counts:
                with suppress(OSError):  # the disk may be full, which is what is to be told
                    self._write_records((), (), _NO_CONTENTS)
            self._known.clear()
            self._close_files()

    def _write_records(self, spans: Sequence[RawSpan], starts: Sequence[RawSpan], contents: Mapping[int, str]) -> None:
        with self._lock:
            self._open_segment()
            known = self._known
            fresh = {key: body for key, body in contents.items() if key not in known}
            untold, counts = self._untold, self._counts
            if not (spans or starts or fresh or untold or counts):
                return
            payload = encode_records(
                spans, starts=starts, contents=fresh, pid=os.getpid(), dropped=untold, counts=counts
            )
            self._append(encode_frame(FrameKind.RECORDS, payload))
            self._untold -= untold
            self._counts = {}
            known.update(fresh)

    def _count_dropped(self, spans: int) -> None:
        with self._lock:
            self.dropped += spans
            self._untold += spans

    def _append(self, frame: bytes) -> None:
        """One write call; whatever part of a frame got onto the disk is taken back. The lock is held."""
        fd = self._fd
        written = 0
        try:
            written = os.write(fd, frame)
            if written == len(frame):
                self._size += written
                return
            raise OSError(f"only {written} of {len(frame)} bytes fitted into {self._name()}; is the disk full?")
        except OSError:
            try:
                if written:
                    # The file offset is behind the torn bytes: nobody else appends to this file.
                    os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR) - written)
            except OSError:
                # Leave the torn end to the reader, who steps over it once the file is sealed.
                os.close(fd)
                self._fd = -1
            raise

    def _open_segment(self) -> None:
        """Make sure there is a segment to append to, a new one where the present one is full or old."""
        now = self._clock.now_ns()
        if self._live_fd >= 0 and os.fstat(self._live_fd).st_nlink == 0:
            # Somebody deleted the store to start afresh: nobody would ever find what is written to such files.
            self._close_files()
        if self._fd >= 0:
            # A clock that was set back also ends a segment, else it could grow for hours.
            if self._size < ROTATE_BYTES and 0 <= now - self._opened_ns < ROTATE_NS:
                return
            fd, self._fd = self._fd, -1
            os.close(fd)
        if self._live_fd < 0:
            os.makedirs(self.spool, mode=0o700, exist_ok=True)
            writer = f"{now:019d}-{os.getpid()}-{os.urandom(4).hex()}"
            self._live_fd = _create_locked(self.spool, writer + LIVE_SUFFIX)
            self._writer, self._sequence = writer, 0
        self._sequence += 1
        self._known = set()
        self._fd = _create_locked(self.spool, self._name())
        self._size, self._opened_ns = 0, now

    def _close_files(self) -> None:
        for fd in (self._fd, self._live_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._live_fd = -1

    def _name(self) -> str:
        return f"{self._writer}.{self._sequence:06d}{SEGMENT_SUFFIX}"

    def _abandon(self) -> None:
        """In a forked child: let go of the parent's files without unlocking or touching them."""
        for fd in (self._fd, self._live_fd):
            if fd >= 0:
                with suppress(OSError):  # the program may have closed all descriptors after its fork
                    os.close(fd)
        self.dropped = self._untold = 0
        self._forget()


def _create_locked(directory: Path, name: str) -> int:
    """A new file that is locked before its name can be seen by readers; the descriptor to append to it."""
    hidden = directory / ("." + name)
    fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(hidden, directory / name)
    except OSError:
        os.close(fd)
        raise
    return fd


_WRITERS: weakref.WeakSet[SegmentWriter] = weakref.WeakSet()
_held: list[threading.RLock] = []  # pyright: ignore[reportInvalidTypeForm]


def _before_fork() -> None:
    # A fork in the middle of a rotation would leave the child with a descriptor number that means something else.
    for writer in list(_WRITERS):
        lock = writer._lock  # pyright: ignore[reportPrivateUsage]
        if lock.acquire(timeout=1.0):
            _held.append(lock)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()
    for writer in list(_WRITERS):
        writer._abandon()  # pyright: ignore[reportPrivateUsage]


def _register(register: Callable[..., None] | None) -> None:
    if register is not None:  # Windows has no fork
        register(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


_register(getattr(os, "register_at_fork", None))
