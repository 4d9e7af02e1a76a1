"""LlamaIndex AgentWorkflow: a researcher searches and hands over to a writer, who answers.

llamaindex_agents.py ordinary|toolerror|streaming OUTPUT_FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys

from recording import Reply, Request, recording

scenario, folder = sys.argv[1:3]


def script(request: Request) -> Reply:
    if "researcher" in request.system:
        if "search_docs" not in request.called:
            return Reply(tools=(("search_docs", {"query": "refunds"}),))
        return Reply(tools=(("handoff", {"to_agent": "writer", "reason": "the facts are known"}),))
    return Reply("Goods can be returned within 30 days.")


def search_docs(query: str) -> str:
    """Search the handbook."""
    if scenario == "toolerror":
        raise ConnectionError("the handbook cannot be reached")
    return f"{query}: within 30 days."


async def main() -> None:
    from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(
        model="gpt-4.1-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="x", is_chat_model=True,
        is_function_calling_model=True,
    )  # fmt: skip
    streaming = scenario == "streaming"
    agents = [
        FunctionAgent(
            name="researcher", description="finds facts", system_prompt="You are researcher.", llm=llm,
            tools=[search_docs], can_handoff_to=["writer"], streaming=streaming,
        ),
        FunctionAgent(
            name="writer", description="writes", system_prompt="You are writer.", llm=llm, tools=[], streaming=streaming
        ),
    ]  # fmt: skip
    print(await AgentWorkflow(agents=agents, root_agent="researcher").run(user_msg="What is the refund policy?"))


with recording(f"llamaindex-openinference-{scenario}", script, folder) as provider:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    LlamaIndexInstrumentor().instrument(tracer_provider=provider)
    asyncio.run(main())
