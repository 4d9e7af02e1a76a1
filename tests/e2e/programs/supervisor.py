"""LangGraph: a supervisor with two workers."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor


@tool
def search_docs(query: str) -> str:
    """Search the handbook."""
    return f"{query}: refunds are possible within 30 days."


llm = ChatOpenAI(model="gpt-4.1-mini", temperature=0.2)
researcher = create_react_agent(llm, [search_docs], prompt="You are researcher.", name="researcher")
writer = create_react_agent(llm, [], prompt="You are writer.", name="writer")
graph = create_supervisor([researcher, writer], model=llm, prompt="You are the supervisor.").compile(name="desk")
state = graph.invoke({"messages": [{"role": "user", "content": "What is the refund policy?"}]})
print(state["messages"][-1].content)
