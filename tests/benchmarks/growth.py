"""How costs grow with the number of spans: `python -m tests.benchmarks.growth [--spans N N ...] [--without STEP ...] [--dir SCRATCH] [--short]`.

For each size a seeded store without texts is made, and each step runs in a process of its own over the one before it:

    fold       segment files into a database (a fold of so many spans is what a receiver does over a day)
    latest     the newest 100 runs of the list
    agents     one scan: calls, tokens, cost and p95 of every agent
    analyze    all detectors over the store
    ship       whole runs into a lake on the local disk
    lake       all detectors over the lake, part by part, with the local engine

Prints CPU seconds, microseconds a span, the peak of resident memory and bytes a span, and for each step the exponent between one
size and the next (1: as the number of spans, 0: not at all). CPU times hold also where others use the machine, up to the factor
that shared caches and hyper-threads take. `--without fold` fills the tables directly, which is the way to ten million.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from analyzers.run import analyse
from dashboard.engines import local
from dashboard.lakes import analyse_lake
from dashboard.loading import load_frames
from tests.benchmarks.generate import Shape, into_segments, into_store
from tests.benchmarks.query import QUESTIONS
from tracer.lake.layout import open_lake
from tracer.lake.write import ship
from tracer.store import reads
from tracer.store.database import Store

SPANS_A_DAY = 300_000
Step = Callable[[Path, int], dict[str, float]]


def _timed(work: Callable[[], object], spans: int) -> dict[str, float]:
    work_cpu = time.process_time()
    work()
    cpu = time.process_time() - work_cpu
    return {"cpu_s": cpu, "us_span": cpu / spans * 1e6}


def _shape(spans: int) -> Shape:
    return Shape(spans=spans, days=max(1.0, spans / SPANS_A_DAY))


def _store(folder: Path) -> Store:
    return Store(folder / "traces.duckdb")


def _fold(folder: Path, spans: int) -> dict[str, float]:
    store = _store(folder)
    into_segments(_shape(spans), store.path)
    return _timed(store.fold, spans) | {"bytes_span": store.path.stat().st_size / spans}


def _fill(folder: Path, spans: int) -> dict[str, float]:
    store = _store(folder)
    into_store(_shape(spans), store)
    return {"bytes_span": store.path.stat().st_size / spans}


def _ask(question: str) -> Step:
    def step(folder: Path, spans: int) -> dict[str, float]:
        asked = QUESTIONS[question].ask(_store(folder))
        asked()  # imports, and the file in the cache
        return _timed(asked, spans)

    return step


def _analyze(folder: Path, spans: int) -> dict[str, float]:
    return _timed(lambda: analyse(load_frames(_store(folder))), spans)


def _ship(folder: Path, spans: int) -> dict[str, float]:
    store, lake = _store(folder), open_lake(str(folder / "lake"), create=True)
    found = _timed(lambda: ship(store, lake, reads.runs(store)["run_id"].to_list()), spans)
    size = sum(path.stat().st_size for path in (folder / "lake").rglob("*.parquet"))
    return found | {"bytes_span": size / spans}


def _lake(folder: Path, spans: int) -> dict[str, float]:
    return _timed(lambda: analyse_lake(open_lake(str(folder / "lake")), local), spans)


STEPS: dict[str, Step] = {
    "fold": _fold,
    "fill": _fill,
    "latest": _ask("latest 100 runs"),
    "agents": _ask("per agent"),
    "analyze": _analyze,
    "ship": _ship,
    "lake": _lake,
}


def measured(spans: int, folder: Path, left_out: Sequence[str]) -> dict[str, dict[str, float]]:
    """Step -> what it cost, each in a process of its own."""
    done: dict[str, dict[str, float]] = {}
    for name in STEPS:
        if name not in left_out and not (name == "fill" and "fold" in done):
            command = [sys.executable, "-m", "tests.benchmarks.growth", "--one", name, str(spans), "--dir", str(folder)]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            done[name] = json.loads(said.splitlines()[-1])
            print(f"{spans:>12,} {name:8}" + _line(done[name]), flush=True)
    return done


def _line(found: dict[str, float]) -> str:
    def cell(name: str, form: str) -> str:
        return f"{found[name]:{form}}" if name in found else "—"

    return f"{cell('cpu_s', ',.2f'):>10}{cell('us_span', ',.1f'):>10}{cell('peak_mb', ',.0f'):>9}{cell('bytes_span', ',.0f'):>9}"  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--spans", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--without", nargs="*", default=[], choices=list(STEPS), metavar="STEP")
    parser.add_argument("--dir", type=Path, help="scratch folder; default: a temporary one")
    parser.add_argument("--short", action="store_true", help="2,000 and 8,000 spans: only shows that it runs")
    parser.add_argument("--one", nargs=2, metavar=("STEP", "SPANS"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        name, spans = given.one
        found = STEPS[name](given.dir, int(spans))
        print(json.dumps(found | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return 0
    sizes = [2_000, 8_000] if given.short else sorted(given.spans)
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'spans':>12} {'step':8}{'CPU s':>10}{'us/span':>10}{'peak MB':>9}{'B/span':>9}")
    results: list[tuple[int, dict[str, dict[str, float]]]] = []
    for spans in sizes:
        with tempfile.TemporaryDirectory(dir=given.dir, prefix="growth-") as folder:
            results.append((spans, measured(spans, Path(folder), given.without)))
    for (small, before), (large, after) in pairwise(results):
        print(f"exponents of CPU, and of peak memory, from {small:,} to {large:,} spans")
        for name in after:
            print(f"  {name:8}{_exponent(before, after, name, 'cpu_s', large / small):>8}{_exponent(before, after, name, 'peak_mb', large / small):>8}")  # fmt: skip
    return 0


def _exponent(before: dict[str, Any], after: dict[str, Any], name: str, column: str, ratio: float) -> str:
    a, b = before.get(name, {}).get(column, 0.0), after[name].get(column, 0.0)
    return f"{math.log(b / a) / math.log(ratio):.2f}" if a > 0 and b > 0 else "—"


if __name__ == "__main__":
    sys.exit(main())
