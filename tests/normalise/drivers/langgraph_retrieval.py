"""LangGraph: a desk retrieves what the handbook says, looks up two orders at once and answers.

langgraph_retrieval.py openinference+openai|genai+openai|openllmetry+openai OUTPUT_FOLDER
"""

from __future__ import annotations

import sys
from typing import Any

from recording import Reply, Request, recording

instrumentor, folder = sys.argv[1:3]


def script(request: Request) -> Reply:
    if "look_up_order" not in request.called:
        return Reply(tools=(("look_up_order", {"order_id": "A-17"}), ("look_up_order", {"order_id": "B-2"})))
    return Reply("Both orders can be returned within 30 days.")


def main(provider: Any) -> None:
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_core.tools import tool
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    @tool
    def look_up_order(order_id: str) -> str:
        """Look up an order."""
        return f"{order_id}: delivered"

    handbook = InMemoryVectorStore(OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False))
    handbook.add_texts(["Goods can be returned within 30 days.", "The shop is closed on Sundays."])
    instrument(provider)  # after the handbook was read in, which is no part of the run
    model = ChatOpenAI(model="gpt-4.1-mini").bind_tools([look_up_order])
    retriever = handbook.as_retriever(search_kwargs={"k": 1})

    def retrieve(state: MessagesState) -> dict[str, Any]:
        [found] = retriever.invoke(state["messages"][-1].content)
        return {"messages": [SystemMessage(f"You are clerk. {found.page_content}")]}

    def clerk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("retrieve", retrieve)
    graph.add_node("clerk", clerk)
    graph.add_node("tools", ToolNode([look_up_order]))
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "clerk")
    graph.add_conditional_edges("clerk", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "clerk")
    desk = graph.compile(name="desk")
    question = HumanMessage("Can A-17 and B-2 be returned?")
    print(desk.invoke({"messages": [question]}, {"configurable": {"thread_id": "t-1"}})["messages"][-1].content)


def instrument(provider: Any) -> None:
    match instrumentor:
        case "openinference+openai":
            from openinference.instrumentation.langchain import LangChainInstrumentor
            from openinference.instrumentation.openai import OpenAIInstrumentor
        case "genai+openai":
            from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor
            from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
        case _:
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor as LangChainInstrumentor
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    LangChainInstrumentor().instrument(tracer_provider=provider)
    OpenAIInstrumentor().instrument(tracer_provider=provider)


with recording(f"langgraph-{instrumentor}-retrieval", script, folder) as provider:
    main(provider)
