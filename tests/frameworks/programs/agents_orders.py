"""OpenAI Agents: two agents look at one order at the same time and each sets its status (`apart`), or both set the same (`agreed`)."""

import asyncio
import os
import sys

from agents import Agent, Runner, function_tool, set_default_openai_client, trace
from openai import AsyncOpenAI

set_default_openai_client(AsyncOpenAI(api_key=os.environ.pop("OPENAI_API_KEY")), use_for_tracing=False)


@function_tool
async def set_order_status(order_id: str, status: str) -> str:
    """Set the status of an order."""
    await asyncio.sleep(0.3)
    return f"{order_id} is {status}"


def agent(name: str) -> Agent:
    return Agent(
        name=name, model="gpt-4.1-mini", instructions=f"You are {name}, {sys.argv[1]}.", tools=[set_order_status]
    )


async def main() -> None:
    with trace("orders"):
        done = await asyncio.gather(
            *(Runner.run(agent(name), "Look at order A-17.") for name in ("approver", "auditor"))
        )
    print([result.final_output for result in done])


asyncio.run(main())
