"""A fresh store for every test, copied from one that was made the real way: making it takes longer than most tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tracer.store.database import Store


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("made") / "traces.duckdb")
    with store.lease():
        return store.path


@pytest.fixture
def empty_store(tmp_path: Path, _made: Path) -> Store:
    """An empty store at `tmp_path/traces.duckdb`."""
    shutil.copy(_made, tmp_path / "traces.duckdb")
    return Store(tmp_path / "traces.duckdb")
