"""`tracehound prune` and `tracehound backup`: what is shown is what is done, and only what was asked for goes."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.cli import main
from tests.store.build import START_NS, span, trace_id
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

DAY_MS = 86_400_000
Tell = Callable[..., Any]


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Six runs: three years ago, and three of today with incompressible texts; none is folded yet."""
    noise, today = random.Random(1), (time.time_ns() - START_NS) // 1_000_000
    writer = SegmentWriter(empty_store.path)
    writer.write_spans([span(n, trace=n) for n in (1, 2, 3)])
    for n in (4, 5, 6):
        writer.write_spans([span(today + n, trace=n, attributes={"text": noise.randbytes(400_000).hex()})])
    writer.close()
    return empty_store


@pytest.fixture
def tell(store: Store, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Run a command on the store with --json; gives the document."""

    def run(*words: str | Path, code: int = 0) -> Any:
        capsys.readouterr()
        assert main([*map(str, words), "--json", "--store", str(store.path)]) == code
        return json.loads(capsys.readouterr().out) if code == 0 else None

    return run


def left(store: Store) -> set[str]:
    return set(reads.runs(store)["run_id"])


def ids(*numbers: int) -> set[str]:
    return {trace_id(number) for number in numbers}


@pytest.mark.slow
def test_a_dry_run_shows_what_goes_and_changes_nothing(store: Store, tell: Tell) -> None:
    """The same list is then removed, a pinned and a marked run excepted."""
    tell("prune", "--pin", trace_id(1))
    assert main(["mark", trace_id(2), "failed", "--store", str(store.path)]) == 0
    shown = tell("prune", "--older-than", "30d", "--dry-run")
    assert ({gone["run_id"] for gone in shown["runs"]}, shown["kept_pinned"]) == (ids(3), 2)
    assert left(store) == ids(1, 2, 3, 4, 5, 6)
    done = tell("prune", "--older-than", "30d")
    assert (done["runs"], done["removed"]["runs"]) == (shown["runs"], 1)
    assert left(store) == ids(1, 2, 4, 5, 6)
    tell("prune", "--unpin", trace_id(1))
    assert {gone["run_id"] for gone in tell("prune", "--older-than", "4w", "--dry-run")["runs"]} == ids(1)


@pytest.mark.slow
def test_the_file_becomes_as_small_as_asked(store: Store, tell: Tell) -> None:
    """The oldest runs go, and the space is given back to the disk."""
    size = tell("prune", "--max-bytes", "100GB")["bytes_after"]
    done = tell("prune", "--max-bytes", str(size - 600_000))
    assert done["bytes_after"] == store.path.stat().st_size <= size - 600_000
    assert done["compacted"] is True
    assert left(store) < ids(2, 3, 4, 5, 6)
    assert trace_id(6) in left(store)


@pytest.mark.slow
def test_limits_can_be_kept_in_the_store(store: Store, tell: Tell) -> None:
    """Then `prune` alone goes by them, until they are forgotten; without any it asks for some."""
    tell("prune", code=2)
    tell("prune", "--older-than", "8w", "--remember")
    assert left(store) == ids(4, 5, 6)
    assert tell("prune")["limits"] == {"retention_days": 56.0, "max_bytes": None}
    tell("prune", "--forget")
    tell("prune", code=2)


@pytest.mark.slow
def test_a_run_is_removed_by_name(store: Store, tell: Tell) -> None:
    """Limits kept in the store have no say in it."""
    tell("prune", "--trace", trace_id(5))
    assert left(store) == ids(1, 2, 3, 4, 6)
    tell("prune", "--trace", "nothing", code=2)


@pytest.mark.slow
def test_a_backup_brings_a_lost_store_back(store: Store, tell: Tell, tmp_path: Path) -> None:
    """Pending spans are in it; put in the place of the store it is the store."""
    copy = tmp_path / "copy.duckdb"
    done = tell("backup", copy)
    assert (done["runs"], done["spans"], done["bytes"]) == (6, 6, copy.stat().st_size)
    shutil.rmtree(store.spool_path)
    store.path.unlink()
    shutil.copy(copy, store.path)
    assert {row["trace_id"] for row in tell("sql", "SELECT trace_id FROM traces")} == ids(1, 2, 3, 4, 5, 6)
    tell("backup", copy, code=2)


@pytest.mark.parametrize("words", ["--older-than soon", "--max-bytes much", "--older-than -3d"])
def test_limits_that_mean_nothing_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With examples of what would do."""
    with pytest.raises(SystemExit) as end:
        main(["prune", *words.split()])
    assert end.value.code == 2
    assert "prune" in capsys.readouterr().err
