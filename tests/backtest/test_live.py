"""The verdict of a back-test is what the guard does: one program, once under the guard and once recorded freely and replayed."""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tracer
from analyzers.backtest.guards import Recording, recordings
from analyzers.backtest.policy import run_policy
from analyzers.run import analyse
from dashboard.loading import load_frames
from tracer.errors import BudgetExceeded
from tracer.store.database import Store
from tracer.testing import recording, recording_to, segment_writer, tmp_store

NAMES = {
    "budget": "budget_usd",
    "time": "seconds",
    "fan-out": "fanout",
    "per hour": "per_hour_usd",
    "per day": "per_day_usd",
    "runs per hour": "runs_per_hour",
    "concurrent runs": "concurrent_runs",
    "state size": "state_bytes",
}


@dataclass
class Stage:
    """A clock that stands still until somebody works, and what was done so far."""

    seed: int = 0
    now: int = 1_700_000_000 * 10**9
    done: list[str] = field(default_factory=list[str])

    def now_ns(self) -> int:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    def ask(self, prompt: str, answer: str, *, sent: int = 900, made: int = 80) -> None:
        """One call of two seconds."""
        with tracer.llm_call("gpt-4o", messages=[{"role": "user", "content": prompt}], provider="openai") as call:
            self.done.append("call")
            self.work(2)
            call.completion(answer)
            call.usage(input_tokens=sent, output_tokens=made)
        self.work(0.25)


def talk(stage: Stage) -> None:
    """Two agents who repeat each other in other words, with news now and then and answers of any length."""
    draw = random.Random(stage.seed)
    wordings = (
        "I still need context",
        "Context is missing",
        "Please add the context first",
        "Without context I cannot",
    )
    for turn in range(16):
        news = f" Source {turn} says {draw.randint(10, 99)} million in {1990 + turn}." if draw.random() < 0.1 * stage.seed else ""  # fmt: skip
        for name, said in (("Researcher", draw.choice(wordings) + news), ("Analyst", "Send me the data then." + news)):
            with tracer.agent(name):
                stage.ask(f"turn {turn}: {draw.choice(wordings)}", said, sent=draw.randint(200, 4_000), made=draw.randint(20, 900))  # fmt: skip


def at_once(stage: Stage) -> None:
    """Calls that overlap: none of five has ended when the last begins."""
    with tracer.agent("Clerk"):
        under_way: list[tuple[contextvars.Context, Any]] = []
        try:
            for number in range(5):
                messages = [{"role": "user", "content": f"part {number}"}]
                context, scope = contextvars.copy_context(), tracer.llm_call("gpt-4o", messages=messages)
                context.run(scope.__enter__).usage(input_tokens=600, output_tokens=200)
                under_way.append((context, scope))
                stage.done.append("call")
                stage.work(1)
        finally:
            for context, scope in under_way:
                context.run(scope.__exit__, None, None, None)


def crowd(stage: Stage) -> None:
    """Agents that start agents and stay."""
    with ExitStack() as open_agents:
        for number in range(12):
            open_agents.enter_context(tracer.agent(f"worker {number}"))
            stage.work(1)
            stage.ask(f"part {number}", f"{number} done")


def notes(stage: Stage) -> None:
    """Shared notes that double."""
    with tracer.agent("Scribe"):
        for number in range(8):
            stage.ask(f"page {number}", f"noted {number}")
            tracer.state_write("notes", after="x" * 40 * 2**number)
            stage.work(0.5)


LIMITS: list[tuple[Callable[[Stage], None], dict[str, Any]]] = [
    *((talk, {"loop": rounds}) for rounds in (3, 4, 5, 7.5, "warning", "critical")),
    *((talk, {"budget_usd": limit}) for limit in (0.005, 0.02, 0.031, 0.07, 5)),
    *((talk, {"tokens": limit}) for limit in (2_000, 9_000, 30_000, 10**6)),
    *((talk, {"iterations": limit}) for limit in (1, 7, 31, 32, 40)),
    *((talk, {"seconds": limit}) for limit in (1, 9, 11.25, 40, 3_600)),
    (talk, {"loop": 6, "budget_usd": 0.04, "tokens": 30_000, "seconds": 50}),
    (at_once, {"concurrency": 3}),
    (at_once, {"concurrency": 5}),
    (at_once, {"budget_usd": 0.03}),
    (at_once, {"tokens": 4_000}),
    *((crowd, {"fanout": limit}) for limit in (4, 11, 40)),
    *((notes, {"state_bytes": limit}) for limit in (100, 640, 10_000)),
]


@contextmanager
def stopping(verdict: dict[str, Any], stage: Stage) -> Iterator[None]:
    try:
        yield
    except BudgetExceeded as stop:
        verdict.update(guard=NAMES.get(stop.guard, stop.guard), at_ns=stage.now, calls=len(stage.done))


def live(program: Callable[[Stage], None], limits: dict[str, Any], seed: int) -> dict[str, Any]:
    """Which guard stopped it, when, and after how many calls; empty where none did."""
    stage, verdict = Stage(seed), dict[str, Any]()
    with recording(clock=stage), stopping(verdict, stage), tracer.workflow("desk"), tracer.guard(clock=stage, **limits):
        program(stage)
    return verdict


def recorded(folder: Path, *plays: Callable[[], None], clock: Stage) -> list[Recording]:
    with recording_to(segment_writer(folder), clock=clock):
        for play in plays:
            play()
    store = Store(tmp_store(folder))
    store.fold()
    frames = load_frames(store)
    return recordings(frames, analyse(frames).findings)


def verdict_of(runs: list[Recording], limits: dict[str, Any]) -> list[dict[str, Any]]:
    """What the back-test says of each run, in the words of `live`."""
    thresholds = {name: value if isinstance(value, str) else float(value) for name, value in limits.items()}
    stops = run_policy(runs, thresholds)
    found = [stops.get(run.run_id) for run in runs]
    return [{} if s is None else {"guard": s.guard, "at_ns": s.at_ns, "calls": s.step} for s in found]


def of_program(program: Callable[[Stage], None], seed: int, folder: Path) -> list[Recording]:
    stage = Stage(seed)

    def play() -> None:
        with tracer.workflow("desk"):
            program(stage)

    return recorded(folder, play, clock=stage)


@pytest.mark.parametrize(
    "program",
    [pytest.param(talk, marks=pytest.mark.slow), at_once, pytest.param(crowd, marks=pytest.mark.slow), notes],
    ids=lambda program: program.__name__,
)
def test_a_replay_stops_where_the_guard_stops(program: Callable[[Stage], None], tmp_path: Path) -> None:
    """The same guard, moment and number of calls for every limit, tight ones and ones that are never reached."""
    tried = [limits for each, limits in LIMITS if each is program]
    stopped = 0
    for seed in range(4 if program is talk else 1):
        runs = of_program(program, seed, tmp_path / str(seed))
        for limits in tried:
            [replayed] = verdict_of(runs, limits)
            assert replayed == live(program, limits, seed), (seed, limits)
            stopped += bool(replayed)
    assert stopped > len(tried) / 2


WINDOWS: list[dict[str, Any]] = [
    {"per_hour_usd": 0.05},
    {"per_hour_usd": 0.2},
    {"per_day_usd": 0.12},
    {"per_day_usd": 0.12, "iterations": 2},
    {"per_hour_usd": 0.06, "per_day_usd": 0.12, "iterations": 3},
    {"runs_per_hour": 4},
    {"runs_per_hour": 4, "per_hour_usd": 0.06},
    {"concurrent_runs": 1},
]


@pytest.mark.slow
@pytest.mark.parametrize("limits", WINDOWS, ids=str)
def test_a_replay_stops_the_runs_that_a_window_stops(limits: dict[str, Any], tmp_path: Path) -> None:
    """Thirty runs over two days, each under a guard of its own with a window over the store: the same runs are stopped, at the same calls."""
    lives: list[dict[str, Any]] = []

    def day(stage: Stage, play: Callable[[int], None]) -> None:
        draw = random.Random(7)
        for number in range(30):
            stage.work(draw.choice([60, 600, 9_000]))
            play(number)

    def conversation(stage: Stage, number: int) -> None:
        draw = random.Random(number)
        with tracer.agent("Clerk"):
            for turn in range(draw.randint(1, 4)):
                stage.ask(f"{number}: {turn}", "noted", sent=draw.randint(500, 4_000), made=draw.randint(50, 900))

    stage = Stage()

    def guarded(number: int) -> None:
        verdict = dict[str, Any]()
        stage.done.clear()
        guard = tracer.guard(clock=stage, store=tmp_path / "live.duckdb", **limits)
        began = stage.now
        with stopping(verdict, stage), tracer.workflow("desk"), guard:
            conversation(stage, number)
        lives.append(verdict)
        stage.now = began + 60 * 10**9

    def free(number: int) -> None:
        began = stage.now
        with tracer.workflow("desk"):
            conversation(stage, number)
        stage.now = began + 60 * 10**9

    with recording(clock=stage):
        day(stage, guarded)
    stage = Stage()
    runs = recorded(tmp_path, lambda: day(stage, free), clock=stage)
    replayed = verdict_of(runs, limits)
    assert replayed == lives
    assert {} in replayed
    assert ("concurrent_runs" in limits) or any(replayed)
