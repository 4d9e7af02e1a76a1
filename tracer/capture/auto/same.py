"""A program that imports tracehound itself gets the copy that records it: one recording, one set of guards, one class of each error.

`tracehound run` loads the recorder under a private name. A program that uses `tracer.llm_call`, or catches `tracer.errors.BudgetExceeded`,
would otherwise load a second copy of the same files, and `--guard` would not know of its calls. Another package called `tracer`, or
tracehound installed a second time elsewhere, stays what it is.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, spec_from_loader
from types import ModuleType
from typing import Any, Final

from .imports import logger

PUBLIC: Final = "tracer"
_OURS: Final = __name__.partition(".")[0]


class _Loader:
    """Gives a module that is there under another name."""

    def __init__(self, twin: str) -> None:
        self._twin = twin
        self._spec: Any = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        module = importlib.import_module(self._twin)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already; the import system has just given it the wrong spec."""
        module.__spec__ = self._spec


class _Finder:
    def __init__(self, used: Callable[[], None]) -> None:
        self._used = used

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        del target
        if name == PUBLIC:
            found = PathFinder.find_spec(name, path)
            if found is None or not found.origin:
                return None
            if not _is_ours(found.origin):
                _warn_of_another(os.path.dirname(found.origin))
                return None
            self._used()
        elif not name.startswith(f"{PUBLIC}.") or sys.modules.get(PUBLIC) is not sys.modules[_OURS]:
            return None
        twin = _OURS + name[len(PUBLIC) :]
        return None if find_spec(twin) is None else spec_from_loader(name, _Loader(twin))  # pyright: ignore[reportArgumentType]


def _is_ours(origin: str) -> bool:
    try:
        return os.path.samefile(origin, sys.modules[_OURS].__file__ or "")
    except OSError:
        return False


def _warn_of_another(folder: str) -> None:
    """Only of tracehound itself, not of a module of the program that is called `tracer`."""
    if os.path.isdir(os.path.join(folder, "capture", "guard")) and os.environ.get("TRACEHOUND_GUARD"):
        logger.warning(
            "tracehound: the program brings tracehound itself (%s): --guard does not hold the calls it tells of with that; "
            "start it with the `tracehound` of its own environment", folder,
        )  # fmt: skip


def share_with_program(used: Callable[[], None]) -> None:
    """From now on `import tracer` means this copy, where it means these files; `used` is called when that happens."""
    if _OURS != PUBLIC and PUBLIC not in sys.modules:
        sys.meta_path.insert(0, _Finder(used))  # pyright: ignore[reportArgumentType]
