"""One transcript record -> the spans of one run.

    workflow                       the record: task, verdict, every other field
      agent researcher             consecutive messages of one agent: a turn, so that per-agent metrics count turns
        message (step 3)           one span a message: author, addressee, text; what loop detection and attribution read
        tool search (step 4)       a tool's answer, with the arguments of the call that asked for it
      message human (step 5)       people and system prompts take part but are no agents

Where the record says what calls of models cost, each turn has its `llm` spans beside the messages that came of them. Ids depend on the record
alone, so importing it again changes nothing. Times are the record's own where every message has one in order; else synthetic, and marked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tracer.ids import canonical_json, content_id, short_hash, span_id_of, trace_id_of
from tracer.importers.answers import failure_in
from tracer.importers.entries import AUTHORS, TEXTS, is_plain, plain
from tracer.importers.record import TASKS, WORKFLOWS, messages_in, source_id_of, text_under, verdict_of
from tracer.importers.turn_times import intervals, moment_of
from tracer.importers.usage import Call, calls_of
from tracer.model import RawSpan, SpanKind
from tracer.semconv import GenAI, Tracehound

_TARGETS = ("target", "recipient", "receiver", "to", "recipient_name", "to_agent")
_PAIRS = ("pair", "between", "participants")
_PEOPLE = frozenset({"human", "user", "system", "developer", "environment"})

_ADDRESSED = re.compile(r"^(?P<agent>.+?)\s*\(\s*->\s*(?P<target>.+?)\s*\)\s*$")
_ASIDE = re.compile(r"^(?P<agent>.+?)\s*\((?P<aside>[a-z][a-z _-]*)\)\s*$")


@dataclass(slots=True)
class Run:
    """The spans of a record and the texts they refer to."""

    spans: list[RawSpan] = field(default_factory=list[RawSpan])
    contents: dict[int, str] = field(default_factory=dict[int, str])
    steps: int = 0
    left_out: int = 0
    """entries without author or text"""

    def put(self, text: str) -> int:
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        key = content_id(clean)
        self.contents[key] = clean
        return key


@dataclass(slots=True)
class _Message:
    step: int
    author: str
    target: str | None
    aside: str | None
    role: str
    text: str
    calls: list[Mapping[str, Any]]
    raw: Mapping[str, Any]
    place: int = 0
    """among all messages; an entry with the answers of several tools has several"""
    part: int = 0
    made_by: list[Call] = field(default_factory=list[Call])
    """calls of models it came of"""
    start_ns: int = 0
    end_ns: int = 0

    @property
    def key(self) -> str:
        """What its spans are told apart by."""
        return f"{self.step}.{self.part}" if self.part else str(self.step)

    @property
    def from_people(self) -> bool:
        return self.author.lower() in _PEOPLE

    @property
    def from_tool(self) -> bool:
        return self.role in ("tool", "function")


def agent_of(author: str) -> tuple[str, str | None, str | None]:
    """(agent, addressee, aside) of an author: `Orchestrator (-> WebSurfer)` and `Orchestrator (thought)` are one agent.

    Only an arrow or lower-case words in brackets are taken off; `Assistant (GPT-4)` is a name.
    """
    found = _ADDRESSED.match(author)
    if found:
        return found["agent"], found["target"], None
    found = _ASIDE.match(author)
    return (found["agent"], None, found["aside"]) if found else (author.strip(), None, None)


def run_of(record: Mapping[str, Any], name: str) -> Run:
    """The run in `record`; `name` is the workflow where the record names none. No spans where it holds no message."""
    found = messages_in(record)
    entries = found.entries if found else []
    run = Run()
    given = [
        (step, part, held) for step, entry in enumerate(entries) for part, held in enumerate(plain(entry) or [entry])
    ]
    read = [_message(step, held) for step, _, held in given]
    messages = [message for message in read if message]
    if not messages:
        run.left_out = len(entries)
        return run
    speaks = [m is not None and not m.from_people and not m.from_tool for m in read]
    calls = calls_of([held for _, _, held in given], speaks)
    for place, (message, (_, part, _)) in enumerate(zip(read, given, strict=True)):
        if message is not None:
            message.place, message.part, message.made_by = place, part, calls.get(place, [])
    _address_pairs(messages)
    told = sum(call.own_entry for made in calls.values() for call in made)
    run.steps, run.left_out = len(messages), len(given) - len(messages) - told
    source_id = source_id_of(record)
    trace_id = trace_id_of("transcript", source_id or name, short_hash(record))
    real, times = intervals([_moment(message) for message in messages])
    for message, (start_ns, end_ns) in zip(messages, times, strict=True):
        message.start_ns, message.end_ns = start_ns, end_ns
    shared: dict[str, Any] = {} if real else {Tracehound.SYNTHETIC_TIME: True}
    root = _root(run, record, found.key if found else "", name, source_id, trace_id, messages, shared)
    run.spans.append(root)
    results: dict[str, Mapping[str, Any]] = {}
    turn: RawSpan | None = None
    turn_agent = ""
    for message in messages:
        parent = root
        results |= {_call_key(call): call for call in message.calls}
        if message.from_tool and turn is not None:
            parent = turn
        elif not message.from_people:
            if turn is None or turn_agent != message.author:
                turn, turn_agent = _turn(message, root, trace_id, shared), message.author
                run.spans.append(turn)
            parent = turn
        else:
            turn = None
        if parent is turn and turn is not None and turn.end_ns is not None:
            turn.end_ns = max(turn.end_ns, message.end_ns)
        run.spans += [_model_call(message, number, call, parent, shared) for number, call in enumerate(message.made_by)]
        run.spans.append(_step(run, message, parent, trace_id, turn_agent, results, shared))
    return run


def _moment(message: _Message) -> int | None:
    """When it was made, ns: when the call that made it was over, where that is told; a log may show several messages at once, later."""
    told = [moment_of(call.raw) for call in message.made_by[:1]]
    return told[0] if told and told[0] is not None else moment_of(message.raw)


def _model_call(message: _Message, number: int, call: Call, parent: RawSpan, shared: dict[str, Any]) -> RawSpan:
    """The texts stand in the message; the call has what it cost."""
    return RawSpan(
        trace_id=parent.trace_id,
        span_id=span_id_of(parent.trace_id, "call", message.key, str(number)),
        parent_span_id=parent.span_id,
        name=f"chat {call.model}" if call.model else "chat",
        start_ns=message.start_ns,
        end_ns=message.end_ns,
        attributes={
            Tracehound.KIND: SpanKind.LLM.value,
            Tracehound.AGENT: message.author,
            **call.attributes(),
            **shared,
        },
        scope=parent.scope,
    )


def _message(step: int, entry: Any) -> _Message | None:
    if not isinstance(entry, Mapping) or not is_plain(cast(Mapping[str, Any], entry)):
        return None
    raw = cast(Mapping[str, Any], entry)
    role = str(raw.get("role") or "")
    keys = ("role",) if role in ("tool", "function") else AUTHORS
    author = next((raw[key] for key in keys if isinstance(raw.get(key), str) and raw[key].strip()), None)
    if author is None:
        return None
    agent, target, aside = agent_of(author)
    if target is None:
        target = next((raw[key] for key in _TARGETS if isinstance(raw.get(key), str) and raw[key]), None)
    calls = raw.get("tool_calls")
    found = (
        [cast(Mapping[str, Any], call) for call in cast(list[Any], calls) if isinstance(call, Mapping)]
        if isinstance(calls, list)
        else []
    )
    text = next((_text(raw[key]) for key in TEXTS if raw.get(key) not in (None, "")), "")
    if not text and not found and all(key not in raw for key in TEXTS):
        return None
    return _Message(step, agent, target, aside, role, text, found, raw)


def _address_pairs(messages: list[_Message]) -> None:
    """Where two talk to each other (ChatDev: `"pair": ["Programmer", "Code Reviewer"]`), each addresses the other; so does what opens their phase."""
    pair: list[Any] = []
    phase = None
    for message in reversed(messages):
        told = next((message.raw[key] for key in _PAIRS if isinstance(message.raw.get(key), list)), None)
        if told is not None:
            pair, phase = cast(list[Any], told), message.raw.get("phase")
        elif phase is None or message.raw.get("phase") != phase:
            pair = []
        if message.target is None and len(pair) == 2 and message.author in pair:
            other = pair[1 - pair.index(message.author)]
            message.target = other if isinstance(other, str) and other != message.author else None


def _call_key(call: Mapping[str, Any]) -> str:
    """The id of a call, which its answer repeats; the name of the tool where calls have none (`function_call`)."""
    return str(call.get("id") or _function(call).get("name") or "")


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    return cast(Mapping[str, Any], function) if isinstance(function, Mapping) else call


def _text(value: Any) -> str:
    """Text, or the texts of a list of parts, or JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [
            part if isinstance(part, str) else cast(Mapping[str, Any], part).get("text")
            for part in cast(list[Any], value)
            if isinstance(part, str | Mapping)
        ]
        if texts and all(isinstance(text, str) for text in texts):
            return "\n".join(cast(list[str], texts))
    return canonical_json(value)


def _root(
    run: Run,
    record: Mapping[str, Any],
    holder: str,
    name: str,
    source_id: str | None,
    trace_id: str,
    messages: list[_Message],
    shared: dict[str, Any],
) -> RawSpan:
    workflow = text_under(record, WORKFLOWS) or name
    attributes: dict[str, Any] = {
        Tracehound.KIND: SpanKind.WORKFLOW.value,
        Tracehound.WORKFLOW: workflow,
        Tracehound.SOURCE_ID: source_id or trace_id,
        **shared,
    }
    outcome = verdict_of(record)
    if outcome is not None:
        attributes[Tracehound.OUTCOME], attributes[Tracehound.OUTCOME_REASON] = outcome
    beside = {key: value for key, value in record.items() if key != holder}
    around = record.get(holder)
    if isinstance(around, Mapping):  # what stands beside the messages, deeper down
        inner = cast(Mapping[str, Any], around)
        beside |= {f"{holder}.{key}": value for key, value in inner.items() if isinstance(value, str | int | float)}
    for key, value in beside.items():
        if value is not None:
            attributes[f"source.{key}"] = (
                value if isinstance(value, str | int | float | bool) else canonical_json(value)
            )
    content: dict[str, list[int]] = {}
    if task := text_under(record, TASKS):
        content["input"] = [run.put(task)]
    return RawSpan(
        trace_id=trace_id,
        span_id=span_id_of(trace_id, "run"),
        name=workflow,
        start_ns=messages[0].start_ns,
        end_ns=messages[-1].end_ns,
        attributes=attributes,
        scope="tracehound.transcript",
        content=content,
    )


def _turn(message: _Message, root: RawSpan, trace_id: str, shared: dict[str, Any]) -> RawSpan:
    return RawSpan(
        trace_id=trace_id,
        span_id=span_id_of(trace_id, "turn", message.key),
        parent_span_id=root.span_id,
        name=message.author,
        start_ns=message.start_ns,
        end_ns=message.end_ns,
        attributes={Tracehound.KIND: SpanKind.AGENT.value, Tracehound.AGENT: message.author, **shared},
        scope=root.scope,
    )


def _step(
    run: Run,
    message: _Message,
    parent: RawSpan,
    trace_id: str,
    caller: str,
    asked: Mapping[str, Mapping[str, Any]],
    shared: dict[str, Any],
) -> RawSpan:
    """The span of one message; a tool's answer becomes a tool span of the agent that asked."""
    raw = message.raw
    attributes: dict[str, Any] = {Tracehound.STEP: message.step, **shared}
    content: dict[str, list[int]] = {}
    failed = failure_in(raw, message.text) if message.from_tool else None
    if message.from_tool:
        named = _function(asked.get(str(raw.get("tool_call_id") or raw.get("name") or ""), {}))
        tool = str(raw.get("name") or named.get("name") or message.role)
        attributes |= {Tracehound.KIND: SpanKind.TOOL.value, GenAI.TOOL_NAME: tool}
        if caller:
            attributes[Tracehound.AGENT] = caller
        if raw.get("tool_call_id"):
            attributes[GenAI.TOOL_CALL_ID] = str(raw["tool_call_id"])
        arguments = named.get("arguments", named.get("args"))
        if arguments is not None:
            content["input"] = [run.put(_canonical(arguments))]
        content["output"] = [run.put(message.text)]
        name = f"execute_tool {tool}"
    else:
        attributes |= {Tracehound.KIND: SpanKind.MESSAGE.value, Tracehound.AGENT: message.author}
        if message.target:
            attributes[Tracehound.TARGET_AGENT] = message.target
        if message.role in ("user", "assistant") and message.author in ("user", "assistant") and message.text:
            attributes[Tracehound.USER_VISIBLE] = True
        content["input"] = [run.put(message.text)] if message.text else []
        content["input"] += [run.put(canonical_json(call)) for call in message.calls]
        name = f"{message.author} ({message.aside})" if message.aside else message.author
    for key, value in raw.items():
        if key not in (*TEXTS, "tool_calls") and value is not None:
            attributes[f"source.{key}"] = (
                value if isinstance(value, str | int | float | bool) else canonical_json(value)
            )
    return RawSpan(
        trace_id=trace_id,
        span_id=span_id_of(trace_id, "step", message.key),
        parent_span_id=parent.span_id,
        name=name,
        start_ns=message.start_ns,
        end_ns=message.end_ns,
        status="error" if failed else "unset",
        status_message=failed or "",
        attributes=attributes,
        scope=parent.scope,
        content=content,
    )


def _canonical(arguments: Any) -> str:
    """Arguments as canonical JSON, so that equal calls have equal hashes."""
    if isinstance(arguments, str):
        try:
            return canonical_json(json.loads(arguments))
        except ValueError:
            return arguments
    return canonical_json(arguments)
