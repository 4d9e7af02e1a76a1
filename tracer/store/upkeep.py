"""What pruning, compacting and repairing have in common: no fold goes on beside them, and readers get their turns."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager

from tracer.store.lease import WAIT_S, Lease, lock_file
from tracer.store.spool import UPKEEP

PAUSE_S = 0.03
"""how long to stay away between two leases: longer than others sleep between two looks at the lock"""


@contextmanager
def without_folds(lease: Lease) -> Generator[None]:
    """While the block lasts the rows of the database change by nobody else, except marks, pins and settings.

    Folds of other processes leave everything pending and return at once; recording and reading go on.

    Raises:
        StoreLocked: another upkeep, or a fold, does not come to an end.
        StoreError: the directory cannot be written.
    """
    upkeep = lock_file(lease.spool, UPKEEP, WAIT_S)
    try:
        fold = lock_file(lease.spool, ".fold", WAIT_S)
        try:
            yield
        finally:
            os.close(fold)
    finally:
        os.close(upkeep)


def give_way() -> None:
    """Between two leases: let those who wait for the database have it first."""
    time.sleep(PAUSE_S)
