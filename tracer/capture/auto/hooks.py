"""What is hooked into a program, under `tracehound run` and by `tracer.init(instrument="auto")`.

Threads, processes, HTTP, MCP, and every library of the table once it is imported; the hooks ask for the recording when the first library comes.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Final

from .http import wrap_http
from .imports import when_imported
from .libraries import LIBRARIES, Library
from .mcp import wrap_mcp
from .processes import inherit_guards, wrap_processes
from .threads import wrap_threads

if TYPE_CHECKING:
    from ..recording import Recording

MAIN_VARIABLE: Final = "TRACEHOUND_MAIN"
"""pid of the first process of the run; only that one gives hints"""

_asked: Callable[[], Recording | None] | None = None


def record_with(recording: Callable[[], Recording | None]) -> None:
    """Set the hooks, once; from now on they ask `recording` where to write, which may begin it. None: libraries are left alone."""
    global _asked
    hooked, _asked = _asked is not None, recording
    if hooked:
        return
    wrap_threads()
    wrap_processes()
    wrap_http()
    wrap_mcp()
    for library in LIBRARIES:
        when_imported(library.module, functools.partial(_library, library))


def record_into(recording: Recording) -> None:
    """Libraries that are imported from now on write into `recording`; those that are here already as well."""
    record_with(lambda: recording)
    inherit_guards()


def _library(library: Library, module: ModuleType) -> None:
    recording = _asked() if _asked is not None else None
    if recording is not None:
        from .switch import switch_on

        switch_on(library, module, recording.provider, hints=_is_main())


def _is_main() -> bool:
    return os.environ.get(MAIN_VARIABLE, str(os.getpid())) == str(os.getpid())
