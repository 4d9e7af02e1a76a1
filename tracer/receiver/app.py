"""The ASGI application: who may send, how much, and what they are told. 200 means that the bytes are in the segment file.

Decoding and writing run on worker threads. Requests beyond what may be held in memory get 503 with Retry-After and not
429, because the OTLP exporter of Python repeats the former and throws the batch away on the latter.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tracer.capture.forward import Forwarder, Item
from tracer.receiver import payload
from tracer.receiver.counts import Counts
from tracer.receiver.folding import Folding
from tracer.receiver.options import Options, host_name, is_loopback
from tracer.receiver.payload import Accepted, Form
from tracer.receiver.refusal import Refusal
from tracer.store.segment import SegmentWriter

StoreMetrics = Callable[[], Sequence[Metric]]
"""what the store itself has to tell a scrape; may read, so it is called on a thread"""
WORKERS = 2
"""threads that decode and write; more would only hold more bodies inflated in memory"""
RETRY_QUEUE_S, RETRY_DISK_S = 1, 5
_log = logging.getLogger(__name__)


class Receiver:
    """The state behind the routes; one per process."""

    def __init__(
        self,
        options: Options,
        writer: SegmentWriter,
        folding: Folding,
        forwarder: Forwarder | None,
        counts: Counts,
        store_metrics: StoreMetrics = lambda: (),
    ) -> None:
        self._options, self._writer, self._folding, self._forwarder = options, writer, folding, forwarder
        self._counts, self._store_metrics = counts, store_metrics
        self._local = is_loopback(options.host)
        self._workers = ThreadPoolExecutor(WORKERS, "receiving")
        self._held = 0

    def app(self) -> Starlette:
        """The application with its routes."""
        return Starlette(
            routes=[
                Route("/v1/traces", self._guarded(self._traces), methods=["POST"]),
                Route("/v1/logs", self._guarded(self._logs), methods=["POST"]),
                Route("/healthz", self._guarded(self._health, open_to_all=True), methods=["GET"]),
                Route("/metrics", self._guarded(self._metrics), methods=["GET"]),
            ],
            exception_handlers={HTTPException: _other, Exception: _broken},
        )

    def close(self) -> None:
        """Wait for what is being written."""
        self._workers.shutdown()

    def _guarded(
        self, work: Callable[[Request], Awaitable[Response]], *, open_to_all: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                self._admit(request, open_to_all)
                response = await work(request)
            except Refusal as refusal:
                # Many clients only read the answer once they have sent everything.
                await self._discard(request)
                response = refusal.response()
            self._counts.add("receiver_requests_total", code=str(response.status_code))
            return response

        return endpoint

    def _admit(self, request: Request, open_to_all: bool) -> None:
        """Host and token. A web page that a browser shows must not be able to reach the receiver by a name of its own."""
        named = host_name(request.headers.get("host", ""))
        if self._local and not is_loopback(named):
            raise Refusal(
                403, f"The receiver does not answer to the host name {named!r}.", hint="use http://localhost:PORT."
            )
        token = self._options.token
        if token is None or open_to_all:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise Refusal(
                401,
                "A valid bearer token is needed.",
                hint="set OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN in the sending program.",
            )

    async def _traces(self, request: Request) -> Response:
        return await self._export(request, "traces")

    async def _logs(self, request: Request) -> Response:
        return await self._export(request, "logs")

    async def _export(self, request: Request, signal: str) -> Response:
        form = _form(request)
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        held = 0
        parts: list[bytes] = []
        try:
            self._expect(request)
            try:
                async with asyncio.timeout(self._options.body_timeout_s), aclosing(_body(request)) as chunks:
                    async for chunk in chunks:
                        held += len(chunk)
                        self._held += len(chunk)
                        if held > self._options.max_body:
                            raise payload.too_large(self._options.max_body)
                        if self._held > self._options.max_held:
                            raise _busy()
                        parts.append(chunk)
            except TimeoutError:
                raise Refusal(408, f"The body took longer than {self._options.body_timeout_s:g} s.") from None
            body = b"".join(parts)
            parts.clear()
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._workers, self._keep, body, form, encoding, signal == "logs")
        finally:
            self._held -= held
        kind = "log_records" if signal == "logs" else "spans"
        self._counts.add(f"receiver_{kind}_received_total", found.accepted)
        self._counts.add(f"receiver_{kind}_rejected_total", found.rejected)
        self._counts.add("receiver_bytes_total", len(body))
        if self._forwarder is not None and found.payloads:
            headers = {
                name: value for name in ("content-type", "content-encoding") if (value := request.headers.get(name))
            }
            self._forwarder.offer(Item(signal, body, headers, found.accepted))
        return Response(payload.answer(found, form, logs=signal == "logs"), media_type=_MEDIA[form])

    def _expect(self, request: Request) -> None:
        """Refuse by Content-Length what would be refused anyway, before any of it is held."""
        declared = request.headers.get("content-length", "0")
        length = int(declared) if declared.isdecimal() else 0
        if length > self._options.max_body:
            raise payload.too_large(self._options.max_body)
        if self._held + length > self._options.max_held:
            raise _busy()

    def _keep(self, body: bytes, form: Form, encoding: str, logs: bool) -> Accepted:
        """Decode, check and write one body; on a worker thread."""
        found = payload.read(payload.inflate(body, encoding, self._options.max_body), form, logs=logs)
        try:
            for part in found.payloads:
                self._writer.write_otlp(part, logs=logs)
                self._folding.written()
        except OSError as error:
            self._counts.add("receiver_write_failures_total")
            raise Refusal(
                503,
                f"Nothing can be written at the moment: {error.strerror or error}.",
                hint="the receiver's disk is full or cannot be written; what is sent again later is kept.",
                retry_after_s=RETRY_DISK_S,
            ) from error
        return found

    async def _discard(self, request: Request) -> None:
        """Read what else is sent, up to the size of one request, and forget it."""
        size = 0
        try:
            async with asyncio.timeout(self._options.body_timeout_s), aclosing(_body(request)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._options.max_body:
                        break
        except (TimeoutError, Refusal):
            return  # the client is slow or gone: it gets its answer as far as it listens

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        gauges = {"receiver_held_bytes": float(self._held), **self._folding.gauges()}
        if self._forwarder is not None:
            gauges |= self._forwarder.gauges()
        loop = asyncio.get_running_loop()
        more = await loop.run_in_executor(
            None, self._store_metrics
        )  # not on the workers: a scrape must hold up no export
        body, content_type = self._counts.render(gauges, more, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})


_MEDIA: dict[Form, str] = {form: name for name, form in payload.MEDIA_TYPES.items()}


def _busy() -> Refusal:
    return Refusal(503, "Too much is being received at the moment.", hint="send it again.", retry_after_s=RETRY_QUEUE_S)


def _form(request: Request) -> Form:
    named = request.headers.get("content-type", "")
    form = payload.MEDIA_TYPES.get(named.partition(";")[0].strip().lower())
    if form is None:
        raise Refusal(
            415,
            f"Content-Type {named!r} is not understood.",
            hint=f"send {' or '.join(payload.MEDIA_TYPES)} (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf).",
        )
    return form


async def _body(request: Request) -> AsyncGenerator[bytes]:
    """The parts of the body that were not read yet."""
    while not request.scope.get("tracehound.read"):
        message = await request.receive()
        if message["type"] != "http.request":
            raise Refusal(400, "The connection was closed before the body had arrived.")
        if not message.get("more_body", False):
            request.scope["tracehound.read"] = True
        yield message.get("body", b"")


async def _other(request: Request, error: Exception) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = f"{request.method} {request.url.path}"
    hint = "traces are posted to /v1/traces, logs to /v1/logs; metrics are not kept."
    response = Refusal(status, f"{what} is not answered here.", hint=hint).response()
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours: nothing was acknowledged, so the client should send again."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Refusal(503, f"The receiver failed: {type(error).__name__}.", retry_after_s=RETRY_DISK_S).response()
