"""One span while it is being read: the raw attributes, the row that is filled, the texts that are put aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tracer.ids import content_id, short_hash
from tracer.model import RawSpan, Span, SpanKind
from tracer.normalise.contents import Contents
from tracer.normalise.envelopes import tool_answer, tool_arguments
from tracer.normalise.messages import finish_reasons, message_list
from tracer.normalise.settings import MARK, settled
from tracer.normalise.values import as_text, parse_json, plain
from tracer.semconv import Tracehound

COUNTED = frozenset({SpanKind.LLM, SpanKind.EMBEDDING})
"""kinds that carry tokens and money; every other span only repeats those of its children"""

_NAMED_TARGET = re.compile(r"(?:handoff|transfer|delegate)_(?:to|back_to)_(.+)", re.IGNORECASE)
_COWORKER = frozenset(
    {
        "delegate work to coworker",
        "ask question to coworker",
        "delegate_work_to_coworker",
        "ask_question_to_coworker",
    }
)
"""CrewAI's delegation tools, as shown and as the model is told: the coworker answers, control stays"""
_WRAPPERS = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})
_TARGET_KEYS = ("to_agent", "agent_name", "agent", "target_agent", "target", "assistant", "next_agent")
_WHY_KEYS = (
    "reason", "context", "task_description", "task", "instructions", "message", "summary", "question", "query", "request"
)  # fmt: skip
"""arguments in which handoff tools say why, or with what, the work is passed on; the first that is there"""

_TASK_KEYS = ("task_id", "ticket_id", "job_id", "issue_id", "case_id", "order_id")
"""arguments in which handoff tools name the piece of work; the first that is there"""


@dataclass(frozen=True, slots=True)
class Adapter:
    """How one convention is recognised and read. Adapters are asked in the order of the table `ADAPTERS`."""

    name: str
    recognises: Callable[[RawSpan, frozenset[str]], bool]
    """(span, first words of its attribute names) -> does the convention speak here

    The answer is kept for spans that look alike: of a span without events and error it may depend on nothing but the names
    of the attributes, the value of gen_ai.operation.name, the scope, the first word of the name, and whether there is
    content."""
    kind: Callable[[RawSpan], str | None]
    """what the convention says the span is; None where it says nothing"""
    read: Callable[[Reading], None]
    """what the mapping table cannot say: messages, values inside JSON, names in span names"""


class Reading:
    """Passed to every adapter that recognises the span."""

    __slots__ = ("arguments", "attributes", "contents", "kind", "raw", "replaced", "span")

    def __init__(self, raw: RawSpan, span: Span, contents: Contents) -> None:
        self.raw = raw
        self.attributes = raw.attributes
        self.span = span
        self.kind = span.kind
        self.contents = contents
        self.arguments: Any = None
        """what a tool was called with, wherever it stood: in an attribute, in an event"""
        self.replaced: dict[str, Any] = {}
        """attribute name -> what stands in its place in the stored JSON; None takes it out"""

    def messages(self, name: str, *, answers: bool = False, before: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Store the message list in attribute `name` (after the messages `before`); [] where there is none."""
        value = self.attributes.get(name)
        if value is None and not before:
            return []
        found = message_list(value) if value is not None else None
        first = self.contents.put_messages(before)
        if found is None:
            return first
        ids = self.contents.put_messages(found)
        stands: dict[str, Any] = {"$messages": ids}
        if answers and (reasons := finish_reasons(value)):
            stands["finish_reason"] = reasons
            self.span.finish_reason = self.span.finish_reason or reasons[0]
        self.replaced[name] = stands
        return first + ids

    def set_input(self, refs: list[int]) -> None:
        """The first convention that has the input gives it."""
        if refs and self.span.input_refs is None:
            self.span.input_refs = refs

    def set_output(self, refs: list[int]) -> None:
        if refs and self.span.output_refs is None:
            self.span.output_refs = refs

    def set_arguments(self, value: Any) -> None:
        """What a tool was called with: stored as it came, hashed in canonical form."""
        if value is None or self.span.args_hash is not None:
            return
        arguments = self.arguments = unwrapped(value)
        self.span.args_hash = short_hash(plain(arguments))
        settles = settled(self.span.tool_name, arguments) if self.kind == SpanKind.TOOL else None
        if settles is not None and self.span.scope_key is None and self.span.choice is None:
            self.span.scope_key, self.span.choice = settles
            self.span.derived = [*(self.span.derived or ()), MARK]
        self.set_input([self.contents.put_value(value)])

    def set_result(self, value: Any) -> None:
        if value is None or self.span.result_hash is not None:
            return
        parsed = parse_json(value)
        self.span.result_hash = short_hash(plain(tool_answer(value if parsed is None else parsed)))
        self.set_output([self.contents.put_value(value)])

    def take_slots(self, slots: Mapping[str, Sequence[int]]) -> None:
        """Our own recorder already stored the texts; their ids are the references."""
        if not slots:
            return
        for slot, ids in slots.items():
            if slot == "input":
                self.span.input_refs = list(ids)
            elif slot == "output":
                self.span.output_refs = list(ids)
            else:
                self.replaced[Tracehound.CONTENT + slot] = {"$messages": list(ids)}
        if self.kind == SpanKind.TOOL:
            self.span.args_hash = hash_of_ids(slots.get("input"))
            self.span.result_hash = hash_of_ids(slots.get("output"))


def unwrapped(value: Any) -> Any:
    """Tool arguments as an object where they parse; LlamaIndex and smolagents wrap them in {"args": [], "kwargs": {...}}."""
    parsed = parse_json(value)
    if parsed is None:
        return value
    if isinstance(parsed, dict):
        outer = cast(dict[str, Any], parsed)
        if "kwargs" in outer and outer.keys() <= _WRAPPERS and not outer.get("args"):
            return outer["kwargs"]
        return tool_arguments(outer)
    return parsed


def handoff_target(tool_name: str | None, arguments: Any) -> tuple[str | None, str | None]:
    """(target agent, reason) that a tool call names, where the tool looks like one that passes work on.

    `transfer_to_X` and `handoff_to_X` name it themselves; `transfer_to_agent` (Google ADK), `handoff` (LlamaIndex) and
    "Delegate work to coworker" (CrewAI) say it in their arguments. Only a candidate: `resolve` knows who the agents are.
    """
    if not tool_name:
        return None, None
    lowered = tool_name.lower()
    values = cast(dict[str, Any], arguments) if isinstance(arguments, dict) else {}
    reason_text = next((text for key in _WHY_KEYS if isinstance(text := values.get(key), str) and text), None)
    if lowered in ("transfer_to_agent", "handoff", "handoff_to_agent"):
        for key in _TARGET_KEYS:
            if isinstance(values.get(key), str) and values[key]:
                return values[key], reason_text
        return None, None
    if lowered in _COWORKER:
        coworker = values.get("coworker") or values.get("co_worker")
        task = values.get("task") or values.get("question")
        return (coworker if isinstance(coworker, str) else None), (task if isinstance(task, str) else None)
    match = _NAMED_TARGET.fullmatch(tool_name)
    return (match[1], reason_text) if match else (None, None)


def task_of(arguments: Any) -> str | None:
    """The id of the work that a handoff tool passes on, where its arguments give one."""
    values = cast(dict[str, Any], arguments) if isinstance(arguments, dict) else {}
    return next((text for key in _TASK_KEYS if (text := as_text(values.get(key)))), None)


def names_agents(tool_name: str | None) -> bool:
    """Could a tool of this name pass work to an agent? Asked before its arguments are parsed."""
    lowered = (tool_name or "").lower()
    return lowered in _COWORKER or "handoff" in lowered or lowered.startswith(("transfer_", "delegate_"))


def is_coworker(tool_name: str | None) -> bool:
    """True for CrewAI's delegation tools."""
    return tool_name is not None and tool_name.lower() in _COWORKER


def is_sure_handoff(tool_name: str | None) -> bool:
    """True for tools whose name alone says that control is passed to the agent in their arguments."""
    return (tool_name or "").lower() in ("transfer_to_agent", "handoff_to_agent", "handoff")


def hash_of_ids(ids: Sequence[int] | None) -> str | None:
    """The recorder stores canonical JSON, so one content id is the hash that `short_hash` would give."""
    if not ids:
        return None
    if len(ids) == 1:
        return f"{ids[0] & (2**64 - 1):016x}"
    return f"{content_id(','.join(map(str, ids))) & (2**64 - 1):016x}"
