"""The limits kept in a store are kept to by whoever uses it: `serve` on the clock, a reader before it reads.

A look costs one `stat` until an hour has passed since the last one, whoever made it; then a bounded number of spans goes,
and where that was not all, the next look comes sooner. Whole runs only, by the rules of `retention.plan`.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from tracer.errors import StoreLocked
from tracer.store import retention
from tracer.store.compaction import compact
from tracer.store.database import Store
from tracer.store.retention import Limits, Removed
from tracer.store.spool import SHIPPED, UPKEEP, is_locked

EVERY_S = 3_600.0
SOONER_S = 60.0
"""until the next look, where one left something over"""
READER_SPANS = 20_000
"""what a reader removes at a look: about a second"""
SERVER_SPANS = 200_000
ROOM = 0.05
"""part of `max_bytes` that is made free beyond what must go, so that not every look finds the store over it again"""
HOLES = 0.25
"""part of the file that must be unused for a compaction to pay"""
_LOOKED = ".looked"
"""name of the file whose time of change is that of the last look"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one look did."""

    removed: Removed
    more: bool
    """there is more over the limits; the next look takes it"""
    compacted: bool = False


def keep_to_limits(
    store: Store, *, spans: int = READER_SPANS, compacting: bool = False, now_ns: int | None = None
) -> Kept | None:
    """Remove what the store's own limits do not allow, oldest first, until `spans` spans are gone; None where no look is due.

    With `compacting` the file is rewritten where `max_bytes` asks for it and a quarter of it is unused.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Store.lease`; what was removed before stays removed.
    """
    if not store.path.exists() or not _due(store) or is_locked(store.spool_path / UPKEEP):
        return None
    if (store.spool_path / SHIPPED).exists():
        return None  # runs leave this store when the lake has them, and not before
    _looked(store)  # first: others need not look meanwhile, and a look that fails is not made again at once
    limits = retention.read_limits(store)
    if limits == Limits():
        return None
    size = limits.max_bytes
    target = None if size is None or _live_bytes(store)[1] <= size else int(size * (1 - ROOM))
    plan = retention.plan(store, replace(limits, max_bytes=target), now_ns=now_ns, weighed=False)
    chosen: list[str] = []
    taken = 0
    for gone in plan.removals:
        if taken >= spans:
            break
        chosen.append(gone.run_id)
        taken += gone.spans
    more = len(chosen) < len(plan.removals)
    try:
        removed = retention.remove(store, chosen) if chosen else Removed()
    except StoreLocked:  # another upkeep came first; what it leaves over is for the next look
        removed, more = Removed(), True
    if more:
        _looked(store, EVERY_S - SOONER_S)
    if not compacting or size is None or more:
        return Kept(removed, more)
    total, live = _live_bytes(store)
    pays = total > size and live < total * (1 - HOLES)
    if pays:
        more = compact(store).bytes_after > size  # what a run takes of the file was estimated
    if more:
        _looked(store, EVERY_S - SOONER_S)
    return Kept(removed, more, pays)


def _live_bytes(store: Store) -> tuple[int, int]:
    """Bytes of the file, and about how many of them hold rows that are not removed.

    DuckDB gives blocks of removed rows back when a whole row group has gone. Until then row ids tell how many there were:
    taken for data, they would let every look remove more.
    """
    with store.lease() as con:
        con.execute("CHECKPOINT").fetchall()
        total, used = retention.used_bytes(con)
        [(rows, places)] = con.execute(
            """
            SELECT sum(rows), sum(places) FROM (
                SELECT count(*) AS rows, coalesce(max(rowid) + 1, 0) AS places FROM spans
                UNION ALL SELECT count(*), coalesce(max(rowid) + 1, 0) FROM contents
            )
            """
        ).fetchall()
    return total, used * rows // max(places, 1)


def _due(store: Store) -> bool:
    try:
        age_s = time.time() - (store.spool_path / _LOOKED).stat().st_mtime
    except FileNotFoundError:
        return True
    return not 0 <= age_s < EVERY_S  # a clock that was set back must not put the next look off for years


def _looked(store: Store, ago_s: float = 0.0) -> None:
    path = store.spool_path / _LOOKED
    with suppress(FileNotFoundError):  # the spool was taken away by hand: there is nothing to remember
        path.touch(mode=0o600)
        moment = time.time() - ago_s
        os.utime(path, (moment, moment))
