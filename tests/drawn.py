"""Draws traces for tests: a run is written as a tree of calls with times in seconds.

    run(
        "support",
        agent("planner", 0, 10, llm(1, 3, model="gpt-4o", input_tokens=900, output_tokens=50, cost="0.003"),
              tool("search", 4, 6, args={"q": "refund"}, result="12 hits")),
        agent("writer", 10, 20, wait("planner", 11, 14)),
    )

Ids depend only on the run's name and the order of drawing; `id="w1"` names a span so that a test can speak of it.
Every other keyword is a column of table `spans` (`cost` is short for `cost_usd` and takes text); `attributes={...}` are raw ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import polars as pl

from analyzers.frames import Frames
from tracer.ids import canonical_json, content_id, short_hash, span_id_of, trace_id_of
from tracer.model import Span, SpanEvent, SpanLink
from tracer.semconv import Tracehound
from tracer.store.schema import table_schema

EPOCH_S = 1_700_000_000
"""second 0 of every drawing, a Tuesday (2023-11-14 22:13:20 UTC)"""


def ns(seconds: float) -> int:
    """A drawing's second as nanoseconds since the Unix epoch."""
    return EPOCH_S * 10**9 + round(seconds * 10**9)


@dataclass
class Node:
    """One drawn span; `fields` are columns, `texts` are slot -> bodies still to be hashed."""

    kind: str
    name: str
    start: float
    end: float | None
    children: tuple[Node, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    inputs: list[str] = field(default_factory=list[str])
    outputs: list[str] = field(default_factory=list[str])


@dataclass
class Drawn:
    """One drawn run: rows in order of start, the texts they refer to, and its summary row."""

    spans: list[Span]
    contents: dict[int, str]
    events: list[SpanEvent]
    links: list[SpanLink]
    summary: dict[str, Any]

    @property
    def run_id(self) -> str:
        return self.spans[0].run_id

    def __getitem__(self, name: str) -> Span:
        """The span drawn with `id=name`, else the first one called `name`."""
        return next(
            s for s in (*(x for x in self.spans if x.span_id == name), *(x for x in self.spans if x.name == name))
        )


def _body(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _message(role: str, content: str) -> str:
    return canonical_json({"role": role, "content": content})


def node(kind: str, name: str, start: float, end: float | None, *children: Node, **fields: Any) -> Node:
    """Any span; the other builders are shorter ways to say this."""
    inputs, outputs = fields.pop("inputs", []), fields.pop("outputs", [])
    if "cost" in fields:
        cost = fields.pop("cost")
        fields["cost_usd"] = None if cost is None else Decimal(str(cost))
    return Node(kind, name, start, end, children, fields, list(inputs), list(outputs))


def agent(
    name: str, start: float, end: float | None, *children: Node, task: str = "", answer: str = "", **fields: Any
) -> Node:
    """An agent invocation; spans inside it belong to that agent unless they say otherwise."""
    texts: dict[str, Any] = {"inputs": [task] if task else [], "outputs": [answer] if answer else []}
    return node("agent", name, start, end, *children, agent=name, **texts, **fields)


def llm(
    start: float,
    end: float | None,
    *children: Node,
    model: str | None = "gpt-4o",
    prompt: str | Sequence[str] = "",
    answer: str | None = None,
    system: str = "",
    messages: Sequence[dict[str, Any]] = (),
    tool_calls: Sequence[dict[str, Any]] = (),
    **fields: Any,
) -> Node:
    """An LLM call. `prompt` (one user message or several), `system` and `answer` become messages; `messages` come as they are.

    `tool_calls` are what the answer asks for, e.g. `{"id": "c1", "name": "search", "arguments": {...}}`.
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    inputs = [_message("system", system)] if system else []
    inputs += [canonical_json(m) for m in messages] + [_message("user", text) for text in prompts if text]
    outputs = [] if answer is None else [_message("assistant", answer)]
    if tool_calls:
        outputs = [canonical_json({"role": "assistant", "content": answer or "", "tool_calls": list(tool_calls)})]
    name = fields.pop("name", f"chat {model}" if model else "chat")
    return node("llm", name, start, end, *children, model=model, inputs=inputs, outputs=outputs, **fields)


def tool(
    name: str, start: float, end: float | None, *children: Node, args: Any = None, result: Any = None, **fields: Any
) -> Node:
    """A tool call; hashes of arguments and result are filled in."""
    if args is not None:
        fields.setdefault("args_hash", short_hash(args))
        fields["inputs"] = [_body(args)]
    if result is not None:
        fields.setdefault("result_hash", short_hash(result))
        fields["outputs"] = [_body(result)]
    return node("tool", name, start, end, *children, tool_name=name, **fields)


def wait(
    targets: str | Sequence[str],
    start: float,
    end: float | None,
    *,
    mode: str = "all",
    reason: str = "peer",
    **fields: Any,
) -> Node:
    """A wait for agents or resources; end None while it lasts."""
    names = [targets] if isinstance(targets, str) else list(targets)
    if "deadline" in fields:
        fields["deadline_ns"] = ns(fields.pop("deadline"))
    if end is None:
        fields.setdefault("status", "running")
    return node("wait", f"wait {', '.join(names)}", start, end, wait_for=names, wait_mode=mode, reason=reason, **fields)


def message(sender: str, receiver: str | None, at: float, text: str = "", **fields: Any) -> Node:
    """A message from one agent (or "user") to another, or to nobody in particular."""
    return node("message", f"{sender} -> {receiver}" if receiver else sender, at, fields.pop("end", at), agent=sender, target_agent=receiver,
                inputs=[text] if text else [], **fields)  # fmt: skip


def handoff(sender: str, receiver: str, at: float, *, reason: str | None = None, text: str = "", **fields: Any) -> Node:
    """Control passes from one agent to another."""
    return node("handoff", f"handoff to {receiver}", at, fields.pop("end", at), agent=sender, target_agent=receiver,
                reason=reason, inputs=[text] if text else [], **fields)  # fmt: skip


def decision(scope: str, choice: str, at: float, *children: Node, options: Sequence[str] = (), mode: str | None = None,
             acted_on: bool | None = None, resolution: str | None = None, **fields: Any) -> Node:  # fmt: skip
    """A choice on `scope`; `mode="vote"` where several are meant."""
    said = {Tracehound.DECISION_MODE: mode, Tracehound.ACTED_ON: acted_on, Tracehound.RESOLUTION: resolution}
    fields["attributes"] = {**{k: v for k, v in said.items() if v is not None}, **fields.get("attributes", {})}
    return node("decision", f"decide {scope}", at, fields.pop("end", at), *children, scope_key=scope, choice=choice,
                outputs=list(options), **fields)  # fmt: skip


def state_read(key: str, at: float, *, version: int | None = None, value: Any = None, **fields: Any) -> Node:
    """A read of shared state: the version seen and the value."""
    return node("state_read", f"read {key}", at, fields.pop("end", at), state_key=key, version_read=version,
                outputs=[] if value is None else [canonical_json(value)], **fields)  # fmt: skip


def state_write(key: str, at: float, *, version: int | None = None, expected: int | None = None, before: Any = None, value: Any = None,
                changed: Sequence[str] | None = None, cas: str | None = None, merge: str | None = None, **fields: Any) -> Node:  # fmt: skip
    """A write to shared state: the version made, the one expected, values before and after."""
    if merge is not None:
        fields["attributes"] = {Tracehound.MERGE: merge, **fields.get("attributes", {})}
    if value is not None:
        fields.setdefault("value_bytes", len(canonical_json(value).encode()))
    return node("state_write", f"write {key}", at, fields.pop("end", at), state_key=key, version_written=version, version_expected=expected,
                changed_paths=None if changed is None else list(changed), cas_outcome=cas,
                inputs=[] if before is None else [canonical_json(before)],
                outputs=[] if value is None else [canonical_json(value)], **fields)  # fmt: skip


def guard_trip(guard: str, at: float, *, level: str = "stop", limit: float | None = None, spent: float | None = None,
               unit: str | None = None, **fields: Any) -> Node:  # fmt: skip
    """A guard that warned or stopped."""
    said = {
        Tracehound.GUARD_LEVEL: level,
        Tracehound.GUARD_LIMIT: limit,
        Tracehound.GUARD_SPENT: spent,
        Tracehound.GUARD_UNIT: unit,
    }
    fields["attributes"] = {**{k: v for k, v in said.items() if v is not None}, **fields.get("attributes", {})}
    return node("guard_trip", f"guard {guard}", at, fields.pop("end", at), guard=guard, **fields)


def escalation(to: str, at: float, *, end: float | None = None, reason: str = "", **fields: Any) -> Node:
    """A hand-over to a person."""
    return node(
        "escalation",
        f"escalate to {to}",
        at,
        at if end is None else end,
        target_agent=to,
        reason=reason or None,
        **fields,
    )


def run(workflow: str, *items: Node, id: str = "", start: float | None = None, end: float | None = None, outcome: str = "completed",
        outcome_reason: str | None = None, at: float = 0.0, root: bool = True, source_id: str | None = None, **fields: Any) -> Drawn:  # fmt: skip
    """A whole run under a workflow span that lasts as long as what is in it (`root=False`: no such span).

    `at` shifts everything, in seconds. Further keywords are columns of the root span, `service` and the like of all spans.
    """
    name = id or workflow
    trace_id = trace_id_of("drawn", name)
    stamps = [t for item in _walk(items) for t in (item.start, item.end) if t is not None]
    first = min(stamps, default=0.0) if start is None else start
    last = (max(stamps, default=0.0) if end is None else end) if outcome != "running" else None
    tops = (node("workflow", workflow, first, last, *items, **fields),) if root else items

    contents: dict[int, str] = {}
    spans: list[Span] = []
    events: list[SpanEvent] = []
    links: list[SpanLink] = []
    numbers = count(1)

    def refs(bodies: Iterable[str]) -> list[int] | None:
        held = list(bodies)
        contents.update({content_id(body): body for body in held})
        return [content_id(body) for body in held] or None

    def add(one: Node, parent: Span | None) -> None:
        own = dict(one.fields)
        span_id = own.pop("id", None) or span_id_of(trace_id, str(next(numbers)))
        links.extend(
            SpanLink(trace_id=trace_id, span_id=span_id, linked_trace_id=trace_id, linked_span_id=linked)
            for linked in own.pop("links", ())
        )
        for event_name, event_at, event_attributes in own.pop("events", ()):
            events.append(SpanEvent(trace_id=trace_id, span_id=span_id, time_ns=ns(at + event_at), name=event_name,
                                    attributes=json.dumps(event_attributes)))  # fmt: skip
        inherited = (
            {"agent": parent.agent, "agent_inferred": True} if parent and parent.agent and "agent" not in own else {}
        )
        attributes = own.pop("attributes", {})
        columns: dict[str, Any] = {
            "status": "running" if one.end is None else "ok",
            "parent_span_id": parent.span_id if parent else None,
            "convention": "tracehound",
            **inherited,
            **own,
        }
        span = Span(
            trace_id=trace_id, span_id=span_id, run_id=trace_id, name=one.name, kind=one.kind, workflow=workflow,
            start_ns=ns(at + one.start), end_ns=None if one.end is None else ns(at + one.end),
            input_refs=refs(one.inputs), output_refs=refs(one.outputs), attributes=canonical_json(attributes), **columns,
        )  # fmt: skip
        spans.append(span)
        for child in one.children:
            add(child, span)

    for top in tops:
        add(top, None)
    spans.sort(key=lambda s: (s.start_ns, s.span_id))
    return Drawn(spans, contents, events, links, _summary(spans, workflow, outcome, outcome_reason, source_id))


def _walk(items: Iterable[Node]) -> Iterator[Node]:
    for item in items:
        yield item
        yield from _walk(item.children)


def _summary(
    spans: Sequence[Span], workflow: str, outcome: str, reason: str | None, source_id: str | None
) -> dict[str, Any]:
    calls = [s for s in spans if s.kind == "llm" and s.duplicate_of is None]
    costs = [s.cost_usd for s in calls if s.cost_usd is not None]
    ends = [s.end_ns for s in spans if s.end_ns is not None]
    return {
        "trace_id": spans[0].trace_id, "run_id": spans[0].run_id, "source_id": source_id, "workflow": workflow,
        "outcome": outcome, "outcome_reason": reason,
        "start_ns": min(s.start_ns for s in spans), "end_ns": None if outcome == "running" or not ends else max(ends),
        "spans": len(spans), "agents": len({s.agent for s in spans if s.agent}), "llm_calls": len(calls),
        "input_tokens": sum(s.input_tokens or 0 for s in calls), "output_tokens": sum(s.output_tokens or 0 for s in calls),
        "cost_usd": sum(costs, Decimal(0)) if costs else None, "unpriced_calls": len(calls) - len(costs),
        "errors": sum(s.status == "error" for s in spans), "escalations": sum(s.kind == "escalation" for s in spans),
        "session_id": None, "user_id": None, "service": None, "convention": "tracehound",
    }  # fmt: skip


def frames(*runs: Drawn) -> Frames:
    """The runs as an analysis sees them: rows by run and start, one summary row a run, texts by id."""
    return Frames.of(
        spans=[span for one in runs for span in one.spans],
        traces=pl.DataFrame([one.summary for one in runs], schema=table_schema("traces")),
        contents={ref: text for one in runs for ref, text in one.contents.items()},
        events=[event for one in runs for event in one.events],
        links=[link for one in runs for link in one.links],
    )
