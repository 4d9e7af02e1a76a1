"""How well the loop detector does on real runs that people read and labelled, beside rules that need no thought.

    python -m tests.benchmarks.loops_real --traces DIR [--verbose]

DIR holds `whowhen_dev.jsonl.gz` (failed runs of CaptainAgent and Magentic-One, published as Who&When) and
`whowhen_loop_labels_dev.jsonl` (34 of them read once and labelled). Nothing of them is in this repository; where the
folder is absent the program says so and ends with exit code 0. The labels are few and one person's: read the intervals.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any

from analyzers.detectors.loop import find_loops
from analyzers.finding import Finding
from tests.drawn import Drawn, frames, message, run
from tracer.online.loop import Event, LoopCore, replay
from tracer.online.novelty import read

RUNS, LABELS = "whowhen_dev.jsonl.gz", "whowhen_loop_labels_dev.jsonl"
_RECEIVER = re.compile(r"\(->\s*(\w+)\)")


def drawn(record: Mapping[str, Any], *, thoughts: bool) -> Drawn:
    """A transcript as a run of messages, one a second; without the orchestrator's private notes if `thoughts` is off."""
    items = [
        message(
            turn["agent_norm"],
            found.group(1) if (found := _RECEIVER.search(turn["role"])) else "",
            turn["step"],
            turn["content"],
            step=turn["step"],
        )
        for turn in record["history"]
        if thoughts or "(thought)" not in turn["role"]
    ]
    return run(record["id"], *items)


Rule = Callable[[Sequence[Mapping[str, Any]]], bool]


def same_three_times(turns: Sequence[Mapping[str, Any]]) -> bool:
    """One agent says word for word the same three times in a row (of its own turns)."""
    said: dict[str, list[str]] = {}
    for turn in turns:
        said.setdefault(turn["agent_norm"], []).append(turn["content"])
    return any(a == b == c for texts in said.values() for a, b, c in zip(texts, texts[1:], texts[2:], strict=False))


def names_go_round(turns: Sequence[Mapping[str, Any]]) -> bool:
    """The same cycle of up to five agent names three times in a row."""
    names = [turn["agent_norm"] for turn in turns]
    return any(
        names[i : i + k] == names[i + k : i + 2 * k] == names[i + 2 * k : i + 3 * k]
        for k in range(1, 6)
        for i in range(len(names) - 3 * k + 1)
    )


def more_than_25(turns: Sequence[Mapping[str, Any]]) -> bool:
    """A step cap of 25."""
    return len(turns) > 25


def exact_cycle(turns: Sequence[Mapping[str, Any]]) -> bool:
    """The same cycle of up to five turns, word for word, five times in a row."""
    said = [(turn["agent_norm"], turn["content"]) for turn in turns]
    return any(
        all(said[i + n] == said[i + n % k] for n in range(5 * k))
        for k in range(1, 6)
        for i in range(len(said) - 5 * k + 1)
    )


def every_run(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Everything is a loop: what precision is without a rule."""
    return bool(turns)


@dataclass(frozen=True)
class Score:
    hits: int
    false: int
    missed: int
    clean: int

    def line(self, name: str) -> str:
        flagged, true, negative = self.hits + self.false, self.hits + self.missed, self.false + self.clean
        return (
            f"{name:34} precision {_share(self.hits, flagged)}   recall {_share(self.hits, true)}"
            f"   false alarms {_share(self.false, negative)}"
        )


def _share(part: int, whole: int) -> str:
    """`part/whole` with the Wilson 95 % interval."""
    if whole == 0:
        return "  -  of 0          "
    p, z = part / whole, 1.96
    middle = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return f"{p:.2f} ({part}/{whole}, {middle - half:.2f}-{middle + half:.2f})"


def score(flagged: Mapping[str, bool], labels: Sequence[Mapping[str, Any]]) -> Score:
    pairs = [(flagged[label["id"]], bool(label["has_loop"])) for label in labels]
    return Score(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )


def cost_of_an_event(repeats: int = 5, events: int = 3_000) -> float:
    """CPU microseconds the online core takes for an event of about 500 bytes, all texts different; median of `repeats`."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnoprstuvw", k=chance.randint(2, 9))) for _ in range(4_000)]
    fed = [
        Event(
            id=str(i),
            agent=f"agent{i % 5}",
            kind=chance.choice(["message", "llm", "tool"]),
            name=f"n{i % 3}",
            text=" ".join(chance.choices(words, k=74)),
            args="" if i % 2 else json.dumps({"customer": chance.choice(words), "page": i}),
        )
        for i in range(events)
    ]
    took: list[float] = []
    for _ in range(repeats):
        read.cache_clear()
        core, started = LoopCore(), time.process_time()
        replay(fed, core)
        took.append((time.process_time() - started) / events * 1e6)
    return median(took)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 0 also where the data is absent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="folder with the labelled runs")
    parser.add_argument("--verbose", action="store_true", help="one line per labelled run")
    options = parser.parse_args(argv)
    print(f"online core: {cost_of_an_event():.0f} us CPU per event of 500 B\n")
    folder: Path | None = options.traces
    if folder is None or not (folder / RUNS).is_file() or not (folder / LABELS).is_file():
        print(f"skipped: no {RUNS} and {LABELS} in {folder or '(no --traces DIR given)'}", file=sys.stderr)
        return 0
    with gzip.open(folder / RUNS, "rt", encoding="utf-8") as stream:
        records = {record["id"]: record for record in map(json.loads, stream)}
    labels = [json.loads(line) for line in (folder / LABELS).read_text(encoding="utf-8").splitlines() if line]
    labels = [label for label in labels if label["id"] in records]
    print(
        f"{len(records)} runs, {len(labels)} of them labelled, {sum(bool(x['has_loop']) for x in labels)} with a loop\n"
    )

    found: dict[bool, dict[str, list[Finding]]] = {}
    for thoughts in (True, False):
        runs = {name: drawn(record, thoughts=thoughts) for name, record in records.items()}
        ids = {one.run_id: name for name, one in runs.items()}
        found[thoughts] = {name: [] for name in records}
        held = frames(*runs.values())
        started = time.perf_counter()
        for finding in find_loops(held):
            if isinstance(finding, Finding) and finding.trace_id is not None:
                found[thoughts][ids[finding.trace_id]].append(finding)
        seconds = time.perf_counter() - started
        print(
            f"{'with' if thoughts else 'without'} the orchestrator's notes: {held.spans.height} messages in {seconds:.2f} s"
        )
    print()
    for rule in (every_run, same_three_times, exact_cycle, names_go_round, more_than_25):
        print(score({n: rule(r["history"]) for n, r in records.items()}, labels).line(rule.__name__.replace("_", " ")))
    for thoughts, findings in found.items():
        name = "this, all messages" if thoughts else "this, without notes"
        print(score({n: bool(f) for n, f in findings.items()}, labels).line(name))
        critical = {n: any(x.severity == "critical" for x in f) for n, f in findings.items()}
        print(score(critical, labels).line(name + ", critical only"))
        print(f"{'':34} localised: {_localised(findings, labels)}")
    sure = [label for label in labels if label["confidence"] == "high"]
    print(score({n: bool(f) for n, f in found[True].items()}, sure).line("this, labels of high confidence"))
    unlabelled = [n for n in records if n not in {label["id"] for label in labels}]
    print(f"\nflagged among the {len(unlabelled)} unlabelled runs: {sum(bool(found[True][n]) for n in unlabelled)}")
    if options.verbose:
        for label in labels:
            shown = "; ".join(
                f"{f.severity} {f.steps[0]}-{f.steps[-1]} x{f.data['iterations']} period {f.data['period']} {'+'.join(f.data['signals'])}"
                for f in found[True][label["id"]]
            )
            said = (
                f"{label['start']}-{label['end']} x{label['repetitions']} period {label['period']}"
                if label["has_loop"]
                else "-"
            )
            print(f"{label['id']:7} {label['type']:17} {label['confidence']:7} label {said:24} found {shown or '-'}")
    return 0


def _localised(found: Mapping[str, Sequence[Finding]], labels: Sequence[Mapping[str, Any]]) -> str:
    """Of the loops found, how many overlap the labelled steps."""
    hits = [label for label in labels if label["has_loop"] and found[label["id"]]]
    right = sum(
        any(f.steps and f.steps[0] <= label["end"] and f.steps[-1] >= label["start"] for f in found[label["id"]])
        for label in hits
    )
    return f"{right} of {len(hits)} findings overlap the labelled steps"


if __name__ == "__main__":
    sys.exit(main())
