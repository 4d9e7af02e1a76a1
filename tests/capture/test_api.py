"""The decorators and blocks of hand-written code."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context

import tracer
from tests.capture.forms import run
from tracer.semconv import GenAI, Tracehound
from tracer.testing import Recorder, recorder, recording

__all__ = ["recorder"]  # the fixture

NAMES = [
    "Guard", "LiveSpan", "TrackedState", "agent", "awaited", "current_span", "decision", "escalate", "flush", "guard", "guard_trip", "handoff", "init",
    "instrument", "join", "llm_call", "lock", "mark", "message", "progress", "record_llm_call", "score", "shutdown", "state", "state_read", "state_write", "tool",
    "wait", "workflow",
]  # fmt: skip


def test_the_public_names_are_these() -> None:
    """Adding or removing a public name is a decision: this list changes with it, and every name loads."""
    assert tracer.__all__ == NAMES
    assert all(getattr(tracer, name) is not None for name in NAMES)


def sync_search(query: str, limit: int = 3) -> str:
    """Finds things."""
    return f"{query}:{limit}"


async def async_search(query: str, limit: int = 3) -> str:
    """Finds things."""
    await asyncio.sleep(0)
    return f"{query}:{limit}"


def stream_search(query: str, limit: int = 3) -> Iterator[str]:
    """Finds things."""
    for number in range(limit):
        yield f"{query}{number}"


async def async_stream_search(query: str, limit: int = 3) -> AsyncIterator[str]:
    """Finds things."""
    for number in range(limit):
        await asyncio.sleep(0)
        yield f"{query}{number}"


FORMS = [sync_search, async_search, stream_search, async_stream_search]
DECORATED = {
    "workflow": ("workflow", tracer.workflow, tracer.workflow("named")),
    "agent": ("agent", tracer.agent, tracer.agent("named", reason="asked")),
    "tool": ("tool", tracer.tool, tracer.tool("named")),
    "llm_call": ("llm", tracer.llm_call, tracer.llm_call("named", purpose="work")),
    "decision": ("decision", tracer.decision, tracer.decision("named")),
    "handoff": ("handoff", tracer.handoff, tracer.handoff("named")),
    "escalate": ("escalation", tracer.escalate, tracer.escalate("named")),
    "message": ("message", None, tracer.message("hello", to="named")),
    "wait": ("wait", None, tracer.wait("named")),
    "progress": ("other", None, tracer.progress("named")),
    "guard_trip": ("guard_trip", None, tracer.guard_trip("named")),
}


BY_KEYWORD: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "workflow": (lambda: tracer.workflow(name="x"), Tracehound.WORKFLOW, "x"),
    "agent": (lambda: tracer.agent(name="x"), Tracehound.AGENT, "x"),
    "tool": (lambda: tracer.tool(name="x"), GenAI.TOOL_NAME, "x"),
    "llm_call": (lambda: tracer.llm_call(model="x"), GenAI.REQUEST_MODEL, "x"),
    "decision": (lambda: tracer.decision(scope="x"), Tracehound.SCOPE_KEY, "x"),
    "handoff": (lambda: tracer.handoff(to="x"), Tracehound.TARGET_AGENT, "x"),
    "escalate": (lambda: tracer.escalate(to="x"), Tracehound.ESCALATION_TO, "x"),
    "progress": (lambda: tracer.progress(note="x"), Tracehound.REASON, "x"),
    "guard_trip": (lambda: tracer.guard_trip(guard="x"), Tracehound.GUARD, "x"),
    "message": (lambda: tracer.message(content="hi", to="x"), Tracehound.TARGET_AGENT, "x"),
    "wait for one": (lambda: tracer.wait(for_="x"), Tracehound.WAIT_FOR, ("x",)),
    "wait for some": (lambda: tracer.wait(for_=["x", "y"]), Tracehound.WAIT_FOR, ("x", "y")),
    "wait for both forms": (lambda: tracer.wait("x", for_=["y"]), Tracehound.WAIT_FOR, ("x", "y")),
}


@pytest.mark.parametrize("form", BY_KEYWORD)
def test_what_is_named_first_can_be_named_by_keyword(form: str, recorder: Recorder) -> None:
    """The name, scope, model or target by keyword is the same as by position."""
    make, attribute, value = BY_KEYWORD[form]
    with make():
        pass
    found = recorder.spans[-1].attributes[attribute]
    assert (tuple(found) if isinstance(value, tuple) else found) == value


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: tracer.agent(nam="x"), "nam"),
        (lambda: tracer.agent("x", name="y"), "twice"),
        (lambda: tracer.agent("x", "y"), "positional"),
        (lambda: tracer.handoff(), "needs 'to'"),
    ],
)
def test_a_mistaken_use_is_told_where_it_is_made(wrong: Callable[[], Any], said: str, recorder: Recorder) -> None:
    """Unknown, doubled and missing names are TypeErrors that say which, and nothing is recorded."""
    with pytest.raises(TypeError, match=said):
        wrong()
    assert not recorder.spans


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("name", DECORATED)
def test_a_decorated_function_behaves_as_before_and_each_call_is_a_span(
    name: str, form: Callable[..., Any], recorder: Recorder
) -> None:
    """Every kind, bare and with arguments, on every kind of function: same result, same identity, one span a call."""
    kind, bare, named = DECORATED[name]
    for decorate in (bare, named):
        if decorate is None:
            continue
        before = len(recorder.of_kind(kind))
        wrapped = decorate(form)
        assert (wrapped.__name__, wrapped.__doc__, inspect.signature(wrapped)) == (
            form.__name__,
            form.__doc__,
            inspect.signature(form),
        )
        for check in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            assert check(wrapped) == check(form)
        assert run(wrapped, "x", limit=2) == run(form, "x", limit=2)
        run(wrapped, "y")
        assert len(recorder.of_kind(kind)) == before + 2
    assert recorder.dropped == 0
    assert not recorder.running


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_arguments_and_results_are_kept(form: Callable[..., Any], recorder: Recorder) -> None:
    """A tool's arguments are an object by name, its result what came out; the items of a generator are a list."""
    result = run(tracer.tool(form), "x", limit=2)
    span = recorder.of_kind("tool")[0]
    assert recorder.values(span, "input") == [{"query": "x", "limit": 2}]
    assert recorder.values(span, "output") == [result]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_spans_made_inside_are_children_and_outside_are_not(form: Callable[..., Any], recorder: Recorder) -> None:
    """Between two steps of a generator its span is not the consumer's: what the consumer does belongs to the consumer."""
    with tracer.workflow("w"):
        if inspect.isgeneratorfunction(form):

            @tracer.agent("worker")
            def work() -> Iterator[int]:
                tracer.progress("inside")
                yield 1
                tracer.progress("inside")

            for _ in work():
                tracer.progress("outside")
        elif inspect.isasyncgenfunction(form):

            @tracer.agent("worker")
            async def work_async() -> AsyncIterator[int]:
                tracer.progress("inside")
                yield 1
                tracer.progress("inside")

            async def consume() -> None:
                async for _ in work_async():
                    tracer.progress("outside")

            asyncio.run(consume())
        else:

            @tracer.agent("worker")
            def call() -> None:
                tracer.progress("inside")
                tracer.progress("inside")

            call()
            tracer.progress("outside")
    worker, root = recorder.one("worker"), recorder.one("w")
    of = {"inside": worker.span_id, "outside": root.span_id}
    marks = [span for span in recorder.spans if Tracehound.PROGRESS in span.attributes]
    assert [of[span.attributes[Tracehound.REASON]] for span in marks] == [span.parent_span_id for span in marks]
    assert len(marks) == 3
    assert worker.parent_span_id == root.span_id


def test_methods_static_methods_and_class_methods(recorder: Recorder) -> None:
    """`self` and `cls` are no arguments, and the span is named after class and method."""

    class Planner:
        @tracer.agent
        def plan(self, goal: str) -> str:
            return goal.upper()

        @tracer.tool
        @classmethod
        def of(cls, kind: str) -> str:
            return cls.__name__ + kind

        @tracer.tool
        @staticmethod
        def add(a: int, b: int) -> int:
            return a + b

    assert (Planner().plan("go"), Planner.of("!"), Planner.add(1, b=2)) == ("GO", "Planner!", 3)
    assert [span.name for span in recorder.spans] == ["Planner.plan", "Planner.of", "Planner.add"]
    assert [recorder.values(span, "input") for span in recorder.spans] == [["go"], [{"kind": "!"}], [{"a": 1, "b": 2}]]


def test_a_decorated_class_is_the_same_class_and_each_run_of_it_a_span(recorder: Recorder) -> None:
    """Entry methods of all kinds, its own and inherited; what an object does to itself is part of its run, other objects are not."""

    class Base:
        async def arun(self, goal: str) -> str:
            await asyncio.sleep(0)
            return goal.upper()

    @tracer.agent("planner", reason="asked")
    class Planner(Base):
        """Plans."""

        def __init__(self, helper: Planner | None = None) -> None:
            self.helper = helper

        def run(self, goal: str) -> str:
            if self.helper is not None:
                self.helper.run(goal)
            return asyncio.run(self.arun(goal))

        def stream(self, goal: str) -> Iterator[str]:
            yield self.run(goal)

        def untouched(self) -> int:
            return 1

    assert isinstance(Planner, type)
    assert (Planner.__doc__, Planner.__name__) == ("Plans.", "Planner")
    assert "planner" not in vars(Base)
    planner = Planner(Planner())
    assert planner.run("go") == "GO"
    assert [span.name for span in recorder.spans] == ["planner", "planner"]  # the helper within
    assert recorder.spans[0].parent_span_id == recorder.spans[1].span_id
    assert recorder.values(recorder.spans[1], "input") == ["go"]
    assert asyncio.run(Planner().arun("x")) == "X"
    assert list(Planner().stream("y")) == ["Y"]
    assert planner.untouched() == 1
    assert len(recorder.spans) == 4


def test_bound_methods_and_callable_objects_can_be_decorated(recorder: Recorder) -> None:
    """One object's method without touching its class, and an object that is called."""

    class Search:
        def find(self, query: str) -> str:
            return query

        def __call__(self, query: str) -> str:
            return query + "!"

    search = Search()
    find, call = tracer.tool(search.find), tracer.tool("called")(search)
    assert (find("x"), call("y"), search.find("z")) == ("x", "y!", "z")
    assert [(span.name.rpartition(".")[2], recorder.values(span, "input")) for span in recorder.spans] == [
        ("find", [{"query": "x"}]),
        ("called", [{"query": "y"}]),
    ]


def test_what_cannot_be_decorated_is_refused_at_once() -> None:
    """A class that nothing runs and a value that nobody calls are refused where they are decorated, not later where nobody looks."""
    with pytest.raises(TypeError, match="decorate the class's method"):
        tracer.agent(type("Agent", (), {}))
    with pytest.raises(TypeError, match="not 3"):
        tracer.agent("a")(3)  # type: ignore[type-var]


def test_concurrent_tasks_keep_their_parents(recorder: Recorder) -> None:
    """Tasks that overlap record below the agent they belong to, in the trace of their run."""

    async def work(name: str) -> None:
        with tracer.agent(name):
            for number in range(3):
                await asyncio.sleep(0)
                with tracer.tool(f"{name}{number}"):
                    await asyncio.sleep(0)

    async def one_run(name: str) -> None:
        with tracer.workflow(name):
            await asyncio.gather(work(f"{name}-a"), work(f"{name}-b"))

    async def main() -> None:
        await asyncio.gather(one_run("one"), one_run("two"))

    asyncio.run(main())
    by_id = {span.span_id: span for span in recorder.spans}
    for span in recorder.of_kind("tool"):
        parent = by_id[str(span.parent_span_id)]
        assert span.name.startswith(parent.name)
        assert span.attributes[Tracehound.AGENT] == parent.name
        assert by_id[str(parent.parent_span_id)].trace_id == span.trace_id
    assert len({span.trace_id for span in recorder.spans}) == 2


def test_without_init_decorators_do_nothing_and_cost_no_error() -> None:
    """A library may carry the decorators; the program decides whether anything is recorded."""

    @tracer.agent
    def work(x: int) -> int:
        tracer.progress("p")
        return x + 1

    with tracer.workflow("w") as span:
        assert work(1) == 2
        assert set(span.span_id) == {"0"}


def test_recordings_may_be_nested(recorder: Recorder) -> None:
    """The innermost recording takes the spans, and gives way again."""
    with recording() as inner, tracer.agent("inner"):
        pass
    with tracer.agent("outer"):
        pass
    assert ([s.name for s in inner.spans], [s.name for s in recorder.spans]) == (["inner"], ["outer"])


def test_partials_and_callables_can_be_decorated(recorder: Recorder) -> None:
    """Whatever can be called, also without a name of its own."""
    wrapped = tracer.tool("partial")(functools.partial(sync_search, limit=1))
    assert wrapped("q") == "q:1"
    assert recorder.one("partial").status == "unset"


def test_the_context_is_as_before_after_every_form(recorder: Recorder) -> None:
    """No span is left current, no token is left over."""
    before = otel_context.get_current()
    with tracer.workflow("w"):
        run(tracer.agent("a")(async_stream_search), "x")
        run(tracer.agent("b")(stream_search), "x")
    assert otel_context.get_current() == before
