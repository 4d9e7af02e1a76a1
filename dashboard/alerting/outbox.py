"""What alerts there were, what is on, and what is still to be sent: one small SQLite file beside the store.

An alert, the state it came from and its deliveries are written in one transaction, before anything is sent. So an alert that was
decided is sent even if the process dies, and a channel that is down only delays it: at least once, in order of time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from analyzers.alerts.states import Alert, State, Step
from tracer.errors import StoreError

_TABLES = """
CREATE TABLE IF NOT EXISTS states (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    alert TEXT NOT NULL, channel TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    next_ns INTEGER NOT NULL, ended_ns INTEGER, error TEXT, PRIMARY KEY (alert, channel)
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS looked (place INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""
WAIT_S = 20.0
"""for another process that writes"""
CLAIM_NS = 120 * 10**9
"""a delivery under way is left alone so long; then its process is taken for dead"""
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 30 * 10**9, 3_600 * 10**9
GIVE_UP_AFTER = 60
"""attempts, about two days; then it stands as failed until somebody says --retry"""

DeliveryStatus = Literal["pending", "sent", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit on spending as the last look saw it."""

    rule: str
    workflow: str | None
    """None: the whole store, or runs without a workflow"""
    spent_usd: float
    limit_usd: float
    window_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """By what the last look went, and what it saw of budgets: kept for those who show alerts without having the rules."""

    source: str | None = None
    """the file of rules; None for the defaults"""
    rules: tuple[tuple[str, str], ...] = ()
    """name, and what it does in one sentence"""
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One alert on its way to one channel."""

    alert: Alert
    channel: str
    status: DeliveryStatus
    attempts: int
    next_ns: int
    ended_ns: int | None = None
    error: str | None = None


def outbox_path(store: Path) -> Path:
    """`traces.alerts.sqlite` for `traces.duckdb`."""
    return store.with_suffix(".alerts.sqlite")


class Outbox:
    """The file of one store. Safe for several processes; each call is one transaction."""

    def __init__(self, store: Path) -> None:
        self.path = outbox_path(store)

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)) as connection:
                connection.executescript(_TABLES)
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(
                f"Cannot use {str(self.path)!r}: {error}.", hint="it holds what alerts were sent; move it away to begin anew."
            ) from error  # fmt: skip

    def step(self, advance: Callable[[Mapping[str, State]], Step], channels_of: Callable[[Alert], Sequence[str]], now_ns: int, *, lost_total: int, looked: Looked = Looked()) -> Step:  # fmt: skip
        """Let `advance` go on from the states as they are, and keep what it says together with what is to be sent."""
        with self._open() as connection:
            states = {name: State.of_json(json.loads(body)) for name, body in connection.execute("SELECT name, body FROM states")}  # fmt: skip
            step = advance(states)
            connection.execute("DELETE FROM states")
            rows = [(name, json.dumps(state.to_json())) for name, state in step.states.items()]
            connection.executemany("INSERT INTO states VALUES (?, ?)", rows)
            for alert in step.alerts:
                connection.execute("INSERT OR IGNORE INTO alerts VALUES (?, ?, ?)", (alert.id, alert.at_ns, json.dumps(alert.to_json())))  # fmt: skip
                for channel in channels_of(alert):
                    connection.execute(
                        "INSERT OR IGNORE INTO deliveries (alert, channel, status, next_ns) VALUES (?, ?, 'pending', ?)",
                        (alert.id, channel, now_ns),
                    )
            for name, value in (("lost_total", lost_total), ("looked_ns", now_ns)):
                connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
            connection.execute("INSERT OR REPLACE INTO looked VALUES (0, ?)", (json.dumps(asdict(looked)),))
        return step

    def looked(self) -> Looked | None:
        """By what the last look went; None before the first (or where an older version looked)."""
        if not self.path.exists():
            return None
        with self._open() as connection:
            row = connection.execute("SELECT body FROM looked").fetchone()
        if row is None:
            return None
        body = json.loads(row[0])
        return Looked(source=body["source"], rules=tuple((name, does) for name, does in body["rules"]), budgets=tuple(Budget(**one) for one in body["budgets"]))  # fmt: skip

    def back_up(self, copy: Path) -> Path | None:
        """Copy the file, as it is at one moment, to where the outbox of the store `copy` lies; None where nobody has looked yet.

        Raises:
            StoreError: it cannot be written.
        """
        target = outbox_path(copy)
        if not self.path.exists():
            return None
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as mine, closing(sqlite3.connect(part)) as other:
                mine.backup(other)
            os.rename(part, target)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"Cannot copy {str(self.path)!r} to {str(target)!r}: {error}.", hint="is there room on the disk?"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return target

    def setting(self, name: Literal["lost_total", "looked_ns"]) -> int | None:
        """A number kept from the last look, None before the first."""
        if not self.path.exists():
            return None
        with self._open() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def states(self) -> dict[str, State]:
        """What is remembered, by group."""
        if not self.path.exists():
            return {}
        with self._open() as connection:
            return {name: State.of_json(json.loads(body)) for name, body in connection.execute("SELECT name, body FROM states ORDER BY name")}  # fmt: skip

    def alerts(self, limit: int = 1_000) -> list[Alert]:
        """The newest alerts, newest first."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute("SELECT body FROM alerts ORDER BY at_ns DESC, id LIMIT ?", (limit,)).fetchall()
        return [Alert.of_json(json.loads(body)) for (body,) in rows]

    def claim(self, now_ns: int, limit: int = 200) -> list[Delivery]:
        """Deliveries that are due, oldest alert first; nobody else gets them for `CLAIM_NS`."""
        with self._open() as connection:
            due = _deliveries(connection, "status = 'pending' AND next_ns <= ? ORDER BY a.at_ns, d.alert LIMIT ?", (now_ns, limit))  # fmt: skip
            connection.executemany(
                "UPDATE deliveries SET next_ns = ? WHERE alert = ? AND channel = ?",
                [(now_ns + CLAIM_NS, one.alert.id, one.channel) for one in due],
            )
        return due

    def sent(self, delivery: Delivery, now_ns: int) -> None:
        self._end(delivery, "sent", now_ns, None)

    def failed(self, delivery: Delivery, now_ns: int, error: str) -> None:
        """Try again after a pause that doubles from half a minute to an hour; give up after `GIVE_UP_AFTER` attempts."""
        over = delivery.attempts + 1 >= GIVE_UP_AFTER
        self._end(delivery, "failed" if over else "pending", now_ns, error)

    def _end(self, delivery: Delivery, status: DeliveryStatus, now_ns: int, error: str | None) -> None:
        pause = min(LONGEST_PAUSE_NS, FIRST_PAUSE_NS * 2 ** min(delivery.attempts, 20))
        with self._open() as connection:
            connection.execute(
                "UPDATE deliveries SET status = ?, attempts = attempts + 1, next_ns = ?, ended_ns = ?, error = ? WHERE alert = ? AND channel = ?",
                (status, now_ns + pause, None if status == "pending" else now_ns, error, delivery.alert.id, delivery.channel),
            )  # fmt: skip

    def undelivered(self) -> list[Delivery]:
        """What has been tried in vain so far, or was given up."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            return _deliveries(connection, "status <> 'sent' AND (attempts > 0 OR status = 'failed') ORDER BY a.at_ns", ())  # fmt: skip

    def deliveries(self) -> list[Delivery]:
        """All, newest alert first."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            return _deliveries(connection, "TRUE ORDER BY a.at_ns DESC, d.channel LIMIT 5000", ())

    def retry(self) -> int:
        """Make everything that was not sent due now; returns how many."""
        with self._open() as connection:
            return connection.execute("UPDATE deliveries SET status = 'pending', next_ns = 0 WHERE status <> 'sent'").rowcount  # fmt: skip


def _deliveries(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Delivery]:
    query = f"SELECT a.body, d.channel, d.status, d.attempts, d.next_ns, d.ended_ns, d.error FROM deliveries d JOIN alerts a ON a.id = d.alert WHERE {where}"  # fmt: skip
    return [
        Delivery(alert=Alert.of_json(json.loads(body)), channel=channel, status=status, attempts=attempts, next_ns=next_ns, ended_ns=ended_ns, error=error)
        for body, channel, status, attempts, next_ns, ended_ns, error in connection.execute(query, values)
    ]  # fmt: skip
