"""OpenAI Agents: a researcher searches an archive that answers at once, 22 times. `silent`: the last search is never answered."""

import asyncio
import os
import sys
from pathlib import Path

from agents import Agent, Runner, function_tool, set_default_openai_client, trace
from openai import AsyncOpenAI

set_default_openai_client(AsyncOpenAI(api_key=os.environ.pop("OPENAI_API_KEY")), use_for_tracing=False)

STOP = Path("stop")
"""the program goes on when this file appears"""


@function_tool
async def search(page: int) -> str:
    """Search a page of the archive."""
    while sys.argv[1] == "silent" and page == 21 and not STOP.exists():
        await asyncio.sleep(0.1)
    return f"Page {page} says nothing."


@function_tool
async def look(hour: int) -> str:
    """Look at the clock."""
    await asyncio.sleep(1 if sys.argv[1] == "silent" else 0)
    return f"It is {hour}."


researcher = Agent(
    name="researcher", model="gpt-4.1-mini", instructions="You are the archive researcher.", tools=[search]
)
watcher = Agent(name="watcher", model="gpt-4.1-mini", instructions="You are the watcher.", tools=[look])


async def main() -> None:
    with trace("archive"):
        asked = ((researcher, "What is the refund policy?"), (watcher, "Watch the clock."))
        done = await asyncio.gather(*(Runner.run(agent, question, max_turns=30) for agent, question in asked))
    print([result.final_output for result in done])


asyncio.run(main())
