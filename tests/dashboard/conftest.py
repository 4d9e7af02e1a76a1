"""A store with one run of every kind, and pages opened on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import launch
from dashboard.analyst import Analyst
from tests.dashboard import stores
from tests.dashboard.opening import Open


@pytest.fixture(scope="module")
def mixed_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run of every kind and some healthy ones."""
    path = tmp_path_factory.mktemp("store") / "traces.duckdb"
    stores.write(path, stores.examples(healthy=60))
    return path


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """`open_app(store, page, **query)` -> the page after its first run, with the findings that a hurried page would draw later."""
    waits = Analyst.ask.__kwdefaults__
    assert waits is not None
    monkeypatch.setitem(waits, "patience_s", 60.0)

    def open_(store: Path, page: str = "overview", /, **query: str) -> AppTest:
        monkeypatch.setenv(launch.STORE_VARIABLE, str(store))
        app = AppTest.from_file(str(launch.APP), default_timeout=120)
        if page != "overview":
            app.switch_page(f"views/{page}.py")
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    yield open_
    st.cache_data.clear()
    st.cache_resource.clear()
