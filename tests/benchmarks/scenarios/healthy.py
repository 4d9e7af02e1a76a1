"""A whole run: healthy work, the act of a scenario beside concurrent lanes, healthy work. Everything in the work is new."""

from __future__ import annotations

from collections.abc import Callable

import tracer
from tests.benchmarks.scenarios.knobs import Topology
from tests.benchmarks.scenarios.stage import Stage


def play(act: Callable[[Stage], None], stage: Stage, workflow: str) -> None:
    """One whole run: healthy work, the act beside concurrent lanes, healthy work."""
    knobs = stage.knobs
    around = knobs.size if knobs.branches == 1 else knobs.size // 2
    with tracer.workflow(workflow, input=stage.fact()) as root:
        work(stage, around // 2)
        stage.parallel(lambda: _inside(act, stage), *outside(stage))
        work(stage, around - around // 2)
        stage.go(0.05)
        if stage.ended is not None:
            root.outcome(stage.ended)
            if stage.ended == "failed":
                root.fail("the run failed")


def _inside(act: Callable[[Stage], None], stage: Stage) -> None:
    if stage.knobs.topology == "nested":
        with tracer.workflow("inner team"):
            act(stage)
    elif stage.knobs.topology == "supervisor":
        with stage.agent("Coordinator"):
            act(stage)
    else:
        act(stage)


def work(s: Stage, spans: int) -> None:
    """About `spans` spans of ordinary work, shaped by the topology; everything in it is new."""
    if spans <= 0:
        return
    shapes: dict[Topology, Callable[[Stage, int], None]] = {
        "pipeline": _pipeline,
        "supervisor": _supervisor,
        "chat": _chat,
        "map_reduce": _map_reduce,
        "nested": _nested,
    }
    shapes[s.knobs.topology](s, spans)


def _unit(s: Stage) -> None:
    """Three spans of work: look something up, think about it."""
    thing = s.thing()
    s.tool(s.rng.choice(("lookup", "fetch_record", "open_file")), {"name": thing}, s.fact())
    s.llm(s.fact(), f"Summarise {thing}: {s.fact()}")


def _pipeline(s: Stage, spans: int) -> None:
    stages = ("Intake", "Enrichment", "Review", "Publishing")
    per = max(1, spans // 2 // len(stages))
    for name in stages:
        with s.agent(name, s.fact()):
            for _ in range(per):
                _unit(s)


def _supervisor(s: Stage, spans: int) -> None:
    with s.agent("Foreman", s.fact()):
        done = 0
        while done < spans:
            task = s.thing()
            worker = s.rng.choice(("Fitter", "Surveyor", "Draughtsman"))
            s.llm(f"{worker} takes {task}", f"Next open item: {task}")
            s.handoff(worker, f"{task}: {s.fact()}", task_id=task)
            with s.agent(worker, task, task_id=task):
                _unit(s)
            done += 5


def _chat(s: Stage, spans: int) -> None:
    people = ("Historian", "Economist", "Engineer")
    done = 0
    while done < spans:
        with s.agent(people[done // 3 % 3]):
            s.llm(s.fact(), s.fact())
            s.tell(people[(done // 3 + 1) % 3], s.fact())
        done += 3


def _map_reduce(s: Stage, spans: int) -> None:
    workers = min(8, max(2, spans // 10))
    per = max(1, spans // 3 // workers)

    def worker(number: int) -> Callable[[], None]:
        def lane() -> None:
            with s.agent(f"Reader {number}", s.thing()):
                for _ in range(per):
                    _unit(s)

        return lane

    s.parallel(*(worker(number) for number in range(workers)))
    with s.agent("Collector"):
        s.llm(s.fact(), s.fact())


def _nested(s: Stage, spans: int) -> None:
    for team in ("Field team", "Desk team"):
        with s.agent(team, s.fact()), s.agent(f"Lead of {team}"):
            for _ in range(max(1, spans // 6)):
                _unit(s)


def outside(s: Stage) -> list[Callable[[], None]]:
    """Lanes of healthy work beside the scenario."""
    beside = s.knobs.branches - 1
    share = s.knobs.size // 2 // max(1, beside)

    def lane(number: int) -> Callable[[], None]:
        def play() -> None:
            with s.agent(f"Side {number}", s.fact()):
                for _ in range(max(1, share // 2)):
                    _unit(s)

        return play

    return [lane(number) for number in range(beside)]
