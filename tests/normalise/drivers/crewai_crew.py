"""CrewAI: a writer delegates to a researcher, who searches.

crewai_crew.py openllmetry|openllmetry+openai|openinference OUTPUT_FOLDER
"""

from __future__ import annotations

import os
import sys

from recording import Reply, Request, recording

instrumentor, folder = sys.argv[1:3]
os.environ |= {"CREWAI_TRACING_ENABLED": "false", "CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "false"}


def script(request: Request) -> Reply:
    said = request.system + " ".join(request.texts)
    if "You are researcher" in said:
        return (
            Reply("Within 30 days.")
            if "search_docs" in request.called
            else Reply(tools=(("search_docs", {"query": "refunds"}),))
        )
    if any("coworker" in name for name in request.called):
        return Reply("Goods can be returned within 30 days.")
    task = {"task": "find the policy", "context": "refunds", "coworker": "researcher"}
    return Reply(tools=(("delegate_work_to_coworker", task),))


with recording(f"crewai-{instrumentor}-ordinary", script, folder) as provider:
    if "openllmetry" in instrumentor:
        from opentelemetry.instrumentation.crewai import CrewAIInstrumentor
    else:
        from openinference.instrumentation.crewai import CrewAIInstrumentor
    CrewAIInstrumentor().instrument(tracer_provider=provider)
    if instrumentor.endswith("+openai"):
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)

    from crewai import LLM, Agent, Crew, Process, Task
    from crewai.tools import tool

    @tool("search_docs")
    def search_docs(query: str) -> str:
        """Search the handbook."""
        return f"{query}: within 30 days."

    llm = LLM(model="openai/gpt-4.1-mini", base_url=os.environ["OPENAI_BASE_URL"], api_key="x")
    researcher = Agent(
        role="researcher", goal="find facts", backstory="", llm=llm, tools=[search_docs], allow_delegation=False
    )
    writer = Agent(role="writer", goal="write", backstory="", llm=llm, allow_delegation=True)
    task = Task(description="Write the refund policy.", expected_output="one sentence", agent=writer)
    print(Crew(agents=[researcher, writer], tasks=[task], process=Process.sequential).kickoff())
