"""Other OTLP back-ends, as they answer on good and bad days."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Backend:
    """An OTLP back-end that answers as `answers` says, one status after the other and then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    retry_after: str = ""
    """sent with every answer but 200"""
    open: threading.Event = field(default_factory=threading.Event)
    """set, unless it is to let its clients wait"""
    taken: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list[tuple[str, bytes, dict[str, str]]])
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def backend(*answers: int, retry_after: str = "", silent: bool = False) -> Iterator[Backend]:
    """One on a free port; a silent one takes requests and answers none until `open` is set."""
    state = Backend(answers=list(answers), retry_after=retry_after)
    if not silent:
        state.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.open.wait(30)
            status = state.answers.pop(0) if state.answers else 200
            if status == 200:
                state.taken.append((self.path, body, dict(self.headers)))
            self.send_response(status)
            if status != 200 and state.retry_after:
                self.send_header("Retry-After", state.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            state.asked.release()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}"
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
