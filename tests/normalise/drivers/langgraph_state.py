"""LangGraph with a state of its own: two reviewers in parallel, a key whose reducer keeps the last value, one that appends.

langgraph_state.py openinference|genai|openllmetry|langsmith OUTPUT_FOLDER
"""

from __future__ import annotations

import operator
import os
import sys
from typing import Annotated, Any, TypedDict

instrumentor, folder = sys.argv[1:3]
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_AND_EVENT"
os.environ["LANGSMITH_TRACING"] = "false"
if instrumentor == "langsmith":
    os.environ |= {
        "LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true",
        "LANGSMITH_API_KEY": "x", "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
    }  # fmt: skip

from recording import Reply, Request, recording  # noqa: E402


def script(request: Request) -> Reply:
    return Reply("fine" if "legal" in request.system else "good")


with recording(f"langgraph-{instrumentor}-state", script, folder) as provider:
    if instrumentor == "openinference":
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)
    elif instrumentor == "genai":
        from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider, logger_provider=provider.logger)
    elif instrumentor == "openllmetry":
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor

        LangchainInstrumentor().instrument(tracer_provider=provider)

    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, StateGraph

    def last(_: Any, new: Any) -> Any:
        return new

    class State(TypedDict):
        document: Annotated[dict[str, str], last]
        notes: Annotated[list[str], operator.add]
        title: str

    llm = ChatOpenAI(model="gpt-4.1-mini", temperature=0)

    def reviewer(name: str) -> Any:
        def review(state: State) -> dict[str, Any]:
            answer = llm.invoke([("system", f"You are {name}."), ("user", str(state["document"]))])
            return {"document": {**state["document"], name: answer.content}, "notes": [f"{name} was here"]}

        return review

    def draft(state: State) -> dict[str, Any]:
        return {"document": {"text": "We sell."}, "title": "Offer"}

    graph = StateGraph(State)
    graph.add_node("draft", draft)
    graph.add_node("legal", reviewer("legal"))
    graph.add_node("style", reviewer("style"))
    graph.add_node("publish", lambda state: {"title": state["title"] + "!"})
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "legal")
    graph.add_edge("draft", "style")
    graph.add_edge(["legal", "style"], "publish")
    graph.add_edge("publish", END)
    print(graph.compile(name="review").invoke({"document": {}, "notes": [], "title": ""}))
    if instrumentor == "langsmith":
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()
