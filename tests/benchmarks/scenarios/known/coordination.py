"""Agents that wait, hand over, decide and fail together: theatre, airport, newsroom, court. Once unseen, read since."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage

COORDINATION = Catalogue()

NOT_MINE = Phrase(
    "[Not for me|This belongs to you|Wrong desk], [please take it|take it back|it is yours].",
    (
        "You had this first, so keep it.",
        "I hand it back unread.",
        "This is clearly in your field.",
        "Kindly deal with it yourself.",
    ),
    ("Das gehört zu euch.", "Bitte wieder übernehmen.", "Falsche Stelle, zurück."),
)


@COORDINATION.fault(
    "ping_pong", "culture desk and politics desk push one article to each other without touching it", also=("loop",)
)
def pushed_article(s: Stage) -> None:
    for _ in range(s.times(4)):
        s.again()
        with s.key(), s.agent("Culture desk", task_id="article-9"):
            s.handoff("Politics desk", s.phrase(NOT_MINE), task_id="article-9")
        with s.key(), s.agent("Politics desk", task_id="article-9"):
            s.handoff("Culture desk", s.phrase(NOT_MINE), task_id="article-9")


@COORDINATION.fault(
    "ping_pong", "two clerks of a court bounce a motion, with a model call at each side", also=("loop",)
)
def bounced_motion(s: Stage) -> None:
    for _ in range(s.times(4)):
        s.again()
        with s.key(), s.agent("Registry"):
            s.llm(s.phrase(NOT_MINE), "A motion has come in.")
            s.handoff("Chambers", s.phrase(NOT_MINE), task_id="motion-3")
        with s.key(), s.agent("Chambers"):
            s.llm(s.phrase(NOT_MINE), "A motion has come in.")
            s.handoff("Registry", s.phrase(NOT_MINE), task_id="motion-3")


@COORDINATION.healthy("a contract goes to and fro, and each side adds a clause")
def contract_rounds(s: Stage) -> None:
    text = ""
    for number in range(1, s.times(4)):
        for here, there in (("Tenant's lawyer", "Landlord's lawyer"), ("Landlord's lawyer", "Tenant's lawyer")):
            with s.agent(here, task_id="lease"):
                before, text = text, f"{text} {s.fact()}"
                s.tool("insert_clause", {"clause": s.thing(), "text": s.fact()}, "inserted")
                s.write("lease", before, text, version=2 * number + (here < there))
                s.handoff(there, f"Please look at {s.thing()}", task_id="lease")
    with s.agent("Tenant's lawyer", task_id="lease"):
        s.tool("sign", {"contract": "lease"}, "signed")


@COORDINATION.healthy("a receptionist returns to the concierge with each new guest")
def new_guest_each_time(s: Stage) -> None:
    for _ in range(s.times(5)):
        guest = s.thing()
        with s.agent("Receptionist", task_id=guest):
            s.llm(f"{guest} has checked in. {s.fact()}", f"Guest {guest}")
            s.handoff("Concierge", f"Luggage of {guest}", task_id=guest)
        with s.agent("Concierge", task_id=guest):
            s.tool("carry", {"guest": guest}, "done")
            s.handoff("Receptionist", f"{guest} is in the room", task_id=guest)
    with s.agent("Receptionist"):
        s.llm(s.fact(), "Close the day.")


# waiting


@COORDINATION.fault("deadlock", "light and sound wait for each other's cue until the rehearsal is broken off")
def two_cues(s: Stage) -> None:
    s.ended = "failed"

    def lane(me: str, other: str, delay: float) -> None:
        with s.agent(me, task=s.fact()):
            s.go(delay)
            s.llm(s.fact())
            with s.key():
                s.wait(other, seconds=600, outcome="cancelled", holds=[f"desk of {me}"])

    s.parallel(lambda: lane("Light", "Sound", 0.1), lambda: lane("Sound", "Light", 0.6))


@COORDINATION.fault("deadlock", "three airport services each hold what the next one needs", also=("orphan_task",))
def apron(s: Stage) -> None:
    s.ended = "timed_out"

    def lane(me: str, other: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            with s.key():
                s.wait(
                    other, seconds=900, outcome="timed_out", deadline_s=900, reason="peer", holds=[f"stand slot {me}"]
                )

    s.parallel(
        *(
            lambda me=me, other=other: lane(me, other)
            for me, other in (("Tug", "Fuel"), ("Fuel", "Catering"), ("Catering", "Tug"))
        )
    )


@COORDINATION.fault(
    "deadlock",
    "four newsroom agents each wait for any of two others, none of them can go on",
    also=("orphan_task", "data_quality"),
)
def knot(s: Stage) -> None:
    s.ended = "failed"
    waits = {
        "Photo": ("Layout", "Print"),
        "Layout": ("Photo", "Text"),
        "Text": ("Print", "Photo"),
        "Print": ("Text", "Layout"),
    }

    def lane(me: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            with s.key():
                s.wait(*waits[me], mode="any", seconds=500, outcome="cancelled")

    s.parallel(*(lambda me=me: lane(me) for me in waits))


@COORDINATION.healthy("each waits for the next in a chain, the last one works for minutes and delivers")
def chain_of_waits(s: Stage) -> None:
    def waiting(me: str, other: str, seconds: float) -> None:
        with s.agent(me):
            s.wait(other, seconds=seconds)
            s.llm(s.fact())

    def working() -> None:
        with s.agent("Stage carpenter"):
            s.tool("build", {"set": s.thing()}, "built", seconds=240)
            s.tell("Painter", s.fact())

    s.parallel(lambda: waiting("Director", "Painter", 290), lambda: waiting("Painter", "Stage carpenter", 260), working)


@COORDINATION.healthy("A waits for any of B and C; C waits for A, B works and answers")
def any_of_two(s: Stage) -> None:
    def judge() -> None:
        with s.agent("Judge"):
            s.wait("Expert", "Usher", mode="any", seconds=40)
            s.tell("Usher", s.fact())

    def usher() -> None:
        with s.agent("Usher"):
            s.wait("Judge", seconds=45)

    def expert() -> None:
        with s.agent("Expert"):
            s.llm(s.fact(), seconds=38)
            s.tell("Judge", s.fact())

    s.parallel(judge, usher, expert)


@COORDINATION.healthy("two agents wait for each other one after the other, never at once")
def mutual_but_in_turn(s: Stage) -> None:
    def pilot() -> None:
        with s.agent("Pilot"):
            s.wait("Tower", seconds=5)
            s.llm(s.fact())
            s.tell("Tower", s.fact())

    def tower() -> None:
        with s.agent("Tower"):
            s.go(4)
            s.tell("Pilot", s.fact())
            s.go(3)
            s.wait("Pilot", seconds=4)

    s.parallel(pilot, tower)


@COORDINATION.healthy("a judge takes a day to sign; that is a person's time")
def slow_person(s: Stage) -> None:
    with s.agent("Court clerk"):
        s.escalate("judge", "Please sign.", seconds=86_000)
        s.wait("judge", seconds=30, reason="human")
        s.llm(s.fact())


@COORDINATION.fault("no_answer", "the tower is asked for a slot and never says a word", also=("orphan_task",))
def silent_tower(s: Stage) -> None:
    def asking() -> None:
        with s.agent("Dispatcher"):
            s.tell("Tower", "Which slot do we get?")
            with s.key():
                s.wait("Tower", seconds=120, outcome="timed_out", deadline_s=120)
            s.llm(s.fact())

    def tower() -> None:
        with s.agent("Tower"):
            s.llm(s.fact())

    s.parallel(asking, tower)


@COORDINATION.fault("no_answer", "a translation call hangs for good", also=("orphan_task", "data_quality"))
def hanging_call(s: Stage) -> None:
    def inside() -> None:
        for _ in range(24):
            s.tool("translate", {"sentence": s.fact()}, s.fact(), seconds=1.0)
        with s.key():
            s.hang(tracer.tool("translate", arguments={"sentence": s.fact()}))
        s.go(3)

    with s.agent("Interpreter"):
        inside()


@COORDINATION.healthy("the answer comes late, but before the deadline")
def late_answer(s: Stage) -> None:
    def asking() -> None:
        with s.agent("Reporter"):
            s.tell("Archive", s.fact())
            s.wait("Archive", seconds=110, deadline_s=120)
            s.llm(s.fact())

    def archive() -> None:
        with s.agent("Archive"):
            s.tool("search_boxes", {"year": 1974}, s.fact(), seconds=105)
            s.tell("Reporter", s.fact())

    s.parallel(asking, archive)


@COORDINATION.fault("orphan_task", "a chief reporter is done, the freelancer goes on calling models for nobody")
def left_behind(s: Stage) -> None:
    with s.agent("Chief reporter", s.fact()):
        s.go(0.5)
        with s.key():
            rest = s.detached(tracer.agent("Freelancer", input=s.fact()))
        s.llm(s.fact())

    def goes_on() -> None:
        for _ in range(4):
            s.go(15)
            s.llm(s.fact())

    with s.key():
        rest(goes_on)


@COORDINATION.fault(
    "orphan_task", "a set is ordered from the workshop, which never takes the job up", also=("no_answer",)
)
def nobody_takes_it(s: Stage) -> None:
    s.ended = "completed"
    with s.agent("Stage manager"):
        s.llm(s.fact())
        with s.key():
            s.handoff("Workshop", f"Build {s.thing()}", task_id="set-8")
    with s.agent("Actor"):
        s.llm(s.fact())


@COORDINATION.healthy("a log writer finishes half a second after the agent that started it")
def slightly_late_child(s: Stage) -> None:
    with s.agent("Chief reporter", s.fact()):
        s.go(0.5)
        rest = s.detached(tracer.agent("Log writer"))
        s.llm(s.fact())
    rest(lambda: s.go(0.3))


# decisions


@COORDINATION.fault("conflicting_decisions", "two directors cast one role at the same moment, both contracts are sent")
def one_role_two_actors(s: Stage) -> None:
    def lane(me: str, actor: str, delay: float) -> None:
        with s.agent(me):
            s.go(delay)
            s.llm(s.fact())
            with s.key():
                s.decide("role:Hamlet", actor, acted=True)
            s.tool("send_contract", {"to": actor}, "sent")

    s.parallel(lambda: lane("Casting north", "Berglund", 0.1), lambda: lane("Casting south", "Okafor", 0.4))


@COORDINATION.fault("conflicting_decisions", "gate 4 and gate 11 for one flight, from two planners")
def two_gates(s: Stage) -> None:
    def lane(me: str, gate: str, delay: float) -> None:
        with s.agent(me):
            s.go(delay)
            with s.key():
                s.decide("flight LX-22 gate", gate, acted=True, options=("gate 4", "gate 11"))
            s.tool("display", {"flight": "LX-22", "gate": gate}, "shown")

    s.parallel(lambda: lane("Planner east", "gate 4", 0.2), lambda: lane("Planner west", "gate 11", 0.25))


@COORDINATION.healthy("a planner changes a gate after having been told why")
def revised_gate(s: Stage) -> None:
    with s.agent("Planner east"):
        s.decide("flight LX-22 gate", "gate 4", acted=True)
        s.tell("Planner west", "LX-22 stands at gate 4, please check.")
    with s.agent("Planner west"):
        s.llm(s.fact(), "LX-22 stands at gate 4, please check.")
        s.decide("flight LX-22 gate", "gate 11", acted=True)


@COORDINATION.healthy("jurors vote, in different ways, as they should")
def jury(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Juror {number}"):
            s.llm(s.fact())
            s.decide("verdict", s.rng.choice(("guilty", "not guilty")), mode="vote")

    s.parallel(*(lambda number=number: lane(number) for number in range(6)))


@COORDINATION.healthy("two planners choose the same gate at once")
def same_gate(s: Stage) -> None:
    def lane(me: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            s.decide("flight LX-30 gate", "gate 7", acted=True)

    s.parallel(lambda: lane("Planner east"), lambda: lane("Planner west"))


# errors, many agents, one agent


@COORDINATION.fault(
    "error_cascade", "the weather feed fails, four services fail after it", also=("retry_storm", "loop")
)
def weather_down(s: Stage) -> None:
    s.ended = "failed"
    chain = (("Weather", "FeedDown: 503 from station"), ("Routing", "NoWind: no wind data"), ("Fuel planning", "NoRoute: route is empty"),
             ("Load control", "NoFuel: fuel figure missing"))  # fmt: skip
    for name, error in chain:
        with s.key(), s.agent(name) as span:
            s.tool(f"compute_{name.lower().replace(' ', '_')}", {"flight": "LX-22"}, error=error)
            span.fail(error)


@COORDINATION.healthy("one feed fails, a second one answers, everything goes on")
def second_feed(s: Stage) -> None:
    with s.agent("Weather"):
        first = s.tool("station_feed", {"id": 7}, error="FeedDown: 503")
        s.tool("satellite_feed", {"id": 7}, s.fact(), fallback_of=first)
    for name in ("Routing", "Fuel planning"):
        with s.agent(name):
            s.llm(s.fact())


@COORDINATION.healthy("two tools fail in two agents, both agents cope")
def two_small_errors(s: Stage) -> None:
    for name in ("Weather", "Catering"):
        with s.agent(name):
            s.tool("query", {"x": s.thing()}, error=f"NotFound: {s.thing()}")
            s.tool("query", {"x": s.thing()}, s.fact())
            s.llm(s.fact())


@COORDINATION.fault(
    "runaway_fanout", "every stagehand calls two more stagehands", also=("serial_bottleneck", "hidden_calls")
)
def stagehands(s: Stage) -> None:
    count = 0

    def grow(depth: int) -> None:
        nonlocal count
        count += 1
        with s.agent(f"Stagehand {count}", f"Move {s.thing()}"):
            s.llm(s.fact(), tokens=(180, 40))
            if depth:
                s.parallel(lambda: grow(depth - 1), lambda: grow(depth - 1))

    with s.key():
        grow(7)


@COORDINATION.fault(
    "runaway_fanout", "one clerk opens a hundred and fifty agents for one question", also=("hidden_calls",)
)
def hundreds_at_once(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Helper {number}", "Look into the question."):
            s.llm(s.fact(), seconds=20, tokens=(200, 40))

    with s.key(), s.agent("Registrar", "Is the file complete?"):
        s.llm(s.fact())
        s.parallel(*(lambda number=number: lane(number) for number in range(150)))


@COORDINATION.healthy("a plan says twelve extras, and there are twelve")
def planned_extras(s: Stage) -> None:
    extras = [s.thing() for _ in range(12)]

    def lane(name: str) -> None:
        with s.agent("Costume", name, task_id=name):
            s.llm(f"{name}: {s.fact()}", name)

    with s.agent("Wardrobe master"):
        s.llm(f"Twelve costumes: {', '.join(extras)}", "Plan the costumes.", purpose="plan")
        for name in extras:
            s.handoff("Costume", name, task_id=name)
        s.parallel(*(lambda name=name: lane(name) for name in extras))


@COORDINATION.healthy("three levels of teams, two members each")
def small_tree(s: Stage) -> None:
    def grow(depth: int, name: str) -> None:
        with s.agent(name, s.fact()):
            s.llm(s.fact())
            if depth:
                s.parallel(lambda: grow(depth - 1, f"{name}a"), lambda: grow(depth - 1, f"{name}b"))

    grow(2, "Team")


@COORDINATION.fault(
    "serial_bottleneck", "the stage manager approves every move, six crews stand by meanwhile", also=("hidden_calls",)
)
def everything_over_one_desk(s: Stage) -> None:
    crews = [f"Crew {letter}" for letter in "ABCDEF"]
    with s.key(), s.agent("Stage manager"):
        for _ in range(4):
            for crew in crews:
                s.llm(f"{crew} may move {s.thing()}.", f"{crew} asks", seconds=8, purpose="route")
                with s.agent(crew):
                    s.tool("move", {"piece": s.thing()}, "moved", seconds=1.0)


@COORDINATION.healthy("six crews work at once, the manager starts and collects")
def crews_at_once(s: Stage) -> None:
    def lane(crew: str) -> None:
        with s.agent(crew, s.fact()):
            for _ in range(4):
                s.tool("move", {"piece": s.thing()}, "moved", seconds=9)

    with s.agent("Stage manager"):
        s.llm(s.fact())
        s.parallel(
            *(lambda crew=crew: lane(crew) for crew in ("Crew A", "Crew B", "Crew C", "Crew D", "Crew E", "Crew F"))
        )
        s.llm(s.fact())


@COORDINATION.fault("guard_trip", "the budget of the rehearsal is used up, nothing was handed in")
def budget_gone(s: Stage) -> None:
    s.ended = "stopped_by_guard"
    with s.agent("Composer"):
        for _ in range(5):
            s.llm(s.fact())
        with s.key():
            s.go(0.01)
            span = tracer.guard_trip(
                "budget", level="stop", limit=2.0, spent=2.31, unit="usd", reason="budget used up"
            ).record()
            s.keys.append(span.span_id)


@COORDINATION.healthy("the budget warns at three quarters and the run ends well", also=("guard_trip",))
def budget_warned(s: Stage) -> None:
    s.ended = "completed"
    with s.agent("Composer"):
        s.llm(s.fact())
        tracer.guard_trip("budget", level="warn", limit=2.0, spent=1.52, unit="usd").record()
        s.llm(s.fact())
