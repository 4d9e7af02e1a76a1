"""LangGraph: a ledger and a payroll, two nodes of one graph, ask each other's agent through a tool whether the month is done.

`crossed`: at the same time, with their books closed meanwhile. `unheard`: the ledger asks the payroll with a timeout, and the
payroll, who is looking something up, does not answer. `answered`: one after the other.
"""

import asyncio
import sys
from typing import Annotated, TypedDict

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent

books = {"ledger": asyncio.Lock(), "payroll": asyncio.Lock()}
GIVES_UP_S = 2 if sys.argv[1] == "unheard" else None
model = ChatOpenAI(model="gpt-4.1-mini")


async def ask(name: str, question: str) -> str:
    async with books[name]:
        asking = answering[name].ainvoke({"messages": [("user", question)]})
        try:
            result = await asyncio.wait_for(asking, GIVES_UP_S)
        except TimeoutError:
            return "no answer"
    return str(result["messages"][-1].content)


@tool
async def ask_ledger(question: str) -> str:
    """Ask the ledger."""
    return await ask("ledger", question)


@tool
async def ask_payroll(question: str) -> str:
    """Ask the payroll."""
    return await ask("payroll", question)


@tool
async def look_up(month: str) -> str:
    """Look up what was paid."""
    await asyncio.sleep(60 if sys.argv[1] == "unheard" else 0)
    return f"All of {month} is paid."


def agent(name: str, *tools: object):
    return create_react_agent(model, list(tools), name=name, prompt=f"You are the {name}, a bookkeeper.")


closing = {"ledger": agent("ledger", ask_payroll), "payroll": agent("payroll", ask_ledger)}
answering = {"ledger": agent("ledger", look_up), "payroll": agent("payroll", look_up)}


class Month(TypedDict):
    closed: Annotated[list[str], lambda left, right: left + right]


def node(name: str):
    async def close(state: Month) -> Month:
        async with books[name]:
            result = await closing[name].ainvoke({"messages": [("user", "Close May.")]})
        return {"closed": [str(result["messages"][-1].content)]}

    return close


graph = StateGraph(Month)
for name in books:
    graph.add_node(name, node(name))
graph.add_edge(START, "ledger")
if sys.argv[1] != "unheard":
    graph.add_edge(START if sys.argv[1] == "crossed" else "ledger", "payroll")
    graph.add_edge("payroll", END)
graph.add_edge("ledger", END)
print(asyncio.run(graph.compile(name="month").ainvoke({"closed": []})))
