"""LangGraph: two reviewers work on one document at the same time. `lost`: the reducer keeps the last document; `merged`: it merges."""

import sys
from typing import Annotated, Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

merging = sys.argv[1] == "merged"
llm = ChatOpenAI(model="gpt-4.1-mini", temperature=0)


def keep(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    return {**old, **new} if merging else new


class State(TypedDict):
    document: Annotated[dict[str, str], keep]


def reviewer(name: str) -> Any:
    def review(state: State) -> State:
        answer = llm.invoke([("system", f"You are the {name} reviewer."), ("user", str(state["document"]))])
        return {"document": {**state["document"], name: str(answer.content)}}

    return review


graph = StateGraph(State)
for name in ("legal", "style"):
    graph.add_node(name, reviewer(name))
    graph.add_edge(START, name)
    graph.add_edge(name, END)
print(sorted(graph.compile(name="review").invoke({"document": {"text": "We sell."}})["document"]))
