"""kill -9 at any point loses nothing that was acknowledged and doubles nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.crash import Recorder, check, kill_points, random_kills
from tests.store.build import span_id
from tests.store.killed import POINTS
from tracer.store import reads
from tracer.store.database import Store


@pytest.mark.slow
def test_every_kill_point(tmp_path: Path) -> None:
    """One process dies at each point of recording, creating, folding, migrating and upkeep; everything is found, once."""
    assert kill_points(tmp_path, seed=1).kills == len(POINTS)


@pytest.mark.slow
def test_two_recorders_one_killed_and_a_reader(tmp_path: Path) -> None:
    """Two record, a reader folds, one is killed in the middle of writing: its spans are all there, the other goes on."""
    store = Store(tmp_path / "traces.duckdb")
    one = Recorder(store.path, tmp_path / "one.log", 0)
    two = Recorder(store.path, tmp_path / "two.log", 1_000_000)
    try:
        one.record(20, wait_for=20)
        two.record(20, wait_for=20)
        store.fold()
        assert set(reads.runs(store)["outcome"]) <= {"running", "completed", "unknown"}
        one.record(300, wait_for=25)
        one.kill()
        store.fold()
        two.record(10, wait_for=30)
        store.fold()
        running = reads.sql(store, "SELECT span_id FROM running_spans ORDER BY 1")["span_id"].to_list()
        assert running == [span_id(1_000_000 + 3 * n + 2) for n in range(30)], (
            "only the living process has running spans"
        )
    finally:
        one.kill()
        two.kill()
    assert check(store, [one.log, two.log]) >= 55


@pytest.mark.slow
def test_random_kills_of_recorders_and_folders(tmp_path: Path) -> None:
    """Many kills at random moments, of processes that record, fold, compact and back up, with a reader in between."""
    tally = random_kills(tmp_path, 60, seed=5)
    assert (tally.kills, tally.frames > 0) == (60, True)
