"""Fold: move what lies in the segments into the database, exactly once, in bounded transactions.

    list spool -> read, decode, normalise      without the lease
    compare offsets, read the touched runs     lease
    resolve and summarise whole runs           without the lease
    compare offsets, write, advance, COMMIT    lease
    unlink segments that are sealed and done   a kill before this only leaves a file that the next fold removes

The offsets are advanced in the transaction that brings the rows, so a kill at any point loses nothing and doubles
nothing. Processes that fold at once take turns on `traces.spool/.fold`, one chunk each; the database is let go between
chunks. `python -m tracer.store.fold PATH` folds everything and ends, for programs that must not do it themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tracer.errors import TracehoundError
from tracer.store import apply
from tracer.store.gather import Gathered, gather
from tracer.store.lease import WAIT_S, Lease, lock_file
from tracer.store.merge import interrupted, merge
from tracer.store.segment import LIVE_SUFFIX
from tracer.store.spool import Listing, Segment, list_spool, sweep

CHUNK_SPANS = 3_000
"""spans a transaction: enough to be fast, few enough that readers hardly wait and a kill costs little"""


@dataclass(slots=True)
class FoldResult:
    """What one call of `fold` did."""

    spans: int = 0
    """spans brought in or found ended"""
    duplicates: int = 0
    """deliveries of a span that was there already"""
    bad_frames: int = 0
    """stretches of bytes that could not be read and went to quarantine"""
    pending_bytes: int = 0
    """bytes left in the spool, because of the budget or because writers went on writing"""


@dataclass(slots=True)
class FoldState:
    """What this process remembers between folds; only ever a hint, the database decides."""

    offsets: dict[str, int] | None = None
    quiet: object = None
    """what the spool looked like when there was nothing to do"""
    turn: int = 0
    """rotates the order of segments, so that a busy writer does not starve the others"""


def fold(lease: Lease, state: FoldState, *, budget_spans: int | None = None) -> FoldResult:
    """Bring in everything written before the call, or about `budget_spans` spans of it.

    Raises:
        StoreLocked, SchemaTooNew, StoreError: as `Lease.hold`; the segments are left as they are.
    """
    result = FoldResult()
    listing = list_spool(lease.spool)
    if state.quiet is not None and state.quiet == _look(lease.path, listing):
        return result
    goals = {segment.name: segment.size for segment in listing.segments}
    while budget_spans is None or result.spans < budget_spans:
        limit = CHUNK_SPANS if budget_spans is None else min(CHUNK_SPANS, budget_spans - result.spans)
        with _taking_turns(lease.spool):
            if not _fold_chunk(lease, state, goals, limit, result):
                break
    offsets = state.offsets or {}
    result.pending_bytes = sum(
        max(segment.size - offsets.get(segment.name, 0), 0) for segment in list_spool(lease.spool).segments
    )
    return result


def _fold_chunk(lease: Lease, state: FoldState, goals: Mapping[str, int], limit: int, result: FoldResult) -> bool:
    """One transaction; False when nothing is left to do."""
    listing = list_spool(lease.spool)
    if state.offsets is None:
        with lease.hold() as con:
            state.offsets = apply.read_offsets(con)
    offsets = state.offsets
    new = gather(lease.spool, _in_turn(listing, goals, offsets, state), offsets, limit=limit)
    if not new.taken:
        with lease.hold() as con:
            if apply.read_offsets(con) != offsets:
                state.offsets = None  # another process folded meanwhile
                return True
            lost = _lost_writers(listing, offsets, apply.read_writers(con))
            new = interrupted(apply.read_running(con, lost, limit) if lost else [])
        if not new.spans:
            _clean(lease.spool, listing, offsets)
            if all(offsets.get(segment.name, 0) >= segment.size for segment in listing.segments):
                state.quiet = _look(lease.path, listing)
            return False

    with lease.hold() as con:
        if not _unchanged(apply.read_offsets(con), new, lease.spool):
            state.offsets = None
            return True
        stored = apply.read_stored(con, new)
    changes = merge(new, stored)
    prepared = apply.prepare(new, changes)
    advanced = {name: end for name, (_, end) in new.taken.items()}
    present = {segment.name for segment in listing.segments}
    gone = [name for name in offsets if name not in present]
    with lease.hold() as con:
        con.execute("BEGIN").fetchall()
        if not _unchanged(apply.read_offsets(con), new, lease.spool):
            state.offsets = None
            return True
        apply.write(con, prepared, advanced, gone)
        commit(con)
    state.offsets = {name: end for name, end in offsets.items() if name not in gone} | advanced
    result.spans += len(new.spans)
    result.duplicates += prepared.counts.get("duplicate_spans", 0)
    result.bad_frames += prepared.counts.get("bad_frames", 0)
    _clean(lease.spool, listing, state.offsets)
    return True


def commit(con: duckdb.DuckDBPyConnection) -> None:
    """The moment a chunk becomes part of the store."""
    con.execute("COMMIT").fetchall()


def _unchanged(stored: Mapping[str, int], new: Gathered, spool: Path) -> bool:
    """Whether the segments were folded exactly up to where `new` was read from.

    The file must still be there: when it is gone its offset may have been forgotten, which looks like 0.
    """
    return all(stored.get(name, 0) == start and (spool / name).exists() for name, (start, _) in new.taken.items())


def _in_turn(listing: Listing, goals: Mapping[str, int], offsets: Mapping[str, int], state: FoldState) -> list[Segment]:
    """The segments that have not reached their goal, starting with another one each time."""
    behind = [s for s in listing.segments if offsets.get(s.name, 0) < goals.get(s.name, 0)]
    state.turn = (state.turn + 1) % max(len(behind), 1)
    return behind[state.turn :] + behind[: state.turn]


def _lost_writers(listing: Listing, offsets: Mapping[str, int], writers: set[str]) -> set[str]:
    """Those of `writers` whose process is gone and whose segments are all folded."""
    unread = {segment.writer for segment in listing.segments if offsets.get(segment.name, 0) < segment.size}
    return writers - listing.live - unread


def _clean(spool: Path, listing: Listing, offsets: Mapping[str, int]) -> None:
    """Remove sealed segments that are folded, and liveness files of dead writers that have none left."""
    kept: set[str] = set()
    for segment in listing.segments:
        if segment.sealed and offsets.get(segment.name, 0) >= segment.size:
            segment.path.unlink(missing_ok=True)
        else:
            kept.add(segment.writer)
    for writer in listing.dead - kept:
        (spool / (writer + LIVE_SUFFIX)).unlink(missing_ok=True)
    sweep(spool)


def _look(path: Path, listing: Listing) -> object:
    """Something that is equal as long as there is nothing new to fold."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino, listing
    return None


@contextmanager
def _taking_turns(spool: Path) -> Generator[None]:
    fd = lock_file(spool, ".fold", WAIT_S)
    try:
        yield
    finally:
        os.close(fd)


def main(arguments: list[str]) -> int:
    """Fold the store given as the only argument; 0 when done, 2 with a message when it cannot be used."""
    if len(arguments) != 1:
        print("usage: python -m tracer.store.fold PATH", file=sys.stderr)
        return 2
    try:
        fold(Lease.of(arguments[0]), FoldState())
    except TracehoundError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
