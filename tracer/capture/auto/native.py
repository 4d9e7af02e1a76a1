"""Switches of libraries that write spans themselves and have to be asked to."""

from __future__ import annotations

import functools
import os
from importlib import import_module
from typing import Any


def pydantic_ai(provider: Any) -> None:
    """Every agent, present and future, that has no instrumentation of its own."""
    settings = import_module("pydantic_ai.models.instrumented").InstrumentationSettings
    import_module("pydantic_ai").Agent.instrument_all(settings(tracer_provider=provider))


def agent_framework(provider: Any) -> None:
    """It uses the global provider, and writes no messages unless it is asked to; what the program's environment says stays."""
    del provider
    messages = None if "ENABLE_SENSITIVE_DATA" in os.environ else True
    import_module("agent_framework.observability").enable_instrumentation(enable_sensitive_data=messages)


def ag2(provider: Any) -> None:
    """Every agent from now on that the program gives no telemetry of its own."""
    telemetry = import_module("ag2.middleware.builtin.telemetry").TelemetryMiddleware
    agent = import_module("ag2").Agent
    original = agent.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if not any(isinstance(each.middleware, telemetry) for each in self.middleware):
            self.add_middleware(telemetry(tracer_provider=provider, agent_name=self.name))

    agent.__init__ = __init__
