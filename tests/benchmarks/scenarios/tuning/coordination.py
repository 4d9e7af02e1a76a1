"""Agents that wait, hand over, decide and fail together: offices, warehouses. Detectors may be tuned on these."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage

COORDINATION = Catalogue()


@COORDINATION.fault("ping_pong", "sales and legal hand one contract to each other", also=("loop",))
def contract_bounce(s: Stage) -> None:
    for _ in range(s.times(4)):
        for here, there in (("Sales", "Legal"), ("Legal", "Sales")):
            with s.key(), s.agent(here, task_id="contract"):
                s.llm("Not mine.", "Contract 17")
                s.handoff(there, "Please take over contract 17", task_id="contract")


@COORDINATION.healthy("draft and review, the draft changes")
def draft_review(s: Stage) -> None:
    text = ""
    for version in range(1, 5):
        with s.agent("Author", task_id="draft"):
            before, text = text, f"{text} {s.fact()}"
            s.llm(text, s.fact())
            s.write("draft", before, text, version)
            s.handoff("Reviewer", f"Version {version}: {s.fact()}", task_id="draft")
        with s.agent("Reviewer", task_id="draft"):
            s.llm(s.fact(), text)
            s.handoff("Author", s.fact(), task_id="draft")
    with s.agent("Author", task_id="draft"):
        s.llm(s.fact(), "Approved.", visible=True)


@COORDINATION.fault("deadlock", "two agents wait for each other")
def two_wait(s: Stage) -> None:
    s.ended = "timed_out"

    def lane(me: str, other: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            s.llm(s.fact())
            with s.key():
                s.wait(other, seconds=300, outcome="timed_out", deadline_s=300)

    s.parallel(lambda: lane("Buyer", "Seller"), lambda: lane("Seller", "Buyer"))


@COORDINATION.fault("deadlock", "five agents in a ring of waits")
def ring(s: Stage) -> None:
    s.ended = "failed"
    names = [f"Node {n}" for n in range(5)]

    def lane(me: str, other: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            with s.key():
                s.wait(other, seconds=300, outcome="cancelled", holds=[f"lock {me}"])

    s.parallel(*(lambda a=a, b=b: lane(a, b) for a, b in zip(names, (*names[1:], names[0]), strict=True)))


@COORDINATION.healthy("a chain of waits that the last one resolves")
def chain(s: Stage) -> None:
    def lane(me: str, other: str, seconds: float) -> None:
        with s.agent(me):
            s.wait(other, seconds=seconds)
            s.llm(s.fact())

    def last() -> None:
        with s.agent("C"):
            s.llm(s.fact(), seconds=20)
            s.tell("B", s.fact())

    s.parallel(lambda: lane("A", "B", 30), lambda: lane("B", "C", 22), last)


@COORDINATION.healthy("an agent waits two hours for a person")
def person(s: Stage) -> None:
    with s.agent("Clerk"):
        s.escalate("manager", "May I?", seconds=7_200)
        s.llm(s.fact())


@COORDINATION.fault("no_answer", "the archive never answers")
def archive_silent(s: Stage) -> None:
    def clerk() -> None:
        with s.agent("Clerk"):
            s.tell("Archive", s.fact())
            with s.key():
                s.wait("Archive", seconds=60, outcome="timed_out", deadline_s=60)

    def archive() -> None:
        with s.agent("Archive"):
            s.llm(s.fact())

    s.parallel(clerk, archive)


@COORDINATION.healthy("an answer arrives in time")
def archive_answers(s: Stage) -> None:
    def clerk() -> None:
        with s.agent("Clerk"):
            s.tell("Archive", s.fact())
            s.wait("Archive", seconds=40, deadline_s=60)

    def archive() -> None:
        with s.agent("Archive"):
            s.llm(s.fact(), seconds=38)
            s.tell("Clerk", s.fact())

    s.parallel(clerk, archive)


@COORDINATION.fault("orphan_task", "a worker calls models long after its planner ended")
def worker_left(s: Stage) -> None:
    with s.agent("Planner"):
        s.llm(s.fact())
        with s.key():
            rest = s.detached(tracer.agent("Worker", input=s.fact()))
        s.go(1)

    def goes_on() -> None:
        for _ in range(3):
            s.go(10)
            s.llm(s.fact())

    with s.key():
        rest(goes_on)


@COORDINATION.fault("orphan_task", "an audit is handed over and never begun", also=("no_answer",))
def audit_lost(s: Stage) -> None:
    s.ended = "completed"
    with s.agent("Planner"):
        s.llm(s.fact())
        with s.key():
            s.handoff("Auditor", "Audit the ledger", task_id="audit-1")
    with s.agent("Writer"):
        s.llm(s.fact())


@COORDINATION.healthy("every handoff is taken up")
def taken_up(s: Stage) -> None:
    s.ended = "completed"
    for number in range(4):
        with s.agent("Planner"):
            s.handoff("Auditor", s.fact(), task_id=f"t{number}")
        with s.agent("Auditor", task_id=f"t{number}"):
            s.llm(s.fact())


@COORDINATION.fault("conflicting_decisions", "two desks choose two carriers for one order")
def two_carriers(s: Stage) -> None:
    def lane(me: str, carrier: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            with s.key():
                s.decide("order-4711:carrier", carrier, acted=True)
            s.tool("book", {"carrier": carrier}, "booked")

    s.parallel(lambda: lane("West desk", "Petrel Air"), lambda: lane("East desk", "Halden Rail"))


@COORDINATION.healthy("a vote")
def vote(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Voter {number}"):
            s.decide("best title", f"title {number % 2}", mode="vote")

    s.parallel(*(lambda number=number: lane(number) for number in range(5)))


@COORDINATION.healthy("a later decision that knew the earlier one")
def revised(s: Stage) -> None:
    with s.agent("Desk"):
        s.decide("carrier", "Petrel Air", acted=True)
        s.handoff("Head", "Please confirm Petrel Air")
    with s.agent("Head"):
        s.decide("carrier", "Halden Rail", acted=True)


@COORDINATION.fault("error_cascade", "the loader fails, parser and reporter after it", also=("loop", "retry_storm"))
def loader_fails(s: Stage) -> None:
    s.ended = "failed"
    for name, error in (
        ("Loader", "Unavailable: 503"),
        ("Parser", "NoInput: nothing to parse"),
        ("Reporter", "Empty: nothing to report"),
    ):
        with s.key(), s.agent(name) as span:
            s.tool(f"do_{name.lower()}", {}, error=error)
            span.fail(error)


@COORDINATION.healthy("one agent fails, another takes its place")
def fallback(s: Stage) -> None:
    with s.agent("Loader") as span:
        s.tool("load", {}, error="Unavailable: 503")
        span.fail("Unavailable: 503")
    with s.agent("Mirror loader", fallback_of=span):
        s.tool("load_mirror", {}, s.fact())
        s.llm(s.fact())


@COORDINATION.fault("runaway_fanout", "every agent starts three more", also=("hidden_calls", "serial_bottleneck"))
def three_each(s: Stage) -> None:
    count = 0

    def grow(depth: int) -> None:
        nonlocal count
        count += 1
        with s.agent(f"Sub {count}", s.fact()):
            s.llm(s.fact(), tokens=(150, 30))
            if depth:
                s.parallel(*(lambda: grow(depth - 1) for _ in range(3)))

    with s.key():
        grow(5)


@COORDINATION.healthy("a planned map over twenty documents")
def planned_map(s: Stage) -> None:
    docs = [s.thing() for _ in range(20)]
    with s.agent("Planner"):
        s.llm(f"20 documents: {', '.join(docs)}", purpose="plan")
        s.parallel(*(lambda doc=doc: _read(s, doc) for doc in docs))


def _read(s: Stage, doc: str) -> None:
    with s.agent("Reader", doc, task_id=doc):
        s.llm(f"{doc}: {s.fact()}", doc)


@COORDINATION.fault(
    "serial_bottleneck", "a manager does everything between the steps of idle workers", also=("hidden_calls",)
)
def manager_in_between(s: Stage) -> None:
    with s.key(), s.agent("Manager"):
        for _ in range(6):
            for worker in ("W1", "W2", "W3", "W4"):
                s.llm(f"{worker}: {s.fact()}", s.fact(), seconds=6, purpose="route")
                with s.agent(worker):
                    s.tool("step", {"n": s.thing()}, s.fact(), seconds=0.8)


@COORDINATION.healthy("workers side by side")
def side_by_side(s: Stage) -> None:
    def lane(name: str) -> None:
        with s.agent(name):
            for _ in range(5):
                s.tool("step", {"n": s.thing()}, s.fact(), seconds=5)

    with s.agent("Manager"):
        s.llm(s.fact(), purpose="plan")
        s.parallel(*(lambda name=name: lane(name) for name in ("W1", "W2", "W3", "W4")))


@COORDINATION.fault("guard_trip", "an iteration limit stops the run")
def stopped(s: Stage) -> None:
    s.ended = "stopped_by_guard"
    with s.agent("Author"):
        for _ in range(3):
            s.llm(s.fact())
        span = tracer.guard_trip("iterations", level="stop", limit=3, spent=3, unit="iterations").record()
        with s.key():
            s.keys.append(span.span_id)
