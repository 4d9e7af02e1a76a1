"""LangGraph: a supervisor with two workers."""

import sys

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor


@tool
def search_docs(query: str) -> str:
    """Search the handbook."""
    if "toolerror" in sys.argv:
        raise ConnectionError("the handbook is down")
    return f"{query}: refunds are possible within 30 days."


streaming = "streaming" in sys.argv
llm = ChatOpenAI(model="gpt-4.1-mini", temperature=0.2, streaming=streaming, stream_usage=streaming)
small = ChatOpenAI(model="gpt-5-mini", streaming=streaming, stream_usage=streaming)
researcher = create_react_agent(small, [search_docs], prompt="You are researcher.", name="researcher")
writer = create_react_agent(small, [], prompt="You are writer.", name="writer")
graph = create_supervisor([researcher, writer], model=llm, prompt="You are the supervisor.").compile(name="desk")
question = {"messages": [{"role": "user", "content": "What is the refund policy?"}]}
print(graph.invoke(question, {"recursion_limit": 20})["messages"][-1].content)
