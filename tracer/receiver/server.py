"""`serve`: the socket, the uvicorn server, and the order in which things start and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn

from tracer.capture.forward import Forwarder, Target
from tracer.errors import BadInput, StoreError
from tracer.receiver.app import Receiver, StoreMetrics
from tracer.receiver.counts import Counts
from tracer.receiver.folding import Folding
from tracer.receiver.options import Options, is_loopback
from tracer.store.segment import SegmentWriter, spool_path

GRACE_S = 10
"""how long requests that are under way may take once the receiver is told to stop"""
KEEP_ALIVE_S = 75
"""well above the 5 s between two batches of a quiet exporter, which would else meet a connection that is just being closed"""
FORWARD_GRACE_S = 5.0
FOLD_GRACE_S = 60.0


class _Server(uvicorn.Server):
    """Ends normally on a signal, so that sealing and folding can follow; uvicorn's own would raise it again."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(options: Options, tell: Callable[[str], None], store_metrics: StoreMetrics = lambda: ()) -> None:
    """Receive until SIGTERM or SIGINT, then seal the segment and fold. `tell` gets remarks for the person who started it.

    Raises:
        BadInput: an address other programs can reach without a token, one that is not ours or taken, a bad forward URL.
        StoreError: the directory of the store cannot be written.
    """
    if not is_loopback(options.host) and not options.token:
        raise BadInput(
            f"Listening on {options.host!r} lets other machines in; that needs a token.",
            hint="give --token or set TRACEHOUND_TOKEN, and send it as `Authorization: Bearer TOKEN`.",
        )
    _check_directory(options)
    target = Target(options.forward, options.forward_headers) if options.forward else None
    listening = _bind(options)
    port = listening.getsockname()[1]
    if target is not None and target.port == port and is_loopback(target.host):
        listening.close()
        raise BadInput(f"--forward {options.forward!r} is this receiver itself.", hint="name the other back-end.")

    counts = Counts()
    writer = SegmentWriter(options.store)
    folding = Folding(options.store, options.fold_every_s, counts, tell, options.lake)
    forwarder = None if target is None else Forwarder(target, options.forward_queue, counts.add)
    receiver = Receiver(options, writer, folding, forwarder, counts, store_metrics)
    config = uvicorn.Config(
        receiver.app(),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    folding.start()
    if forwarder is not None:
        forwarder.start()
    shown = f"[{options.host}]" if ":" in options.host else options.host
    tell(f"OTLP/HTTP on http://{shown}:{port} (traces, logs); store {options.store}. Ctrl-C ends it.")
    try:
        asyncio.run(_Server(config).serve(sockets=[listening]))
    finally:
        receiver.close()
        writer.close()
        if forwarder is not None and (left := forwarder.stop(FORWARD_GRACE_S)):
            tell(f"{left} spans or log records could not be forwarded any more; they are in the store.")
        if not folding.stop(FOLD_GRACE_S):
            tell("What was received is safe in the spool; the next command that reads brings it in.")


def _check_directory(options: Options) -> None:
    if options.store.is_dir():
        raise BadInput(f"The store {str(options.store)!r} is a directory; a file was expected.")
    spool = spool_path(options.store)
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"Cannot use {str(spool)!r}: {error.strerror}.", hint="the store needs a directory it may write to."
        ) from error
    if not os.access(spool, os.W_OK | os.X_OK):
        raise StoreError(f"Cannot write to {str(spool)!r}.", hint="the store needs a directory it may write to.")


def _bind(options: Options) -> socket.socket:
    """A listening socket; requests queue in it until the server runs."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadInput(f"Cannot listen on {options.host!r}: {error.strerror}.") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(256)
    except OSError as error:
        made.close()
        raise BadInput(
            f"Cannot listen on {options.host}:{options.port}: {error.strerror}.",
            hint="give another --port (0 for any free one).",
        ) from error
    return made
