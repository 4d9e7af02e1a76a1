"""Spans of an unmodified program that have no span around them are parts of what the program does: of one run.

A server does many things at once: what it does for one request is a run of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_value, set_value

RUN_ID_VARIABLE: Final = "TRACEHOUND_RUN_ID"
SERVICE_VARIABLE: Final = "TRACEHOUND_SERVICE"


_REQUEST: Final = create_key("tracehound-request")


class _Request(NamedTuple):
    run_id: str
    route: Callable[[], str | None]


def of_request(route: Callable[[], str | None]) -> Context:
    """The current context for the work on a request that came from nobody who is recorded.

    `route` is asked while the request is handled: which kind of request it is ("POST /orders/{id}"), or None.
    """
    return set_value(_REQUEST, _Request(uuid.uuid4().hex, route))


class Run(NamedTuple):
    """The run of the request, else that of this process under `tracehound run`, and what the request's route or the program is called."""

    run_id: str | None = None
    workflow: str | None = None


def loose_run(parent: Context | None = None) -> Run:
    """The run that a span below `parent` (the current span) belongs to by the request or process alone; nothing where a span is around."""
    if trace.get_current_span(parent).get_span_context().is_valid:
        return Run()
    run_id, workflow = os.environ.get(RUN_ID_VARIABLE) or None, os.environ.get(SERVICE_VARIABLE) or None
    request = cast("_Request | None", get_value(_REQUEST, parent))
    return Run(run_id, workflow) if request is None else Run(request.run_id, request.route() or workflow)
