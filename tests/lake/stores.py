"""Stores to ship: captures of real frameworks and incidents of the bundled runtime, small enough for every day."""

from __future__ import annotations

from pathlib import Path

from tracer.importers import import_file
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"


def captured(path: Path, *names: str) -> Store:
    """A store with the captures whose names begin with one of `names` (all of them where none is given)."""
    store = Store(path)
    writer = SegmentWriter(store.path)
    for file in sorted(CAPTURES.glob("*.otlp.json.gz")):
        if not names or file.name.startswith(names):
            import_file(file, writer)
    writer.close()
    store.fold()
    return store
