"""OpenAI Agents: a ledger and a payroll close the month; each asks the other through a tool whether it is done.

`crossed`: at the same time, with their books closed meanwhile. `unheard`: the ledger asks the payroll with a timeout, and the
payroll, who is looking something up, does not answer. `answered`: one after the other.
"""

import asyncio
import os
import sys

from agents import Agent, Runner, function_tool, set_default_openai_client, trace
from openai import AsyncOpenAI

set_default_openai_client(AsyncOpenAI(api_key=os.environ.pop("OPENAI_API_KEY")), use_for_tracing=False)

books = {"ledger": asyncio.Lock(), "payroll": asyncio.Lock()}
GIVES_UP_S = 2 if sys.argv[1] == "unheard" else None


async def ask(name: str, question: str) -> str:
    async with books[name]:
        result = await asyncio.wait_for(Runner.run(answering[name], question), GIVES_UP_S)
    return str(result.final_output)


@function_tool
async def ask_ledger(question: str) -> str:
    """Ask the ledger."""
    return await ask("ledger", question)


@function_tool
async def ask_payroll(question: str) -> str:
    """Ask the payroll."""
    return await ask("payroll", question)


@function_tool
async def look_up(month: str) -> str:
    """Look up what was paid."""
    await asyncio.sleep(60 if sys.argv[1] == "unheard" else 0)
    return f"All of {month} is paid."


def agent(name: str, *tools: object) -> Agent:
    return Agent(name=name, model="gpt-4.1-mini", instructions=f"You are the {name}, a bookkeeper.", tools=list(tools))


closing = {"ledger": agent("ledger", ask_payroll), "payroll": agent("payroll", ask_ledger)}
answering = {"ledger": agent("ledger", look_up), "payroll": agent("payroll", look_up)}


async def close(name: str) -> str:
    async with books[name]:
        result = await Runner.run(closing[name], "Close May.")
    return str(result.final_output)


async def main() -> None:
    with trace("closing"):
        if sys.argv[1] == "crossed":
            print(await asyncio.gather(close("ledger"), close("payroll")))
        elif sys.argv[1] == "unheard":
            print(await close("ledger"))
        else:
            print([await close("ledger"), await close("payroll")])


asyncio.run(main())
