"""SECURITY.md is true: the tests it names exist, and the promises that no other test holds are held here."""

from __future__ import annotations

import ast
import re
import stat
from pathlib import Path

import pytest

import tracer
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter
from tracer.testing import recording_to

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "SECURITY.md").exists(), reason="only where the sources are")
BETWEEN_OUR_PROCESSES = {"tracer/capture/guard/heirs.py", "dashboard/analyst.py", "dashboard/run_analysis.py"}
"""what these unpickle was pickled a moment ago by a process that they started or were started by; never read from a file"""
MAKES_CODE = {"eval", "exec", "compile", "pickle", "marshal", "shelve", "dill", "cloudpickle"}


def test_every_promise_names_a_test_that_exists() -> None:
    """A test that was renamed or removed takes its promise with it."""
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8"))

    assert len(named) > 15
    assert [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).exists() or f"def {test}(" not in (ROOT / path).read_text("utf-8")
    ] == []


def test_what_is_recorded_is_its_owners(tmp_path: Path) -> None:
    """Nobody else reads the texts: neither the files of the spool nor the database have a bit for group or others."""
    store = tmp_path / "traces.duckdb"
    with recording_to(SegmentWriter(store)):
        with tracer.workflow("w"):
            pass
        open_to = [
            path for path in [tmp_path / "traces.spool", *(tmp_path / "traces.spool").iterdir()] if _others(path)
        ]
    Store(store).fold()

    assert [path.name for path in [*open_to, store] if _others(path)] == []


def _others(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o077


@pytest.mark.slow
def test_no_code_is_made_from_data() -> None:
    """The packages neither evaluate nor unpickle anything."""
    made: list[str] = []
    for package in ("tracer", "analyzers", "dashboard"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text("utf-8")
            for node in ast.walk(ast.parse(text)) if any(word in text for word in MAKES_CODE) else ():
                called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                imported = (
                    {name.name.partition(".")[0] for name in node.names} if isinstance(node, ast.Import) else set()
                )
                source = (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else ""
                if MAKES_CODE & {called, source, *imported}:
                    made.append(str(path.relative_to(ROOT)))

    assert set(made) == BETWEEN_OUR_PROCESSES
