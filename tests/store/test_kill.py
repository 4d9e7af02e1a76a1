"""kill -9 at any point loses nothing that was acknowledged and doubles nothing."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.store import killed
from tests.store.build import span_id
from tracer.store import reads
from tracer.store.database import Store


def check(store: Store, logs: Iterable[Path]) -> int:
    """Fold, compare with what was acknowledged, and return how many frames that was.

    Every acknowledged span is there once, with the status it must have; a frame that was written and not
    acknowledged may be there too.
    """
    store.fold()
    firsts = [int(line) for log in logs if log.exists() for line in log.read_text().split()]
    with store.lease() as con:
        rows = con.execute(
            "SELECT span_id, status FROM spans UNION ALL SELECT span_id, 'running' FROM running_spans"
        ).fetchall()
        [(texts, bad, summed)] = con.execute(
            "SELECT (SELECT count(*) FROM contents), (SELECT sum(value) FROM counters), (SELECT sum(spans) FROM traces)"
        ).fetchall()
    found = dict(rows)
    assert len(found) == len(rows), "doubled"
    for first in firsts:
        states = [found.get(span_id(first + n)) for n in range(3)]
        assert states == ["ok", "ok", "interrupted"], first
    assert (texts <= 7, bad, summed) == (True, None, len(rows) or None)
    return len(firsts)


@pytest.mark.slow
def test_every_kill_point(tmp_path: Path) -> None:
    """One process dies at each point of recording, creating and folding; the next fold finds everything, once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.killed", "points", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    ended = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for _, name, _ in ended] == list(killed.POINTS)
    assert {name: code for _, name, code in ended if code != "-9"} == {}, done.stderr
    stores: dict[Path, list[int]] = {}
    for number in range(len(killed.POINTS)):
        stores.setdefault(killed.store_of(tmp_path, number), []).append(number)
    for path, numbers in stores.items():
        store, names = Store(path), [list(killed.POINTS)[number] for number in numbers]
        frames = check(store, [tmp_path / f"{number}.log" for number in numbers])
        assert frames == 20 or len(numbers) > 1, names
        store.fold()
        left = {file.name for file in store.spool_path.iterdir() if not file.name.startswith(".")}
        assert left == set(), names


class Recorder:
    """A recording process that writes as many frames as it is told to."""

    def __init__(self, store: Path, log: Path, first: int, *, pause_s: float = 0.0) -> None:
        self.log = log
        command = [sys.executable, "-m", "tests.store.killed", "record", store, log, str(first), str(pause_s)]
        self.acknowledged = 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def record(self, frames: int, *, wait_for: int) -> None:
        """Ask for `frames` more and return once `wait_for` are acknowledged in all."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d\n" % frames)
        self.process.stdin.flush()
        assert self.process.stdout is not None
        while self.acknowledged < wait_for:
            told = self.process.stdout.read1()
            assert told, "the recorder is gone"
            self.acknowledged += len(told)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


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
    """200 kills at random moments, of processes that record and of processes that fold, with a reader in between."""
    rng = random.Random(5)
    store = Store(tmp_path / "traces.duckdb")
    logs: list[Path] = []
    recorders: list[Recorder] = []
    kills = 0
    while kills < 200:
        while len(recorders) < 3:
            logs.append(tmp_path / f"{len(logs)}.log")
            recorders.append(Recorder(store.path, logs[-1], len(logs) * 10_000_000, pause_s=0.01))
            recorders[-1].record(1_000_000, wait_for=0)
        folder = subprocess.Popen([sys.executable, "-m", "tracer.store.fold", str(store.path)])
        time.sleep(rng.uniform(0.3, 1.6))
        folder.kill()
        folder.wait()
        recorders.pop(rng.randrange(len(recorders))).kill()
        kills += 2
        if kills % 20 == 0:
            store.fold()
    for recorder in recorders:
        recorder.kill()
    print(kills, "kills,", check(store, logs), "frames acknowledged, none lost, none doubled")
