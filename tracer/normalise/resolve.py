"""Whole runs: what a span means depends on the spans around it.

`resolve` is pure, gives the same rows in any order of input, and resolving its own result changes nothing: it first
takes back everything inferred (`marks.reset`), so a trace can be resolved again whenever more of it has arrived.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from tracer.model import Span, SpanEvent, SpanKind, SpanLink
from tracer.normalise.ag2 import fold_helpers
from tracer.normalise.called_beside import seat_called_agents
from tracer.normalise.duplicates import find_duplicates, mark_twin
from tracer.normalise.handoffs import classify_tools, derive_handoffs, folded
from tracer.normalise.hanging import Hanging
from tracer.normalise.identity import (
    find_graph_agents,
    find_roots,
    inherit_agents,
    note_callers,
    take_agent,
    unwrap_nodes,
)
from tracer.normalise.instances import number_instances
from tracer.normalise.limits import note_limits, note_pauses
from tracer.normalise.llamaindex import note_tools
from tracer.normalise.logfire import join_streams
from tracer.normalise.loose_calls import loose_calls
from tracer.normalise.marks import mark, reset
from tracer.normalise.otel_genai import is_message_event
from tracer.normalise.pydantic_ai import note_retries
from tracer.normalise.runs import join_traces, name_runs
from tracer.normalise.state_versions import number_versions
from tracer.normalise.subgraphs import name_called_graphs, name_open_spans
from tracer.normalise.tree import Forest, copied
from tracer.normalise.unanswered import note_unanswered
from tracer.semconv import GenAI


def resolve(spans: Sequence[Span], events: Sequence[SpanEvent] = (), links: Sequence[SpanLink] = ()) -> list[Span]:
    """New rows for `spans` (whole traces, any number of them), in order of start.

    Sets run_id, workflow, session_id, agent (with agent_inferred), agent_id, duplicate_of, target_agent, reason, wait_for and, where the
    context shows it, kind; `derived` names what was inferred. The given rows are left alone.
    """
    return resolve_owned([copied(span) for span in spans], events, links)


def resolve_owned(
    rows: Sequence[Span], events: Sequence[SpanEvent], links: Sequence[SpanLink], hanging: Hanging | None = None
) -> list[Span]:
    """As `resolve`, for a caller that has no more use for `rows` as they are: they are changed, not copied.

    `hanging` stands for further spans of the same traces, and is told what the run does to them.
    """
    for row in rows:
        reset(row)
    seat_called_agents(rows)
    forest = Forest(rows, hanging)
    by_span: dict[tuple[str, str], list[SpanLink]] = {}
    for link in links:
        by_span.setdefault((link.trace_id, link.span_id), []).append(link)
    _messages_from_events(forest, events)
    note_pauses(forest)
    find_roots(forest)
    unwrap_nodes(forest)
    name_open_spans(forest)
    find_graph_agents(forest)
    name_called_graphs(forest)
    calls = list(loose_calls(forest))
    join_traces(forest, links, calls)
    note_tools(forest)
    fold_helpers(forest)
    inherit_agents(forest, by_span)
    for call, host in calls:
        take_agent(forest.spans[call], forest.spans[host])
    agents = _agents(forest)
    classify_tools(forest, agents)
    find_duplicates(forest)
    join_streams(forest)
    for call, host in calls:
        mark_twin(forest.spans[host], forest.spans[call])
    number_instances(forest)
    note_callers(forest)
    note_limits(forest)
    note_retries(forest)
    number_versions(forest)
    note_unanswered(forest, by_span, agents)
    agent_above = forest.nearest((SpanKind.AGENT,))
    for members in _runs(forest):
        derive_handoffs(forest, members, agent_above)
        name_runs(forest, members)
    return forest.spans


def _runs(forest: Forest) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for position, span in enumerate(forest.spans):
        found.setdefault(span.run_id, []).append(position)
    return list(found.values())


def _agents(forest: Forest) -> dict[str, dict[str, str]]:
    """run id -> folded agent name -> agent name, for everybody who takes part in the run."""
    found: dict[str, dict[str, str]] = {}
    for span in forest.spans:
        if span.agent and (span.kind == SpanKind.AGENT or not span.agent_inferred):
            found.setdefault(span.run_id, {}).setdefault(folded(span.agent), span.agent)
    return found


def _messages_from_events(forest: Forest, events: Sequence[SpanEvent]) -> None:
    """GenAI log records may be the only place where the messages of a call stand."""
    relevant = sorted(
        (e for e in events if e.refs and is_message_event(e.name)), key=lambda e: (e.time_ns, e.name, e.refs or [])
    )
    given: dict[tuple[str, str], list[int]] = {}
    got: dict[tuple[str, str], list[int]] = {}
    for event in relevant:
        attributes: dict[str, Any] = json.loads(event.attributes)
        key = (event.trace_id, event.span_id)
        for name, found in ((GenAI.INPUT_MESSAGES, given), (GenAI.OUTPUT_MESSAGES, got)):
            stands = attributes.get(name)
            ids: Any = cast(dict[str, Any], stands).get("$messages") if isinstance(stands, dict) else None
            if isinstance(ids, list):
                found.setdefault(key, []).extend(cast(list[int], ids))
    for column, found in (("input_refs", given), ("output_refs", got)):
        for key, refs in found.items():
            position = forest.position.get(key)
            if position is not None and getattr(forest.spans[position], column) is None:
                setattr(forest.spans[position], column, refs)
                mark(forest.spans[position], column)
