"""What happens at the start of an interpreter under `tracehound run`.

At the start only hooks are set, in the standard library and for later imports. OpenTelemetry is imported, and recording
begins, when the program imports the first library of interest, or at once in a process that was started inside a span.
"""

from __future__ import annotations

import logging
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from .carrier import context_with, inherited
from .hooks import MAIN_VARIABLE, record_with
from .imports import logger, when_imported
from .processes import GUARDS_VARIABLE, inherit_guards
from .same import share_with_program

if TYPE_CHECKING:
    from ..recording import Recording

LOG_VARIABLE: Final = "TRACEHOUND_LOG"
GUARD_VARIABLE: Final = "TRACEHOUND_GUARD"
"""limits of all processes of the run together, one `name=value` a line"""
SINCE_VARIABLE: Final = "TRACEHOUND_GUARD_SINCE"
"""monotonic nanoseconds at which the first of them began"""
RUN_ID_VARIABLE: Final = "TRACEHOUND_RUN_ID"
SERVICE_VARIABLE: Final = "TRACEHOUND_SERVICE"
_HELPERS: Final = ("multiprocessing.resource_tracker",)

_recording: Recording | None = None
_failed = False


def bootstrap() -> None:
    """Prepare this interpreter; called by our `sitecustomize` only."""
    if any(helper in word for word in sys.orig_argv for helper in _HELPERS):
        return
    _log_to_stderr()
    os.environ.setdefault(MAIN_VARIABLE, str(os.getpid()))
    record_with(_begin)
    when_imported("opentelemetry.trace", _api_imported)
    share_with_program(_used_by_program)
    if inherited() is not None or GUARDS_VARIABLE in os.environ:
        _begin()
    _guard()
    inherit_guards()


def _guard() -> None:
    """Hold this process, together with the others of the run, to the limits that `tracehound run --guard` was given."""
    options = os.environ.get(GUARD_VARIABLE, "").splitlines()
    if options and (recording := _begin()) is not None:
        from ..guard import guards_from_options, install
        from ..guard.family import share

        guard = guards_from_options(options)
        install(guard)
        guard.since_ns = int(os.environ.setdefault(SINCE_VARIABLE, str(guard.now_ns())))
        run_id = os.environ.get(RUN_ID_VARIABLE)
        if run_id:
            share(guard, recording.store, f"run-{run_id}")


def _api_imported(module: ModuleType) -> None:
    del module
    _begin()


def _begin() -> Recording | None:
    """Start recording, once; None where that is impossible, which is logged."""
    global _recording, _failed
    if _recording is not None or _failed or _setup_is_being_imported():
        return _recording
    _failed = True  # also keeps the imports below from coming back here
    try:
        from opentelemetry import context

        from ..setup import init
        from .providers import keep_host_provider

        service = os.environ.get("OTEL_SERVICE_NAME") or os.environ.get(SERVICE_VARIABLE)
        _recording = init(service=service, fold_at_exit=False, instrument=None)
        keep_host_provider(_recording)
        if inherited() is not None:
            context.attach(context_with(inherited()))
        _failed = False
    except Exception as error:  # noqa: BLE001 - an unmodified program must run, recorded or not
        logger.warning("tracehound: nothing is recorded in this process: %s: %s", type(error).__name__, error)
        logger.debug("tracehound: details", exc_info=True)
    return _recording


def _setup_is_being_imported() -> bool:
    """By the program's own first use of tracehound: once that is done, `_used_by_program` begins."""
    module = sys.modules.get(f"{__name__.partition('.')[0]}.capture.setup")
    return module is not None and not hasattr(module, "init")


def _used_by_program() -> None:
    """The program uses tracehound's API itself: with its first use of it, this recording begins."""
    for name in ("active", "setup"):
        when_imported(f"{__name__.partition('.')[0]}.capture.{name}", _api_imported)


def _log_to_stderr() -> None:
    """Our own lines go to stderr and never into the logs that the program sets up."""
    named: Any = os.environ.get(LOG_VARIABLE, "").upper()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(getattr(logging, named, logging.WARNING) if named else logging.WARNING)
