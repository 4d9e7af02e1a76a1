"""How well failure attribution finds a fault that was put into a run at a known span.

    python -m tests.benchmarks.attribution [--part test] [--seeds 10] [--short]

The reference runtime does one task (look three amounts up, add them) in five topologies, recorded by the real shim into a store. A fault
is put in at one place and spreads by itself: agents only say what they were told, so the sum at the end is wrong.

    wrong_result    a tool answers with another amount                                  key span: the tool call
    dropped_field   a tool answers without the amount, the agent takes one from nowhere key span: the tool call
    wrong_call      an agent looks another thing up than it reports                     key spans: the model call that asks, the tool call
    ignored_error   a tool fails, the agent goes on with an amount from nowhere         key spans: the tool call, the model call after it
    wrong_route     who routes sends the work to the wrong agent (supervisor, chat)     key spans: the routing model call, its message

Runs whose sum is wrong have failed, by an evaluation of the outcome; each cell of topology and fault is attributed beside the
topology's `GOOD` passing runs of other wording. hit@k: a key span is among the first k suspects; MRR: mean of 1/rank. One tier at a
time and all together, beside the trivial rules. Tools also fail now and then and are tried again, in good runs and bad ones.

Tuning and test part differ in words, amounts, tool and seeds; figures to quote are those of the test part. A simulation made by the
authors of the method: it shows which faults can be found at all, not how often in the wild.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tracer
from analyzers.attribution import TIERS, Verdict, attribute
from analyzers.attribution.steps import steps_of
from analyzers.frames import Frames
from analyzers.run import analyse
from reference_runtime.agent import Agent
from reference_runtime.clock import VirtualClock
from reference_runtime.errors import ToolFailed
from reference_runtime.model import ModelRequest
from reference_runtime.patterns.chat import Chat, Search
from reference_runtime.patterns.parallel import Parallel
from reference_runtime.patterns.pipeline import Pipeline, Stage
from reference_runtime.patterns.single import Single
from reference_runtime.patterns.supervisor import Supervisor
from reference_runtime.runtime import Runtime, Workflow
from reference_runtime.scripted import Reply, Responder, ScriptedModel, by_role, vary, wants
from reference_runtime.tools import Tool, Tools
from tests.benchmarks.attribution_real import wilson
from tracer.model import SpanKind, SpanStatus
from tracer.store import reads
from tracer.store.database import Store

TOPOLOGIES = ("pipeline", "supervisor", "parallel", "chat", "single")
FAULTS = ("wrong_result", "dropped_field", "wrong_call", "ignored_error", "wrong_route")
GOOD = 8
FACT = re.compile(r"amount of (\w+) is (\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """The words of one part."""

    items: tuple[str, str, str]
    tool: str
    opening: str
    filler: str
    first_seed: int


PARTS = {
    "tuning": Part(("oak", "pine", "birch"), "lookup", "[As for|On] [our files|the records]: ", "[Nothing else was found.|No remarks.]", 0),
    "test": Part(("lisbon", "turin", "gdansk"), "query_ledger", "[I checked.|Looked it up.|Here it is.] ", "[That is all there was.|The branch confirms it.|Ready.]", 5_000),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run to be played; `fault` None is a healthy one."""

    part: Part
    topology: str
    fault: str | None
    seed: int

    @property
    def run_id(self) -> str:
        return f"{self.topology}-{self.fault or 'good'}-{self.seed}"

    @property
    def item(self) -> str:
        """The thing the fault is about."""
        return self.part.items[self.seed % 3]

    @property
    def other(self) -> str:
        return self.part.items[(self.seed + 1) % 3]

    @property
    def invented(self) -> str:
        return str(300 + random.Random(f"invented-{self.seed}").randrange(90))

    def at_fault(self, fault: str, item: str) -> bool:
        return self.fault == fault and item == self.item


def amount(item: str) -> int:
    return 1_000 + random.Random(item).randrange(8_000)


def applies(topology: str, fault: str) -> bool:
    """Only who routes can route wrongly; the chat's search is not the model's call, so its failure ends the run."""
    return (fault != "wrong_route" or topology in ("supervisor", "chat")) and (
        fault != "ignored_error" or topology != "chat"
    )


def answer(case: Case, arguments: Mapping[str, Any]) -> str:
    """What the tool returns."""
    item = str(arguments.get("item") or arguments.get("query"))
    if case.at_fault("ignored_error", item):
        raise ToolFailed(case.part.tool, "504 gateway timeout")
    shown = amount(item) + (111 if case.at_fault("wrong_result", item) else 0)
    given: dict[str, Any] = {"item": item, "amount": shown, "currency": "EUR"}
    if case.at_fault("dropped_field", item):
        del given["amount"]
    return json.dumps(given)


def facts(request: ModelRequest) -> dict[str, str]:
    return {item: said for message in request.messages for item, said in FACT.findall(message.content)}


def reported(case: Case, item: str, content: str) -> str:
    """What an agent makes of a tool's answer: the amount of `item` is what stands there, else one from nowhere."""
    given = json.loads(content.removeprefix("Found: "))
    return f"the amount of {item} is {given.get('amount', case.invented)}."


def wanted(case: Case, item: str) -> Reply:
    return wants(case.part.tool, item=case.other if case.at_fault("wrong_call", item) else item)


def worker(case: Case, item: str) -> Responder:
    def respond(request: ModelRequest, rng: random.Random) -> Reply | str:
        last = request.messages[-1]
        failed = last.role == "tool" and last.content.startswith('{"error"')
        if last.role != "tool" or (failed and not case.at_fault("ignored_error", item)):
            return wanted(case, item)
        before = " ".join(f"the amount of {one} is {said}." for one, said in facts(request).items())
        return (
            f"{vary(case.part.opening, rng)}{before} {reported(case, item, last.content)} {vary(case.part.filler, rng)}"
        )

    return respond


def generalist(case: Case) -> Responder:
    def respond(request: ModelRequest, rng: random.Random) -> Reply | str:
        got: list[str] = []
        for message in request.messages:
            if message.role == "tool":
                item = case.part.items[len(got)]
                if not message.content.startswith('{"error"') or case.at_fault("ignored_error", item):
                    got.append(reported(case, item, message.content))
        if len(got) < 3:
            return wanted(case, case.part.items[len(got)])
        return f"{vary(case.part.opening, rng)}{' '.join(got)} Total {sum(int(said) for _, said in FACT.findall(' '.join(got)))}."

    return respond


def total(request: ModelRequest, rng: random.Random) -> str:
    return (
        vary("[Added up|All in all|Taken together]: ", rng) + f"Total {sum(int(n) for n in facts(request).values())}."
    )


def boss(case: Case) -> Responder:
    def respond(request: ModelRequest, rng: random.Random) -> str:
        question = request.messages[-1].content
        if "Plan the work" in question:
            steps = [
                {"worker": (case.other if case.at_fault("wrong_route", item) else item).title(), "goal": f"Report on {item}."}
                for item in case.part.items
            ]  # fmt: skip
            return json.dumps({"steps": steps})
        if "Is it done?" in question:
            return json.dumps({"verdict": "complete", "why": vary("[an amount is given|fine]", rng)})
        return total(request, rng)

    return respond


def checker(case: Case) -> Responder:
    def respond(request: ModelRequest, rng: random.Random) -> str:
        asked = sum("Next: " in message.content for message in request.messages)
        if asked == 3:
            return f"{total(request, rng)} TERMINATE"
        item = case.part.items[asked]
        return (
            vary("[Please.|Go on.|Well.] ", rng) + f"Next: {case.other if case.at_fault('wrong_route', item) else item}"
        )

    return respond


def clerk(case: Case) -> Responder:
    def respond(request: ModelRequest, rng: random.Random) -> str:
        item = asked_for(request.messages[-2].content)
        return f"{vary(case.part.opening, rng)}{reported(case, item, request.messages[-1].content)} {vary(case.part.filler, rng)}"

    return respond


def asked_for(text: str) -> str:
    return text.rpartition("Next: ")[2].strip()


def workflow(case: Case) -> Workflow:
    names = tuple(item.title() for item in case.part.items)
    boss = Agent(name="Boss", instructions="You plan and sum up.")
    if case.topology == "pipeline":
        return Pipeline(stages=tuple(Stage(agent=n, goal=f"Report on {n.lower()}.") for n in (*names, "Editor")))
    if case.topology == "supervisor":
        return Supervisor(supervisor=boss, workers=names)
    if case.topology == "parallel":
        return Parallel(workers=tuple((n, f"Report on {n.lower()}.") for n in names), aggregator="Editor")
    if case.topology == "chat":

        def query(last: str) -> str:
            item = asked_for(last)
            return case.other if case.at_fault("wrong_call", item) else item

        return Chat(
            speakers=("Checker", "Clerk"),
            max_messages=8,
            search=Search(agent="Clerk", tool=case.part.tool, query=query),
        )
    return Single(agent="Generalist")


def runtime(case: Case, clock: VirtualClock) -> Runtime:
    roles: dict[str, Responder] = {item.title(): worker(case, item) for item in case.part.items}
    roles |= {"Boss": boss(case), "Editor": total, "Generalist": generalist(case), "Checker": checker(case), "Clerk": clerk(case)}  # fmt: skip
    found = Tool(name=case.part.tool, description="Amounts.", function=lambda arguments: answer(case, arguments),
                 failure_rate=0.0 if case.topology == "chat" else 0.1)  # fmt: skip
    called = ("Boss", "Editor", "Checker", "Clerk")
    return Runtime(
        workflow=workflow(case),
        clock=clock,
        model=ScriptedModel(by_role(roles), clock=clock, seed=case.seed),
        agents=[Agent(name=n, instructions="Be brief.", tools=() if n in called else (case.part.tool,)) for n in roles],
        tools=Tools(clock, (found,), seed=case.seed),
        run_id=case.run_id,
    )


def record(cases: Sequence[Case], path: Path) -> tuple[Frames, dict[str, str]]:
    """Play the cases one after the other into a store; frames, and the outputs by run id of the runtime."""
    outputs: dict[str, str] = {}
    tracer.init(path, service="benchmark", fold_at_exit=False)
    try:
        for number, case in enumerate(cases):
            clock = VirtualClock(1_788_220_800 * 10**9 + number * 600 * 10**9)
            played = runtime(case, clock)
            handle = tracer.instrument(played)
            try:
                outputs[case.run_id] = clock.run(played.run("What do the three come to?")).output
            finally:
                handle.uninstrument()
    finally:
        tracer.shutdown()
    store = Store(path)
    store.fold()
    return Frames.loaded(reads.load(store)), outputs


def key_spans(case: Case, frames: Frames) -> set[str]:
    """The spans that a right answer may name, found by what they contain."""
    rows = frames.spans.sort("start_ns", "span_id").to_dicts()
    calls = [row for row in rows if row["kind"] == SpanKind.LLM]
    tools = [row for row in rows if row["kind"] == SpanKind.TOOL]
    if case.fault == "wrong_route":
        by = "Boss" if case.topology == "supervisor" else "Checker"
        routed = [r for r in calls if r["agent"] == by]
        if case.topology == "supervisor":
            sent = [r for r in rows if r["kind"] == SpanKind.MESSAGE and r["agent"] == by and f"Report on {case.item}." in frames.text(r["input_refs"])]  # fmt: skip
            return {routed[0]["span_id"], *(r["span_id"] for r in sent)}
        place = case.part.items.index(case.item)
        sent = [r for r in rows if r["kind"] == SpanKind.MESSAGE and r["agent"] == by]
        return {routed[place]["span_id"], sent[place]["span_id"]}
    looked_up = case.other if case.fault == "wrong_call" else case.item
    mine = [row for row in tools if f'"{looked_up}"' in frames.text(row["input_refs"])]
    if case.fault == "wrong_call":
        # Of the two look-ups of the other thing, the one in the place of the missing one, with its failed attempts.
        attempts = [row for row in mine if row["agent"] == case.item.title()]
        if not attempts:
            first = case.part.items.index(case.item) < case.part.items.index(looked_up)
            done = [number for number, row in enumerate(mine) if row["status"] != SpanStatus.ERROR]
            attempts = mine[: done[0] + 1] if first else mine[done[-2] + 1 :]
        asking = [
            [r for r in calls if r["agent"] == row["agent"] and r["start_ns"] < row["start_ns"]][-1:]
            for row in attempts
        ]
        return {
            *(row["span_id"] for row in attempts),
            *(r["span_id"] for one in asking for r in one if case.topology != "chat"),
        }
    if case.fault == "ignored_error":
        after = [r for r in calls if r["agent"] == mine[-1]["agent"] and r["start_ns"] > mine[-1]["start_ns"]]
        return {row["span_id"] for row in mine} | {r["span_id"] for r in after[:1]}
    return {row["span_id"] for row in mine}


Ranks = dict[tuple[str, str], list[int | None]]
"""(method, fault) -> rank of the first key span in each run, None where it is not named"""


def measure(part: Part, topology: str, seeds: int, folder: Path, ranks: Ranks) -> int:
    """Add the ranks of one topology; returns how many faults did not spoil the sum, which are left out."""
    first = part.first_seed
    cases = [Case(part=part, topology=topology, fault=None, seed=first + 1_000 + n) for n in range(GOOD)]
    cases += [Case(part=part, topology=topology, fault=fault, seed=first + n)
              for fault in FAULTS if applies(topology, fault) for n in range(seeds)]  # fmt: skip
    frames, outputs = record(cases, folder / f"{topology}.duckdb")
    run_of = dict(frames.traces.select("source_id", "run_id").iter_rows())
    held = {case.run_id: frames.only(run_of[case.run_id]) for case in cases}
    right = f"Total {sum(amount(item) for item in part.items)}."
    verdicts = {
        run_of[case.run_id]: Verdict(failed=right not in outputs[case.run_id], by="evaluation", why="the sum")
        for case in cases
    }
    good = {
        run_of[c.run_id]: held[c.run_id] for c in cases if c.fault is None and not verdicts[run_of[c.run_id]].failed
    }
    if len(good) < GOOD:
        raise RuntimeError(f"{topology}: only {len(good)} of {GOOD} healthy runs have the right sum")
    findings = analyse(frames).findings
    unspoilt = 0
    for fault in FAULTS:
        cell = [c for c in cases if c.fault == fault]
        bad = {run_of[c.run_id]: held[c.run_id] for c in cell}
        for method in (*TIERS, "all tiers"):
            tiers = TIERS if method == "all tiers" else (method,)
            answers = attribute({**good, **bad}, findings, verdicts, asked=bad, tiers=tiers)
            for case in cell:
                if not verdicts[run_of[case.run_id]].failed:
                    unspoilt += method == "all tiers"
                    continue
                keys = key_spans(case, held[case.run_id])
                named = [s.span_id for s in answers[run_of[case.run_id]].suspects]
                ranks[method, fault].append(next((n for n, span in enumerate(named, 1) if span in keys), None))
        for case in cell:
            if verdicts[run_of[case.run_id]].failed:
                for rule, order in trivial(held[case.run_id], case.seed).items():
                    keys = key_spans(case, held[case.run_id])
                    ranks[rule, fault].append(next((n for n, span in enumerate(order[:5], 1) if span in keys), None))
    return unspoilt


def trivial(frames: Frames, seed: int) -> dict[str, list[str]]:
    """What rules name that need no thought; five guesses each, as ours."""
    steps = steps_of(frames)
    spoken = [s for s in steps if s.role == "worker" and s.text] or steps
    shuffled = [s.span_id for s in steps]
    random.Random(seed).shuffle(shuffled)
    return {
        "random step": shuffled,
        "first worker": [s.span_id for s in spoken],
        "most text": [s.span_id for s in sorted(spoken, key=lambda s: -len(s.text))],
    }


def line(name: str, found: Sequence[int | None]) -> str:
    one, three = (sum(rank is not None and rank <= k for rank in found) for k in (1, 3))
    mrr = sum(1 / rank for rank in found if rank) / len(found)
    return f"  {name:14} hit@1 {wilson(one, len(found)):24} hit@3 {wilson(three, len(found)):24} MRR {mrr:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables of one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), default="test")
    parser.add_argument("--seeds", type=int, default=10, help="runs of each fault and topology")
    parser.add_argument("--short", action="store_true", help="three runs of each, as in CI")
    options = parser.parse_args(argv)
    ranks = figures(options.part, 3 if options.short else options.seeds)
    methods = [*TIERS, "all tiers", "random step", "first worker", "most text"]
    print(f"{options.part} part, {len(TOPOLOGIES)} topologies, {GOOD} good runs each")
    for fault in (*FAULTS, "all faults"):
        print(f"\n{fault}")
        for method in methods:
            wanted = FAULTS if fault == "all faults" else (fault,)
            print(line(method, [rank for one in wanted for rank in ranks[method, one]]))
    return 0


def figures(part: str, seeds: int) -> Ranks:
    """The ranks of every method and fault over all topologies."""
    ranks: Ranks = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tracehound-attribution-") as folder:
        for topology in TOPOLOGIES:
            unspoilt = measure(PARTS[part], topology, seeds, Path(folder), ranks)
            if unspoilt:
                print(f"{topology}: {unspoilt} faults did not change the sum and are left out", file=sys.stderr)
    return ranks


if __name__ == "__main__":
    sys.exit(main())
