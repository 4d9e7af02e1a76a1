"""Haystack: a pipeline embeds the question, retrieves what the handbook says, and an agent looks up two orders at once and answers.

haystack_pipeline.py ordinary|toolerror OUTPUT_FOLDER
"""

from __future__ import annotations

import os
import sys

from recording import Reply, Request, recording

scenario, folder = sys.argv[1:3]


def script(request: Request) -> Reply:
    if "look_up_order" not in request.called:
        return Reply(tools=(("look_up_order", {"order_id": "A-17"}), ("look_up_order", {"order_id": "B-2"})))
    return Reply("Both orders can be returned within 30 days.")


def look_up_order(order_id: str) -> str:
    """Look up an order."""
    if scenario == "toolerror" and order_id == "B-2":
        raise ConnectionError("the order service is down")
    return f"{order_id}: delivered"


def main() -> None:
    from haystack import Document, Pipeline
    from haystack.components.agents import Agent
    from haystack.components.builders import ChatPromptBuilder
    from haystack.components.embedders import OpenAITextEmbedder
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.components.retrievers import InMemoryEmbeddingRetriever
    from haystack.dataclasses import ChatMessage
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack.tools import create_tool_from_function

    handbook = InMemoryDocumentStore()
    handbook.write_documents(
        [
            Document(content="Goods can be returned within 30 days.", embedding=[0.1, 0.5, 0.25]),
            Document(content="The shop is closed on Sundays.", embedding=[0.9, -0.5, 0.1]),
        ]
    )
    url = os.environ["OPENAI_BASE_URL"]
    agent = Agent(
        chat_generator=OpenAIChatGenerator(model="gpt-4.1-mini", api_base_url=url),
        system_prompt="You are clerk.",
        tools=[create_tool_from_function(look_up_order)],
    )
    pipeline = Pipeline()
    pipeline.add_component("embedder", OpenAITextEmbedder(model="text-embedding-3-small", api_base_url=url))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(handbook, top_k=1))
    template = [ChatMessage.from_user("{{ documents[0].content }} Can A-17 and B-2 be returned?")]
    pipeline.add_component("prompt", ChatPromptBuilder(template=template, required_variables=["documents"]))
    pipeline.add_component("clerk", agent)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "prompt.documents")
    pipeline.connect("prompt.prompt", "clerk.messages")
    print(pipeline.run({"embedder": {"text": "returns"}})["clerk"]["last_message"].text)


with recording(f"haystack-openinference+openai-{scenario}", script, folder) as provider:
    from openinference.instrumentation.haystack import HaystackInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    HaystackInstrumentor().instrument(tracer_provider=provider)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    main()
