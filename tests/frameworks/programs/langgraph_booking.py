"""LangGraph: a booking task is sent with the price it was planned with (`stale`), or with the price as it is now (`current`)."""

import operator
import sys
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

llm = ChatOpenAI(model="gpt-4.1-mini", temperature=0)


class State(TypedDict):
    price: int
    approved: str
    tasks: list[dict[str, Any]]
    booked: Annotated[list[str], operator.add]


def ask(name: str, text: str) -> str:
    return str(llm.invoke([("system", f"You are the {name}."), ("user", text)]).content)


def planner(state: State) -> dict[str, Any]:
    ask("planner", "plan the trip")
    return {"price": 100, "tasks": [{"hotel": "Ritz", "price": 100}]}


def pricer(state: State) -> dict[str, Any]:
    ask("pricer", f"is {state['price']} still right?")
    return {"price": 120}


def approver(state: State) -> dict[str, Any]:
    return {"approved": ask("approver", "may we book?")}


def booker(task: dict[str, Any]) -> dict[str, Any]:
    return {"booked": [ask("booker", f"book {task['hotel']} for {task['price']}")]}


def dispatch(state: State) -> list[Send]:
    now = {} if sys.argv[1] == "stale" else {"price": state["price"]}
    return [Send("booker", {**task, **now}) for task in state["tasks"]]


graph = StateGraph(State)
graph.add_node("planner", planner)
graph.add_node("pricer", pricer)
graph.add_node("booker", booker)
graph.add_edge(START, "planner")
graph.add_node("approver", approver)
graph.add_edge("planner", "pricer")
graph.add_edge("pricer", "approver")
graph.add_conditional_edges("approver", dispatch, ["booker"])
graph.add_edge("booker", END)
print(graph.compile(name="booking").invoke({"price": 0, "tasks": [], "booked": []})["booked"])
