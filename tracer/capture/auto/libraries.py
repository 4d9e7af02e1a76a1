"""Which libraries are instrumented, and by whom: one line each, the first that is installed wins.

Order of preference: the library's own tracing, OpenInference, the official OpenTelemetry GenAI packages, OpenLLMetry.
An instrumentor package is found by its distribution and asked for its entry point, so that equal names cannot collide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Source = Literal["native", "OpenInference", "OpenTelemetry GenAI", "OpenLLMetry"]


@dataclass(frozen=True, slots=True)
class Instrumentor:
    """A package that writes spans for a library, or the library's own switch."""

    source: Source
    distribution: str = ""
    """the package with the entry point; "" for native tracing"""
    switch: str = ""
    """native: `module:function` to call with the provider; "" where a global provider is enough"""
    llm: bool = True
    """it writes a span for every LLM call, so that the client needs none"""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Library:
    """A framework or client library."""

    name: str
    module: str
    """instrumented once this has been imported"""
    instrumentors: tuple[Instrumentor, ...]
    callers: tuple[str, ...] = ()
    """top-level packages that call LLM clients outside of the LLM span which tells of the call (see `clients`)"""
    marker: str = ""
    """an attribute that tells the library from a program's own module of that name"""
    client: bool = False
    """a client library: instrumented only where no installed framework instrumentor writes LLM spans"""

    @property
    def hint(self) -> str:
        """The package to install for more than LLM calls."""
        return next((each.distribution for each in self.instrumentors if each.distribution), "")


def _open_inference(name: str, *, llm: bool = True, **options: Any) -> Instrumentor:
    return Instrumentor("OpenInference", f"openinference-instrumentation-{name}", llm=llm, options=options)


def _genai(name: str, *, llm: bool = True) -> Instrumentor:
    return Instrumentor("OpenTelemetry GenAI", f"opentelemetry-instrumentation-genai-{name}", llm=llm)


def _openllmetry(name: str, *, llm: bool = True) -> Instrumentor:
    return Instrumentor("OpenLLMetry", f"opentelemetry-instrumentation-{name}", llm=llm)


_HERE = __name__.rpartition(".")[0]

LIBRARIES: Final[tuple[Library, ...]] = (
    Library("pydantic-ai", "pydantic_ai", (Instrumentor("native", switch=f"{_HERE}.native:pydantic_ai"),)),
    Library(
        "openai-agents",
        "agents",
        (
            # The SDK's own exporter stays: exclusive_processor would replace it.
            _open_inference("openai-agents", exclusive_processor=False),
            _genai("openai-agents", llm=False),
            _openllmetry("openai-agents"),
        ),
        marker="Runner",
    ),
    Library(
        "langchain",
        "langchain_core",
        (_open_inference("langchain"), _genai("langchain"), _openllmetry("langchain")),
        ("langchain_core", "langchain_openai", "langchain_anthropic", "langchain_community"),
    ),
    Library("crewai", "crewai", (_open_inference("crewai", llm=False), _openllmetry("crewai", llm=False))),
    Library("smolagents", "smolagents", (_open_inference("smolagents"),)),
    Library(
        "llama-index",
        "llama_index.core",
        (_open_inference("llama-index"), _openllmetry("llamaindex")),
        ("llama_index",),
    ),
    Library("autogen", "autogen_agentchat", (_open_inference("autogen-agentchat"),)),
    Library("ag2-classic", "autogen", (_open_inference("ag2", llm=False),), marker="ConversableAgent"),
    Library("ag2", "ag2", (Instrumentor("native", switch=f"{_HERE}.native:ag2"),), marker="Agent"),
    Library("google-adk", "google.adk", (Instrumentor("native"),)),
    Library("strands", "strands", (Instrumentor("native"),), marker="Agent"),
    Library(
        "agent-framework",
        "agent_framework",
        (Instrumentor("native", switch=f"{_HERE}.native:agent_framework"),),
    ),
    Library("haystack", "haystack", (_open_inference("haystack"), _openllmetry("haystack"))),
    Library("dspy", "dspy", (_open_inference("dspy"),)),
    Library("litellm", "litellm", (_open_inference("litellm"),), client=True),
    Library("google-genai", "google.genai", (_open_inference("google-genai"), _genai("google-genai")), client=True),
    Library("openai", "openai", (_open_inference("openai"), _genai("openai"), _openllmetry("openai")), client=True),
    Library(
        "anthropic",
        "anthropic",
        (_open_inference("anthropic"), _genai("anthropic"), _openllmetry("anthropic")),
        client=True,
    ),
)
