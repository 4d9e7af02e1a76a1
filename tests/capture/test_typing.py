"""A type checker sees through the decorators: a small user program, as users would check it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import tracer


@tracer.agent
def plan(goal: str, *, depth: int = 1) -> list[str]:
    return [goal] * depth


@tracer.tool("search")
async def search(query: str) -> dict[str, int]:
    return {query: 1}


@tracer.llm_call("gpt-4.1", purpose="work")
def stream(prompt: str) -> Iterator[str]:
    yield prompt


@tracer.agent(name="editor", reason="asked")
def edit(text: str) -> list[bytes]:
    return [text.encode()]


@tracer.workflow
async def events() -> AsyncIterator[int]:
    yield 1


@tracer.agent("writer")
class Writer:
    def run(self, text: str) -> int:
        return len(text)


class Reader:
    @tracer.tool
    def read(self, path: str) -> bytes:
        return path.encode()


async def main() -> None:
    assert_type(plan("x", depth=2), list[str])
    assert_type(await search("x"), dict[str, int])
    assert_type(next(stream("x")), str)
    assert_type(edit("x"), list[bytes])
    with tracer.handoff(to="writer"), tracer.decision(scope="budget"), tracer.wait(for_=["writer"]):
        tracer.llm_call(model="m").record()
    async for number in events():
        assert_type(number, int)
    assert_type(Writer().run("x"), int)
    assert_type(Reader().read("x"), bytes)
    with tracer.llm_call("m", messages=[{"role": "user", "content": "x"}]) as span:
        span.usage(input_tokens=1)
        assert_type(span.span_id, str)
    with tracer.lock("orders"), threading.Condition(tracer.lock("news", threading.RLock())):
        assert_type(tracer.awaited(queue.Queue[str](), "planner").get(), str)
    async with tracer.lock("ledger", asyncio.Lock()):
        pass
    with tracer.lock("x", asyncio.Lock()):  # wrong
        pass
    plan(1)  # wrong
    edit(1)  # wrong
    tracer.tool(nme="x")  # wrong
    tracer.handoff()  # wrong
    Reader().read()  # wrong
    span.usage(input_tokens="1")  # wrong
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_types_of_decorated_code(tmp_path: Path) -> None:
    """Results keep their types, and the wrong calls, no others, are found in strict mode."""
    checker = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if checker is None:
        pytest.skip("pyright is not installed")
    (tmp_path / "program.py").write_text(PROGRAM)
    root = Path(__file__).parents[2]
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(root)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [checker, "--outputjson", "--pythonpath", sys.executable, "--project", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240).stdout
    wrong = {number for number, line in enumerate(PROGRAM.splitlines()) if "# wrong" in line}
    lines = {each["range"]["start"]["line"] for each in json.loads(found)["generalDiagnostics"]}
    assert lines == wrong, found
