"""A copy of the database while everything goes on: made under the lock of the lease, with the database closed.

A program must never read the file while it has it open with DuckDB (closing any descriptor of it drops DuckDB's lock),
so the copy is made after letting go, and whoever has it open meanwhile, tracehound or not, is noticed by its locks.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tracer.errors import BadInput, StoreError, StoreLocked
from tracer.store.database import Store
from tracer.store.lease import WAIT_S, Lease, lock_file
from tracer.store.retention import LIMITS
from tracer.store.schema import CONFIG

_TRIES = 5


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What the copy holds, as read from the copy."""

    path: Path
    bytes: int
    spans: int
    runs: int


def back_up(store: Store, path: Path) -> BackedUp:
    """Copy the database, without what is still pending (`store.fold()` first), to `path`, and look into the copy.

    The copy is a store: give its path with `--store`, or put it in the place of a lost one. It keeps everything: limits of
    the store are not in it, or reading an old copy would remove its old runs. Readers wait while the file is copied;
    recording goes on.

    Raises:
        BadInput: there is something at `path` already.
        StoreLocked: another program has the database open.
        StoreError: the copy cannot be written.
    """
    if path.exists():
        raise BadInput(f"{str(path)!r} exists already.", hint="give a name that is free; a back-up never overwrites.")
    lease = Lease.of(store.path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        for _ in range(_TRIES):
            with lease.hold(alone=True) as con:
                con.execute("CHECKPOINT").fetchall()
            if _copied(lease, part):
                break
        else:
            raise StoreError(f"{str(store.path)!r} was never at rest.", hint="try again when less is going on.")
        try:
            with duckdb.connect(str(part), config=CONFIG) as con:
                con.execute("DELETE FROM meta WHERE key IN (SELECT unnest($limits))", {"limits": LIMITS}).fetchall()
                [(spans, runs)] = con.execute(
                    "SELECT (SELECT count(*) FROM spans) + (SELECT count(*) FROM running_spans), (SELECT count(*) FROM traces)"
                ).fetchall()
        except duckdb.Error as error:
            raise StoreError(f"The copy of {str(store.path)!r} cannot be read: {str(error).splitlines()[0]}") from error
        os.rename(part, path)
    except OSError as error:
        raise StoreError(
            f"Cannot write {str(path)!r}: {error.strerror or error}.", hint="is there room on the disk?"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return BackedUp(path, path.stat().st_size, spans, runs)


def _copied(lease: Lease, part: Path) -> bool:
    """Copy the file under the lock; False where it was not at rest."""
    held = lock_file(lease.spool, ".lease", WAIT_S)
    try:
        if os.path.exists(f"{lease.path}.wal"):
            return False  # somebody was killed before the checkpoint
        with lease.path.open("rb") as source, part.open("wb") as target:
            try:
                fcntl.lockf(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreLocked(
                    f"{str(lease.path)!r} is held open by another program.", hint="close it there and try again."
                ) from error
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        return True
    finally:
        os.close(held)
