"""A receiver's store as the way into a lake: runs go there once they are at rest, and leave the store a day later.

    spans -> segment files -> store --(nothing new for a minute)--> lake
                                --(a day after its last span)--> removed here

Spans that come while the run is still in the store ship the whole run again, to the same day; later ones make a run of their own
here, which readers of the lake join with what is there. What was shipped is remembered beside the spool: a kill between the lake
and that memory ships a run twice, which readers do not notice.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field

from tracer.lake.layout import Lake, day_of
from tracer.lake.write import PART_SPANS, ship
from tracer.model import RunOutcome
from tracer.store import retention
from tracer.store.database import Store
from tracer.store.spool import SHIPPED

REST_S = 60.0
"""time without anything new after which a run counts as whole"""
KEPT_S = 86_400.0
"""time that a shipped run stays in the store, so that late spans find it"""
REMOVED_AT_ONCE = 1_000
_SEEN = "SELECT run_id, start_ns, coalesce(end_ns, start_ns), spans, outcome, hash(t)::VARCHAR FROM traces t ORDER BY start_ns, run_id"


@dataclass(slots=True)
class Shipper:
    """Ships what is due whenever it is asked."""

    store: Store
    lake: Lake
    rest_s: float = REST_S
    kept_s: float = KEPT_S
    _since: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])
    """run id -> how it looked last, and since when (monotonic)"""

    def __post_init__(self) -> None:
        self._memory().close()  # from now on no limit removes what was not shipped

    def ship(self, *, all_ended: bool = False) -> int:
        """Ship the runs at rest, or all that have ended; how many that were.

        Raises:
            StoreError: the lake cannot be written; the runs stay here and are tried again.
        """
        with self.store.lease() as con:
            rows = con.execute(_SEEN).fetchall()
        with closing(self._memory()) as memory:
            known = {run: (day, state) for run, day, state in memory.execute("SELECT run_id, day, state FROM shipped")}
            due: list[tuple[str, str, str]] = []
            spans = 0
            now = time.monotonic()
            for run_id, start_ns, _, size, outcome, state in rows:
                if outcome == RunOutcome.RUNNING or known.get(run_id, ("", ""))[1] == state:
                    continue
                looked, since = self._since.get(run_id, ("", now))
                self._since[run_id] = (state, since if looked == state else now)
                if all_ended or now - self._since[run_id][1] >= self.rest_s:
                    due.append((run_id, known[run_id][0] if run_id in known else day_of(start_ns), state))
                    spans += size
                if spans >= PART_SPANS and not all_ended:
                    break  # the next time is soon
            here = {row[0] for row in rows}
            gone = {run: day for run, (day, _) in known.items() if run not in here}
            ship(self.store, self.lake, [run for run, _, _ in due], days={run: day for run, day, _ in due}, gone=gone)
            memory.executemany("INSERT OR REPLACE INTO shipped VALUES (?, ?, ?)", due)
            memory.executemany("DELETE FROM shipped WHERE run_id = ?", [(run,) for run in gone])
            memory.commit()
            for run, _, _ in due:
                self._since.pop(run, None)
            self._remove_old(memory, rows)
        return len(due)

    def _remove_old(self, memory: sqlite3.Connection, rows: list[tuple[str, int, int, int, str, str]]) -> None:
        """Runs that are in the lake as they are here and are not added to any more; marked and pinned ones stay."""
        shipped = dict(memory.execute("SELECT run_id, state FROM shipped"))
        before = time.time_ns() - int(self.kept_s * 1e9)
        old = {row[0] for row in rows if row[2] < before and shipped.get(row[0]) == row[5]}
        if not old:
            return
        plan = retention.plan(self.store, retention.Limits(retention_days=self.kept_s / 86_400), weighed=False)
        chosen = [gone.run_id for gone in plan.removals if gone.run_id in old][:REMOVED_AT_ONCE]
        # Forgotten first: a run that is remembered and not here would be told to the lake as gone.
        memory.executemany("DELETE FROM shipped WHERE run_id = ?", [(run,) for run in chosen])
        memory.commit()
        retention.remove(self.store, chosen)

    def _memory(self) -> sqlite3.Connection:
        self.store.spool_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        memory = sqlite3.connect(self.store.spool_path / SHIPPED)
        memory.execute(
            "CREATE TABLE IF NOT EXISTS shipped (run_id TEXT PRIMARY KEY, day TEXT, state TEXT) WITHOUT ROWID"
        )
        return memory
