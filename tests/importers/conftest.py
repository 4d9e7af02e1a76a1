"""Files are imported into a spool; what a fold would insert is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tracer.importers import ImportReport, import_file
from tracer.normalise import resolve
from tracer.store.gather import gather
from tracer.store.segment import SegmentWriter, spool_path
from tracer.store.spool import list_spool

Importing = Callable[..., tuple[ImportReport, list[dict[str, Any]]]]


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Importing]:
    """Imports a file (or bytes as a file called `name`); gives the report and the rows that the store's fold would insert."""
    store_path = tmp_path / "store" / "t.duckdb"
    writer = SegmentWriter(store_path)

    def run(
        content: bytes | str | Path, name: str = "file", format: str = "auto"
    ) -> tuple[ImportReport, list[dict[str, Any]]]:
        path = content if isinstance(content, Path) else tmp_path / name
        if not isinstance(content, Path):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        report = import_file(path, writer, format)
        writer.close()
        spool = spool_path(store_path)
        found = gather(spool, list_spool(spool).segments, {}, limit=100_000)
        assert not found.counts, found.counts
        rows = resolve(found.spans, found.events, found.links)
        return report, [asdict(row) for row in sorted(rows, key=lambda row: (row.start_ns, row.step or 0, row.span_id))]

    yield run
    writer.close()
