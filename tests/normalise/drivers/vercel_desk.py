"""Vercel AI SDK: embeds, asks a model that is nobody's agent, then a coordinator asks a researcher and looks up two orders at once, and a writer streams.

vercel_desk.py native|genai FOLDER_WITH_NODE_MODULES OUTPUT_FOLDER

`native` is what versions 4 to 6 write themselves (ai@6, @ai-sdk/openai-compatible@2), `genai` what @ai-sdk/otel writes for version 7
(ai@7, @ai-sdk/openai-compatible@3); both with zod and @opentelemetry/{api,resources,sdk-trace-node,exporter-trace-otlp-http}.
The second order cannot be looked up.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recording import Reply, Request, recording

convention, packages, folder = sys.argv[1:4]


def script(request: Request) -> Reply:
    if "coordinator" in request.system:
        if not request.called:
            return Reply(tools=(("ask_researcher", {"question": "How long can goods be returned?"}),))
        if "look_up_order" not in request.called:
            return Reply(tools=(("look_up_order", {"order_id": "A-17"}), ("look_up_order", {"order_id": "B-2"})))
        return Reply("A-17 can be returned.")
    if "researcher" in request.system:
        return Reply("30 days.") if request.called else Reply(tools=(("search", {"query": "returns"}),))
    return Reply("Dear customer, yes." if "writer" in request.system else "a return")


with recording(f"vercel-ai-{convention}-toolerror", script, folder):
    subprocess.run(["node", str(Path(__file__).with_suffix(".mjs"))], cwd=packages, check=True)
