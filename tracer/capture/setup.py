"""`tracer.init()`: a real OpenTelemetry TracerProvider that records into a store, or our processor in the one there is."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource as OtelResource
from opentelemetry.sdk.trace import TracerProvider

from ..clock import Clock
from ..semconv import SCOPE_NAME, Resource
from ..store.segment import SegmentWriter
from .active import Target, push
from .exit import start_folding
from .light import RecordingProvider, light_tracer
from .privacy import CaptureContent, Privacy, Redact
from .processor import START_DELAY_S, RecordingProcessor
from .recording import DEFAULT_STORE, STORE_VARIABLE, Recording, keep, recording
from .sampled import state_of

if TYPE_CHECKING:
    from .tee import Tee

logger = logging.getLogger("tracehound")


_lock = threading.Lock()


def init(
    store: str | os.PathLike[str] | None = None,
    *,
    instrument: Literal["auto"] | None = "auto",
    service: str | None = None,
    service_version: str | None = None,
    environment: str | None = None,
    release: str | None = None,
    capture_content: CaptureContent = True,
    redact: Redact | None = None,
    resource: Mapping[str, Any] | None = None,
    fold_at_exit: bool = True,
    start_delay_s: float = START_DELAY_S,
    write_delay_s: float = 0.0,
    forward: str | None = None,
    forward_headers: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> Recording:
    """Record spans of this process into `store` (TRACEHOUND_STORE, else `./traces.duckdb`).

    Where the program already has a TracerProvider of the SDK, our processor joins it (its sampler, limits and resource hold); else one is
    set, with raised limits. Calling it again changes nothing, unless another store is named: then recording moves there.

    Args:
        instrument: "auto" also records what the libraries do that the program uses (see `auto.libraries`), and keeps parents
            across threads, processes and HTTP; None leaves all of that alone. The environment variable TRACEHOUND_DISABLE
            names libraries to leave alone.
        service, service_version, environment, release, resource: who is recorded; the service is the program's name by default.
        capture_content: True keeps texts; "hashed" only names them, so that equal ones stay recognisable; False not even that.
        redact: patterns to mask, or a function text -> text, applied to every distinct text before anything is written.
        fold_at_exit: start a short-lived process at a clean exit that moves the spans into the database.
        start_delay_s: how long the start of a span may stay unwritten; see `processor`.
        write_delay_s: 0 writes a span before its end returns, so that `kill -9` loses nothing that has ended. More leaves that to a
            background thread, at most so much later: the program waits less, and a kill, or an end by `os._exit` as in
            multiprocessing's forked workers, loses what ended within that time and was not flushed.
        forward, forward_headers: the address of another OTLP/HTTP back-end, and headers such as its key: it gets every ended span as
            well, from a thread that recording never waits for; see `Recording.forward_dropped`. BadInput where it is no http(s) address.
        clock: replaces the wall clock for spans made by our own decorators.
    """
    path = Path(store or os.environ.get(STORE_VARIABLE) or DEFAULT_STORE).absolute()
    with _lock:
        before = recording()
        if before is not None and (store is None or before.store == path):
            return before
        segments = SegmentWriter(path)
        tee: Tee | None = None
        if forward:
            from .tee import Tee  # with an HTTP client: not for everybody

            tee = Tee(segments, forward, forward_headers)
        if before is not None:
            logger.info("tracehound: recording moves from %s to %s", before.store, path)
            before.shutdown()
        else:
            atexit.register(_at_exit)
        there = trace.get_tracer_provider()
        joined = isinstance(there, TracerProvider)
        if isinstance(there, TracerProvider):
            provider = there
        else:
            described = {
                Resource.SERVICE_NAME: service or os.environ.get("OTEL_SERVICE_NAME") or _program(),
                Resource.SERVICE_VERSION: service_version,
                Resource.ENVIRONMENT[0]: environment,
                Resource.RELEASE: release,
                **(resource or {}),
            }
            provider = RecordingProvider(
                OtelResource.create({key: value for key, value in described.items() if value is not None})
            )
            trace.set_tracer_provider(provider)
        processor = RecordingProcessor(
            tee or segments,
            privacy=Privacy(capture_content, redact),
            start_delay_s=start_delay_s,
            write_delay_s=write_delay_s,
            sampled=state_of(provider.sampler),
        )
        provider.add_span_processor(processor)
        where = Target(provider.get_tracer(SCOPE_NAME), processor, clock, light_tracer(provider, processor, SCOPE_NAME))
        push(where)
        made = Recording(path, provider, processor, where, joined, fold_at_exit, tee)
        keep(made)
    if instrument == "auto":
        from .auto.hooks import record_into

        record_into(made)
    return made


def flush() -> bool:
    """Write everything that is known now; True also when nothing is recorded."""
    here = recording()
    return here.flush() if here is not None else True


def shutdown() -> None:
    """Stop recording and seal what was written. `init` may be called again."""
    with _lock:
        ending = recording()
        if ending is not None:
            ending.shutdown()
            keep(None)
            atexit.unregister(_at_exit)


def _at_exit() -> None:
    ending = recording()
    if ending is None:
        return
    wrote = ending.processor.wrote
    shutdown()
    if ending.fold_at_exit and (wrote or ending.processor.wrote) and ending.pid == os.getpid():
        start_folding(ending.store)


def _program() -> str:
    name = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in ("", "-", "-c") else ""
    if name == "__main__":
        name = Path(sys.argv[0]).parent.name
    return name or "python"
