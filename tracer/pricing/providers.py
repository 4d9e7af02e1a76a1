"""Who sells a model, under the names traces use. A framework is nobody's provider."""

from __future__ import annotations

NO_PROVIDERS = frozenset(
    {
        "ag2",
        "agent_framework",
        "agentscope",
        "agno",
        "autogen",
        "autogen-core",
        "camel",
        "crewai",
        "dspy",
        "gcp.vertex.agent",
        "haystack",
        "langchain",
        "langchain_chat_model",
        "langgraph",
        "langsmith",
        "llama_index",
        "llamaindex",
        "logfire",
        "mastra",
        "microsoft.agent_framework",
        "openai-agents",
        "openai_agents",
        "openinference",
        "pydantic-ai",
        "pydantic_ai",
        "semantic_kernel",
        "semantickernel",
        "smolagents",
        "strands",
        "strands-agents",
        "traceloop",
        "unknown",
        "vercel",
    }
)
"""values of gen_ai.provider.name / gen_ai.system / llm.provider that name a framework; lower case"""

ALIASES: dict[str, str] = {
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "together_ai": "together",
    "vertexai": "google",
    "vertex_ai": "google",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
"""name in traces -> id in genai-prices, where they differ"""


def provider_id(name: str | None) -> str | None:
    """The genai-prices id for a provider name, `openai.chat` (Vercel) included; None for frameworks and for nothing."""
    if not name:
        return None
    lowered = name.strip().lower()
    if lowered in NO_PROVIDERS:
        return None
    if lowered in ALIASES:
        return ALIASES[lowered]
    return lowered.removesuffix(".chat").removesuffix(".responses").removesuffix(".completion")
