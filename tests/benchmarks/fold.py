"""How fast the store takes in what our own recorder wrote: `python -m tests.benchmarks.fold` (`--help` for the rest).

Runs from `tests.benchmarks.generate`, recorded as native segments in frames of 60 and folded in tenths, once without
texts and once with messages of 600 bytes, whose history grows from call to call and arrives interleaved. Prints medians:
microseconds a span on the recorder, spans a second folded by the CPU time of the folding process and by the wall, the rate
of the last tenth against the first, bytes in the database a span and a call of a model, and the memory at the peak.
The goals are for a machine that does nothing else; CPU time says most where it does. `--spans 1000000` for the long way.

`--ways` compares instead: CPU a span of one fold of everything with leaves read and resolved by column and with the general
way for all, in turns, for our own spans without and with texts and for the same spans by OTLP.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.generate import FRAME, Shape, otlp_requests, raw_spans
from tracer.model import RawSpan
from tracer.store import gather
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

TEXT = 600
PARTS = 10
GOALS = {
    False: {"folded spans/s (CPU)": "60,000", "last tenth / first tenth": "0.9", "bytes/span": "120 after compaction"},
    True: {"bytes/LLM span": "700"},
}


def measure(shape: Shape, directory: Path) -> dict[str, float]:
    """One recording and one fold."""
    store = Store(directory / "traces.duckdb")
    recorded, llm_calls = _record(shape, store)
    with store.lease():
        pass  # the database is made before the clock starts
    wall, cpu = time.perf_counter(), time.process_time()
    steps: list[float] = []
    while True:
        step = time.process_time()
        found = store.fold(budget_spans=max(shape.spans // PARTS, 1)).spans
        if not found:
            break
        steps.append((time.process_time() - step) / found)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    with store.lease() as con:
        [(stored, distinct)] = con.execute("SELECT count(*), count(DISTINCT span_id) FROM spans").fetchall()
    if (stored, distinct) != (shape.spans, shape.spans):
        raise SystemExit(f"wrote {shape.spans} spans and found {stored}, {distinct} of them different")
    size = store.path.stat().st_size
    return {
        "record us/span": recorded / shape.spans * 1e6,
        "folded spans/s (CPU)": shape.spans / cpu,
        "folded spans/s (wall)": shape.spans / wall,
        "CPU us/span": cpu / shape.spans * 1e6,
        "last tenth / first tenth": steps[0] / steps[-1],
        "bytes/span": size / shape.spans,
        "bytes/LLM span": size / max(llm_calls, 1),
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _record(shape: Shape, store: Store) -> tuple[float, int]:
    """(CPU seconds in the recorder, calls of a model): everything goes to segments in frames of 60."""
    writer = SegmentWriter(store.path)
    spent, llm_calls = 0.0, 0
    batch: list[RawSpan] = []
    texts: dict[int, str] = {}
    for number, (span, bodies) in enumerate(raw_spans(shape), 1):
        batch.append(span)
        texts |= bodies
        llm_calls += span.name.startswith("chat ")
        if len(batch) == FRAME or number == shape.spans:
            before = time.process_time()
            writer.write_spans(batch, contents=texts)
            spent += time.process_time() - before
            batch, texts = [], {}
    writer.close()
    return spent, llm_calls


def report(spans: int, text: int, repeats: int) -> None:
    results: list[dict[str, float]] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as directory:
            results.append(measure(Shape(spans=spans, text=text, days=spans / 300_000), Path(directory)))
    print(f"{spans:,} spans {f'with messages of {text} bytes' if text else 'without texts'}, median of {repeats}")
    for name in results[0]:
        values = [result[name] for result in results]
        goal = GOALS[bool(text)].get(name)
        print(
            f"{name:26} {statistics.median(values):10,.1f}   ({min(values):,.1f} to {max(values):,.1f})"
            + (f"   goal {goal}" if goal else "")
        )


def ways(spans: int, text: int, repeats: int) -> None:
    """CPU a span by column and in the general way; on a machine that others use, their ratio says most."""
    by_column_from = gather.BY_COLUMN_FROM
    kinds = {"own, without texts": (0, False), f"own, {text} bytes": (text, False), f"OTLP, {text} bytes": (text, True)}
    for name, (size, otlp) in kinds.items():
        spent: dict[str, list[float]] = {"by column": [], "general": []}
        for _ in range(repeats):
            for way, limit in (("by column", by_column_from), ("general", spans + 1)):
                gather.BY_COLUMN_FROM = limit
                with tempfile.TemporaryDirectory() as directory:
                    spent[way].append(_once(Shape(spans=spans, text=size, days=spans / 300_000), Path(directory), otlp))
        column, general = (statistics.median(values) for values in spent.values())
        print(f"{name:22} {column:8.1f} us a span by column, {general:8.1f} in general, ratio {column / general:.2f}")
    gather.BY_COLUMN_FROM = by_column_from


def _once(shape: Shape, directory: Path, otlp: bool) -> float:
    """CPU us a span of one fold of everything."""
    store = Store(directory / "traces.duckdb")
    if otlp:
        writer = SegmentWriter(store.path)
        for body in otlp_requests(shape):
            writer.write_otlp(body)
        writer.close()
    else:
        _record(shape, store)
    with store.lease():
        pass
    cpu = time.process_time()
    folded = store.fold().spans
    cpu = time.process_time() - cpu
    if folded != shape.spans:
        raise SystemExit(f"wrote {shape.spans} spans and folded {folded}")
    return cpu / shape.spans * 1e6


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fold", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--spans", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--text", type=int, default=TEXT, help="mean bytes of a message in the second part; 0 leaves it out"
    )
    parser.add_argument("--short", action="store_true", help="3,000 spans, once")
    parser.add_argument("--ways", action="store_true", help="compare reading by column with the general way")
    given = parser.parse_args(arguments)
    spans, repeats = (3_000, 1) if given.short else (given.spans, given.repeats)
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as directory:
        measure(Shape(spans=3_000), Path(directory))  # imports, price table
    if given.ways:
        ways(spans, given.text, repeats)
    for text in () if given.ways else dict.fromkeys((0, given.text)):
        report(spans, text, repeats)
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
