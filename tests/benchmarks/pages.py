"""What the pages ask of a store with a million runs: `python -m tests.benchmarks.pages`.

Writes a million rows into the table of runs (no spans: the list, the facets of runs, Overview and Sessions ask that table alone) and
prints, per question of a page, the median of five: CPU time of the process, and time on the wall. Goal: half a second of CPU each.
`--runs N` takes another number. Exits with 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dashboard import facets, run_reads, session_reads
from dashboard.population import LEAST_SPANS, MAX_SPANS
from dashboard.trace_query import parse_query
from tracer.store import reads
from tracer.store.database import Store

REPEATS = 5
GOAL_MS = 500.0
FIRST_NS, EVERY_NS = 1_700_000_000 * 10**9, 20 * 10**9
_ROWS = f"""
INSERT INTO traces BY NAME SELECT md5(i::VARCHAR) AS trace_id, trace_id AS run_id, 'workflow-' || (i % 40) AS workflow,
    CASE WHEN i % 17 = 0 THEN 'failed' WHEN i % 101 = 0 THEN 'escalated' ELSE 'completed' END AS outcome,
    {FIRST_NS} + i * {EVERY_NS} AS start_ns, start_ns + (i % 90) * 1000000000 AS end_ns, 12 AS spans, 3 AS agents, 4 AS llm_calls,
    1000 + i % 500 AS input_tokens, 100 AS output_tokens, (i % 997) / 10000 AS cost_usd, 0 AS unpriced_calls, (i % 17 = 0)::INT AS errors,
    0 AS escalations, 'session-' || (i // 3) AS session_id, 'user-' || (i % 1000) AS user_id, 'tracehound' AS convention
FROM range(?) t(i)
"""


def questions(store: Store, runs: int) -> dict[str, Callable[[], object]]:
    """Question -> what a page does to answer it."""
    now_ns = FIRST_NS + runs * EVERY_NS
    every, some = parse_query(""), parse_query("outcome:failed cost>0.05 workflow:workflow-17")
    return {
        "Traces, first page": lambda: run_reads.search(store, every, now_ns=now_ns),
        "Traces, page in the middle": lambda: run_reads.search(store, every, now_ns=now_ns, offset=runs // 2),
        "Traces, costliest first": lambda: run_reads.search(store, every, now_ns=now_ns, order="costliest"),
        "Traces, three terms": lambda: run_reads.search(store, some, now_ns=now_ns),
        "Traces, facets": lambda: facets.facets(store, every, now_ns=now_ns, kinds={}),
        "Overview": lambda: run_reads.overview(store),
        "Sessions, first page": lambda: session_reads.sessions(store),
        "Workflows, Agents, Cost: which runs": lambda: (reads.runs(store, limit=MAX_SPANS // LEAST_SPANS), run_reads.count_runs(store)),
    }  # fmt: skip


def measure(ask: Callable[[], object]) -> tuple[float, float]:
    """Median CPU and wall time in ms, after one call that warms up."""
    ask()
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(REPEATS):
        began, began_cpu = time.perf_counter(), time.process_time()
        ask()
        cpu.append((time.process_time() - began_cpu) * 1e3)
        wall.append((time.perf_counter() - began) * 1e3)
    return statistics.median(cpu), statistics.median(wall)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pages", description=(__doc__ or "").split("\n")[0])  # fmt: skip
    parser.add_argument("--runs", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "traces.duckdb")
        with store.lease() as connection:
            connection.execute(_ROWS, [options.runs]).fetchall()
        print(f"{f'{options.runs:,} runs':<38}{'CPU':>9}{'wall':>11}")
        for name, ask in questions(store, options.runs).items():
            cpu, wall = measure(ask)
            missed += [name] if cpu > GOAL_MS else []
            print(f"{name:<38}{cpu:>6,.0f} ms{wall:>8,.0f} ms")
    if missed:
        print(f"over {GOAL_MS:,.0f} ms of CPU: {', '.join(missed)}")
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
