"""Two services that talk over HTTP are one run: W3C Trace Context in requests, and taken over where they are served.

Sent by `http.client` (urllib, requests, urllib3), httpx, httpx2 and aiohttp; read by `http.server`, Starlette (FastAPI),
Flask and aiohttp's server. MCP: `mcp`. Anything else: `with tracer.join(headers): ...`. TRACEHOUND_PROPAGATE=0 sends nothing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, cast

from .carrier import context_with, traceparent
from .imports import when_imported
from .tries import begin_try

HEADER: Final = "traceparent"
PROPAGATE_VARIABLE: Final = "TRACEHOUND_PROPAGATE"
Headers = Mapping[str, Any] | Iterable[tuple[Any, Any]]


@contextmanager
def join(headers: Headers | str | None) -> Generator[None]:
    """Spans in this block belong to the run of whoever sent `headers` (a mapping, pairs, or the traceparent itself).

    Without a valid traceparent in them nothing changes.
    """
    from opentelemetry import context

    token = context.attach(context_with(_header(headers)))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def _serving(headers: Headers | str | None, route: Callable[[], str | None]) -> Generator[None]:
    """Around the work on a request: part of the sender's run, or one of its own, which is called like the route."""
    from opentelemetry import context

    token = context.attach(_context_of(headers, route))
    try:
        yield
    finally:
        context.detach(token)


def _context_of(headers: Headers | str | None, route: Callable[[], str | None]) -> Any:
    from opentelemetry import context

    from ..loose import of_request

    found = context_with(_header(headers))
    return of_request(route) if found is context.get_current() else found


def _header(headers: Headers | str | None) -> str | None:
    if headers is None or isinstance(headers, str):
        return headers
    pairs: Iterable[tuple[Any, Any]] = (
        cast("Mapping[str, Any]", headers).items()
        if isinstance(headers, Mapping) or hasattr(headers, "items")
        else headers
    )
    for name, value in pairs:
        if _text(name).lower() == HEADER:
            return _text(value)
    return None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def wrap_http() -> None:
    """Wrap whichever of the libraries the program imports; doing it twice changes nothing."""
    if propagates():
        when_imported("http.client", _http_client)
    when_imported("httpx", _httpx)
    when_imported("httpx2", _httpx)
    when_imported("aiohttp", _aiohttp)
    when_imported("http.server", _http_server)
    when_imported("starlette.applications", _starlette)
    when_imported("flask", _flask)
    when_imported("aiohttp.web_app", _aiohttp_server)


def replace(owner: Any, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    """Put what `make` makes of `owner.name` in its place, once."""
    original = getattr(owner, name)
    if not hasattr(original, "__tracehound__"):
        wrapper: Any = functools.wraps(original)(make(original))
        wrapper.__tracehound__ = True
        setattr(owner, name, wrapper)


def _http_client(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
            text = traceparent()
            if text is not None and not any(line.lower().startswith(b"traceparent:") for line in self._buffer):
                self.putheader(HEADER, text)
            return original(self, *args, **kwargs)

        return endheaders

    replace(getattr(module, "HTTPConnection"), "endheaders", make)  # noqa: B009


def _httpx(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            _add_header(request.headers)
            with _tried(request.method) as tell:
                response = original(self, request, *args, **kwargs)
                tell(response.status_code)
            return response

        return send

    def make_async(original: Any) -> Any:
        async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            _add_header(request.headers)
            with _tried(request.method) as tell:
                response = await original(self, request, *args, **kwargs)
                tell(response.status_code)
            return response

        return send

    replace(getattr(module, "Client"), "send", make)  # noqa: B009
    replace(getattr(module, "AsyncClient"), "send", make_async)  # noqa: B009


def _add_header(headers: Any) -> None:
    text = traceparent() if propagates() else None
    if text is not None and HEADER not in headers:
        headers[HEADER] = text


def _aiohttp(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        async def request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
            text = traceparent() if propagates() else None
            headers: Any = kwargs.get("headers") or {}
            if text is not None and isinstance(headers, Mapping) and _header(cast("Headers", headers)) is None:
                kwargs["headers"] = {**headers, HEADER: text}
            with _tried(method) as tell:
                response = await original(self, method, url, **kwargs)
                tell(response.status)
            return response

        return request

    replace(getattr(module, "ClientSession"), "_request", make)  # noqa: B009


@contextmanager
def _tried(method: str) -> Generator[Callable[[int], None]]:
    """Around one request, which may be a try of an LLM call; what is given is told the status of the answer."""
    tries = begin_try(method)
    if tries is None:
        yield lambda status: None
        return
    try:
        yield tries.end
    except BaseException as error:
        tries.end(error)
        raise


def propagates() -> bool:
    return os.environ.get(PROPAGATE_VARIABLE) != "0"


def _http_server(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        def handle_one_request(self: Any) -> Any:
            # A connection is kept for several requests in one thread: each begins where this one began.
            with join(None):
                return original(self)

        return handle_one_request

    def make_parse(original: Any) -> Any:
        def parse_request(self: Any) -> Any:
            good = original(self)
            if good:
                _take_over(self.headers)
            return good

        return parse_request

    handler: Any = getattr(module, "BaseHTTPRequestHandler")  # noqa: B009
    replace(handler, "handle_one_request", make)
    replace(handler, "parse_request", make_parse)


def _take_over(headers: Headers) -> None:
    """Until the end of the `join` around it."""
    from opentelemetry import context

    context.attach(_context_of(headers, lambda: None))


def _starlette(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        async def call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
            headers = scope.get("headers")
            # What starts with the server is no request, and over a web socket many come.
            with _serving(headers, lambda: _asgi_route(scope)) if scope["type"] == "http" else join(headers):
                return await original(self, scope, receive, send)

        return call

    replace(getattr(module, "Starlette"), "__call__", make)  # noqa: B009


def _asgi_route(scope: Mapping[str, Any]) -> str | None:
    """As the router that took the request wrote it down: FastAPI the route, Starlette the function."""
    path = getattr(scope.get("route"), "path", None)
    named = path or getattr(scope.get("endpoint"), "__name__", None)
    return f"{scope.get('method')} {named}" if named else None


def _flask(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        def wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:
            with _serving(environ.get("HTTP_TRACEPARENT"), lambda: _flask_route(module, environ)):
                return original(self, environ, start_response)

        return wsgi_app

    replace(getattr(module, "Flask"), "wsgi_app", make)  # noqa: B009


def _flask_route(module: ModuleType, environ: Mapping[str, Any]) -> str | None:
    request: Any = getattr(module, "request", None)
    return f"{environ.get('REQUEST_METHOD')} {request.url_rule}" if request and request.url_rule else None


def _aiohttp_server(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        async def handle(self: Any, request: Any) -> Any:
            with _serving(request.headers, lambda: _aiohttp_route(request)):
                return await original(self, request)

        return handle

    replace(getattr(module, "Application"), "_handle", make)  # noqa: B009


def _aiohttp_route(request: Any) -> str | None:
    resource = getattr(getattr(request.match_info, "route", None), "resource", None)
    return f"{request.method} {resource.canonical}" if resource is not None else None
