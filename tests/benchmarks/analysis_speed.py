"""How long all detectors take over a large store: `python -m tests.benchmarks.analysis_speed [--spans N] [--repeats R] [--short]`.

Two thousand runs (some 20 spans each; one in ten is a hard negative of the tuning part, one in twenty has a fault, the others are
ordinary work) are recorded by the real shim, folded and
read, once (a minute); copies of them with ids and times of their own make up 100,000 and 1,000,000 spans. The texts are shared by the
copies. Each size is analysed in a process of its own, from frames that are in memory already, as after the lease was let go.
What is under way is told on stderr.

Prints for each size the seconds (CPU and wall), the peak memory of the process, microseconds a span for each detector, and the
exponent of the growth from the smaller to the larger size. Goals: 60 s and 3 GB for a million spans, exponent 1.1.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from analyzers.detectors import DETECTORS
from analyzers.finding import Skipped
from analyzers.frames import Frames
from analyzers.overlaps import without_repetition
from analyzers.waste import charge_once
from tests.benchmarks.scenarios import tuning
from tests.benchmarks.scenarios.catalogue import Scenario
from tests.benchmarks.scenarios.healthy import work
from tests.benchmarks.scenarios.knobs import Knobs
from tests.benchmarks.scenarios.playing import Case, played

WORKFLOWS = 40
FAULTY_SHARE = 0.05
HARD_SHARE = 0.10
DAY_NS = 86_400 * 10**9


def template(runs: int, seed: int = 1) -> Frames:
    """`runs` runs of about 20 spans, ordinary, hard or faulty by the shares above, as read from a store."""
    rng = random.Random(seed)
    single = [s for s in tuning.SCENARIOS if s.runs == 1 and s.name != "forty_seven"]
    faulty = [s for s in single if s.kind is not None]
    healthy = [s for s in single if s.kind is None]
    topologies = ("pipeline", "supervisor", "chat", "map_reduce", "nested")
    ordinary = Scenario(name="ordinary", what="nothing but work", act=lambda s: work(s, 18), kind=None)

    def drawn() -> Scenario:
        chance = rng.random()
        return (
            rng.choice(faulty if chance < FAULTY_SHARE else healthy) if chance < FAULTY_SHARE + HARD_SHARE else ordinary
        )

    cases = [
        Case(
            scenario=drawn(),
            knobs=Knobs(topology=rng.choice(topologies), size=0, irrelevant=0.1),
            seed=number,
            workflow=f"workflow {number % WORKFLOWS}",
        )
        for number in range(runs)
    ]
    parts = [frames for _, _, frames in played(cases, detectors=())]
    texts: dict[int, str] = {}
    for part in parts:
        texts.update(part.contents)
    return Frames(
        spans=pl.concat([_told_apart(p.spans, n) for n, p in enumerate(parts)]).sort("run_id", "start_ns", "span_id"),
        traces=pl.concat([_told_apart(p.traces, n) for n, p in enumerate(parts)]),
        contents=texts,
        links=pl.concat([_told_apart(p.links, n) for n, p in enumerate(parts)]),
    )


IDS = ("trace_id", "run_id", "span_id", "parent_span_id", "retry_of", "fallback_of", "duplicate_of", "linked_trace_id", "linked_span_id")  # fmt: skip
TIMES = ("start_ns", "end_ns", "deadline_ns")


def _told_apart(frame: pl.DataFrame, copy: int) -> pl.DataFrame:
    """The rows with ids of their own."""
    return frame.with_columns(pl.col(c) + f"-{copy}" for c in IDS if c in frame.columns)


def enlarged(small: Frames, spans: int) -> Frames:
    """About `spans` spans: copies of `small`, spread over some weeks."""
    copies = max(1, round(spans / small.spans.height))

    def tiled(frame: pl.DataFrame) -> pl.DataFrame:
        step = 28 * DAY_NS // copies
        parts = [
            _told_apart(frame, 1_000 + n).with_columns(pl.col(c) + n * step for c in TIMES if c in frame.columns)
            for n in range(copies)
        ]
        return pl.concat(parts)

    return Frames(
        spans=tiled(small.spans).sort("run_id", "start_ns", "span_id"),
        traces=tiled(small.traces),
        contents=small.contents,
        links=tiled(small.links),
    )


def measure(spans: int, recorded: Path) -> dict[str, Any]:
    """Every detector once over about `spans` spans, copies of the pickled frames `recorded`."""
    frames = enlarged(pickle.loads(recorded.read_bytes()), spans)
    ready_mb = _peak_mb()
    started, cpu = time.perf_counter(), time.process_time()
    per_detector: dict[str, float] = {}
    found = []
    for detector in DETECTORS:
        before = time.process_time()
        found += [f for f in detector.find(frames) if not isinstance(f, Skipped) and detector.scope == "run"]
        per_detector[detector.name] = time.process_time() - before
    before = time.process_time()
    kept = charge_once(without_repetition(found), frames)
    per_detector["(merging, charging once)"] = time.process_time() - before
    return {
        "spans": frames.spans.height,
        "runs": frames.traces.height,
        "findings": len(kept),
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "frames_mb": ready_mb,
        "peak_mb": _peak_mb(),
        "detectors": per_detector,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _apart(spans: int, recorded: Path) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.analysis_speed",
        "--one",
        str(spans),
        "--recorded",
        str(recorded),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measured(sizes: Sequence[int], repeats: int, runs: int) -> dict[int, list[dict[str, Any]]]:
    """Size -> what each repeat gave; sizes take turns."""
    seen: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as scratch:
        recorded = Path(scratch) / "recorded.pickle"
        _say(f"recording {runs:,} runs ...")
        recorded.write_bytes(pickle.dumps(template(runs)))
        for repeat in range(1, repeats + 1):
            for size, results in seen.items():
                results.append(_apart(size, recorded))
                _say(f"{size:,} spans, {repeat} of {repeats}: {results[-1]['cpu_s']:.1f} s of CPU")
    return seen


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000, help="the larger size; the smaller is a tenth of it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runs", type=int, default=2_000, help="distinct runs that are copied")
    parser.add_argument("--short", action="store_true", help="20,000 spans, once")
    parser.add_argument("--one", type=int, metavar="SPANS", help=argparse.SUPPRESS)
    parser.add_argument("--recorded", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(measure(options.one, options.recorded)))
        return 0
    large, repeats, runs = (20_000, 1, 100) if options.short else (options.spans, options.repeats, options.runs)
    seen = _measured((large // 10, large), repeats, runs)
    middle: dict[int, float] = {}
    for size, results in seen.items():
        one = results[0]
        middle[size] = median(r["cpu_s"] for r in results)
        print(
            f"{one['spans']:>9,} spans, {one['runs']:,} runs, {one['findings']:,} findings: {middle[size]:.1f} s of CPU, "
            f"{median(r['wall_s'] for r in results):.1f} s by the wall, peak {max(r['peak_mb'] for r in results):,.0f} MB "
            f"({one['frames_mb']:,.0f} MB of it when the frames were made)"
        )
    small, big = seen[large // 10], seen[large]
    ratio = big[0]["spans"] / small[0]["spans"]
    print(f"exponent {math.log(middle[large] / middle[large // 10]) / math.log(ratio):.2f}\n")
    print(f"{'us of CPU a span':32}{large // 10:>12,}{large:>12,}")
    names = sorted(big[0]["detectors"], key=lambda n: -big[0]["detectors"][n])
    for name in names:
        shares = [median(r["detectors"][name] for r in results) / results[0]["spans"] * 1e6 for results in (small, big)]
        print(f"{name:32}{shares[0]:12.2f}{shares[1]:12.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
