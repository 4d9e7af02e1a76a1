"""Real servers on loopback that take alerts: HTTP that can be told to fail, and SMTP."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP


@dataclass
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Hooks:
    """An HTTP server; `status` is what it answers from now on, 200 and an empty body at first."""

    url: str = ""
    port: int = 0
    status: int = 200
    posted: list[Posted] = field(default_factory=list)


@contextmanager
def hooks() -> Generator[Hooks]:
    """A server that remembers what was posted."""
    held = Hooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            held.posted.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(held.status)
            if held.status == 302:
                self.send_header("location", f"{held.url}/elsewhere")
            self.end_headers()
            if held.status >= 400:
                self.wfile.write(b"not now")

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.port = server.server_port
    held.url = f"http://127.0.0.1:{held.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def mailbox() -> Generator[tuple[int, list[EmailMessage]]]:
    """(port, messages) of an SMTP server."""
    messages: list[EmailMessage] = []

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            message = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            messages.append(message)
            return "250 OK"

    ready: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = queue.Queue()

    async def serve() -> None:
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(lambda: SMTP(Handler(), loop=loop), "127.0.0.1", 0)
        ready.put((loop, ending, server.sockets[0].getsockname()[1]))
        async with server:
            await ending.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, ending, port = ready.get(timeout=30)
    try:
        yield port, messages
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
