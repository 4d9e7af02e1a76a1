"""`Store`: one database file and the spool beside it, as a reading program sees them."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tracer.errors import BadInput
from tracer.store.fold import FoldResult, FoldState, fold
from tracer.store.lease import Lease
from tracer.store.segment import spool_path


class Store:
    """A store on this machine. Any number of objects, threads and processes may use one path at once."""

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        """Name the store; nothing is opened yet.

        Raises:
            BadInput: `create` is False and there is neither a database nor a spool; an empty file is none.
        """
        self.path = Path(os.path.realpath(path))
        self.spool_path = spool_path(self.path)
        if not create and not self.exists():
            raise BadInput(
                f"There is no store at {str(path)!r}{', the file is empty' if self.path.exists() else ''}.",
                hint="record something first (tracehound run, tracehound import, tracehound demo) or give --store PATH.",
            )
        if not create and not self.spool_path.is_dir() and not _is_database(self.path):
            raise BadInput(
                f"{str(path)!r} is no store: it is no DuckDB database.",
                hint="give the .duckdb file with --store; `tracehound import FILE` reads what other tools recorded.",
            )
        self._lease = Lease.of(self.path)
        self._fold_state = FoldState()

    def exists(self) -> bool:
        """Whether something was recorded here: there is a spool, or a database that is no empty file."""
        return self.spool_path.is_dir() or (self.path.exists() and self.path.stat().st_size > 0)

    def fold(self, *, budget_spans: int | None = None) -> FoldResult:
        """Make visible what was written before this call, or about `budget_spans` spans of it.

        Raises:
            StoreLocked, SchemaTooNew, StoreError: as `lease`. What was recorded stays in the spool and is not lost.
        """
        return fold(self._lease, self._fold_state, budget_spans=budget_spans)

    @contextmanager
    def lease(self) -> Generator[duckdb.DuckDBPyConnection]:
        """The database, for a short time, shared by the threads of this process.

        Copy out what you need (`fetchall`, `reads.frame`) and compute after letting go. Uncommitted work is rolled back.

        Raises:
            StoreLocked: another program keeps the file open, or another process does not give the lease back.
            SchemaTooNew: a newer tracehound wrote the file; it is left as it is.
            StoreError: the file is no store, or its directory cannot be written.
        """
        with self._lease.hold() as con:
            yield con


def _is_database(path: Path) -> bool:
    """Whether the file begins as DuckDB's do. Only for a file without a spool: nobody of this process has it open, as the lease lies there."""
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"
