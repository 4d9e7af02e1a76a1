"""A fresh store for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.store.database import Store


@pytest.fixture
def empty_store(tmp_path: Path) -> Store:
    """An empty store at `tmp_path/traces.duckdb`."""
    store = Store(tmp_path / "traces.duckdb")
    with store.lease():
        return store
