"""A copy of what is recorded for another OTLP back-end, sent by a thread that recording never waits for.

`serve --forward` sends request bodies on as they came; `init(forward=...)` sends its own spans, see `tee`. Standard library only.
"""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlsplit

from ..errors import BadInput

logger = logging.getLogger("tracehound")

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
TRIES = 8
BACKOFF_S = 0.5
"""doubled with every try, up to `MAX_BACKOFF_S`; up to half of it more by chance, so that receivers spread out"""
MAX_BACKOFF_S = 30.0
TIMEOUT_S = 10.0


class Sendable(Protocol):
    """Something to forward."""

    @property
    def signal(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def count(self) -> int: ...

    @property
    def size(self) -> int:
        """bytes it holds in memory, roughly"""
        ...

    def load(self) -> bytes:
        """The request body; called on the forwarding thread."""
        ...

    def joined(self, other: Sendable) -> Sendable | None:
        """Both in one request; None where they are better sent apart."""
        ...


Count = Callable[[str, float], None]
"""adds to a counter: `forward_spans_total`, `forward_dropped_total`, `forward_retries_total`"""


@dataclass(frozen=True, slots=True)
class Item:
    """One request body as it came."""

    signal: str
    """traces or logs"""
    body: bytes
    headers: Mapping[str, str]
    """Content-Type and, where there is one, Content-Encoding"""
    count: int
    """spans or records"""

    @property
    def size(self) -> int:
        return len(self.body)

    def load(self) -> bytes:
        return self.body

    def joined(self, other: Sendable) -> Sendable | None:
        return None


class Target:
    """Where to: a base URL such as `https://otel.example:4318`, or one that ends with /v1/traces."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise BadInput(
                f"Cannot forward to {url!r}: that is no http(s) address.", hint="example: http://otel-collector:4318"
            )
        self.secure, self.host, self.port = parts.scheme == "https", parts.hostname, port
        path = parts.path.rstrip("/")
        self._base = path.removesuffix("/v1/traces").removesuffix("/v1/logs")
        self.headers = dict(headers)

    def path(self, signal: str) -> str:
        return f"{self._base}/v1/{signal}"

    def connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=TIMEOUT_S)


class Forwarder:
    """Sends in order, one at a time; what does not fit the queue, is refused or fails too often is dropped and counted."""

    def __init__(self, target: Target, queue_bytes: int, count: Count) -> None:
        self._target, self._limit, self._count = target, queue_bytes, count
        self._changed = threading.Condition()
        self._queue: deque[Sendable] = deque()
        self._held = 0
        self._given_up = 0
        """spans and records dropped while stopping"""
        self._deadline: float | None = None
        """when to give up, once the receiver is stopping"""
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="forwarding", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, item: Sendable) -> None:
        """Queue `item`, or drop it where the queue is full; never waits."""
        with self._changed:
            if self._held + item.size > self._limit:
                self._count("forward_dropped_total", item.count)
                return
            self._held += item.size
            self._queue.append(item)
            self._changed.notify()

    def gauges(self) -> dict[str, float]:
        """`forward_queue_bytes`, what is being sent included."""
        return {"forward_queue_bytes": self._held}

    def stop(self, timeout_s: float) -> int:
        """Send what is queued for at most `timeout_s` seconds; how many spans and records were dropped for that."""
        with self._changed:
            self._deadline = time.monotonic() + timeout_s
            self._changed.notify()
        self._thread.join(timeout_s + 1)
        with self._changed:
            left = sum(item.count for item in self._queue)
            self._queue.clear()
        self._count("forward_dropped_total", left)
        return left + self._given_up

    def _run(self) -> None:
        while (item := self._next()) is not None:
            sent = False
            try:
                sent = self._send(item)
            except Exception:
                logger.warning("tracehound: %d spans cannot be forwarded", item.count, exc_info=True)
            finally:
                with self._changed:
                    self._held -= item.size
            self._count("forward_spans_total" if sent else "forward_dropped_total", item.count)
            if not sent and self._deadline is not None:
                self._given_up += item.count
        if self._connection is not None:
            self._connection.close()

    def _next(self) -> Sendable | None:
        with self._changed:
            while not self._queue:
                if self._deadline is not None:
                    return None
                self._changed.wait()
            if self._deadline is not None and time.monotonic() > self._deadline:
                return None
            item = self._queue.popleft()
            while self._queue and (both := item.joined(self._queue[0])) is not None:
                self._queue.popleft()
                item = both
            return item

    def _send(self, item: Sendable) -> bool:
        pause, body = BACKOFF_S, item.load()
        for attempt in range(TRIES):
            status, asked = self._post(item, body)
            if status is not None and status < 300:
                return True
            if status is not None and status not in RETRIED:
                return False
            if attempt + 1 == TRIES or not self._wait(max(asked, pause * random.uniform(1.0, 1.5))):
                return False
            self._count("forward_retries_total", 1)
            pause = min(pause * 2, MAX_BACKOFF_S)
        return False

    def _wait(self, seconds: float) -> bool:
        """Sleep; False where the receiver stops before that time is over."""
        until = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < until:
                if self._deadline is not None and until > self._deadline:
                    return False
                self._changed.wait(until - now)
        return True

    def _post(self, item: Sendable, body: bytes) -> tuple[int | None, float]:
        """(status, seconds the back-end asks to wait); no status where it could not be reached."""
        connection = self._connection or self._target.connect()
        self._connection = None
        try:
            headers = {**item.headers, **self._target.headers}
            connection.request("POST", self._target.path(item.signal), body, headers)
            response = connection.getresponse()
            response.read(1 << 20)
        except (OSError, http.client.HTTPException):
            connection.close()
            return None, 0.0
        if response.isclosed() and not response.will_close:
            self._connection = connection
        else:
            connection.close()
        return response.status, min(_seconds(response.getheader("Retry-After", "")), MAX_BACKOFF_S)


def _seconds(retry_after: str) -> float:
    """What a Retry-After header asks for, a number of seconds or a date; 0 where it says nothing."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max((parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0
