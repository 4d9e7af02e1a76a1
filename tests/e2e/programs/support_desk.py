"""OpenAI Agents SDK: a triage agent hands over to one that looks orders up."""

import asyncio
import os
import sys

from agents import Agent, ModelSettings, RunConfig, Runner, function_tool, set_default_openai_client
from openai import AsyncOpenAI

# The key is for the model only: the SDK's own exporter finds none and sends nothing to the internet.
set_default_openai_client(AsyncOpenAI(api_key=os.environ.pop("OPENAI_API_KEY")), use_for_tracing=False)


@function_tool
def get_order(order_id: str) -> str:
    """Look an order up."""
    if "toolerror" in sys.argv:
        raise ConnectionError("the order service is down")
    return f"{order_id}: delivered 12 days ago"


settings = ModelSettings(temperature=0.2)
refunds = Agent(
    name="refunds", instructions="You are refunds.", tools=[get_order], model="gpt-5-mini", model_settings=settings
)
triage = Agent(
    name="triage", instructions="You are triage.", handoffs=[refunds], model="gpt-4.1-mini", model_settings=settings
)


async def main() -> None:
    config = RunConfig(workflow_name="support desk")
    if "streaming" in sys.argv:
        running = Runner.run_streamed(triage, "Where is order A-17?", run_config=config)
        async for _ in running.stream_events():
            pass
        print(running.final_output)
    else:
        print((await Runner.run(triage, "Where is order A-17?", run_config=config)).final_output)


asyncio.run(main())
