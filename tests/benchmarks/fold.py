"""How fast the store takes in spans: `python -m tests.benchmarks.fold [SPANS] [REPEATS]` (default 60,000 and 5).

Synthetic runs of 30 spans (a workflow, agents, LLM calls with tokens, tool calls), written as native frames of 60 spans
by one recorder into a store of its own, then folded. Prints medians: microseconds a span on the recorder, spans a
second folded, by the wall and by the CPU time of the folding process, the rate of the last tenth against the first,
and bytes a span in the database.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tracer.model import RawSpan
from tracer.semconv import GenAI, Tracehound
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

SPANS_A_RUN = 30
FRAME = 60
RESOURCE = {"service.name": "benchmark", "process.pid": 1}


def make_span(number: int, start_ns: int) -> RawSpan:
    """Span `number` of an endless sequence of runs: the first of each run is its workflow, every fifth an agent."""
    run, place = divmod(number, SPANS_A_RUN)
    first = run * SPANS_A_RUN
    parent = None if place == 0 else first if place % 5 == 0 or place < 5 else first + place // 5 * 5
    if place == 0:
        attributes = {Tracehound.KIND: "workflow", Tracehound.WORKFLOW: "benchmark"}
    elif place % 5 == 0:
        attributes = {Tracehound.KIND: "agent", Tracehound.AGENT: f"agent {place // 5}"}
    elif place % 5 < 4:
        attributes = {
            GenAI.OPERATION: "chat",
            GenAI.PROVIDER[0]: "openai",
            GenAI.REQUEST_MODEL: "gpt-4o-mini",
            GenAI.INPUT_TOKENS[0]: 900 + place,
            GenAI.OUTPUT_TOKENS[0]: 120,
        }
    else:
        attributes = {GenAI.OPERATION: "execute_tool", GenAI.TOOL_NAME: "search"}
    return RawSpan(
        trace_id=f"{run + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_span_id=None if parent is None else f"{parent + 1:016x}",
        name=f"step {place}",
        start_ns=start_ns + number * 100_000,
        end_ns=start_ns + (number + (SPANS_A_RUN if place == 0 else 1)) * 100_000,
        status="ok",
        attributes=attributes,
        resource=RESOURCE,
        scope="benchmark",
    )


def measure(spans: int) -> dict[str, float]:
    """One recording and one fold."""
    start_ns = 1_700_000_000_000_000_000
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "traces.duckdb")
        writer = SegmentWriter(store.path)
        batches = [[make_span(n, start_ns) for n in range(at, min(at + FRAME, spans))] for at in range(0, spans, FRAME)]
        before = time.process_time()
        for batch in batches:
            writer.write_spans(batch)
        recorded = time.process_time() - before
        writer.close()
        del batches
        with store.lease():
            pass  # the database is made before the clock starts
        wall, cpu = time.perf_counter(), time.process_time()
        steps: list[float] = []
        while True:
            step = time.process_time()
            if not store.fold(budget_spans=max(spans // 10, 1)).spans:
                break
            steps.append(time.process_time() - step)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        with store.lease() as con:
            [(stored, distinct)] = con.execute("SELECT count(*), count(DISTINCT span_id) FROM spans").fetchall()
        if (stored, distinct) != (spans, spans):
            raise SystemExit(f"wrote {spans} spans and found {stored}, {distinct} of them different")
        return {
            "record us/span": recorded / spans * 1e6,
            "fold spans/s (wall)": spans / wall,
            "fold spans/s (CPU)": spans / cpu,
            "last tenth / first tenth": steps[0] / steps[-1],
            "bytes/span": store.path.stat().st_size / spans,
        }


def main(arguments: list[str]) -> None:
    spans = int(arguments[0]) if arguments else 60_000
    repeats = int(arguments[1]) if len(arguments) > 1 else 5
    measure(3_000)  # imports, price table
    results = [measure(spans) for _ in range(repeats)]
    print(f"{spans} spans, median of {repeats}")
    for name in results[0]:
        values = [result[name] for result in results]
        print(f"{name:26} {statistics.median(values):10.1f}   ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main(sys.argv[1:])
