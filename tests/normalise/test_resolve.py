"""What a span means in its run: properties that hold for every input, and frameworks of which there is no capture."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.normalise.captured import batch
from tests.normalise.drawn import TRACE, genai, oi, raw, rows
from tracer.ids import span_id_of, trace_id_of
from tracer.model import RawSpan
from tracer.normalise import is_run, normalise, resolve, summarise

MIXED = (
    "langgraph-openinference-ordinary",
    "autogen-openinference+openai-swarm",
    "openai-agents-genai+openai-ordinary",
    "langgraph-openinference+openai-retrieval",
)


@pytest.mark.parametrize("name", MIXED)
def test_order_of_rows_does_not_matter(name: str) -> None:
    """Shuffled input gives the same rows."""
    found = batch(name)
    expected = resolve(found.spans, found.events, found.links)
    for seed in range(3):
        dice = random.Random(seed)
        spans, links = list(found.spans), list(found.links)
        dice.shuffle(spans)
        dice.shuffle(links)
        assert expected == resolve(spans, found.events, links)


@pytest.mark.parametrize("name", MIXED)
def test_resolving_twice_changes_nothing(name: str) -> None:
    """Resolved rows resolve to themselves, and the input rows are left alone."""
    found = batch(name)
    before = [asdict(span) for span in found.spans]
    once = resolve(found.spans, found.events, found.links)

    assert once == resolve(once, found.events, found.links)
    assert before == [asdict(span) for span in found.spans]


@pytest.mark.parametrize("name", MIXED)
def test_late_spans_end_in_the_same_rows(name: str) -> None:
    """Resolving a part, then the resolved part with the rest, is the same as resolving all at once."""
    found = batch(name)
    expected = resolve(found.spans, found.events, found.links)
    for seed in range(4):
        spans = list(found.spans)
        random.Random(seed).shuffle(spans)
        cut = len(spans) * (seed + 1) // 5
        part = resolve(spans[:cut], found.events, found.links)
        assert expected == resolve([*part, *spans[cut:]], found.events, found.links)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["llm", "agent", "tool", "other"])), max_size=10
    )
)
def test_any_parents_end(edges: list[tuple[int, int, str]]) -> None:
    """Cycles, self-parents and missing parents neither hang nor lose a span, and the result is acyclic."""
    spans = [
        raw(f"s{i}", i, i + 1, f"s{parent}", a={"tracehound.kind": kind, "tracehound.agent": f"a{start}"})
        for i, (parent, start, kind) in enumerate(edges)
    ]
    found = resolve(normalise(spans).spans)
    parents = {row.span_id: row.parent_span_id for row in found}

    assert len(spans) == len(found)
    for row in found:
        seen: set[str] = set()
        at: str | None = row.span_id
        while at in parents:
            assert at not in seen
            seen.add(at)
            at = parents[at]
    assert found == resolve(found)


def test_cycle_is_noted() -> None:
    """The span of a cycle that started first becomes the root, and says which parent it had."""
    found = rows(raw("a", 0, 1, "b"), raw("b", 1, 2, "a"))

    assert found["a"].parent_span_id is None
    assert [f"parent_span_id:{span_id_of('b')}"] == found["a"].derived
    assert found["b"].parent_span_id == found["a"].span_id


def test_control_flow_is_no_error() -> None:
    """LangGraph passes control by raising; the official instrumentor calls that an error."""
    found = rows(
        raw(
            "supervisor",
            0,
            1,
            a=genai("invoke_agent", agent__name="s") | {"error.type": "langgraph.errors.ParentCommand"},
            status="error",
        ),
        raw("pause", 0, 1, "supervisor", status="error", message="GraphInterrupt((Interrupt(value='ok?'),))"),
        raw("broken", 0, 1, "supervisor", a={"error.type": "ValueError"}, status="error", message="no"),
    )

    assert [found[name].status for name in ("supervisor", "pause", "broken")] == ["ok", "ok", "error"]
    assert (found["broken"].error_type, found["broken"].error_message) == ("ValueError", "no")


def test_agent_by_ancestor_link_and_trace() -> None:
    """An agent is found by climbing, then by links, then because nobody else is in the trace; always marked."""
    other = trace_id_of("other")
    found = rows(
        raw("planner", 0, 9, a=genai("invoke_agent", agent__name="planner")),
        raw("step", 1, 8, "planner"),
        raw("chat", 2, 3, "step", a=genai("chat", request__model="m")),
        raw("stray", 4, 5, "missing", a=genai("chat", request__model="m")),
        raw("linked", 4, 5, a=genai("chat", request__model="m"), trace=other, links=[(TRACE, "step")]),
    )

    assert [(found[n].agent, found[n].agent_inferred) for n in ("chat", "stray", "linked")] == [("planner", True)] * 3
    assert (found["planner"].agent, found["planner"].agent_inferred) == ("planner", False)


def test_doubled_llm_span_is_counted_once() -> None:
    """Framework and client span of one call: the outer counts and learns what only the inner knows."""
    found = rows(
        raw(
            "outer",
            0,
            4,
            a=oi("LLM", llm__model_name="gpt-4o", llm__token_count__prompt=1000, llm__token_count__completion=10),
        ),
        raw(
            "inner",
            1,
            3,
            "outer",
            a=genai(
                "chat",
                response__model="gpt-4o-2024-08-06",
                usage__input_tokens=1000,
                usage__output_tokens=10,
                usage__cache_read__input_tokens=400,
                provider__name="openai",
            ),
        ),
    )

    assert found["inner"].duplicate_of == found["outer"].span_id
    assert found["outer"].cached_tokens == 400
    assert found["outer"].cost_usd == found["inner"].cost_usd is not None
    assert (summarise(list(found.values())).llm_calls, summarise(list(found.values())).input_tokens) == (1, 1000)


LANGCHAIN = "openinference.instrumentation.langchain"


def test_a_clients_span_without_a_parent_is_the_frameworks_call() -> None:
    """LangChain's callbacks: one run, tokens once, its failed attempt is no end of the run. Two that fit: nobody can say."""
    asked, done = (
        oi("LLM", llm__model_name="gpt-4o"),
        oi("LLM", llm__model_name="gpt-4o", llm__token_count__prompt=10, llm__token_count__completion=2),
    )
    desk = (raw("desk", 0, 9, a=oi("CHAIN"), scope=LANGCHAIN), raw("chat", 1, 5, "desk", a=done, scope=LANGCHAIN))
    client = (
        raw("failed", 2, 3, a=asked, trace=trace_id_of("1"), status="error", message="429"),
        raw("client", 3, 4, a=done, trace=trace_id_of("2")),
        raw("elsewhere", 3, 4, a=done, trace=trace_id_of("3"), resource={"service.name": "other"}),
        raw("later", 6, 7, a=done, trace=trace_id_of("4")),
    )
    found = rows(*desk, *client)

    assert {name for name, row in found.items() if row.run_id == TRACE} == {"desk", "chat", "failed", "client"}
    assert [name for name, row in found.items() if row.duplicate_of] == ["client"]
    summary = summarise([row for row in found.values() if row.run_id == TRACE])
    assert (summary.outcome, summary.input_tokens, summary.llm_calls) == ("completed", 10, 2)
    also = raw("also", 1, 5, "desk", a=done, scope=LANGCHAIN)
    assert rows(*desk, *client, also)["client"].duplicate_of is None


def test_tokens_only_on_the_inner_span() -> None:
    """LlamaIndex doubles its LLM spans and puts the tokens on the inner one."""
    found = rows(
        raw("prepare", 0, 4, a=oi("LLM")),
        raw(
            "achat",
            1,
            3,
            "prepare",
            a=oi("LLM", llm__model_name="m", llm__token_count__prompt=7, llm__token_count__completion=2),
        ),
    )

    assert (found["prepare"].input_tokens, found["prepare"].output_tokens, found["prepare"].duplicate_of) == (
        7,
        2,
        None,
    )
    assert found["achat"].duplicate_of == found["prepare"].span_id


def test_failed_attempts_inside_a_call_stay_calls() -> None:
    """Two attempts of a client under one framework span: only the one that gave the tokens is the same call."""
    attempt = genai("chat", request__model="m", provider__name="openai")
    usage = genai("chat", request__model="m", usage__input_tokens=5, usage__output_tokens=1)
    found = rows(
        raw("framework", 0, 9, a=usage),
        raw("first", 1, 2, "framework", a=attempt, status="error"),
        raw("second", 3, 4, "framework", a=usage),
    )

    assert [found["first"].duplicate_of, bool(found["second"].duplicate_of)] == [None, True]


def test_agent_spans_do_not_repeat_tokens() -> None:
    """Strands, smolagents and Agent Framework put the sum of the children on the agent; it is not counted."""
    found = rows(
        raw("agent", 0, 9, a=genai("invoke_agent", agent__name="a", usage__input_tokens=50, usage__output_tokens=5)),
        raw("chat", 1, 2, "agent", a=genai("chat", request__model="m", usage__input_tokens=50, usage__output_tokens=5)),
    )

    assert (found["agent"].input_tokens, summarise(list(found.values())).input_tokens) == (None, 50)


def test_framework_is_no_provider() -> None:
    """`strands-agents` or `crewai` as provider is left out; the price comes from the model's name."""
    span = rows(
        raw(
            "chat",
            0,
            1,
            a=genai(
                "chat",
                provider__name="strands-agents",
                request__model="gpt-4o",
                usage__input_tokens=1_000_000,
                usage__output_tokens=0,
            ),
        )
    )["chat"]

    assert span.provider is None
    assert f"{span.cost_usd:.1f}" == "2.5"


STITCHED: dict[str, tuple[list[RawSpan], int]] = {
    "same run id": (
        [
            raw("x", 5, 6, trace=trace_id_of("2"), a={"tracehound.run.id": "r"}),
            raw("y", 0, 1, a={"tracehound.run.id": "r"}),
        ],
        1,
    ),
    "link": ([raw("x", 5, 6, trace=trace_id_of("2"), links=[(TRACE, "y")]), raw("y", 0, 1)], 1),
    "one conversation, at the same time": (
        [
            raw("x", 0.5, 6, trace=trace_id_of("2"), a=genai("chat", conversation__id="c")),
            raw("y", 0, 1, a=genai("chat", conversation__id="c")),
        ],
        1,
    ),
    "one conversation, turn after turn": (
        [
            raw("x", 5, 6, trace=trace_id_of("2"), a=genai("chat", conversation__id="c")),
            raw("y", 0, 1, a=genai("chat", conversation__id="c")),
        ],
        2,
    ),
    "strangers at the same time": ([raw("x", 0, 1, trace=trace_id_of("2")), raw("y", 0, 1)], 2),
    "set-up before the run of its agent": (
        [
            raw("create_agent a", 0, 1, trace=trace_id_of("2"), a=genai("create_agent", agent__name="a")),
            raw("y", 2, 3, a=genai("invoke_agent", agent__name="a")),
        ],
        1,
    ),
    "set-up of another process": (
        [
            raw(
                "create_agent a",
                0,
                1,
                trace=trace_id_of("2"),
                a=genai("create_agent", agent__name="a"),
                resource={"process.pid": 9},
            ),
            raw("y", 2, 3, a=genai("invoke_agent", agent__name="a")),
        ],
        2,
    ),
}


@pytest.mark.parametrize("case", STITCHED)
def test_traces_of_a_run(case: str) -> None:
    """Which traces are one run; the mark says where the run id was inferred."""
    spans, expected = STITCHED[case]
    found = normalise(spans)
    result = resolve(found.spans, found.events, found.links)

    assert expected == len({row.run_id for row in result})
    if expected == 1 and case != "same run id":
        assert {TRACE} == {row.run_id for row in result} or case == "link"


def test_set_up_alone_is_no_run() -> None:
    """A trace of nothing but create_agent is not shown as a run."""
    found = resolve(normalise([raw("create_agent a", 0, 1, a=genai("create_agent", agent__name="a"))]).spans)

    assert not is_run(found)
