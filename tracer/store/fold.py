"""Fold: move what lies in the segments into the database, exactly once, in bounded transactions.

    list spool -> read, decode, normalise      without the lease
    compare offsets, read the touched runs     lease
    resolve and summarise whole runs           without the lease (a small chunk: under it; one that touches
                                               nothing stored, as in bulk: before it, so that one lease does)
    compare offsets, write, advance, COMMIT    lease
    unlink segments that are sealed and done   a kill before this only leaves a file that the next fold removes

The offsets are advanced in the transaction that brings the rows, so a kill at any point loses nothing and doubles
nothing. Processes that fold at once take turns on `traces.spool/.fold`, one chunk each; the database is let go between
chunks. `python -m tracer.store.fold PATH` folds everything and ends, for programs that must not do it themselves.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tracer.errors import TracehoundError
from tracer.model import Span
from tracer.store import apply
from tracer.store.gather import Gathered, gather
from tracer.store.lease import WAIT_S, Lease, lock_file
from tracer.store.merge import Stored, interrupted
from tracer.store.records import one_engine
from tracer.store.segment import LIVE_SUFFIX
from tracer.store.spool import UPKEEP, Listing, Segment, list_spool, sweep

CHUNK_SPANS = 3_000
"""spans of the first transaction of a process: enough to be fast, few enough that readers hardly wait and a kill costs little"""
GROWTH = 16
"""so many times more spans a transaction in the end where much is pending: every transaction has a price of its own, and
rewrites the last group of rows of the table, which holds up to 122,880 of them"""
AT_ONCE_SPANS = 300
"""up to so many spans, new and stored, runs are resolved under the lease: shorter than taking it a second time"""


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
    stored: int = 0
    """rows of the runs that the last chunk touched"""
    settled: bool = False
    """this process has seen that no running span is without its process's liveness file"""
    chunk: int = CHUNK_SPANS
    """spans of the next transaction, if so much is pending: grows with those that went well"""
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
    with one_engine():
        while budget_spans is None or result.spans < budget_spans:
            # A chunk of a huge run costs as much as the run, which is resolved anew; larger chunks keep the sum in bounds.
            limit = max(state.chunk, state.stored // 2)
            if budget_spans is not None:
                left = budget_spans - result.spans
                limit = -(-left // -(-left // limit))  # in equal parts: a small rest would cost as much as a large part
            with _taking_turns(lease.spool) as ours, _collector_paused():
                if not ours or not _fold_chunk(lease, state, goals, limit, result):
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
        lost = _lost_spans(lease, state, listing, limit)
        if lost is None:
            return True
        if not lost:
            _clean(lease.spool, listing, offsets, settled=True)
            if all(offsets.get(segment.name, 0) >= segment.size for segment in listing.segments):
                state.quiet = _look(lease.path, listing)
            return False
        new = interrupted(lost)

    present = {segment.name for segment in listing.segments}
    gone = [name for name in offsets if name not in present]
    taken = new.size
    looked_for, small = apply.wanted(new), new.size <= AT_ONCE_SPANS
    # Before the lease, on the guess that nothing stored is touched, as it was the last time; resolving again does no harm.
    guess = None if small or state.stored else apply.prepared(new, Stored())
    with lease.hold() as con:
        if not _unchanged(apply.read_offsets(con), new, lease.spool):
            state.offsets = None
            return True
        again = apply.delivered_again(con, new)
        if again:
            new.without(again)
            looked_for, guess = apply.wanted(new), None
        stored = apply.read_stored(con, looked_for)
        state.stored = stored.size
        prepared = None if stored.extents else guess
        if prepared is not None:
            _write(con, new, prepared, gone)
        elif new.size + stored.size <= AT_ONCE_SPANS:
            prepared = apply.prepared(new, stored)
            _write(con, new, prepared, gone)
    if prepared is None:
        prepared = apply.prepared(new, stored)
        with lease.hold() as con:
            if not _unchanged(apply.read_offsets(con), new, lease.spool):
                state.offsets = None
                return True
            _write(con, new, prepared, gone)
    state.offsets = {name: end for name, end in offsets.items() if name not in gone}
    state.offsets |= {name: end for name, (_, end) in new.taken.items()}
    # Only after one went well: where processes are killed young, chunks must stay small for any to get through.
    if 2 * taken > state.chunk:  # the parts of a budget are no smaller
        state.chunk = min(4 * state.chunk, GROWTH * CHUNK_SPANS)
    result.spans += taken
    result.duplicates += prepared.counts.get("duplicate_spans", 0)
    result.bad_frames += prepared.counts.get("bad_frames", 0)
    _clean(lease.spool, listing, state.offsets, settled=False)
    return True


def _write(con: duckdb.DuckDBPyConnection, new: Gathered, prepared: apply.Prepared, gone: list[str]) -> None:
    con.execute("BEGIN").fetchall()
    advanced = {name: end for name, (_, end) in new.taken.items()}
    known = [name for name, (start, _) in new.taken.items() if start]
    apply.write(con, prepared, advanced, known, gone)
    commit(con)


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


def _lost_spans(lease: Lease, state: FoldState, listing: Listing, limit: int) -> list[Span] | None:
    """Running spans whose process is gone and whose segments are all folded; None if another process folded meanwhile.

    The liveness file of a dead process lies there until its spans are settled, so without one there is nothing to ask
    the database; but the first time in a process it is asked, for somebody may have tidied the spool by hand.
    """
    if not listing.dead and state.settled:
        return []
    offsets = state.offsets or {}
    unread = {segment.writer for segment in listing.segments if offsets.get(segment.name, 0) < segment.size}
    with lease.hold() as con:
        if apply.read_offsets(con) != offsets:
            state.offsets = None
            return None
        lost = apply.read_writers(con) - listing.live - unread
        spans = apply.read_running(con, lost, limit) if lost else []
    state.settled = not spans
    return spans


def _clean(spool: Path, listing: Listing, offsets: Mapping[str, int], *, settled: bool) -> None:
    """Remove sealed segments that are folded, and once their spans are settled the liveness files of dead writers."""
    kept: set[str] = set()
    for segment in listing.segments:
        if segment.sealed and offsets.get(segment.name, 0) >= segment.size:
            segment.path.unlink(missing_ok=True)
        else:
            kept.add(segment.writer)
    if settled:
        for writer in listing.dead - kept:
            (spool / (writer + LIVE_SUFFIX)).unlink(missing_ok=True)
        sweep(spool)


def _look(path: Path, listing: Listing) -> object:
    """Something that is equal as long as there is nothing new to fold."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino, listing
    return None


@contextmanager
def _collector_paused() -> Generator[None]:
    """A chunk makes a million objects without a circle among them; looking for one costs a quarter of the fold."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _taking_turns(spool: Path) -> Generator[bool]:
    """Gives False where the store is being pruned or compacted: what is pending stays pending a little longer."""
    fd = lock_file(spool, ".fold", WAIT_S, unless=UPKEEP)
    try:
        yield fd >= 0
    finally:
        if fd >= 0:
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
