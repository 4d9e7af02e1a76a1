"""DSPy: a ReAct module that searches, then answers.    dspy_react.py ordinary OUTPUT_FOLDER"""

from __future__ import annotations

import os
import sys

from recording import Reply, Request, recording

scenario, folder = sys.argv[1:3]


def script(request: Request) -> Reply:
    said = request.texts[-1] if request.texts else ""
    if "next_tool_name" in request.system:
        searched = "within 30 days" in said
        name, arguments = ("finish", "{}") if searched else ("search_docs", '{"query": "refunds"}')
        return Reply(
            f"[[ ## next_thought ## ]]\nI look.\n\n[[ ## next_tool_name ## ]]\n{name}\n\n"
            f"[[ ## next_tool_args ## ]]\n{arguments}\n\n[[ ## completed ## ]]"
        )
    return Reply("[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## answer ## ]]\nWithin 30 days.\n\n[[ ## completed ## ]]")


with recording(f"dspy-openinference-{scenario}", script, folder) as provider:
    from openinference.instrumentation.dspy import DSPyInstrumentor

    DSPyInstrumentor().instrument(tracer_provider=provider)
    import dspy

    def search_docs(query: str) -> str:
        """Search the handbook."""
        return f"{query}: within 30 days."

    dspy.configure(lm=dspy.LM("openai/gpt-4.1-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="x", cache=False))
    print(dspy.ReAct("question -> answer", tools=[search_docs])(question="What is the refund policy?").answer)
