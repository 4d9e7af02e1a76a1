"""The reading side of the spool: which segments there are, which writers live, what can be read."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tracer.errors import StoreError
from tracer.store.frame import BadFrame, Frame, scan_frames
from tracer.store.segment import LIVE_SUFFIX, SEGMENT_SUFFIX

UPKEEP = ".upkeep"
"""name of the lock of whoever prunes or compacts: folds leave everything pending meanwhile"""
SHIPPED = "shipped.sqlite"
"""name of what a receiver remembers of the runs it shipped to a lake; a store that has it is the way into that lake"""
STALE_S = 60.0
"""age from which a hidden file counts as left behind by a process that died while creating it"""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file as it was when the spool was listed."""

    name: str
    path: Path
    size: int
    sealed: bool
    """no process appends to it any more"""

    @property
    def writer(self) -> str:
        """The id of the process that wrote it."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Listing:
    """The spool at one moment. Writers were looked at before segments, so all segments of a dead writer are in it."""

    segments: tuple[Segment, ...]
    live: frozenset[str]
    """ids of the writers whose process lives"""
    dead: frozenset[str]
    """ids of the writers whose liveness file lies unlocked"""


def list_spool(spool: Path) -> Listing:
    """What the spool holds; empty where there is none.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        names = sorted(os.listdir(spool))
    except FileNotFoundError:
        return Listing((), frozenset(), frozenset())
    except OSError as error:
        raise StoreError(
            f"Cannot use {str(spool)!r}: {error.strerror}.", hint="the store needs a directory it may read and write."
        ) from error
    live: set[str] = set()
    dead: set[str] = set()
    for name in names:
        if name.endswith(LIVE_SUFFIX) and not name.startswith("."):
            locked = is_locked(spool / name)
            if locked is not None:
                (live if locked else dead).add(name.removesuffix(LIVE_SUFFIX))
    segments: list[Segment] = []
    # Listed again: a writer found dead above may have made a segment since the first listing, but not since the look.
    for name in sorted(os.listdir(spool)):
        if not name.endswith(SEGMENT_SUFFIX) or name.startswith("."):
            continue
        path = spool / name
        locked = is_locked(path)  # before its size: what a sealed file holds is all there will be
        if locked is None:
            continue
        with suppress(FileNotFoundError):
            segments.append(Segment(name, path, path.stat().st_size, sealed=not locked))
    return Listing(tuple(segments), frozenset(live), frozenset(dead))


def is_locked(path: Path) -> bool | None:
    """Whether a living process holds the file's lock; None where the file is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Shared: two readers that look at once must not take each other for the writer.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def read_segment(segment: Segment, offset: int) -> Iterator[Frame | BadFrame]:
    """The frames from `offset` up to the listed size; nothing where the file is gone."""
    try:
        with segment.path.open("rb") as file:
            file.seek(offset)
            data = file.read(max(segment.size - offset, 0))
    except FileNotFoundError:
        return
    yield from scan_frames(data, base=offset, sealed=segment.sealed)


def quarantine(spool: Path, segment: str, start: int, data: bytes, reason: str) -> None:
    """Keep bytes that could not be read, with the reason beside them; doing it twice is the same as once."""
    folder = spool / "quarantine"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{segment}.{start}"
    (folder / f"{name}.bad").write_bytes(data)
    (folder / f"{name}.txt").write_text(reason + "\n", "utf-8")


def sweep(spool: Path) -> None:
    """Remove what processes left that died while creating a file: old, hidden, unlocked."""
    for path in (*spool.glob(f".*{SEGMENT_SUFFIX}"), *spool.glob(f".*{LIVE_SUFFIX}")):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE_S and is_locked(path) is False:
                path.unlink()
