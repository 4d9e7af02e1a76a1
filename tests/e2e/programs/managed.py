"""smolagents: a coordinator manages a researcher."""

import os
import sys

from smolagents import OpenAIModel, ToolCallingAgent, tool


@tool
def search_docs(query: str) -> str:
    """Search the handbook.

    Args:
        query: what to look for
    """
    if "toolerror" in sys.argv:
        raise ConnectionError("the handbook is down")
    return f"{query}: refunds are possible within 30 days."


url, streaming = os.environ["OPENAI_BASE_URL"], "streaming" in sys.argv
researcher = ToolCallingAgent(
    [search_docs], OpenAIModel("gpt-5-mini", api_base=url), name="researcher", description="finds facts",
    instructions="You are researcher.", max_steps=8, verbosity_level=0, stream_outputs=streaming,
)  # fmt: skip
coordinator = ToolCallingAgent(
    [], OpenAIModel("gpt-4.1-mini", api_base=url), name="coordinator", managed_agents=[researcher],
    instructions="You are coordinator.", max_steps=4, verbosity_level=0, stream_outputs=streaming,
)  # fmt: skip
print(coordinator.run("What is the refund policy?"))
