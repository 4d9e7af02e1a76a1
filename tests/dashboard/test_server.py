"""The server's process asks nobody outside anything, and answers to no strange name."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboard import launch

pytestmark = pytest.mark.slow


@contextmanager
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Stands for the world: whatever a library asks of it by HTTP arrives here, through the variables for a proxy."""
    asked: list[bytes] = []
    with socket.create_server((launch.LOOPBACK, 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    asked.append(caller.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://{launch.LOOPBACK}:{listener.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", f"{launch.LOOPBACK},localhost")
        yield asked
        listener.shutdown(socket.SHUT_RDWR)


def knock(port: int, *, host: str, origin: str) -> int:
    """Ask for the pages' socket as a browser does that was sent to `host` by a page of `origin`; the status of the answer."""
    connection = http.client.HTTPConnection(launch.LOOPBACK, port, timeout=20)
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    for name, value in (("Host", host), ("Origin", origin), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
                        ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")):  # fmt: skip
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_nothing_is_looked_up_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Neither the start on all interfaces nor a page of another origin makes the server ask what its address is."""
    port = launch.free_port()
    with outside(monkeypatch) as asked:
        log = tmp_path / "server.log"
        server = launch.start(tmp_path / "t.duckdb", host=host, port=port, log=log, password="correct horse")
        try:
            launch.wait_until_ready(server, launch.base_url(host, port))
            assert knock(port, host=f"127.0.0.1:{port}", origin="http://elsewhere.example") == 403
            assert knock(port, host=f"desk.example:{port}", origin=f"http://desk.example:{port}") == 101
        finally:
            launch.stop(server)
    assert asked == []


def test_without_a_password_only_names_of_this_machine_are_answered(tmp_path: Path) -> None:
    """A hostile page whose name is made to point here reaches nothing."""
    port = launch.free_port()
    server = launch.start(tmp_path / "t.duckdb", port=port, log=tmp_path / "server.log")
    try:
        launch.wait_until_ready(server, launch.base_url(launch.LOOPBACK, port))
        assert knock(port, host=f"rebound.example:{port}", origin=f"http://rebound.example:{port}") == 403
        for name in ("localhost", "127.0.0.1", "[::1]"):
            assert knock(port, host=f"{name}:{port}", origin=f"http://{name}:{port}") == 101
    finally:
        launch.stop(server)
