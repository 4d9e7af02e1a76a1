"""The node of a LangGraph graph in whose task a span begins, for instrumentors that say nothing of nodes (the official one)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, cast

from ..semconv import LangGraph

SILENT: Final = "opentelemetry.instrumentation.genai."
"""how the scopes of instrumentors begin that do not tell it"""
_CONFIG: Final = "langchain_core.runnables.config"


def current_node() -> str | None:
    """The checkpoint namespace of the task that runs here; None outside of any. Imports nothing."""
    config: Any = getattr(sys.modules.get(_CONFIG), "var_child_runnable_config", None)
    running: Any = config.get() if config is not None else None
    for part, name in (("metadata", LangGraph.CHECKPOINT_NS), ("configurable", LangGraph.PARENT_NS)):
        told = cast("Mapping[str, Any]", running).get(part) if isinstance(running, Mapping) else None
        if isinstance(told, Mapping) and isinstance(found := cast("Mapping[str, Any]", told).get(name), str) and found:
            return found
    return None
