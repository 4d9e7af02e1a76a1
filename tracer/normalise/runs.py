"""Which traces are one run, and what the run is called.

One trace is one run, unless the traces say otherwise: the same `tracehound.run.id`; a link from one to the other;
the same conversation at the same time, or after a pause for a person. Traces that only create agents belong to the run of those agents that starts
next in the same process; alone they are no run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer.model import Span, SpanKind, SpanLink
from tracer.normalise.autogen import team_of
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.marks import mark
from tracer.normalise.tree import Forest
from tracer.semconv import Frameworks, GenAI, GoogleADK, Langfuse, OpenLLMetry, Tracehound

SETUP_WINDOW_NS = 600 * 10**9
"""agents are created at most this long before the run that uses them, where nothing but the process joins the two"""

_CREATE = frozenset({"create_agent", "workflow.build"})
MCP_METHOD = f'"{GenAI.MCP_METHOD}"'
_OPERATION = re.compile(r"^invoke_(?:workflow|agent) ")
_METHOD = re.compile(
    r"\.(?:workflow|forward|run|run_stream|run_async|run_async_generator|arun|invoke|ainvoke|stream|astream|kickoff|kickoff_async)$"
)
_INVOCATION = re.compile(r"^invocation \[(.+)\]$")
"""what the instrumentor of Google ADK calls a run of an app"""
_OWN_ID = re.compile(r"(?<=\w)[_-][0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
"""with which crews and flows of CrewAI that were given no name are told apart: each would be a workflow of its own"""
WORKFLOW_NAMES = (
    Tracehound.WORKFLOW,
    GenAI.WORKFLOW_NAME,
    OpenLLMetry.WORKFLOW_NAME,
    Langfuse.TRACE_NAME,
    Frameworks.WORKFLOW_NAME,
)


@dataclass(slots=True)
class _Trace:
    trace_id: str
    start_ns: int
    end_ns: int
    sessions: set[str] = field(default_factory=set[str])
    explicit: set[str] = field(default_factory=set[str])
    processes: set[tuple[str | None, int | None]] = field(default_factory=set[tuple[str | None, int | None]])
    agents: set[str] = field(default_factory=set[str])
    setup_only: bool = True
    messaging_only: bool = True
    """nothing but AutoGen's messages: a team is reset, or somebody subscribes"""
    paused: bool = False
    """a step of it was interrupted to ask a person"""


def is_setup(span: Span) -> bool:
    """True for a span that creates an agent, or a workflow of Agent Framework; a trace of nothing else is no run."""
    return span.kind == SpanKind.OTHER and span.name.partition(" ")[0] in _CREATE


def is_session(span: Span) -> bool:
    """True for what an MCP client and its server say to each other beside calls; outside of any run it is none."""
    return span.kind == SpanKind.OTHER and MCP_METHOD in span.attributes


def join_traces(forest: Forest, links: Iterable[SpanLink], calls: Iterable[tuple[int, int]] = ()) -> None:
    """Set run_id on every span: the id of the run's first trace that does work, or the run id the program gave."""
    traces = _traces(forest)
    group = {trace_id: trace_id for trace_id in traces}

    def head(trace_id: str) -> str:
        while group[trace_id] != trace_id:
            group[trace_id] = group[group[trace_id]]
            trace_id = group[trace_id]
        return trace_id

    def join(one: str, other: str) -> None:
        first, second = sorted((head(one), head(other)))
        group[second] = first

    by_run: dict[str, str] = {}
    for trace in traces.values():
        for run_id in trace.explicit:
            join(trace.trace_id, by_run.setdefault(run_id, trace.trace_id))
    for link in links:
        one, other = traces.get(link.trace_id), traces.get(link.linked_trace_id)
        if (
            one
            and other
            and one is not other
            and (not one.sessions or not other.sessions or one.sessions & other.sessions)
        ):
            join(one.trace_id, other.trace_id)
    for call, host in calls:
        join(forest.spans[host].trace_id, forest.spans[call].trace_id)
    _join_conversations(traces.values(), join)
    _join_setups(traces.values(), join)
    _join_messages(traces.values(), head, join)

    members: dict[str, list[_Trace]] = {}
    for trace in traces.values():
        members.setdefault(head(trace.trace_id), []).append(trace)
    run_of: dict[str, str] = {}
    for found in members.values():
        named = sorted(run_id for trace in found for run_id in trace.explicit)
        first = min(found, key=lambda trace: (trace.setup_only, trace.start_ns, trace.trace_id))
        for trace in found:
            run_of[trace.trace_id] = named[0] if named else first.trace_id
    for span in forest.spans:
        run_id = run_of[span.trace_id]
        if run_id != span.run_id:
            span.run_id = run_id
            mark(span, "run_id")


def _traces(forest: Forest) -> dict[str, _Trace]:
    found: dict[str, _Trace] = {}
    for span in forest.spans:
        end = span.end_ns or span.start_ns
        trace = found.get(span.trace_id)
        if trace is None:
            trace = found[span.trace_id] = _Trace(span.trace_id, span.start_ns, end)
        trace.end_ns = max(trace.end_ns, end)
        trace.processes.add((span.service, span.pid))
        if span.session_id:
            trace.sessions.add(span.session_id)
        if span.run_id != span.trace_id:
            trace.explicit.add(span.run_id)
        if span.agent:
            trace.agents.add(span.agent)
        if not is_setup(span):
            trace.setup_only = False
        if span.convention != "autogen":
            trace.messaging_only = False
        if span.finish_reason == PAUSED:
            trace.paused = True
    for trace_id, leaves in (forest.hanging.traces if forest.hanging else {}).items():
        trace = found[trace_id]
        trace.end_ns = max(trace.end_ns, leaves.end_ns)
        trace.processes |= leaves.processes
        trace.agents |= leaves.agents
        trace.setup_only = trace.messaging_only = False
    return found


def _join_conversations(traces: Iterable[_Trace], join: Any) -> None:
    """Turns of a conversation follow each other; traces of one conversation that overlap are parts of one turn.

    A turn that paused for a person goes on in the next trace of the conversation.
    """
    by_session: dict[str, list[_Trace]] = {}
    for trace in traces:
        for session in trace.sessions:
            by_session.setdefault(session, []).append(trace)
    for found in by_session.values():
        found.sort(key=lambda trace: (trace.start_ns, trace.trace_id))
        latest = found[0]
        for trace in found[1:]:
            if trace.start_ns < latest.end_ns or latest.paused:
                join(trace.trace_id, latest.trace_id)
            if trace.end_ns > latest.end_ns:
                latest = trace


def _join_setups(traces: Iterable[_Trace], join: Any) -> None:
    ordered = sorted(traces, key=lambda trace: (trace.start_ns, trace.trace_id))
    runs = [trace for trace in ordered if not trace.setup_only]
    for trace in ordered:
        if not trace.setup_only:
            continue
        for run in runs:
            near = trace.start_ns <= run.end_ns and run.start_ns - trace.end_ns <= SETUP_WINDOW_NS
            if (
                near
                and trace.processes & run.processes
                and (not run.agents or trace.agents & run.agents or _same_batch(trace, run))
            ):
                join(trace.trace_id, run.trace_id)
                break


def _join_messages(traces: Iterable[_Trace], head: Any, join: Any) -> None:
    """AutoGen's messages that no link joins to work (`team.reset()`) belong to the run before in that process; else to the next."""
    ordered = sorted(traces, key=lambda trace: (trace.start_ns, trace.trace_id))
    working = {head(trace.trace_id) for trace in ordered if not (trace.messaging_only or trace.setup_only)}
    runs = [trace for trace in ordered if not trace.setup_only and head(trace.trace_id) in working]
    for trace in ordered:
        if not trace.messaging_only or head(trace.trace_id) in working:
            continue
        near = [
            run
            for run in runs
            if trace.processes & run.processes
            and run.start_ns - trace.end_ns <= SETUP_WINDOW_NS
            and trace.start_ns - run.end_ns <= SETUP_WINDOW_NS
        ]
        before = [run for run in near if run.start_ns <= trace.start_ns]
        if near:
            join(trace.trace_id, (before[-1] if before else near[0]).trace_id)


def _same_batch(trace: _Trace, run: _Trace) -> bool:
    """An agent that was created and never spoke: made within a second of the run's start."""
    return abs(run.start_ns - trace.end_ns) < 10**9


def name_runs(forest: Forest, members: Sequence[int]) -> None:
    """Give all spans of one run its workflow name and its session; `members` are its positions in order of start."""
    spans = [forest.spans[position] for position in members]
    working = [span for span in spans if not is_setup(span)] or spans
    tops = [
        forest.spans[position]
        for position in members
        if forest.parent[position] < 0
        and not is_setup(forest.spans[position])
        and forest.spans[position].convention != "autogen"
    ]
    top = min(
        tops,
        key=lambda span: (span.kind != SpanKind.WORKFLOW, span.parent_span_id is not None, span.start_ns, span.span_id),
        default=None,
    )
    workflow = workflow_of(top, working)
    if workflow is None:  # AutoGen alone opens no span for the run
        workflow = next((team for span in spans if span.convention == "autogen" and (team := team_of(span.name))), None)
    session = (top.session_id if top else None) or next((span.session_id for span in working if span.session_id), None)
    for span in spans:
        span.workflow = workflow
        if session is not None:
            span.session_id = session


def workflow_of(top: Span | None, spans: Sequence[Span] = ()) -> str | None:
    """The name of the kind of run that `spans` are, of which `top` is the first at the top."""
    if top is None or top.parent_span_id is not None:
        known = next((span.workflow for span in spans if span.workflow), None)
        if known or top is None:
            return known
    explicit = _explicit_workflow(top)
    if explicit:
        return explicit
    if top.name == GoogleADK.INVOCATION and (agent := next((s.agent for s in spans if s.kind == SpanKind.AGENT), None)):
        return agent
    if top.kind == SpanKind.WORKFLOW:
        return _OWN_ID.sub("", _METHOD.sub("", _OPERATION.sub("", _INVOCATION.sub(r"\1", top.name))))
    if top.kind == SpanKind.AGENT and top.agent:
        return top.agent
    return next((name for span in spans if (name := _explicit_workflow(span))), None) or top.name


def _explicit_workflow(span: Span) -> str | None:
    if span.workflow is None and span.kind != SpanKind.WORKFLOW:
        return None
    attributes = json.loads(span.attributes)
    return next((text for name in WORKFLOW_NAMES if isinstance(text := attributes.get(name), str) and text), None)
