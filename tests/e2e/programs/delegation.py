"""Pydantic AI: a coordinator asks a researcher through a tool."""

import asyncio
import sys

from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel

researcher = Agent(OpenAIChatModel("gpt-5-mini"), name="researcher", instructions="You are researcher.")
limits = UsageLimits(request_limit=12)
coordinator = Agent(OpenAIChatModel("gpt-4.1-mini"), name="coordinator", instructions="You are coordinator.")


@researcher.tool_plain
def search_docs(query: str) -> str:
    """Search the handbook."""
    if "toolerror" in sys.argv:
        raise ConnectionError("the handbook is down")
    return f"{query}: refunds are possible within 30 days."


@coordinator.tool
async def ask_researcher(ctx: RunContext, question: str) -> str:
    """Ask the researcher."""
    if "streaming" in sys.argv:
        async with researcher.run_stream(question, usage=ctx.usage, usage_limits=limits) as result:
            return await result.get_output()
    return (await researcher.run(question, usage=ctx.usage, usage_limits=limits)).output


async def main() -> None:
    question = "What is the refund policy?"
    if "streaming" in sys.argv:
        async with coordinator.run_stream(question, usage_limits=limits) as result:
            print(await result.get_output())
    else:
        print((await coordinator.run(question, usage_limits=limits)).output)


asyncio.run(main())
