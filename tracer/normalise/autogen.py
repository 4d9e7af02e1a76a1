"""The messaging of autogen-core: `autogen create|send|publish|process|ack` spans, three quarters of a run.

They stay kind `other` with convention `autogen`, so that views can fold them. What they are good for: the container
they name (`researcher_<team uuid>`) is the agent on whose behalf everything below them ran.
"""

from __future__ import annotations

import re

from tracer.model import RawSpan, SpanKind
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_text
from tracer.semconv import AutoGen

_INSTANCE = re.compile(r"_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}.*$")
_TEAM = re.compile(r"autogen send (\w+)Manager_[0-9a-f]{8}-")
NOISE = re.compile(r"autogen (?:create|send|publish|process|ack|receive|intercept|subscribe)\b")


REQUEST = re.compile(r"autogen create (.+)\.\([^)]*\)-A$")
"""a message to one agent (`-A`, not a topic, `-T`) whose answer the sender awaits inside of the span"""
ANSWER = re.compile(r"autogen ack\b")


def recipient_of(name: str) -> str | None:
    """The agent that a request goes to, without the id of its team."""
    found = REQUEST.match(name)
    return _INSTANCE.sub("", found[1]) if found else None


def team_of(name: str) -> str | None:
    """The kind of team in the name of the span that sets its manager to work: RoundRobinGroupChat, Swarm, ..."""
    found = _TEAM.match(name)
    return found[1] if found else None


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return raw.name.startswith("autogen ") and (AutoGen.OPERATION in raw.attributes or "autogen" in raw.scope)


def kind(raw: RawSpan) -> str | None:
    return SpanKind.OTHER if NOISE.match(raw.name) else None


def read(reading: Reading) -> None:
    if reading.attributes.get(AutoGen.OPERATION) == "process":
        recipient = as_text(reading.attributes.get(AutoGen.RECIPIENT_TYPE))
        if recipient:
            reading.span.agent = _INSTANCE.sub("", recipient)


ADAPTER = Adapter("autogen", recognises, kind, read)
