"""CrewAI: a coordinator delegates to a researcher."""

import sys

from crewai import LLM, Agent, Crew, Process, Task
from crewai.tools import tool


@tool("search_docs")
def search_docs(query: str) -> str:
    """Search the handbook."""
    if "toolerror" in sys.argv:
        raise ConnectionError("the handbook is down")
    return f"{query}: refunds are possible within 30 days."


streaming = "streaming" in sys.argv
researcher = Agent(
    role="researcher", goal="find facts", backstory="You are researcher.", tools=[search_docs],
    llm=LLM(model="openai/gpt-5-mini", stream=streaming),
)  # fmt: skip
coordinator = Agent(
    role="coordinator", goal="answer", backstory="You are coordinator.", allow_delegation=True,
    llm=LLM(model="openai/gpt-4.1-mini", temperature=0.2, stream=streaming),
)  # fmt: skip
task = Task(description="What is the refund policy?", expected_output="one sentence", agent=coordinator)
print(Crew(agents=[coordinator, researcher], tasks=[task], process=Process.sequential).kickoff().raw)
