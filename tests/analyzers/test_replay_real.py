"""What-if replay against the truth: small asyncio programs are run, changed, and run again (in virtual time)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from analyzers.critical_path import RunTree, find_critical_path
from analyzers.what_if import what_if_document
from reference_runtime.clock import VirtualClock
from tests.drawn import Drawn, Node, frames, node, run


@dataclass
class Work:
    """A piece of a program: a leaf that takes `seconds`, or pieces one after the other (`seq`) or side by side (`par`)."""

    how: str
    """sleep, seq, par, or wait: for `agent`'s signal"""
    agent: str = "boss"
    seconds: float = 0.0
    kind: str = "tool"
    parts: list[Work] = field(default_factory=list["Work"])
    failed: bool = False
    retries: bool = False
    """of the piece before it, which failed"""
    signals: bool = False


def drawn_from(chance: random.Random, depth: int = 3) -> Work:
    """A program of up to `depth` levels with routing calls, retries and a pair of agents of which one waits for the other."""
    if depth == 0 or chance.random() < 0.2:
        return Work("sleep", chance.choice("abc"), chance.uniform(0.2, 3), chance.choice(["tool", "llm"]))
    kind = chance.choice(["seq", "par", "retry", "routed", "waiting"])
    parts = [drawn_from(chance, depth - 1) for _ in range(chance.randint(2, 3))]
    if kind == "retry":
        again = chance.uniform(0.3, 2)
        return Work("seq", parts=[Work("sleep", "a", again, failed=True), Work("pause", "a", chance.uniform(0.1, 1)), Work("sleep", "a", again, retries=True), *parts])  # fmt: skip
    if kind == "routed":
        return Work("seq", parts=[Work("sleep", "router", chance.uniform(0.2, 1), "route"), *parts])
    if kind == "waiting":
        name = f"worker{chance.getrandbits(32)}"
        worker = Work("seq", name, parts=[Work("sleep", name, chance.uniform(1, 4), signals=True)])
        boss = Work(
            "seq", parts=[Work("sleep", "boss", 0.2), Work("wait", name), Work("sleep", "boss", chance.uniform(0.2, 1))]
        )
        return Work("seq", parts=[Work("par", parts=[worker, boss]), *parts])
    return Work(kind, parts=parts)


def played(program: Work, scale: Callable[[Work], float]) -> tuple[float, list[Node]]:
    """Run the program in virtual time with every leaf's seconds scaled: (its length, what was recorded)."""
    clock = VirtualClock(0)
    signals: dict[str, asyncio.Event] = {}
    ids = iter(range(10**6))

    async def do(work: Work, before: str | None) -> Node:
        start, name = clock.elapsed_s, f"s{next(ids)}"
        parts: list[Node] = []
        if work.how == "seq":
            last: str | None = None
            for part in work.parts:
                parts.append(await do(part, last))
                last = parts[-1].fields["id"] if parts[-1].kind != "wait" else last
        elif work.how == "par":
            parts = list(await asyncio.gather(*(do(part, None) for part in work.parts)))
        elif work.how == "wait":
            await signals.setdefault(work.agent, asyncio.Event()).wait()
        else:
            await clock.sleep(work.seconds * scale(work))
            if work.signals:
                signals.setdefault(work.agent, asyncio.Event()).set()
        end = clock.elapsed_s
        if work.how == "wait":
            return node("wait", "wait", start, end, id=name, agent="boss", wait_for=[work.agent], reason="peer")
        if work.how == "pause":
            return node("wait", "back off", start, end, id=name, agent=work.agent, reason="timer")
        if work.how == "sleep":
            purpose = "route" if work.kind == "route" else None
            return node("llm" if work.kind in ("llm", "route") else "tool", work.kind, start, end, id=name, agent=work.agent, purpose=purpose,
                        status="error" if work.failed else "ok", retry_of=before if work.retries else None)  # fmt: skip
        return node("agent", work.how, start, end, *parts, id=name, agent=work.agent)

    told = clock.run(do(program, None))
    return clock.elapsed_s, [told]


def recorded(program: Work) -> Drawn:
    _, nodes = played(program, lambda work: 1.0)
    return run("program", *nodes, start=0)


CHANGES: dict[str, Callable[[Work], float]] = {
    "a twice as fast": lambda work: 0.5 if work.agent == "a" and work.how == "sleep" else 1.0,
    "b twice as fast": lambda work: 0.5 if work.agent == "b" and work.how == "sleep" else 1.0,
    "no routing calls": lambda work: 0.0 if work.kind == "route" else 1.0,
    "no failed attempts": lambda work: 0.0 if work.failed or work.how == "pause" else 1.0,
}


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 80))])
def test_predicted_as_it_then_was(seed: int) -> None:
    """Every what-if that is offered is within 5 % of the program run again with that change; the path is as long as the run."""
    program = Work("seq", parts=[drawn_from(random.Random(seed)), drawn_from(random.Random(seed + 1000))])
    given = frames(recorded(program))
    length, _ = played(program, lambda work: 1.0)
    told = {one["change"]: one["seconds"] for one in what_if_document(given, RunTree.of(given), agents=20)}

    assert sum(piece.length_ns for piece in find_critical_path(given)) == pytest.approx(length * 1e9, rel=1e-6)
    for change, scale in CHANGES.items():
        if change in told:
            assert told[change] == pytest.approx(played(program, scale)[0], rel=0.05), change
