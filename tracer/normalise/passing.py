"""What a model says when it passes work on: the handoff tool that its answer calls, and what it tells it.

OpenAI Agents carries out `transfer_to_refunds({"reason": "late order"})` by itself: no tool span has the arguments, and the span of the
handoff, where there is one, has none either. They stand in the answer of the model, and its call keeps here what they said, for
whoever looks for the reason of the handoff once the whole run is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from tracer.model import SpanKind
from tracer.normalise.reading import Reading, handoff_target, is_coworker, names_agents, unwrapped
from tracer.normalise.values import as_object, as_text, parse_json, plain
from tracer.semconv import Stored

LONGEST = 400
"""characters of what was said that are kept; all of it stands in the answer"""
_DESCRIBED = "Handoff to the "
"""how OpenAI Agents describes a handoff to the model, whatever its tool is called"""
_DESCRIPTION_END = " agent to handle the request"


def note_passing(reading: Reading) -> None:
    """Keep on the span of a call which handoff its answer asks for: {tool, to, why}. Several: the first, which is carried out."""
    span = reading.span
    if span.kind != SpanKind.LLM or span.convention == "tracehound":
        return
    for ref in span.output_refs or ():
        body = reading.contents.bodies.get(ref, "")
        if '"tool_calls":[' not in body:
            continue
        for call in _mappings(as_object(body).get("tool_calls")):
            name, arguments = as_text(call.get("name")), unwrapped(call.get("arguments"))
            if name is None or is_coworker(name):
                continue
            target, why = handoff_target(name, arguments)
            if not names_agents(name) and (target := _described(reading.attributes, name)):
                _, why = handoff_target(f"transfer_to_{target}", arguments)
            if target is not None:
                told = (why or _listed(arguments, target))[:LONGEST]
                reading.replaced[Stored.PASSES] = {"tool": name, "to": target, "why": told}
                return


def _listed(arguments: Any, target: str) -> str:
    """`order_id: A-17, priority: 2`, where no argument is called like a reason."""
    if not isinstance(arguments, dict):
        return ""
    given = cast(dict[str, Any], arguments).items()
    return ", ".join(f"{key}: {plain(value)}" for key, value in given if value not in (None, "", [], {}, target))


def _described(attributes: Mapping[str, Any], name: str) -> str | None:
    """The agent in the description of the tool `name` among those on offer; None where it is no handoff."""
    for key, value in attributes.items():
        if "tool" in key and isinstance(value, str) and _DESCRIBED in value:
            for tool in _offered(parse_json(value)):
                said = as_text(tool.get("description")) or ""
                if tool.get("name") == name and said.startswith(_DESCRIBED) and _DESCRIPTION_END in said:
                    return said[len(_DESCRIBED) :].partition(_DESCRIPTION_END)[0]
    return None


def _offered(value: Any) -> Iterator[Mapping[str, Any]]:
    for tool in _mappings(value if isinstance(value, list) else [value]):
        inner = tool.get("function")
        yield cast(Mapping[str, Any], inner) if isinstance(inner, Mapping) else tool


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (cast(Mapping[str, Any], item) for item in cast(list[Any], value) if isinstance(item, Mapping))
