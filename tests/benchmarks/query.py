"""How fast a store answers at one and ten million spans: `python -m tests.benchmarks.query --dir SCRATCH`.

Makes both stores with `tests.benchmarks.generate` (about 70 bytes a span; kept in SCRATCH with `--keep`, else removed at the end) and
asks each question in a process of its own, so that its memory is its own, too. Prints medians of the wall clock and the
CPU time, the peak of resident memory, and the exponent from the smaller to the larger store (1: grows with the store, 0: does not).
`--short` asks once at 15,000 and 30,000 spans, where runs of 1,000 and 5,000 spans stand for those of 10,000 and 100,000: it shows
that all of it runs and no more.

    per agent, per workflow, cost per day, p95     one scan of all spans: goal 0.6 s and 600 MB each
    latest 100 runs                                from table traces: goal 50 ms; with lease, open and close 150 ms
    open a run of 10,000 / 100,000 spans           lease, read, and with `drawn` the picture's data: goal 100 / 500 ms
    sent twice, late                               a fold of 500 spans of stored runs: as fast in both stores
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.figures.trace_view import as_json, build_view, payload
from dashboard.loading import load_frames
from tests.benchmarks.generate import Shape, into_store
from tracer.model import RawSpan
from tracer.semconv import Tracehound
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

BIG = [10_000, 100_000]
"""spans of the runs that are opened; the short form has smaller ones"""
LATE = 500


@dataclass(frozen=True, slots=True)
class Question:
    goal_s: float | None
    goal_mb: float | None
    ask: Callable[[Store], Callable[[], object]]
    """prepares, and returns what is to be timed"""


def _sql(query: str) -> Callable[[Store], Callable[[], object]]:
    def ask(store: Store) -> Callable[[], object]:
        def timed() -> object:
            with store.lease() as con:
                return reads.frame(con, query)

        return timed

    return ask


def _latest_within(store: Store) -> Callable[[], object]:
    """The query alone: the lease is held by whoever measures."""
    holder = store.lease()
    con = holder.__enter__()
    timed = lambda: reads.frame(con, "SELECT * FROM traces ORDER BY start_ns DESC, run_id LIMIT 100")  # noqa: E731
    timed.holder = holder  # type: ignore[attr-defined]
    return timed


def _run_of(store: Store, spans: int) -> str:
    with store.lease() as con:
        [(run_id,)] = con.execute("SELECT run_id FROM traces WHERE spans = $n LIMIT 1", {"n": spans}).fetchall()
    return run_id


def _open(which: int, *, drawn: bool) -> Callable[[Store], Callable[[], object]]:
    def ask(store: Store) -> Callable[[], object]:
        run_id = _run_of(store, BIG[which])
        if not drawn:
            return lambda: reads.load(store, [run_id], contents=False)
        # As `dashboard.run_view.RunView.packed`, without critical path and findings.
        return lambda: gzip.compress(as_json(payload(build_view(load_frames(store, [run_id], contents=False)))), 1)

    return ask


def _again(among: str, *, late: bool) -> Callable[[Store], Callable[[], object]]:
    """New spans below stored ones of the runs of which `among` is true; or the same all over again, from the second time on."""

    def ask(store: Store) -> Callable[[], object]:
        with store.lease() as con:
            rows = con.execute(
                f"SELECT trace_id, span_id, name, start_ns, end_ns FROM spans"
                f" SEMI JOIN (FROM run_traces WHERE run_id IN (SELECT run_id FROM traces WHERE {among})) USING (trace_id)"
                f" USING SAMPLE reservoir({LATE} ROWS) REPEATABLE (1)"
            ).fetchall()
        number = 0

        def timed() -> object:
            nonlocal number
            number += 1
            writer = SegmentWriter(store.path)
            writer.write_spans(
                [
                    RawSpan(
                        trace_id=trace_id,
                        span_id=f"{(os.getpid() << 8) + (number if late else 0):08x}{at:08x}",
                        parent_span_id=span_id,
                        name=name,
                        start_ns=start,
                        end_ns=end,
                        attributes={Tracehound.KIND: "tool"},
                    )
                    for at, (trace_id, span_id, name, start, end) in enumerate(rows)
                ]
            )
            writer.close()
            return store.fold()

        return timed

    return ask


def _late_of_big(store: Store) -> Callable[[], object]:
    return _again(f"spans BETWEEN {BIG[0]} AND 2 * {BIG[0]}", late=True)(store)


_LAST_HOUR = "spans < 5000 AND end_ns > (SELECT max(end_ns) FROM traces) - 3600000000000"

QUESTIONS: dict[str, Question] = {
    "per agent": Question(
        0.6,
        600,
        _sql(
            """SELECT agent, count(*) AS spans, sum(input_tokens) AS input, sum(output_tokens) AS output, sum(cost_usd) AS cost,
            quantile_cont(end_ns - start_ns, [0.5, 0.95]) AS p50_p95,
            count(*) FILTER (status = 'error') AS errors FROM spans WHERE duplicate_of IS NULL GROUP BY agent"""
        ),
    ),
    "per workflow": Question(
        0.6,
        600,
        _sql(
            """SELECT workflow, count(DISTINCT agent) AS agents, count(*) AS spans, sum(cost_usd) AS cost,
            sum(input_tokens + output_tokens) AS tokens, avg(end_ns - start_ns) FILTER (kind = 'workflow') AS mean
            FROM spans WHERE duplicate_of IS NULL GROUP BY workflow"""
        ),
    ),
    "cost per day": Question(
        0.6,
        600,
        _sql(
            """SELECT start_ns // 86400000000000 AS day, model, sum(cost_usd) AS cost, count(*) AS calls
            FROM spans WHERE kind = 'llm' AND duplicate_of IS NULL GROUP BY ALL"""
        ),
    ),
    "p95 by kind and model": Question(
        0.6,
        600,
        _sql("SELECT kind, model, quantile_cont(end_ns - start_ns, 0.95) AS p95 FROM spans GROUP BY ALL"),
    ),
    "latest 100 runs, query": Question(0.05, None, _latest_within),
    "latest 100 runs": Question(0.15, None, lambda store: lambda: reads.runs(store, limit=100)),
    "read 10k spans": Question(0.1, None, _open(0, drawn=False)),
    "read 100k spans": Question(0.5, None, _open(1, drawn=False)),
    "open 10k spans, drawn": Question(0.1, None, _open(0, drawn=True)),
    "open 100k spans, drawn": Question(0.5, None, _open(1, drawn=True)),
    "500 sent twice": Question(None, None, _again(_LAST_HOUR, late=False)),
    "500 late, last hour": Question(None, None, _again(_LAST_HOUR, late=True)),
    "500 late, any time": Question(None, None, _again("spans < 5000", late=True)),
    "500 late, run of 10k": Question(None, None, _late_of_big),
}


def measure(name: str, path: Path, repeats: int) -> dict[str, float]:
    """One question in this process: after one warm-up, medians."""
    timed = QUESTIONS[name].ask(Store(path))
    began = time.perf_counter()
    timed()
    first = time.perf_counter() - began
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        timed()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {
        "first": first,
        "wall": statistics.median(walls),
        "best": min(walls),
        "cpu": statistics.median(cpus),
        "mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """Of this program: what getrusage tells begins with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def apart(name: str, path: Path, repeats: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.query",
        "--one",
        name,
        "--store",
        str(path),
        "--big",
        *map(str, BIG),
    ]
    answer = subprocess.run([*command, "--repeats", str(repeats)], stdout=subprocess.PIPE, text=True, check=True)
    found: Any = json.loads(answer.stdout)
    return found


def stores(folder: Path, sizes: tuple[int, int]) -> dict[int, Path]:
    """The two stores, made where they are not there."""
    found: dict[int, Path] = {}
    for spans in sizes:
        found[spans] = folder / f"{spans}.duckdb"
        if not found[spans].exists():
            began = time.perf_counter()
            into_store(Shape(spans=spans, big=tuple(BIG)), Store(found[spans]))
            print(f"made {spans:,} spans in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return found


def compare(folder: Path, sizes: tuple[int, int], repeats: int, names: list[str]) -> None:
    small, large = sizes
    paths = stores(folder, sizes)
    for spans, path in paths.items():
        print(f"{spans:>12,} spans: {path.stat().st_size / spans:.0f} bytes a span")
    print(f"load of the machine at the start {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; median of {repeats}")
    print(f"{'':24}{small:>22,}{large:>30,} spans")
    print(
        f"{'':24}{'wall ms':>10}{'CPU ms':>10}{'MB':>6}{'wall ms':>12}{'best':>8}{'CPU ms':>8}{'MB':>6}{'exponent':>10}  goal"
    )
    for name in names:
        one, ten = (apart(name, paths[spans], repeats) for spans in sizes)
        question = QUESTIONS[name]
        exponent = math.log(ten["cpu"] / one["cpu"]) / math.log(large / small)
        goal = "" if question.goal_s is None else f"{question.goal_s * 1e3:.0f} ms"
        goal += "" if question.goal_mb is None else f", {question.goal_mb:.0f} MB"
        print(
            f"{name:24}{one['wall'] * 1e3:10.1f}{one['cpu'] * 1e3:10.1f}{one['mb']:6.0f}{ten['wall'] * 1e3:12.1f}"
            f"{ten['best'] * 1e3:8.1f}{ten['cpu'] * 1e3:8.1f}{ten['mb']:6.0f}{exponent:10.2f}  {goal}",
            flush=True,
        )
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.query", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--dir", type=Path, help="scratch folder; default: a temporary one")
    parser.add_argument("--spans", type=int, nargs=2, default=(1_000_000, 10_000_000), metavar=("SMALL", "LARGE"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--short", action="store_true", help="15,000 and 30,000 spans, smaller runs, once")
    parser.add_argument("--keep", action="store_true", help="leave the stores in the folder for the next time")
    parser.add_argument("--only", nargs="*", default=list(QUESTIONS), choices=list(QUESTIONS), metavar="QUESTION")
    parser.add_argument("--one", choices=list(QUESTIONS), help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--big", type=int, nargs=2, default=BIG, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    BIG[:] = [1_000, 5_000] if given.short else given.big
    if given.one:
        print(json.dumps(measure(given.one, given.store, given.repeats)))
        return
    sizes = (15_000, 30_000) if given.short else tuple(given.spans)
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = given.dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        compare(folder, sizes, 1 if given.short else given.repeats, given.only)
        if not given.keep and given.dir:
            for spans in sizes:
                for path in folder.glob(f"{spans}.*"):
                    _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        for inside in path.iterdir():
            _remove(inside)
        path.rmdir()
    else:
        path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
