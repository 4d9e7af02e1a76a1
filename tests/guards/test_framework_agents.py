"""Agents that frameworks start count for a guard on fan-out: stand-ins with the layout of the frameworks' modules."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tracer
from tracer.capture.guard import framework_agents
from tracer.errors import BudgetExceeded
from tracer.testing import recorder

__all__ = ["recorder"]

FILES = {
    "agents/__init__.py": "",
    "agents/run.py": """
import asyncio
from types import SimpleNamespace
class AgentRunner:
    async def run(self, starting_agent, input, **kwargs):
        return await starting_agent.work()
    def run_streamed(self, starting_agent, input, **kwargs):
        return SimpleNamespace(run_loop_task=asyncio.get_running_loop().create_task(starting_agent.work()))
""",
    "langgraph/__init__.py": "",
    "langgraph/pregel/__init__.py": "",
    "langgraph/pregel/_runner.py": """
def run_with_retry(task, retry_policy): return task.work()
async def arun_with_retry(task, retry_policy): return await task.work()
""",
}


@pytest.fixture(autouse=True)
def frameworks(tmp_path: Path) -> Iterator[None]:
    """The stand-ins can be imported, and are forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    known = [name for name in sys.modules if name.split(".")[0] in ("agents", "langgraph")]
    kept = {name: sys.modules.pop(name) for name in known}
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] in ("agents", "langgraph")]:
        del sys.modules[name]
    sys.modules.update(kept)


def worker(done: asyncio.Event, started: list[str], name: str = "worker") -> Any:
    async def work() -> str:
        started.append(name)
        await done.wait()
        return name

    return SimpleNamespace(name=name, work=work)


@pytest.mark.parametrize("streamed", [False, True])
def test_runs_of_openai_agents(streamed: bool, recorder: Any) -> None:
    """Five at work are allowed: the sixth run raises and does not start; what has ended makes room."""
    started: list[str] = []

    async def crowd(size: int) -> list[Any]:
        from agents.run import AgentRunner  # type: ignore[import-not-found]

        done = asyncio.Event()

        async def one(number: int) -> Any:
            agent = worker(done, started)
            if not streamed:
                return await AgentRunner().run(agent, "go")
            return await AgentRunner().run_streamed(agent, "go").run_loop_task

        tasks = [asyncio.create_task(one(number)) for number in range(size)]
        for _ in range(4):
            await asyncio.sleep(0)
        done.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with tracer.guard(fanout=5):
        assert asyncio.run(crowd(4)) == ["worker"] * 4
        found = asyncio.run(crowd(7))
    assert [type(each) for each in found].count(BudgetExceeded) == 2
    assert len(started) == 9
    assert asyncio.run(crowd(9)) == ["worker"] * 9  # no guard around


def test_nodes_of_langgraph(recorder: Any) -> None:
    """A node is an agent at work, its parts are none; a node that starts itself ever deeper is refused."""
    with tracer.guard(fanout=3):
        from langgraph.pregel._runner import run_with_retry  # type: ignore[import-not-found]

        part = SimpleNamespace(name="tools", work=lambda: "done")
        inside = SimpleNamespace(name="b", work=lambda: [run_with_retry(part, ()) for _ in range(9)][-1])
        outside = SimpleNamespace(name="a", work=lambda: run_with_retry(inside, ()))
        assert [run_with_retry(outside, ()) for _ in range(9)] == ["done"] * 9

        depth: list[int] = []

        def deeper() -> str:
            depth.append(len(depth))
            return str(run_with_retry(SimpleNamespace(name=f"n{len(depth)}", work=deeper), ()))

        with pytest.raises(BudgetExceeded):
            deeper()
        assert len(depth) == 4


def test_a_decorated_agent_around_the_frameworks_run_is_one(recorder: Any) -> None:
    """`@tracer.agent("writer")` around the run of the agent `writer` does not count twice."""
    from langgraph.pregel._runner import run_with_retry  # type: ignore[import-not-found]

    with tracer.guard(fanout=1), tracer.agent("writer"):
        assert run_with_retry(SimpleNamespace(name="writer", work=lambda: "done"), ()) == "done"


def test_the_table_names_what_there_is() -> None:
    """Every module of the table is watched."""
    assert {starter.module for starter in framework_agents.STARTERS} == framework_agents.MODULES
