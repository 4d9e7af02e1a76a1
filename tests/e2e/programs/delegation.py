"""Pydantic AI: a coordinator asks a researcher through a tool."""

from pydantic_ai import Agent, RunContext
from pydantic_ai.models.openai import OpenAIChatModel

model = OpenAIChatModel("gpt-4.1-mini")
researcher = Agent(model, name="researcher", instructions="You are researcher.")
coordinator = Agent(model, name="coordinator", instructions="You are coordinator.")


@researcher.tool_plain
def search_docs(query: str) -> str:
    """Search the handbook."""
    return f"{query}: refunds are possible within 30 days."


@coordinator.tool
async def ask_researcher(ctx: RunContext, question: str) -> str:
    """Ask the researcher."""
    return (await researcher.run(question, usage=ctx.usage)).output


print(coordinator.run_sync("What is the refund policy?").output)
