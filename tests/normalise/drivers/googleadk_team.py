"""Google ADK under OpenInference: a coordinator transfers to a researcher, who searches; in `toolerror` the handbook is down.

googleadk_team.py ordinary|toolerror OUTPUT_FOLDER
"""

from __future__ import annotations

import asyncio
import sys

from recording import Reply, Request, recording

scenario, folder = sys.argv[1:3]


def script(request: Request) -> Reply:
    if "You are the coordinator" in request.system:
        return Reply(tools=(("transfer_to_agent", {"agent_name": "researcher"}),))
    if "search_docs" not in request.called:
        return Reply(tools=(("search_docs", {"query": "refunds"}),))
    return Reply("Refunds are possible within 30 days." if scenario == "ordinary" else "The handbook is down.")


async def main() -> None:
    from google.adk.agents import LlmAgent
    from google.adk.models.lite_llm import LiteLlm
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    def search_docs(query: str) -> dict[str, str]:
        """Search the handbook."""
        if scenario == "toolerror":
            raise ConnectionError("the handbook is down")
        return {"found": f"{query}: within 30 days"}

    model = LiteLlm(model="openai/gpt-4.1-mini")
    researcher = LlmAgent(
        name="researcher",
        model=model,
        instruction="You are the researcher.",
        description="searches",
        tools=[search_docs],
    )
    coordinator = LlmAgent(
        name="coordinator", model=model, instruction="You are the coordinator.", sub_agents=[researcher]
    )
    runner = InMemoryRunner(agent=coordinator, app_name="desk")
    session = await runner.session_service.create_session(app_name="desk", user_id="ann")
    question = types.Content(role="user", parts=[types.Part(text="What is the refund policy?")])
    try:
        async for event in runner.run_async(user_id="ann", session_id=session.id, new_message=question):
            if event.is_final_response() and event.content:
                print(event.content.parts[0].text)
    except ConnectionError as error:
        print("failed:", error)


with recording(f"google-adk-openinference-{scenario}", script, folder) as provider:
    from openinference.instrumentation.google_adk import GoogleADKInstrumentor

    GoogleADKInstrumentor().instrument(tracer_provider=provider)
    asyncio.run(main())
