"""AutoGen: a writer and a critic. `selector`: a model chooses the next speaker at every turn; `roundrobin`: they take turns."""

import asyncio
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient


async def main() -> None:
    client = OpenAIChatCompletionClient(model="gpt-4.1-mini")
    agents = [
        AssistantAgent(name, client, description=f"the {name}", system_message=f"You are the {name}.")
        for name in ("writer", "critic")
    ]
    stop = MaxMessageTermination(9)
    if sys.argv[1] == "selector":
        team = SelectorGroupChat(agents, client, termination_condition=stop, allow_repeated_speaker=True)
    else:
        team = RoundRobinGroupChat(agents, termination_condition=stop)
    result = await team.run(task="Write a slogan.")
    print(len(result.messages))


asyncio.run(main())
