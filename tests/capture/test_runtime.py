"""The reference runtime recorded from outside: it behaves as without, and everything it did is there."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import tracer
from reference_runtime.clock import VirtualClock
from reference_runtime.healthy import HEALTHY
from reference_runtime.incidents import INCIDENTS
from tracer.errors import BadInput
from tracer.model import RawSpan
from tracer.semconv import Common, GenAI, Tracehound
from tracer.testing import Recorder, recording

SMALL = {
    "conversations": 3,
    "weeks": 1,
    "weekday": 1,
    "weekend": 1,
    "messages_each": 2,
    "iterations": 5,
    "documents": 5,
}
BUILDS: dict[str, Callable[..., Any]] = {
    **{incident.name: incident.build for incident in INCIDENTS},
    **{f"{incident.name}/{twin.name}": twin.build for incident in INCIDENTS for twin in incident.twins},
    **{twin.name: twin.build for twin in HEALTHY},
}


def built(name: str, seed: int = 0) -> Any:
    """A batch, small where the incident lets itself be sized."""
    build = BUILDS[name]
    sizes = {key: size for key, size in SMALL.items() if key in inspect.signature(build).parameters}
    return build(seed, **sizes)


def recorded(name: str, seed: int = 0) -> tuple[Any, list[Any], Recorder]:
    """(batch, results, recording) of an instrumented batch."""
    batch = built(name, seed)
    with recording() as found:
        for planned in batch.runs:
            tracer.instrument(planned.runtime)
        results = batch.play()
    return batch, results, found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *((name, 0) for name in BUILDS),
        *(pytest.param(name, 7, marks=pytest.mark.slow) for name in BUILDS if "weekend" not in name),
    ],
)
def test_a_run_is_the_same_with_and_without_instrumentation(name: str, seed: int) -> None:
    """Outcomes, texts, costs, times, state, coordination log: to the last bit. One trace a run, every span ended."""
    plain = built(name, seed)
    bare = plain.play()
    batch, results, found = recorded(name, seed)
    assert results == bare
    assert batch.clock.now_ns() == plain.clock.now_ns()
    for one, other in zip(batch.runs, plain.runs, strict=True):
        assert one.runtime.coordination.log == other.runtime.coordination.log
        assert [(k, one.runtime.state.peek(k)) for k in one.runtime.state.keys()] == [  # noqa: SIM118
            (k, other.runtime.state.peek(k))
            for k in other.runtime.state.keys()  # noqa: SIM118
        ]
    assert (found.dropped, found.running) == (0, [])
    roots = [span for span in found.spans if span.parent_span_id is None]
    assert len(roots) == len(results) == len({span.trace_id for span in found.spans})
    by_source = {root.attributes[Tracehound.SOURCE_ID]: root for root in roots}
    for result in results:
        root = by_source[result.run_id]
        assert root.attributes[Tracehound.OUTCOME] == result.outcome
        assert (root.start_ns, root.end_ns) == (result.started_ns, result.ended_ns)
        assert found.bodies(root, "output") == [result.output]
        own = [span for span in found.spans if span.trace_id == root.trace_id]
        calls = [span for span in own if span.attributes[Tracehound.KIND] == "llm"]
        assert len([call for call in calls if call.status != "error"]) == result.model_calls
        assert sum(span.attributes[Tracehound.KIND] == "message" for span in own) == result.messages
        ids = {span.span_id for span in own}
        for span in own:
            assert span.span_id == root.span_id or span.parent_span_id in ids
            assert root.start_ns <= span.start_ns <= (span.end_ns or 0) <= result.ended_ns


def named(spans: list[RawSpan], kind: str, **wanted: Any) -> list[RawSpan]:
    return [
        span
        for span in spans
        if span.attributes[Tracehound.KIND] == kind and all(span.attributes.get(k) == v for k, v in wanted.items())
    ]


def test_an_llm_call_is_recorded_whole() -> None:
    """Prompt, completion, tokens, model, temperature, latency; purpose only where the runtime keeps one."""
    _, _, found = recorded("hidden_calls")
    calls = found.of_kind("llm")
    for call in calls:
        assert {
            GenAI.REQUEST_MODEL,
            GenAI.PROVIDER[0],
            GenAI.TEMPERATURE,
            GenAI.INPUT_TOKENS[0],
            GenAI.OUTPUT_TOKENS[0],
        } <= set(call.attributes)
        assert call.end_ns is not None
        assert call.end_ns > call.start_ns
        assert found.values(call, "input")[0]["role"] in ("system", "user")
        assert found.values(call, "output")[0]["role"] == "assistant"
    purposes = {call.attributes.get(Tracehound.PURPOSE) for call in calls}
    assert None in purposes
    assert len(purposes) > 1


def test_an_invocation_says_who_wanted_it_and_why() -> None:
    """Reason, invoker, task, input and answer; what follows a handoff is linked to it."""
    _, _, found = recorded("research_loop")
    agents = found.of_kind("agent")
    assert all(
        {Tracehound.REASON, Tracehound.INVOKED_BY, Tracehound.TASK_ID} <= set(agent.attributes) for agent in agents
    )
    handoffs = {span.span_id: span for span in found.of_kind("handoff")}
    linked = [(agent, link) for agent in agents for link in agent.links if link.span_id in handoffs]
    assert len({link.span_id for _, link in linked}) == len(linked) >= len(handoffs) - 1 > 0
    for agent, link in linked:
        assert handoffs[link.span_id].attributes[Tracehound.TARGET_AGENT] == agent.name
        assert link.attributes[Tracehound.LINK_RELATION] == "takes_over"


def test_a_deadlock_shows_as_waits_that_were_cancelled() -> None:
    """For whom each waits, until nothing could run any more."""
    _, results, found = recorded("circular_wait")
    stuck = [run for run in results if "deadlock" in run.reason]
    root = next(span for span in found.of_kind("workflow") if span.attributes[Tracehound.SOURCE_ID] == stuck[0].run_id)
    waits = named([s for s in found.spans if s.trace_id == root.trace_id], "wait")
    edges = {(span.attributes[Tracehound.AGENT], *span.attributes[Tracehound.WAIT_FOR]) for span in waits}
    assert len(edges) == 3
    assert {edge[0] for edge in edges} == {edge[1] for edge in edges}
    assert {span.attributes[Tracehound.WAIT_OUTCOME] for span in waits} == {"cancelled"}


def test_a_lost_update_shows_in_versions_and_snapshots() -> None:
    """Reads and writes with versions, before and after; what was changed in place is an unversioned write of its agent."""
    _, _, found = recorded("lost_update")
    writes = found.of_kind("state_write")
    for write in named(found.spans, "state_write", **{Tracehound.CAS_OUTCOME: "unchecked"}):
        assert write.content["output"]
    unversioned = named(found.spans, "state_write", **{Tracehound.CAS_OUTCOME: "unversioned"})
    assert [(w.attributes[Tracehound.AGENT], w.attributes[Tracehound.CHANGED_PATHS]) for w in unversioned] == [
        ("Formatter", ["notes[0]"])
    ]
    assert {Tracehound.VERSION_WRITTEN in w.attributes for w in writes} == {True, False}
    by_trace: dict[str, list[RawSpan]] = {}
    for write in writes:
        by_trace.setdefault(write.trace_id, []).append(write)
    for chain in by_trace.values():
        for earlier, later in itertools.pairwise(chain):
            assert later.content["input"] == earlier.content["output"]


def test_guards_warn_and_stop_once() -> None:
    """A budget warns and stops, a breaker stops; refusals after the stop are not further trips."""
    _, _, budget = recorded("budget_trip")
    trips = [
        (s.attributes[Tracehound.GUARD], s.attributes[Tracehound.GUARD_LEVEL]) for s in budget.of_kind("guard_trip")
    ]
    assert trips == [("budget", "warn"), ("budget", "stop")]
    _, _, breaker = recorded("breaker_trip")
    assert {s.attributes[Tracehound.GUARD] for s in breaker.of_kind("guard_trip")} == {"circuit_breaker"}


def test_an_escalation_lasts_until_the_answer() -> None:
    """The question, the answer, and a wait for the person inside."""
    batch, _, found = recorded("human_wait")
    escalation, wait = found.of_kind("escalation")[0], found.of_kind("wait")[0]
    assert escalation.end_ns is not None
    assert (escalation.end_ns - escalation.start_ns) / 1e9 == batch.truths[0].numbers["waited_s"]
    assert found.bodies(escalation, "output") == ["approve"]
    assert "Approve?" in found.bodies(escalation, "input")[0]
    assert (wait.parent_span_id, wait.attributes[Tracehound.REASON]) == (escalation.span_id, "human")


def test_a_decision_that_was_carried_out_says_so() -> None:
    """What was chosen among what, why, from which versions, and whether it was acted on."""
    _, _, found = recorded("conflicting_decisions")
    decisions = found.of_kind("decision")
    assert len({d.attributes[Tracehound.SCOPE_KEY] for d in decisions}) == 1
    assert len({d.attributes[Tracehound.CHOICE] for d in decisions}) == 2
    assert all(d.content["output"] and d.attributes[Tracehound.REASON] for d in decisions)


def test_retries_point_to_what_they_repeat() -> None:
    """Attempt numbers count up, each but the first names the operation before it; pauses between are waits."""
    _, _, found = recorded("flaky_services")
    by_id = {span.span_id: span for span in found.spans}
    again = [span for span in found.spans if Tracehound.RETRY_OF in span.attributes]
    assert again
    for span in again:
        first = by_id[span.attributes[Tracehound.RETRY_OF]]
        assert first.status == "error"
        assert first.attributes[Tracehound.KIND] == span.attributes[Tracehound.KIND]
        assert span.attributes[Tracehound.ATTEMPT] == first.attributes[Tracehound.ATTEMPT] + 1
        assert Common.ERROR_TYPE in first.attributes
    replaced = [span for span in found.spans if Tracehound.FALLBACK_OF in span.attributes]
    assert all(by_id[span.attributes[Tracehound.FALLBACK_OF]].status == "error" for span in replaced)
    assert {span.attributes[Tracehound.REASON] for span in found.of_kind("wait")} <= {"timer", "rate_limit"}


def test_what_is_instrumented_twice_is_recorded_once_and_can_be_undone() -> None:
    """Wrapping again changes nothing; afterwards no part has a trace of it."""
    batch = built("human_wait")
    runtime = batch.runs[0].runtime
    with recording() as found, tracer.instrument(runtime), tracer.instrument(runtime):
        batch.play()
    assert len(found.of_kind("workflow")) == 1
    assert len(found.of_kind("llm")) == 2
    for part in (runtime, runtime.model, runtime.state, runtime.bus, runtime.human, runtime.clock):
        assert not [name for name, value in vars(part).items() if hasattr(value, "__tracehound_original__")]


def test_what_is_no_runtime_is_refused() -> None:
    """With what is missing, and what to use instead."""
    with pytest.raises(BadInput, match="has no invoke, workflow"):
        tracer.instrument(VirtualClock())
