"""Work that goes on in another process keeps its parent.

`subprocess`: TRACEPARENT in the child's environment, and TRACEHOUND_GUARDS where it is started under a guard. `multiprocessing` (spawn, fork, forkserver): the text travels with
the `Process` object, because a fork server's environment is as old as the server. A child that was forked by other
means keeps the context it was forked in.
"""

from __future__ import annotations

import base64
import functools
import os
import subprocess
import sys
from importlib import import_module
from multiprocessing.process import BaseProcess
from typing import Any, Final

from .carrier import TRACEPARENT, context_with, inherited, traceparent
from .imports import logger

_CARRIED: Final = "_tracehound_traceparent"
_WILL: Final = "_tracehound_guards"
GUARDS_VARIABLE: Final = "TRACEHOUND_GUARDS"
"""environment variable: where to find the guards around a `subprocess`, pickled"""
_HEIRS: Final = tuple(dict.fromkeys((f"{__name__.rpartition('.auto.')[0]}.guard.heirs", "tracer.capture.guard.heirs")))
"""ours, and that of a program under `tracehound run` which makes guards itself"""


def wrap_processes() -> None:
    """Wrap both; doing it twice changes nothing."""
    if hasattr(BaseProcess.start, "__tracehound__"):
        return
    start: Any = BaseProcess.start
    bootstrap: Any = getattr(BaseProcess, "_bootstrap")  # noqa: B009 - what runs in the child, however it was started
    popen: Any = subprocess.Popen.__init__

    @functools.wraps(start)
    def traced_start(self: BaseProcess) -> None:
        vars(self)[_CARRIED] = traceparent() or inherited() or ""
        will = _bequeath()
        if will is not None:
            vars(self)[_WILL] = will
        start(self)

    @functools.wraps(bootstrap)
    def traced_bootstrap(self: BaseProcess, *args: Any, **kwargs: Any) -> Any:
        _attach(vars(self).pop(_CARRIED, ""))
        _inherit(vars(self).pop(_WILL, None))
        return bootstrap(self, *args, **kwargs)

    @functools.wraps(popen)
    def traced_popen(self: Any, *args: Any, **kwargs: Any) -> None:
        given = kwargs.get("env")
        # An environment that the program made from scratch gets nothing that it has not: it may be a sandbox.
        if len(args) <= _ENV_POSITION and (given is None or TRACEPARENT in given or "TRACEHOUND_STORE" in given):
            added = {**_parent(), **_guards()}
            if added:
                kwargs["env"] = {**(os.environ if given is None else given), **added}
        popen(self, *args, **kwargs)

    vars(traced_start)["__tracehound__"] = True
    BaseProcess.start = traced_start
    setattr(BaseProcess, "_bootstrap", traced_bootstrap)  # noqa: B010
    setattr(subprocess.Popen, "__init__", traced_popen)  # noqa: B010


_ENV_POSITION: Final = 10
"""`env` may be given as the eleventh positional argument of Popen"""


def _parent() -> dict[str, str]:
    text = traceparent()
    return {} if text is None else {TRACEPARENT: text}


def _guards() -> dict[str, str]:
    will = _bequeath()
    return {} if will is None else {GUARDS_VARIABLE: f"{will[0]}:{base64.b64encode(will[1]).decode()}"}


def inherit_guards() -> None:
    """Put the guards around the `Popen` that started this process around what it does from now on; called where recording begins.

    The variable is taken out: this process's own children get theirs with what it is then.
    """
    name, _, text = os.environ.pop(GUARDS_VARIABLE, "").partition(":")
    if text and name in _HEIRS:
        _inherit((name, base64.b64decode(text)))


def _attach(text: str) -> None:
    if not text:
        return
    try:
        from opentelemetry import context

        context.attach(context_with(text))
    except Exception as error:  # noqa: BLE001 - the child must run; its spans then make a trace of their own
        logger.warning("tracehound: this process could not be joined with its parent: %s", error)


def _bequeath() -> tuple[str, bytes] | None:
    """The guards around this call, and whose they are; where none was ever made, their modules are not loaded."""
    for name in _HEIRS:
        heirs: Any = sys.modules.get(name)
        try:
            will = heirs.bequeath() if heirs is not None else None
        except Exception as error:  # noqa: BLE001 - the child must start; that its calls are not limited is said
            logger.warning("tracehound: the guards of this process do not hold for its child: %s", error)
            return None
        if will is not None:
            return name, will
    return None


def _inherit(given: tuple[str, bytes] | None) -> None:
    if given is not None:
        name, will = given
        try:
            import_module(name).inherit(will)
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("tracehound: the guards of the parent do not hold here: %s", error)
