"""LangGraph: a writer and a checker until the state has counted nine rounds. `stuck`: the same question in other words; `reading`: page by page."""

import sys
from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

reading = sys.argv[1] == "reading"
llm = ChatOpenAI(model="gpt-4.1-mini", temperature=0)


class State(TypedDict):
    n: int
    text: str


def ask(who: str, state: State) -> str:
    job = f"page {state['n']} of the chronicle" if reading else f"question {state['n']}"
    return str(llm.invoke([("system", f"You are the {who} of {job}."), ("user", state["text"])]).content)


def write(state: State) -> dict[str, object]:
    return {"text": ask("chronicler", state), "n": state["n"] + 1}


def check(state: State) -> dict[str, object]:
    return {"text": ask("proofreader", state)}


graph = StateGraph(State)
graph.add_node("chronicler", write)
graph.add_node("proofreader", check)
graph.add_edge(START, "chronicler")
graph.add_edge("chronicler", "proofreader")
graph.add_conditional_edges("proofreader", lambda state: END if state["n"] >= 9 else "chronicler")
print(graph.compile(name="chronicle").invoke({"n": 0, "text": "Begin."}, {"recursion_limit": 50})["text"])
