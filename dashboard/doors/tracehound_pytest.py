"""Where pytest finds the plugin: under a name that no project has.

In a project with a `dashboard` package of its own, which `python -m pytest` puts before ours, there is no fixture, and pytest runs as
without tracehound.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_found = find_spec("dashboard")
_places = (_found.submodule_search_locations or ()) if _found is not None else ()
if any((Path(place) / "pytest_plugin.py").is_file() for place in _places):
    from dashboard.pytest_plugin import pytest_configure, pytest_runtest_call, tracehound_run

    __all__ = ["pytest_configure", "pytest_runtest_call", "tracehound_run"]
