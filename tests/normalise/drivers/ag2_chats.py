"""AG2 0.14: a team whose triage hands over by a tool, and a group chat in which a model chooses who speaks next.

ag2_chats.py native|openinference swarm|groupchat|nested OUTPUT_FOLDER
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import os
import sys
from typing import Any

from recording import Reply, Request, recording

instrumentor, scenario, folder = sys.argv[1:4]


def script(request: Request) -> Reply:
    system = request.system
    if "You are triage" in system:
        return Reply(tools=(("ask_refunds", {"order_id": "A-17"}),))
    if "You are refunds" in system:
        if "get_order" not in request.called:
            return Reply(tools=(("get_order", {"order_id": "A-17"}),))
        return Reply("The refund is on its way.")
    if "You are researcher" in system:
        return Reply("The handbook says 30 days.")
    if "You are critic" in system:
        return Reply("Name the handbook.")
    if "You are writer" in system:
        return Reply("You can return it within 30 days. TERMINATE")
    return Reply("writer" if "researcher" in request.names else "researcher")


def done(message: Any) -> bool:
    return "TERMINATE" in (message.get("content") or "")


def main(provider: Any) -> None:
    from autogen import ConversableAgent, GroupChat, GroupChatManager, LLMConfig
    from autogen.agentchat import initiate_group_chat
    from autogen.agentchat.group import AgentTarget, ReplyResult, TerminateTarget
    from autogen.agentchat.group.patterns import DefaultPattern
    from autogen.opentelemetry import instrument_agent, instrument_llm_wrapper, instrument_pattern
    from autogen.opentelemetry.instrumentators.pattern import instrument_groupchat

    native = instrumentor == "native"
    if native:
        instrument_llm_wrapper(tracer_provider=provider, capture_messages=True)
    else:
        from openinference.instrumentation.ag2 import AG2Instrumentor
        from openinference.instrumentation.openai import OpenAIInstrumentor

        AG2Instrumentor().instrument(tracer_provider=provider)
        OpenAIInstrumentor().instrument(tracer_provider=provider)
    config = LLMConfig({"model": "gpt-4.1-mini", "api_key": "x", "base_url": os.environ["OPENAI_BASE_URL"]})

    def told(agent: Any) -> Any:
        return instrument_agent(agent, tracer_provider=provider) if native else agent

    def agent(name: str, **more: Any) -> Any:
        return ConversableAgent(
            name, f"You are {name}.", description=name, llm_config=config, human_input_mode="NEVER", **more
        )

    def get_order(order_id: str) -> str:
        """Look an order up."""
        return f"{order_id}: delivered 12 days ago"

    person = ConversableAgent("person", llm_config=False, human_input_mode="NEVER", is_termination_msg=done)
    if scenario == "swarm":
        refunds = agent("refunds", functions=[get_order])
        refunds.handoffs.set_after_work(TerminateTarget())

        def ask_refunds(order_id: str) -> Any:
            """Pass a refund on."""
            return ReplyResult(message=f"refund of {order_id} wanted", target=AgentTarget(refunds))

        triage = agent("triage", functions=[ask_refunds])
        pattern = DefaultPattern(initial_agent=triage, agents=[triage, refunds])
        if native:
            pattern = instrument_pattern(pattern, tracer_provider=provider)
        initiate_group_chat(pattern=pattern, messages="Refund A-17, please.", max_rounds=8)
    elif scenario == "groupchat":
        chat = GroupChat([told(agent("researcher")), told(agent("writer"))], messages=[], max_round=4)
        if native:
            instrument_groupchat(chat, tracer_provider=provider)
        manager = told(GroupChatManager(chat, llm_config=config, is_termination_msg=done))
        if native:
            for reply in manager._reply_func_list:
                if isinstance(reply.get("config"), GroupChat):
                    instrument_groupchat(reply["config"], tracer_provider=provider)
        told(person).initiate_chat(manager, message="What is the refund policy?")
    else:
        writer, researcher, critic = told(agent("writer")), told(agent("researcher")), told(agent("critic"))
        person = told(person)
        writer.register_nested_chats(
            [
                {"recipient": researcher, "message": "What is the policy?", "max_turns": 1},
                {"recipient": critic, "message": "What is missing?", "max_turns": 1},
            ],
            trigger=person,
        )
        person.initiate_chat(writer, message="Write about refunds.", max_turns=1)


name = "native" if instrumentor == "native" else "openinference+openai"
with recording(f"ag2-{name}-{scenario}", script, folder) as tracing:
    main(tracing)
