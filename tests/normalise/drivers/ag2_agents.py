"""AG2's own telemetry: a coordinator asks a researcher, who searches twice at once, then asks a person, and answers.

ag2_agents.py ordinary|toolerror OUTPUT_FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys

from recording import Reply, Request, recording

scenario, folder = sys.argv[1:3]


def script(request: Request) -> Reply:
    if "You are researcher" in request.system:
        if "search_docs" not in request.called:
            return Reply(tools=(("search_docs", {"query": "refunds"}), ("search_docs", {"query": "returns"})))
        return Reply("Goods can be returned within 30 days.")
    if "ask_researcher" not in request.called:
        return Reply(tools=(("ask_researcher", {"question": "What is the refund policy?"}),))
    if "confirm" not in request.called:
        return Reply(tools=(("confirm", {"text": "30 days"}),))
    return Reply("You can return it within 30 days.")


async def main() -> None:
    from ag2 import Agent, Context
    from ag2.config import OpenAIConfig
    from ag2.middleware.builtin.telemetry import TelemetryMiddleware
    from ag2.tools import tool

    config = OpenAIConfig(model="gpt-4.1-mini", base_url=os.environ["OPENAI_BASE_URL"], api_key="x")

    @tool
    def search_docs(query: str) -> str:
        """Search the handbook."""
        if scenario == "toolerror" and query == "returns":
            raise ConnectionError("the handbook cannot be reached")
        return f"{query}: within 30 days."

    def told(name: str) -> list[TelemetryMiddleware]:
        return [TelemetryMiddleware(agent_name=name, provider_name="openai", model_name="gpt-4.1-mini")]

    researcher = Agent(
        "researcher", "You are researcher.", config=config, tools=[search_docs], middleware=told("researcher")
    )

    @tool
    async def ask_researcher(question: str) -> str:
        """Ask the researcher."""
        return (await researcher.ask(question)).body or ""

    @tool
    async def confirm(text: str, context: Context) -> str:
        """Ask a person whether the text is right."""
        return await context.input(f"Is this right: {text}?")

    coordinator = Agent(
        "coordinator", "You are coordinator.", config=config, tools=[ask_researcher, confirm],
        middleware=told("coordinator"), hitl_hook=lambda event: "yes",
    )  # fmt: skip
    print((await coordinator.ask("What is the refund policy?")).body)


with recording(f"ag2-native-{scenario}", script, folder):
    asyncio.run(main())
