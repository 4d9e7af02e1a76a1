"""What holds for every test: property tests look at the same cases each time where the result decides something."""

from __future__ import annotations

import gc
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Tests start hundreds of processes; where Python may not keep bytecode, each would compile the packages anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")

_ALL_SLOW = re.compile(r"^pytestmark = .*pytest\.mark\.slow", re.MULTILINE)
LONG = (
    "test_app.py",
    "test_reading.py",
    "test_viewer.py",
    "test_fold.py",
    "test_receiver.py",
    "test_incidents.py",
    "test_bootstrap.py",
    "test_attribution.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file whose every test is slow is not even imported by the everyday suite."""
    if config.option.markexpr == "not slow" and collection_path.suffix == ".py":
        return _ALL_SLOW.search(collection_path.read_text("utf-8")) is not None or None
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long go first, so that two processes end at about the same time."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Some million objects of imported packages and collected tests will not become garbage: no need to look at them again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end everything is to be let go, or DuckDB's bindings take what is left for leaks and say so."""
    gc.unfreeze()
