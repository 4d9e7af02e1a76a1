"""Calls back when a module has been imported, whoever imports it, so that nothing is imported that the program does not use.

A module that is imported already is told at once. The finder only looks at names in its table; it lets the finders
behind it find the module and puts itself around the loader's `exec_module` for that one time.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

logger = logging.getLogger("tracehound")
Then = Callable[[ModuleType], None]


class _Finder:
    def __init__(self) -> None:
        self.waiting: dict[str, list[Then]] = {}
        self._asking = threading.local()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name not in self.waiting or getattr(self._asking, "name", None) == name:
            return None
        self._asking.name = name
        try:
            spec = _found_by_others(self, name, path, target)
        finally:
            self._asking.name = None
        if spec is not None and spec.loader is not None:
            self._watch(spec)
        return spec

    def _watch(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            _unwatch(loader)
            execute(module)
            for then in self.waiting.pop(spec.name, []):
                _tell(then, module)

        try:
            loader.exec_module = exec_module
        except (AttributeError, TypeError):
            logger.info("tracehound: %s is loaded by %r, which cannot be watched", spec.name, loader)


def _unwatch(loader: Any) -> None:
    if "exec_module" in vars(loader):
        del loader.exec_module


def _found_by_others(
    self: _Finder, name: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find: Any = getattr(finder, "find_spec", None)
        if finder is self or find is None:
            continue
        spec = find(name, path, target)
        if spec is not None:
            return spec
    return None


def _tell(then: Then, module: ModuleType) -> None:
    try:
        then(module)
    except Exception as error:
        logger.warning("tracehound: %s is not instrumented: %s: %s", module.__name__, type(error).__name__, error)
        logger.debug("tracehound: details", exc_info=True)


_finder = _Finder()


def when_imported(name: str, then: Then) -> None:
    """Call `then(module)` once `name` has been imported, now if it has been. Errors of `then` are logged, not raised."""
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        _tell(then, module)
        return
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)  # pyright: ignore[reportArgumentType]
    _finder.waiting.setdefault(name, []).append(then)
