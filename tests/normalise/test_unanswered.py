"""Waits told from requests that were not answered, and what is made of them; and the same programs where all is answered."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.deadlock import find_deadlocks
from analyzers.detectors.no_answer import find_no_answer
from analyzers.finding import Finding
from analyzers.frames import Frames
from tests.normalise.drawn import genai, oi, raw
from tracer.model import RawSpan, Span
from tracer.normalise import normalise, resolve, summarise
from tracer.store.columns import frame_of

CANCELLED = {"tracehound.cancelled": True}
AUTOGEN = "autogen SingleThreadedAgentRuntime"


def resolved(spans: list[RawSpan]) -> list[Span]:
    found = normalise(spans)
    return resolve(found.spans, found.events, found.links)


def waits(spans: list[RawSpan]) -> dict[str, list[str]]:
    """Span name -> whom it waits for."""
    return {row.name: row.wait_for for row in resolved(spans) if row.wait_for}


def told(spans: list[RawSpan], read_s: float | None = None) -> list[Finding]:
    """What the two detectors say, read `read_s` after the beginning."""
    rows = resolved(spans)
    runs = {row.run_id: [r for r in rows if r.run_id == row.run_id] for row in rows}
    traces = frame_of("traces", [summarise(run) for run in runs.values()])
    read = None if read_s is None else 10**18 + int(read_s * 1e9)
    frames = Frames(spans=frame_of("spans", rows).sort("run_id", "start_ns", "span_id"), traces=traces, read_ns=read)
    return [f for f in (*find_deadlocks(frames), *find_no_answer(frames)) if isinstance(f, Finding)]


def agents(end: float | None, **more: Any) -> list[RawSpan]:
    """A ledger and a payroll side by side, each with a model call that is over."""
    return [
        raw("closing", 0, end, a={**oi("CHAIN"), **more}),
        raw("ledger", 1, end, "closing", a=oi("AGENT", agent__name="ledger")),
        raw("payroll", 1, end, "closing", a=oi("AGENT", agent__name="payroll")),
        raw("l", 1, 2, "ledger", a=oi("LLM")),
        raw("p", 1, 2, "payroll", a=oi("LLM")),
    ]


def ask(name: str, by: str, start: float, end: float | None, **more: Any) -> RawSpan:
    return raw(name, start, end, by, a={**oi("TOOL", tool__name=name), **more.pop("a", {})}, **more)


CROSSED = [*agents(None), ask("ask_payroll", "ledger", 3, None), ask("ask_ledger", "payroll", 4, None)]
CANCELLED_BOTH = [
    *agents(60, **CANCELLED), ask("ask_payroll", "ledger", 3, 59, a=CANCELLED), ask("ask_ledger", "payroll", 4, 59, a=CANCELLED),
]  # fmt: skip


def test_open_calls_named_after_agents_wait_for_them() -> None:
    """Nobody recorded a wait, no agent had begun inside."""
    assert waits(CROSSED) == {"ask_payroll": ["payroll"], "ask_ledger": ["ledger"]}
    assert all("wait_for" in (row.derived or ()) for row in resolved(CROSSED) if row.wait_for)


@pytest.mark.parametrize("spans", [CROSSED, CANCELLED_BOTH], ids=["open", "cancelled from outside"])
def test_requests_that_cross_are_a_deadlock(spans: list[RawSpan]) -> None:
    """Both asked, neither did anything else."""
    (finding,) = told(spans, read_s=60)
    assert finding.kind == "deadlock"
    assert set(finding.agents) == {"ledger", "payroll"}
    assert finding.data["inferred"]
    assert ("the waits were recorded as such", False) in [(check.rule, check.passed) for check in finding.checked]


@pytest.mark.parametrize(
    ("spans", "read_s"),
    [
        pytest.param(CROSSED, 8, id="open for a moment only"),
        pytest.param([*CROSSED, raw("busy", 3.5, None, "payroll", a=oi("LLM"))], 60, id="one of them has a call under way"),
        pytest.param([*CROSSED, raw("busy", 3.5, 5, "payroll", a=oi("LLM"))], 60, id="one of them worked meanwhile"),
        pytest.param(
            [*agents(60), ask("ask_payroll", "ledger", 3, 5), ask("ask_ledger", "payroll", 4, 6)], None, id="answered"
        ),
        pytest.param(
            [*agents(None), ask("ask_payroll", "ledger", 3, None), ask("search", "payroll", 4, None)], 60, id="one searches"
        ),
    ],
)  # fmt: skip
def test_crossing_that_is_no_deadlock(spans: list[RawSpan], read_s: float | None) -> None:
    """Young, busy, answered, or not for each other."""
    assert [finding.kind for finding in told(spans, read_s) if finding.kind == "deadlock"] == []


def delegated(end: float, **inner: Any) -> list[RawSpan]:
    """A coordinator asks a researcher with a tool of any name; then it goes on."""
    return [
        raw("coordinator", 0, 20, a=genai("invoke_agent", agent__name="coordinator")),
        raw("look it up", 1, end, "coordinator", a=genai("execute_tool", tool__name="look_it_up"), **inner.pop("tool", {})),
        raw("researcher", 2, end, "look it up", a={**genai("invoke_agent", agent__name="researcher"), **inner.pop("a", {})}, **inner),
        raw("chat", 15, 16, "coordinator", a=genai("chat", request__model="m")),
    ]  # fmt: skip


def test_whoever_was_cancelled_inside_a_call_did_not_answer() -> None:
    """The caller gave up on the agent and went on; who it was is told by what worked inside."""
    for inner in (
        {"a": CANCELLED},
        {"status": "error", "message": "CancelledError()", "a": {"error.type": "asyncio.exceptions.CancelledError"}},
    ):
        (finding,) = told(delegated(9, **inner))
        assert finding.kind == "no_answer"
        assert finding.agents == ("coordinator", "researcher")
        assert finding.data["waited_s"] == 8


def test_a_timeout_of_the_call_is_no_answer_and_an_error_is_one() -> None:
    timed_out = delegated(9, tool={"status": "error", "message": "TimeoutError()"})
    assert waits(timed_out) == {"look it up": ["researcher"]}
    assert waits(delegated(9, tool={"status": "error", "message": "ValueError: no such order"})) == {}
    assert waits(delegated(9)) == {}


def test_an_open_request_is_told_where_the_agent_has_no_call_of_its_own() -> None:
    """After ten minutes the researcher is named; where its search is open, the search is."""
    asked = [
        raw("coordinator", 0, None, a=oi("AGENT", agent__name="coordinator")),
        raw("researcher", 1, None, "coordinator", a=oi("AGENT", agent__name="researcher")),
        ask("ask_writer", "researcher", 2, None),
        raw("writer", 3, None, "ask_writer", a=oi("AGENT", agent__name="writer")),
    ]
    assert waits(asked) == {"coordinator": ["researcher"], "ask_writer": ["writer"]}
    (finding,) = told(asked, read_s=700)
    assert (finding.kind, finding.agents) == ("no_answer", ("researcher", "writer"))
    (finding,) = told([*asked, ask("search", "writer", 4, None)], read_s=700)
    assert finding.title.startswith("search has not answered writer")
    assert told(asked, read_s=300) == []


def test_a_run_in_which_nothing_happens_stands_still() -> None:
    """A node that awaits something nobody records; not while a call is open, nor before ten minutes."""
    still = [raw("graph", 0, None, a=oi("CHAIN")), raw("legal", 1, None, "graph", a=oi("AGENT", agent__name="legal"))]
    (finding,) = told(still, read_s=700)
    assert (finding.kind, finding.agents, finding.data["reason"]) == ("no_answer", ("legal",), "standing still")
    assert told(still, read_s=500) == []
    assert told(still) == []


def test_what_our_own_recorder_writes_is_left_to_it() -> None:
    own = {"tracehound.kind": "tool", "tracehound.agent": "ledger", "gen_ai.tool.name": "ask_payroll"}
    assert waits([*agents(None), raw("own", 3, None, "ledger", a=own)]) == {}


def autogen(*, answered: bool, ended: float | None, tell: float | None) -> list[RawSpan]:
    """The messages of autogen-core: every hop is a trace of its own and links back to the request."""

    def hop(name: str, start: float, end: float | None, to: str, **more: Any) -> RawSpan:
        operation = name.split(" ")[1]
        told = {"messaging.operation": operation, "messaging.destination": to}
        if operation == "process":
            told["recipient_agent_type"] = to.partition(".")[0]
        return raw(name, start, end, more.pop("parent", None), a=told, scope=AUTOGEN, id=name, **more)

    one, two, three = "a" * 32, "b" * 32, "c" * 32
    spans = [
        hop("autogen process ledger.(default)-A", 0, 20, "ledger.(default)-A", trace=one),
        hop("autogen create payroll.(default)-A", 1, ended, "payroll.(default)-A", trace=one, parent="autogen process ledger.(default)-A"),
        hop("autogen send payroll.(default)-A", 1, tell, "payroll.(default)-A", trace=two, links=[(one, "autogen create payroll.(default)-A")]),
        hop("autogen process payroll.(default)-A", 1, tell, "payroll.(default)-A", trace=two,
            parent="autogen send payroll.(default)-A", links=[(one, "autogen create payroll.(default)-A")]),
        hop("autogen create ledger_topic.(default)-T", 12, 13, "ledger_topic.(default)-T", trace=one, parent="autogen process ledger.(default)-A"),
    ]  # fmt: skip
    ack = hop("autogen ack ledger.(default)-A", 3, 3, "ledger.(default)-A", trace=three, links=[(two, "autogen send payroll.(default)-A")])  # fmt: skip
    return [*spans, ack] if answered else spans


def test_messages_between_agents_of_autogen() -> None:
    """Answered: an `ack` links to what was sent, or the recipient was done first. A request to a topic awaits nobody."""
    request = "autogen create payroll.(default)-A"
    assert waits(autogen(answered=True, ended=4, tell=3)) == {}
    assert waits(autogen(answered=False, ended=4, tell=3)) == {}  # the ack was lost on the way
    assert waits(autogen(answered=False, ended=4, tell=4.5)) == {request: ["payroll"]}
    assert waits(autogen(answered=False, ended=None, tell=None)) == {request: ["payroll"]}
    (finding,) = told(autogen(answered=False, ended=4, tell=4.5))
    assert (finding.kind, finding.agents) == ("no_answer", ("ledger", "payroll"))


def test_a_wait_goes_when_the_answer_comes() -> None:
    """Resolved again with more of the trace, the row is as if it had never waited."""
    early = resolved(CROSSED)
    late = [*agents(60), ask("ask_payroll", "ledger", 3, 5), ask("ask_ledger", "payroll", 4, 6)]
    both = resolve([*early, *normalise(late).spans])
    assert both == resolved(late)
