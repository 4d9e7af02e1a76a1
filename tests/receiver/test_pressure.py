"""Back-pressure and slow clients, at the ASGI boundary, where limits can be small and time short."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.receiver.serving import PROTOBUF, request
from tracer.receiver.app import Receiver
from tracer.receiver.counts import Counts
from tracer.receiver.folding import Folding
from tracer.receiver.options import Options
from tracer.store.segment import SegmentWriter

Message = dict[str, Any]
BODY = request(range(1, 20)).SerializeToString()


def part(data: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def post(path: Path, messages: list[Message | None], *, length: int | None = None, **options: Any) -> list[Message]:
    """What the application sends for a request that arrives as `messages`; None stands for a client that falls silent."""
    set_up = Options(store=path, **options)
    writer = SegmentWriter(path)
    counts = Counts()
    receiver = Receiver(set_up, writer, Folding(path, 0, counts, print), None, counts)
    headers = [(b"host", b"localhost"), (b"content-type", PROTOBUF.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/traces", "raw_path": b"/v1/traces", "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 4318),
    }  # fmt: skip
    sent: list[Message] = []
    arriving = iter(messages)

    async def receive() -> Message:
        message = next(arriving)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def send(message: Message) -> None:
        sent.append(message)

    app: Callable[..., Awaitable[None]] = receiver.app()
    try:
        asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    finally:
        receiver.close()
        writer.close()
    return sent


@pytest.mark.parametrize(
    ("messages", "length", "options", "status"),
    [
        pytest.param([part(BODY, more=False)], None, {}, 200, id="room enough"),
        pytest.param([part(BODY, more=False)], None, {"max_held": 100}, 503, id="too much held"),
        pytest.param([part(BODY, more=False)], len(BODY), {"max_held": 100}, 503, id="too much declared"),
        pytest.param([part(BODY, more=False)], None, {"max_body": 100}, 413, id="one request too large"),
        pytest.param([part(BODY[:9], more=True), None, None], None, {"body_timeout_s": 0.01}, 408, id="silent client"),
        pytest.param([part(BODY[:9], more=True), {"type": "http.disconnect"}, {"type": "http.disconnect"}], None, {}, 400, id="client that leaves"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_answered_and_nothing_half_is_written(
    messages: list[Message | None], length: int | None, options: dict[str, Any], status: int, tmp_path: Path
) -> None:
    """Too much at once is 503 with Retry-After; only a whole request leaves bytes in the spool."""
    start, body, *_ = post(tmp_path / "t.duckdb", messages, length=length, **options)

    assert start["status"] == status
    if status != 200:
        assert json.loads(body["body"])["status"] == status
    assert (b"retry-after" in dict(start["headers"])) == (status == 503)
    assert bool(list(tmp_path.glob("t.spool/*.seg"))) == (status == 200)
