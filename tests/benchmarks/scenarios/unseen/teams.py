"""Agents that wait, hand over, decide and fail together: ground stations, hotels, wind farms, law firms. Not to be tuned on."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage
from tests.benchmarks.scenarios.unseen.dialects import genai_agent, genai_chat, genai_tool, oi_agent, oi_llm

TEAMS = Catalogue()


# waiting


@TEAMS.fault("deadlock", "two ground stations each hold one lock and wait for the other's, by the names of the locks")
def crossed_locks(s: Stage) -> None:
    s.ended = "timed_out"

    def lane(me: str, mine: str, other: str, delay: float) -> None:
        with tracer.agent(me):
            s.go(delay)
            s.llm(s.fact())
            with s.key(), tracer.wait(other, holds=[mine], deadline_ns=s.clock.ns + 400 * 10**9) as waiting:
                s.note(waiting.span_id)
                s.go(400)
                waiting.timed_out()

    s.parallel(
        lambda: lane("Station Kiruna", "antenna lock", "schedule lock", 0.2),
        lambda: lane("Station Svalbard", "schedule lock", "antenna lock", 0.5),
    )


@TEAMS.fault(
    "deadlock", "review, legal and finance: one waits for both others, those for any of the rest", also=("orphan_task",)
)
def and_or_knot(s: Stage) -> None:
    s.ended = "failed"

    def lane(me: str, targets: tuple[str, ...], mode: str, delay: float) -> None:
        with s.agent(me):
            s.go(delay)
            with s.key():
                s.wait(*targets, mode=mode, seconds=300, outcome="cancelled")

    s.parallel(
        lambda: lane("Review", ("Legal", "Finance"), "all", 0.1),
        lambda: lane("Legal", ("Review", "Finance"), "any", 0.3),
        lambda: lane("Finance", ("Legal", "Review"), "any", 0.6),
    )


@TEAMS.fault(
    "deadlock", "four turbine crews in a ring, broken after minutes by a deadline", also=("orphan_task", "no_answer")
)
def ring_of_crews(s: Stage) -> None:
    crews = ("Crew North", "Crew East", "Crew South", "Crew West")

    def lane(place: int) -> None:
        with s.agent(crews[place]):
            s.go(0.1 + 0.2 * place)
            with s.key():
                length = 240 if place == 2 else 260
                s.wait(
                    crews[(place + 1) % 4],
                    seconds=length,
                    outcome="timed_out",
                    deadline_s=length,
                    holds=[f"crane {place}"],
                )

    s.parallel(*(lambda place=place: lane(place) for place in range(4)))


@TEAMS.healthy("lock after lock, each station waits for its turn")
def locks_in_turn(s: Stage) -> None:
    def first() -> None:
        with s.agent("Station Kiruna"):
            s.llm(s.fact(), seconds=10)
            s.tell("Station Svalbard", "antenna lock is free")

    def second() -> None:
        with s.agent("Station Svalbard"):
            s.wait("antenna lock", seconds=12, reason="lock", holds=["schedule lock"])
            s.llm(s.fact())

    s.parallel(first, second)


@TEAMS.healthy("three reviewers wait for one author, who delivers after a while")
def waiting_for_author(s: Stage) -> None:
    def author() -> None:
        with s.agent("Author"):
            for _ in range(3):
                s.llm(s.fact(), s.fact(), seconds=30)
            for number in range(3):
                s.tell(f"Reviewer {number}", s.fact())

    def reviewer(number: int) -> None:
        with s.agent(f"Reviewer {number}"):
            s.wait("Author", seconds=95, deadline_s=300)
            s.llm(s.fact())

    s.parallel(author, *(lambda number=number: reviewer(number) for number in range(3)))


@TEAMS.healthy("a waits for b, and when a has gone on, b waits for a")
def roles_swapped(s: Stage) -> None:
    with s.agent("Counsel"):
        s.tell("Paralegal", s.fact())
    with s.agent("Paralegal"):
        s.llm(s.fact())
        s.tell("Counsel", s.fact())
        s.wait("Counsel", seconds=8)
    with s.agent("Counsel"):
        s.wait("Paralegal", seconds=2)
        s.llm(s.fact())


@TEAMS.healthy("a partner of the firm approves after a weekend")
def partner_approves(s: Stage) -> None:
    with s.agent("Associate"):
        s.escalate("partner", "May we file?", seconds=180_000)
        s.llm(s.fact())


@TEAMS.fault("no_answer", "a weather service is asked with a deadline and says nothing", also=("orphan_task",))
def weather_silent(s: Stage) -> None:
    with tracer.agent("Wind planner"):
        s.tell("Weather service", "Gusts for tomorrow?")
        with s.key(), tracer.wait("Weather service", deadline_ns=s.clock.ns + 90 * 10**9) as waiting:
            s.note(waiting.span_id)
            s.go(90)
            waiting.timed_out()
        s.llm(s.fact())


@TEAMS.fault("no_answer", "a model call never comes back, the agent goes on without it", also=("data_quality",))
def lost_model_call(s: Stage) -> None:
    with s.agent("Concierge"):
        for _ in range(6):
            s.llm(s.fact(), s.fact())
        with s.key():
            s.hang(tracer.llm_call("gpt-4o", messages=[{"role": "user", "content": s.fact()}], provider="openai"))
        s.go(45)
        s.llm(s.fact(), s.fact())


@TEAMS.healthy("the answer comes in the last second")
def last_second(s: Stage) -> None:
    def asking() -> None:
        with s.agent("Wind planner"):
            s.tell("Weather service", s.fact())
            s.wait("Weather service", seconds=88, deadline_s=90)
            s.llm(s.fact())

    def service() -> None:
        with s.agent("Weather service"):
            s.tool("forecast", {"site": s.thing()}, s.fact(), seconds=80)
            s.tell("Wind planner", s.fact())

    s.parallel(asking, service)


# tasks


@TEAMS.fault("orphan_task", "a minibar check is handed to housekeeping, which is never heard of", also=("no_answer",))
def no_housekeeping(s: Stage) -> None:
    s.ended = "completed"
    with tracer.agent("Reception"):
        s.llm(s.fact(), s.fact())
        with s.key():
            s.handoff("Housekeeping", f"Check the minibar of room {s.rng.randrange(100, 900)}")
        s.llm(s.fact(), s.fact(), visible=True)


@TEAMS.fault("orphan_task", "a scout goes on for minutes after the lead that started it has returned")
def scout_left_running(s: Stage) -> None:
    with s.agent("Lead counsel", s.fact()):
        with s.key():
            rest = s.detached(tracer.agent("Scout"))
        s.llm(s.fact())

    def goes_on() -> None:
        for _ in range(5):
            s.go(20)
            s.tool("docket_search", {"case": s.thing()}, s.fact())
            s.llm(s.fact(), s.fact())

    with s.key():
        rest(goes_on)


@TEAMS.healthy("a worker hands its result back to the chief, and with that the run ends")
def handed_back(s: Stage) -> None:
    s.ended = "completed"
    with s.agent("Chief"):
        s.llm(s.fact())
        s.handoff("Drafter", f"Draft {s.thing()}", task_id="draft-1")
    with s.agent("Drafter"):
        s.llm(s.fact())
        s.handoff("Chief", f"Done: {s.fact()}", task_id="draft-1")


@TEAMS.healthy("at the end the matter is handed to a person")
def handed_to_person(s: Stage) -> None:
    s.ended = "escalated"
    with s.agent("Reception"):
        s.llm(s.fact())
        s.handoff("human", s.fact(), task_id="refund-4")


@TEAMS.healthy("helpers end with the agent that started them")
def helpers_end(s: Stage) -> None:
    with s.agent("Lead counsel", s.fact()):

        def helper(number: int) -> None:
            with s.agent(f"Scout {number}"):
                s.tool("docket_search", {"case": s.thing()}, s.fact())

        s.parallel(*(lambda number=number: helper(number) for number in range(3)))
        s.llm(s.fact())


# decisions


@TEAMS.fault(
    "conflicting_decisions", "two adjusters decide on one refund at once, approve and deny, and both write to the guest"
)
def refund_twice(s: Stage) -> None:
    def lane(me: str, choice: str, delay: float) -> None:
        with tracer.agent(me):
            s.go(delay)
            s.llm(s.fact())
            with s.key():
                s.note(
                    tracer.decision("refund booking 5512", choice=choice, options=("approve", "deny")).record().span_id
                )
            s.tell("guest", f"Your refund: {choice}")

    s.parallel(lambda: lane("Adjuster day", "approve", 0.1), lambda: lane("Adjuster night", "deny", 0.3))


@TEAMS.fault("conflicting_decisions", "two planners point one antenna at different satellites in the same pass")
def one_antenna(s: Stage) -> None:
    def lane(me: str, target: str, delay: float) -> None:
        with s.agent(me):
            s.go(delay)
            with s.key():
                s.decide("antenna 2, pass 0412", target, acted=True)
            s.tool("point_antenna", {"antenna": 2, "target": target}, "moving")

    s.parallel(lambda: lane("Planner A", "Sentinel-2", 0.2), lambda: lane("Planner B", "Landsat-9", 0.6))


@TEAMS.healthy("planners decide on antennas of their own")
def own_antennas(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Planner {number}"):
            s.go(s.rng.random())
            s.decide(f"antenna {number}, pass 0412", s.thing(), acted=True)

    s.parallel(*(lambda number=number: lane(number) for number in range(3)))


@TEAMS.healthy("a night adjuster overrules the day's decision after having read it")
def overruled(s: Stage) -> None:
    with s.agent("Adjuster day"):
        s.decide("refund booking 5512", "deny", acted=True)
        s.handoff("Adjuster night", "Refund of 5512 was denied, please look again.")
    with s.agent("Adjuster night"):
        s.llm(s.fact(), "Refund of 5512 was denied, please look again.")
        s.decide("refund booking 5512", "approve", acted=True)


@TEAMS.healthy("five models vote on the label of a picture")
def labels_voted(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Labeller {number}"):
            s.llm(s.fact())
            s.decide("label of picture 9", s.rng.choice(("turbine", "mast")), mode="vote")

    s.parallel(*(lambda number=number: lane(number) for number in range(5)))


# failures and structure


@TEAMS.fault(
    "error_cascade",
    "a telemetry gap, and then decoder, orbit and pointing fail, one because of the other",
    also=("retry_storm", "loop"),
)
def telemetry_gap(s: Stage) -> None:
    s.ended = "failed"
    chain = (
        ("Receiver", "FrameLoss: 212 frames missing"),
        ("Decoder", "ValueError: frame counter jumps"),
        ("Orbit", "KeyError: no state vector"),
        ("Pointing", "TypeError: elevation is None"),
    )
    for place, (name, error) in enumerate(chain):
        with s.key(), s.agent(name) as span:
            s.llm(s.fact())
            s.tool(f"run_{name.lower()}", {"pass": 412}, error=error)
            if place + 1 < len(chain):
                s.tell(chain[place + 1][0], "Here is what I have, it may be incomplete.")
            span.fail(error)


@TEAMS.healthy("a receiver loses frames, asks a second station, and all goes well")
def second_station(s: Stage) -> None:
    with s.agent("Receiver"):
        failed = s.tool("receive", {"pass": 412}, error="FrameLoss: 212 frames missing")
        s.tool("receive_from", {"station": "Inuvik", "pass": 412}, s.fact(), fallback_of=failed)
    with s.agent("Decoder"):
        s.llm(s.fact())


@TEAMS.healthy("one of five crews fails, the others and the run go on")
def one_crew_fails(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Crew {number}") as span:
            s.tool("inspect_blade", {"turbine": s.thing()}, s.fact())
            if number == 3:
                s.tool("inspect_blade", {"turbine": s.thing()}, error="Grounded: wind over 14 m/s")
                span.fail("Grounded: wind over 14 m/s")

    s.parallel(*(lambda number=number: lane(number) for number in range(5)))
    with s.agent("Dispatcher"):
        s.llm(s.fact())


@TEAMS.fault(
    "runaway_fanout", "every researcher starts three more, four levels deep", also=("hidden_calls", "serial_bottleneck")
)
def researchers_multiply(s: Stage) -> None:
    def grow(depth: int) -> None:
        with s.agent("researcher", f"Look into {s.thing()}"):
            s.llm(s.fact(), s.fact())
            if depth:
                s.parallel(*(lambda: grow(depth - 1) for _ in range(3)))

    with s.key():
        grow(4)


@TEAMS.healthy("a chapter a writer, as planned, eighteen of them")
def chapters(s: Stage) -> None:
    titles = [s.thing() for _ in range(18)]
    with s.agent("Editor"):
        s.llm("\n".join(f"{n + 1}. {title}" for n, title in enumerate(titles)), "Plan the book.", purpose="plan")
        s.parallel(*(lambda title=title: _chapter(s, title) for title in titles))


def _chapter(s: Stage, title: str) -> None:
    with s.agent("Writer", title, task_id=title):
        s.llm(s.fact(), title)


@TEAMS.fault(
    "serial_bottleneck", "a manager thinks for long before each of eight crews, one at a time", also=("hidden_calls",)
)
def manager_first(s: Stage) -> None:
    with s.key(), s.agent("Site manager"):
        for number in range(8):
            s.llm(f"Crew {number} next", s.fact(), seconds=25, purpose="route")
            with s.agent(f"Crew {number}", s.thing()):
                s.tool("inspect_blade", {"turbine": s.thing()}, s.fact(), seconds=8)


@TEAMS.healthy("crews inspect at once while the manager does other things")
def manager_beside(s: Stage) -> None:
    def crew(number: int) -> None:
        with s.agent(f"Crew {number}", s.thing()):
            for _ in range(3):
                s.tool("inspect_blade", {"turbine": s.thing()}, s.fact(), seconds=20)

    with s.agent("Site manager"):
        s.llm(s.fact())
        s.parallel(*(lambda number=number: crew(number) for number in range(5)))
        s.llm(s.fact())


@TEAMS.fault("guard_trip", "a step limit stops a crawl that has delivered nothing")
def crawl_stopped(s: Stage) -> None:
    s.ended = "stopped_by_guard"
    with s.agent("Crawler"):
        for _ in range(4):
            s.tool("crawl", {"page": s.thing()}, s.fact())
        with s.key():
            s.go(0.01)
            trip = tracer.guard_trip(
                "steps", level="stop", limit=40, spent=41, unit="steps", reason="step limit"
            ).record()
            s.note(trip.span_id)


@TEAMS.healthy("a guard warns of the cost, and the work is done within it", also=("guard_trip",))
def guard_warned(s: Stage) -> None:
    s.ended = "completed"
    with s.agent("Crawler"):
        s.llm(s.fact())
        tracer.guard_trip("budget", level="warn", limit=5.0, spent=4.1, unit="usd").record()
        s.llm(s.fact())


@TEAMS.healthy("an ordinary team in the GenAI conventions: lead, two workers, an answer")
def ordinary_genai(s: Stage) -> None:
    with genai_agent(s, "lead"):
        genai_chat(s, s.fact(), s.fact())
        for name in ("drafter", "proofreader"):
            with genai_agent(s, name):
                genai_tool(s, "open_document", {"name": s.thing()}, s.fact())
                genai_chat(s, s.fact(), s.fact())
        genai_chat(s, s.fact(), s.fact())


@TEAMS.healthy("an ordinary group chat in OpenInference spans")
def ordinary_openinference(s: Stage) -> None:
    history: list[tuple[str, str]] = [("user", s.fact())]
    for name in ("Pilot", "Engineer", "Dispatcher", "Pilot", "Engineer"):
        with oi_agent(s, name):
            said = s.fact()
            oi_llm(s, history, said)
            history.append(("assistant", said))
