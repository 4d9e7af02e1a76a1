"""What an MCP server does for a call belongs to the run of whoever called, over stdio and over HTTP.

A server that is a child process is recorded, too. Version 2 of the package `mcp` sends and reads Trace Context in `_meta` by
itself; for version 1 it is done here: a session writes from a task of its own, so that HTTP headers tell nothing of the call.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from .carrier import traceparent
from .http import HEADER, join, propagates, replace
from .imports import when_imported


def wrap_mcp() -> None:
    """Wrap `mcp` where the program imports it; doing it twice changes nothing."""
    when_imported("mcp.client.stdio", _stdio)
    if propagates():
        when_imported("mcp.shared.session", _sender)
    when_imported("mcp.server.lowlevel.server", _receiver)


def _stdio(module: ModuleType) -> None:
    """A server that is a child process gets only a few named variables; ours are added, so that it is recorded, too."""

    def make(original: Any) -> Any:
        def get_default_environment() -> dict[str, str]:
            ours = {k: v for k, v in os.environ.items() if k.startswith("TRACEHOUND_") or k == "PYTHONPATH"}
            return {**original(), **ours} if "TRACEHOUND_STORE" in ours else original()

        return get_default_environment

    replace(module, "get_default_environment", make)


def _sender(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        async def send_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            params: Any = getattr(getattr(request, "root", request), "params", None)
            if hasattr(params, "meta") and (text := traceparent()) is not None:
                _add(params, text)
            return await original(self, request, *args, **kwargs)

        return send_request

    session = getattr(module, "BaseSession", None)
    if hasattr(session, "send_request"):
        replace(session, "send_request", make)


def _add(params: Any, text: str) -> None:
    if params.meta is None:
        params.meta = params.__class__.Meta()
    if not hasattr(params.meta, HEADER):
        setattr(params.meta, HEADER, text)


def _receiver(module: ModuleType) -> None:
    def make(original: Any) -> Any:
        async def handle(self: Any, message: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            text = getattr(getattr(getattr(request, "params", None), "meta", None), HEADER, None)
            if not isinstance(text, str):
                return await original(self, message, request, *args, **kwargs)
            with join(text):
                return await original(self, message, request, *args, **kwargs)

        return handle

    server = getattr(module, "Server", None)
    if hasattr(server, "_handle_request"):
        replace(server, "_handle_request", make)
