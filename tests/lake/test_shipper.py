"""From a receiver into a lake: runs at rest, once, with what came late, and gone from the store only when they are safe there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dashboard.cli import main
from tests.lake.test_lake import recorded, rows
from tests.receiver.serving import request, serving
from tests.store.build import START_NS, span, trace_id
from tracer.errors import StoreError
from tracer.lake.layout import Lake, open_lake
from tracer.lake.shipper import Shipper
from tracer.store import reads, retention
from tracer.store.database import Store
from tracer.store.keeping import keep_to_limits
from tracer.store.retention import Limits

TODAY_MS = (time.time_ns() - START_NS) // 1_000_000


def runs(lake: Lake) -> list[tuple[str, int]]:
    return [(run, spans) for run, _, spans in rows(lake)]


@pytest.mark.slow
def test_runs_are_shipped_once_at_rest_and_again_when_spans_come_late(tmp_path: Path) -> None:
    """Not while they change, not while they run; old ones leave the store and what comes for them afterwards joins them in the lake."""
    lake = open_lake(str(tmp_path / "lake"), create=True)
    store = recorded(tmp_path / "a.duckdb", span(1), span(TODAY_MS, trace=2))
    shipper = Shipper(store, lake, rest_s=1e9)
    assert (shipper.ship(), runs(lake)) == (0, [])
    shipper.rest_s = 0.0
    assert shipper.ship() == 2
    assert shipper.ship() == 0
    assert runs(lake) == [(trace_id(1), 1), (trace_id(2), 1)]
    assert set(reads.runs(store)["run_id"]) == {trace_id(2)}
    recorded(store.path, span(3, parent=1), span(TODAY_MS + 1, trace=2, parent=TODAY_MS))
    assert shipper.ship() == 2
    assert runs(lake) == [(trace_id(1), 2)] * 2 + [(trace_id(2), 2)] * 2


@pytest.mark.slow
def test_no_limit_removes_what_the_lake_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readers leave a store alone that ships to a lake, and `prune` refuses; what is asked for by name goes."""
    lake = open_lake(str(tmp_path / "lake"), create=True)
    store = recorded(tmp_path / "a.duckdb", span(1), span(2, trace=2))
    retention.keep_limits(store, Limits(retention_days=30))
    shipper = Shipper(store, lake, rest_s=1e9)
    assert shipper.ship() == 0
    assert keep_to_limits(store) is None
    for asked in ([], ["--older-than", "30d"], ["--max-bytes", "1", "--remember"]):
        assert main(["prune", *asked, "--store", str(store.path)]) == 2
        assert "ships this store to a lake" in capsys.readouterr().err
    assert set(reads.runs(store)["run_id"]) == {trace_id(1), trace_id(2)}
    assert main(["prune", "--trace", trace_id(2), "--store", str(store.path)]) == 0
    assert shipper.ship(all_ended=True) == 1
    assert runs(lake) == [(trace_id(1), 1)]


@pytest.mark.slow
def test_a_lake_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    """The runs stay in the store, however old, and go when the lake is there again."""
    lake = open_lake(str(tmp_path / "lake"), create=True)
    store = recorded(tmp_path / "a.duckdb", span(1))
    (tmp_path / "lake" / "spans").write_text("in the way")
    shipper = Shipper(store, lake, rest_s=0.0)
    with pytest.raises(StoreError, match="Cannot write"):
        shipper.ship()
    assert set(reads.runs(store)["run_id"]) == {trace_id(1)}
    os.remove(tmp_path / "lake" / "spans")
    assert shipper.ship() == 1
    assert runs(lake) == [(trace_id(1), 1)]


@pytest.mark.slow
def test_serve_ships_what_it_received(tmp_path: Path) -> None:
    """Two receivers that each got half of a trace leave one whole run in the lake when they end."""
    url = str(tmp_path / "lake")
    for name, numbers in (("a", [1, 2]), ("b", [3])):
        with serving(tmp_path / f"{name}.duckdb", "--fold-every", "0.2", "--lake", url) as server:
            assert server.post(request(numbers, trace=5).SerializeToString()).status == 200
            code, told = server.stop()
            assert code == 0, told
    lake = open_lake(url)
    assert runs(lake) == [(trace_id(5), 3)] * 3
    assert Store(tmp_path / "a.duckdb").path.exists()
