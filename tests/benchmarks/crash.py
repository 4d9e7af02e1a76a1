"""kill -9 everywhere: `python -m tests.benchmarks.crash [--kills 200] [--seed N] [--short]`.

First one process dies at each deterministic point (in the middle of a frame, before and after renames, before and after
COMMIT, before the checkpoint and the unlink, in a new database, in a migration, while compacting, pruning, backing up); the
next reader must find everything once. Then three recorders, a folding process and a process that compacts and backs up work on
one store, and are killed at random moments until there were `--kills` kills in all, with a reader in between.

Every span whose write returned was noted in a file of its own; at the end all of them must be in the store, each once, with
the status it must have. Exits with 1 and says which are not. `--short` (20 kills beside the points) is what CI runs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.store import killed
from tests.store.build import span_id
from tracer.store.database import Store

KILLS = 200
SHORT_KILLS = 20


class Broken(Exception):
    """Something acknowledged is lost, doubled or wrong."""


@dataclass(slots=True)
class Tally:
    """What a part of the program did: kills, and frames of three spans that were acknowledged and found."""

    kills: int = 0
    frames: int = 0


def check(store: Store, logs: Iterable[Path], *, pruned: int | None = None) -> int:
    """Fold, compare with what was acknowledged, and return how many frames that was.

    Every acknowledged span is there once, with the status it must have; a frame that was written and not
    acknowledged may be there too. Run `pruned` is there whole or not at all.
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
    expect(len(found) == len(rows), f"{len(rows) - len(found)} spans are doubled")
    gone: set[int] = set()
    for first in firsts:
        states = [found.get(span_id(first + n)) for n in range(3)]
        if states == [None] * 3 and pruned is not None and 1 + first // 30 == pruned:
            gone.add(first)
            continue
        expect(states == ["ok", "ok", "interrupted"], f"spans {first} to {first + 2} are {states}")
    expect(len(gone) in (0, 10), f"half of a pruned run is left: {10 - len(gone)} of 10 frames")
    expect(texts <= 7 and bad is None, f"{texts} texts, counters {bad}")
    expect(summed == (len(rows) or None), f"the summaries know {summed} spans of {len(rows)}")
    return len(firsts)


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def kill_points(directory: Path, *, seed: int, say: Callable[[str], None] = print) -> Tally:
    """One process dies at each point; the next fold finds everything, once, and tidies up."""
    command = [sys.executable, "-m", "tests.store.killed", "points", str(directory), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ended = [line.split("\t") for line in done.stdout.splitlines()]
    expect([name for _, name, _ in ended] == list(killed.POINTS), f"not every point was tried: {done.stderr}")
    for _, name, code in ended:
        expect(code == "-9", f"{name}: ended with {code} instead of being killed: {done.stderr}")
    stores: dict[Path, list[int]] = {}
    for number in range(len(killed.POINTS)):
        stores.setdefault(killed.store_of(directory, number), []).append(number)
    tally = Tally(kills=len(ended))
    for path, numbers in stores.items():
        store, names = Store(path), [list(killed.POINTS)[number] for number in numbers]
        pruned = killed.PRUNED if killed.POINTS[names[0]][0] == "prune" else None
        frames = check(store, [directory / f"{number}.log" for number in numbers], pruned=pruned)
        expect(frames == 20 or len(numbers) > 1, f"{names}: {frames} frames were acknowledged, not 20")
        store.fold()
        left = {file.name for file in store.spool_path.iterdir() if not file.name.startswith(".")}
        expect(left == set(), f"{names}: {left} are left in the spool")
        tally.frames += frames
        for name in names:
            say(f"  killed {name}: all there, once")
    return tally


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


def random_kills(directory: Path, kills: int, *, seed: int, say: Callable[[str], None] = print) -> Tally:
    """Kill recorders, folding processes and one that compacts and backs up, until there were `kills`."""
    rng = random.Random(seed)
    store = Store(directory / "traces.duckdb")
    logs: list[Path] = []
    recorders: list[Recorder] = []
    tally = Tally()
    while tally.kills < kills:
        while len(recorders) < 3:
            logs.append(directory / f"{len(logs)}.log")
            recorders.append(Recorder(store.path, logs[-1], len(logs) * 10_000_000, pause_s=0.01))
            recorders[-1].record(1_000_000, wait_for=0)
        words = [["tracer.store.fold"], ["tracer.store.fold"], ["tests.store.killed", "upkeep"]][rng.randrange(3)]
        worker = subprocess.Popen([sys.executable, "-m", *words, str(store.path)], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 1.6))
        worker.kill()
        worker.wait()
        recorders.pop(rng.randrange(len(recorders))).kill()
        tally.kills += 2
        if tally.kills % 20 == 0:
            store.fold()
            say(
                f"  {tally.kills} kills, {sum(log.read_bytes().count(10) for log in logs if log.exists())} frames acknowledged"
            )
    for recorder in recorders:
        recorder.kill()
    tally.frames = check(store, logs)
    return tally


def main(arguments: list[str]) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=KILLS, help="kills in all, at least (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(2)), help="default: another one each time"
    )
    parser.add_argument("--short", action="store_true", help=f"every point, and {SHORT_KILLS} random kills")
    args = parser.parse_args(arguments)
    print(f"seed {args.seed}")
    try:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            points = kill_points(Path(first), seed=args.seed)
            more = SHORT_KILLS if args.short else max(args.kills - points.kills, 0)
            by_chance = random_kills(Path(second), more, seed=args.seed)
    except Broken as broken:
        print(f"BROKEN: {broken}")
        return 1
    print(f"{points.kills} kill points and {by_chance.kills} kills at random moments")
    print(f"{3 * (points.frames + by_chance.frames)} spans acknowledged: 0 lost, 0 doubled")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
