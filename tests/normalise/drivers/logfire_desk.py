"""Logfire's integrations of OpenAI Agents and of the client: triage hands to a researcher, who searches, cannot look up the order, and hands to a writer.

logfire_desk.py OUTPUT_FOLDER

Before that a model is asked and streams its answer, without an agent.
"""

from __future__ import annotations

import asyncio
import sys

from recording import Reply, Request, recording


def script(request: Request) -> Reply:
    if "triage" in request.system:
        return Reply(tools=(("transfer_to_researcher", {}),))
    if "researcher" in request.system:
        if "search" in request.called:
            return Reply(tools=(("transfer_to_writer", {}),))
        return Reply(tools=(("search", {"query": "returns"}), ("look_up_order", {"order_id": "B-2"})))
    return Reply("Dear customer, yes." if "writer" in request.system else "a return")


def main() -> None:
    import logfire  # pyright: ignore[reportMissingImports]
    from agents import Agent, Runner, function_tool, set_trace_processors  # pyright: ignore[reportMissingImports]
    from openai import OpenAI  # pyright: ignore[reportMissingImports]

    logfire.configure(send_to_logfire=False, console=False, metrics=False, service_name="logfire-demo")
    set_trace_processors([])
    logfire.instrument_openai_agents()
    client = OpenAI()
    logfire.instrument_openai(client)

    @function_tool
    def search(query: str) -> str:
        """Search the handbook."""
        return "Within 30 days."

    @function_tool
    def look_up_order(order_id: str) -> str:
        """Look up an order."""
        raise ConnectionError("the order service is down")

    writer = Agent(name="writer", instructions="You are writer.", model="gpt-4.1-mini")
    researcher = Agent(
        name="researcher",
        instructions="You are researcher.",
        model="gpt-4.1-mini",
        tools=[search, look_up_order],
        handoffs=[writer],
    )
    triage = Agent(name="triage", instructions="You are triage.", model="gpt-4.1-mini", handoffs=[researcher])
    with logfire.span("desk {ticket}", ticket=7):
        asked = [{"role": "user", "content": "A return or a complaint?"}]
        for _ in client.chat.completions.create(
            model="gpt-4.1-mini", messages=asked, stream=True, stream_options={"include_usage": True}
        ):
            pass
        asyncio.run(Runner.run(triage, "Can B-2 be returned?"))
    logfire.force_flush()


with recording("openai-agents-logfire+openai-toolerror", script, sys.argv[1]):
    main()
