"""OpenAI Agents: a researcher reads one long page after the other, and every page travels again with every call."""

import asyncio
import os
import sys

from agents import Agent, Runner, function_tool, set_default_openai_client
from openai import AsyncOpenAI

set_default_openai_client(AsyncOpenAI(api_key=os.environ.pop("OPENAI_API_KEY")), use_for_tracing=False)

PAGES = int(sys.argv[1])


@function_tool
def read_page(number: int) -> str:
    """Read a page of the handbook."""
    return f"Page {number}. " + " ".join(f"Paragraph {number}.{line} explains what to do." for line in range(900))


async def main() -> None:
    agent = Agent(
        name="researcher",
        model="gpt-4.1-mini",
        instructions=f"You are the researcher. Read {PAGES} pages.",
        tools=[read_page],
    )
    print((await Runner.run(agent, "What does the handbook say?", max_turns=30)).final_output)


asyncio.run(main())
