"""Programs of real frameworks with a guard, run by `test_frameworks.py` in an environment of their own.

python programs.py FRAMEWORK STORE [stream] -> one JSON line: what the caller of the framework saw
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import tracer
from tracer.capture.guard import Guard, stop_in

MODEL = "gpt-4.1-mini"
ROUNDS = 8


def agents(stream: bool) -> None:
    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    @function_tool
    def more() -> str:
        """Ask for more."""
        return "x"

    async def main() -> None:
        model: Any = OpenAIChatCompletionsModel(MODEL, AsyncOpenAI()) if stream else MODEL
        agent = Agent(name="a", instructions="Go on.", tools=[more], model=model)
        if not stream:
            await Runner.run(agent, "go", max_turns=ROUNDS)
            return
        result = Runner.run_streamed(agent, "go", max_turns=ROUNDS)
        async for _ in result.stream_events():
            pass

    asyncio.run(main())


def langgraph(stream: bool) -> None:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.prebuilt import create_react_agent

    @tool
    def more() -> str:
        """Ask for more."""
        return "x"

    graph = create_react_agent(ChatOpenAI(model=MODEL, streaming=stream), [more])
    graph.invoke({"messages": [("user", "go")]}, {"recursion_limit": 2 * ROUNDS})


def pydantic_ai(stream: bool) -> None:
    from pydantic_ai import Agent, UsageLimits
    from pydantic_ai.models.openai import OpenAIChatModel

    agent = Agent(OpenAIChatModel(MODEL), name="a")

    @agent.tool_plain
    def more() -> str:
        """Ask for more."""
        return "x"

    async def main() -> None:
        async with agent.run_stream("go", usage_limits=UsageLimits(request_limit=ROUNDS)) as result:
            await result.get_output()

    if stream:
        asyncio.run(main())
    else:
        agent.run_sync("go", usage_limits=UsageLimits(request_limit=ROUNDS))


def main(framework: str, store: str, stream: bool) -> dict[str, Any]:
    tracer.init(store, fold_at_exit=False)
    guard: Guard | None = None
    seen: dict[str, Any] = {"error": None}
    try:
        with tracer.workflow("guarded"), tracer.guard("mine", budget_usd="0.0040", loop=None) as guard:
            {"agents": agents, "langgraph": langgraph, "pydantic_ai": pydantic_ai}[framework](stream)
    except Exception as error:  # noqa: BLE001 - what a user's program catches
        stop = stop_in(error)
        seen = {
            "error": type(error).__name__,
            "reason": stop.reason if stop else None,
            "partial": stop.partial if stop else None,
        }
    tracer.shutdown()
    spent = guard.spent["budget"] if guard is not None else None
    return {**seen, "spent": str(spent), "estimated": str(guard.estimated_usd) if guard is not None else None}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], "stream" in sys.argv[3:])))
