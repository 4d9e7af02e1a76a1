"""Spans of an unmodified program that have no span around them are parts of what the program does: of one run."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context

RUN_ID_VARIABLE: Final = "TRACEHOUND_RUN_ID"
SERVICE_VARIABLE: Final = "TRACEHOUND_SERVICE"


class Run(NamedTuple):
    """The run of this process under `tracehound run`, and what the program is called."""

    run_id: str | None = None
    workflow: str | None = None


def loose_run(parent: Context | None = None) -> Run:
    """The run that a span below `parent` (the current span) belongs to by the process alone; nothing where a span is around."""
    if trace.get_current_span(parent).get_span_context().is_valid:
        return Run()
    return Run(os.environ.get(RUN_ID_VARIABLE) or None, os.environ.get(SERVICE_VARIABLE) or None)
