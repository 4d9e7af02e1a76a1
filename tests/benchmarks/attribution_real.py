"""How well failure attribution does on real failed runs that people labelled, beside rules that need no thought.

    python -m tests.benchmarks.attribution_real --traces DIR [--verbose]

DIR holds `whowhen_dev.jsonl.gz` (73 failed runs of CaptainAgent, AG, and Magentic-One, HC, published as Who&When, with the agent and step
that a person blamed) and the tau-bench files, where some tasks have passing and failing trials. Nothing of them is in this
repository; where the folder is absent the program says so and ends with exit code 0.

The files go in through the importer, so the labels lie in the store as `source.*` attributes; attribution never reads attributes. Position and
speaking share carry much of the score in this benchmark, so the rules that use nothing else stand beside every figure. Labels are noisy:
two people agree on the exact step of an HC run in 35 %. Read the intervals.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from analyzers.attribution import Attribution, attribute
from analyzers.attribution.evidence import WEIGHTS, author_before, weigh
from analyzers.attribution.steps import CLOSING, Step, steps_of, task_of
from analyzers.attribution.suspect import ranked
from analyzers.frames import Frames
from tracer.importers import import_file
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

WHO_AND_WHEN = "whowhen_dev.jsonl.gz"
TAU = ("tau_airline_dev.jsonl.gz", "tau_retail_dev.jsonl.gz")
Answer = list[tuple[str | None, int | None]]
"""(agent, step) of suspects, best first"""
Rule = Callable[[Sequence[Step], random.Random], Answer]


def imported(path: Path) -> dict[str, Frames]:
    """source id -> frames of each run of a file, by way of the importer and a store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "traces.duckdb")
        writer = SegmentWriter(store.path)
        import_file(path, writer, "auto")
        writer.close()
        store.fold()
        frames = Frames.loaded(reads.load(store))
        sources = dict(frames.traces.select("run_id", "source_id").iter_rows())
        return {sources[run_id] or run_id: frames.only(run_id) for run_id in frames.run_ids}


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def _workers(steps: Sequence[Step]) -> list[Step]:
    return [s for s in steps if s.role == "worker" and s.text and not CLOSING.fullmatch(s.text)]


def first_worker(steps: Sequence[Step], chance: random.Random) -> Answer:
    """The first worker steps after the task."""
    return [(s.agent, s.step) for s in _workers(steps)]


def most_text(steps: Sequence[Step], chance: random.Random) -> Answer:
    """The agent that says most, at its longest message."""
    said: Counter[str | None] = Counter()
    for s in _workers(steps):
        said[s.agent] += len(s.text)
    return [(s.agent, s.step) for s in sorted(_workers(steps), key=lambda s: (-said[s.agent], -len(s.text)))]


def longest_message(steps: Sequence[Step], chance: random.Random) -> Answer:
    """The longest messages of workers."""
    return [(s.agent, s.step) for s in sorted(_workers(steps), key=lambda s: -len(s.text))]


def first_hard_error(steps: Sequence[Step], chance: random.Random) -> Answer:
    """Authors of hard errors in order, an executor's charged to the worker before it; without any, the first worker."""
    places = [author_before(steps, s.place) for s in steps if s.error is not None and s.role in ("worker", "machine")]
    found = [(steps[p].agent, steps[p].step) for p in places if p is not None]
    return found or first_worker(steps, chance)


def at_random(steps: Sequence[Step], chance: random.Random) -> Answer:
    """Any step."""
    order = [(s.agent, s.step) for s in steps if s.role != "person"]
    chance.shuffle(order)
    return order


RULES: tuple[Rule, ...] = (at_random, first_worker, most_text, longest_message, first_hard_error)


def wilson(part: int, whole: int) -> str:
    """`per cent (part/whole, Wilson 95 % interval)`."""
    if not whole:
        return "-"
    p, z = part / whole, 1.96
    middle = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return f"{100 * p:4.1f} ({part:2}/{whole}, {max(0, 100 * (middle - half)):2.0f}-{100 * (middle + half):2.0f})"


def line(name: str, answers: Mapping[str, Answer], labels: Mapping[str, tuple[str, int]]) -> str:
    agent = step = top3 = 0
    for one, (who, when) in labels.items():
        answer = answers[one]
        agent += bool(answer) and answer[0][0] == who
        step += bool(answer) and answer[0][1] == when
        top3 += any(place == when for _, place in answer[:3])
    n = len(labels)
    return f"  {name:20} agent {wilson(agent, n):24} step {wilson(step, n):24} top 3 {wilson(top3, n)}"


def who_and_when(path: Path, verbose: bool) -> None:
    records = {record["id"]: record for record in read(path)}
    runs = imported(path)
    steps = {one: steps_of(runs[one]) for one in records}
    started = time.process_time()
    said = attribute({one: runs[one] for one in records})
    print(f"{WHO_AND_WHEN}: {len(records)} runs, {time.process_time() - started:.2f} s CPU")
    ours: dict[str, Answer] = {
        one: [(s.agent, s.step) for s in said[one].suspects] if one in said else [] for one in records
    }
    for title, beginning in (("all", ""), ("algorithm-generated (AG)", "AG"), ("hand-crafted (HC)", "HC")):
        labels = {
            one: (r["mistake_agent_norm"], int(r["mistake_step"]))
            for one, r in records.items()
            if one.startswith(beginning)
        }
        print(f"\n{title}: {len(labels)} runs, {sum(not ours[one] for one in labels)} without suspects")
        for rule in RULES:
            chance = random.Random(1)
            print(line(rule.__name__.replace("_", " "), {one: rule(steps[one], chance) for one in labels}, labels))
        print(line("this", ours, labels))
    labels = {one: (r["mistake_agent_norm"], int(r["mistake_step"])) for one, r in records.items()}
    validate(steps, {one: task_of(runs[one]) for one in records}, labels)
    if verbose:
        for one, record in records.items():
            print(
                f"\n{one}: label {record['mistake_agent_norm']} at {record['mistake_step']}: {record['mistake_reason']}"
            )
            for suspect in said[one].suspects[:3] if one in said else ():
                print(
                    f"  {suspect.rank} {suspect.agent} at {suspect.step} ({suspect.score}): {'; '.join(suspect.evidence)}"
                )


def validate(
    steps: Mapping[str, Sequence[Step]], tasks: Mapping[str, str], labels: Mapping[str, tuple[str, int]]
) -> None:
    """Whether tuning the weights would help on runs not tuned on: each weight halved, doubled or as it is, chosen on the other runs."""
    settings = [WEIGHTS] + [{**WEIGHTS, name: factor * WEIGHTS[name]} for name in WEIGHTS for factor in (0.5, 2.0)]
    said: list[dict[str, Answer]] = []
    for weights in settings:
        votes = {one: ranked(weigh(held, tasks[one], (), weights)) for one, held in steps.items()}
        said.append(
            {
                one: [(steps[one][v.place].agent, steps[one][v.place].step) for v in found]
                for one, found in votes.items()
            }
        )
    hits = [
        {one: (answer[one][:1] != [] and answer[one][0][0] == who) + (answer[one][:1] != [] and answer[one][0][1] == when)
         + any(place == when for _, place in answer[one][:3]) for one, (who, when) in labels.items()}
        for answer in said
    ]  # fmt: skip

    def best(among: Sequence[str]) -> int:
        return max(range(len(settings)), key=lambda n: (sum(hits[n][one] for one in among), -n))

    everything = sorted(labels)
    random.Random(1).shuffle(everything)
    half = len(everything) // 2
    fitted = {one: said[best([other for other in labels if other != one])][one] for one in labels}
    sides = ((everything[:half], everything[half:]), (everything[half:], everything[:half]))
    halves = {one: said[chosen][one] for mine, others in sides for chosen in [best(others)] for one in mine}
    print("\nthe first tier alone, one weight halved or doubled where that helps the runs it is chosen on:")
    print(line("as it is", said[0], labels))
    print(line("chosen on all (seen)", said[best(everything)], labels))
    print(line("leave one out", fitted, labels))
    print(line("split halves", halves, labels))


def tau_steps(path: Path, runs: Mapping[str, Frames], said: Mapping[str, Attribution]) -> None:
    """Retail runs carry labels: the root cause's message, counted from one."""
    labels: dict[str, tuple[str, int]] = {}
    for record in read(path):
        held: dict[str, Any] | None = record.get("labels")
        name = f"{record['task_id']}/{record['trial']}"
        if not held or name not in said:
            continue
        root = next((f for f in held["failures"] if f["failure_id"] == held["root_cause"]["failure_id"]), None)
        if root is not None:
            labels[name] = (root["failed_agent"], int(root["step_number"]) - 1)
    if not labels:
        print("  no steps are labelled here")
        return
    steps = {one: steps_of(runs[one]) for one in labels}
    answers: dict[str, Answer] = {one: [(s.agent, s.step) for s in said[one].suspects] for one in labels}
    for rule in RULES:
        chance = random.Random(1)
        print(places(rule.__name__.replace("_", " "), {one: rule(steps[one], chance) for one in labels}, labels))
    print(places("this", answers, labels))


def places(name: str, answers: Mapping[str, Answer], labels: Mapping[str, tuple[str, int]]) -> str:
    """One agent only, so its name says nothing: hits of the step, and mean reciprocal rank among five."""
    found = [
        next((n for n, (_, step) in enumerate(answers[one][:5], 1) if step == when), None)
        for one, (_, when) in labels.items()
    ]
    one, three = (sum(rank is not None and rank <= k for rank in found) for k in (1, 3))
    mrr = sum(1 / rank for rank in found if rank) / len(found)
    return f"  {name:20} hit@1 {wilson(one, len(found)):24} hit@3 {wilson(three, len(found)):24} MRR {mrr:.2f}"


def tau(path: Path, verbose: bool) -> None:
    """Which tiers could answer for the failed runs, and where steps are labelled, how well."""
    runs = imported(path)
    outcomes = Counter((one.traces["outcome"].to_list() or [None])[0] for one in runs.values())
    started = time.process_time()
    said = attribute(runs)
    took = time.process_time() - started
    tiers = Counter(tier for one in said.values() for tier in {t for s in one.suspects for t in s.tier.split("+")})
    print(
        f"\n{path.name}: {dict(outcomes)}, {took:.2f} s CPU; failed runs for which a tier named suspects: {dict(tiers)} of {len(said)}"
    )
    same = sum(any("same task" in text for s in one.suspects for text in s.evidence) for one in said.values())
    tools = sum(bool(one.suspects) and "calls" in " ".join(one.suspects[0].evidence) for one in said.values())
    print(f"  compared with a good run of the very same task: {same}; first suspect is about a tool call: {tools}")
    tau_steps(path, runs, said)
    if verbose:
        for one, answer in said.items():
            for suspect in answer.suspects[:2]:
                print(f"  {one} {suspect.rank} at {suspect.step} [{suspect.tier}]: {'; '.join(suspect.evidence)[:300]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; exit code 0 also where the data is absent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="folder with the labelled runs")
    parser.add_argument("--verbose", action="store_true", help="suspects of every run")
    options = parser.parse_args(argv)
    folder: Path | None = options.traces
    if folder is None or not (folder / WHO_AND_WHEN).is_file():
        print(f"skipped: no {WHO_AND_WHEN} in {folder or '(no --traces DIR given)'}", file=sys.stderr)
        return 0
    who_and_when(folder / WHO_AND_WHEN, options.verbose)
    for name in TAU:
        if (folder / name).is_file():
            tau(folder / name, options.verbose)
        else:
            print(f"skipped: no {name} in {folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
