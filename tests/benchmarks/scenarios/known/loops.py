"""Loops, and repetition that is none: town hall, library, hospital, harbour, film set. Once unseen, read since."""

from __future__ import annotations

import json

from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage

LOOPS = Catalogue()

INCOMPLETE = Phrase(
    "[The application|This application|The form|The file] [is incomplete|is not complete|lacks the site plan|cannot be accepted] "
    "[and goes back to|so I return it to|, returning it to] the counter [for completion|to be completed|until the plan is attached].",
    (
        "Without a drawing of the plot we are not allowed to stamp this.",
        "Please have the counter add the missing plan, then send it over once more.",
        "I see no plan of the site among the papers, back it goes.",
        "Our rules say no decision before the drawing is there.",
        "This cannot proceed as it stands; the front desk must complete it.",
        "Papers not in order, the plot drawing is absent again.",
        "Kindly complete before passing it on to the building office.",
    ),
    (
        "Der Antrag ist unvollständig, der Lageplan fehlt, bitte zurück an den Schalter.",
        "Ohne Lageplan können wir nichts entscheiden, wir geben die Akte zurück.",
        "Es fehlt weiterhin der Plan des Grundstücks, bitte ergänzen lassen.",
        "So nicht bearbeitbar; der Schalter möge den Lageplan nachreichen.",
        "Die Unterlagen sind nicht vollständig, Rückgabe an die Annahme.",
    ),
)
COMPLETE = Phrase(
    "[All papers|The papers|The documents] [that the applicant gave|we received|on hand] [are in the folder|are attached|are included]; "
    "[the building office|your office|the technical desk] [has to decide|must decide|should go on] [now|from here|please].",
    (
        "We handed over everything the citizen brought, more there is not.",
        "Nothing further can be added at the counter, it is up to the technicians.",
        "From our side the folder is done, your turn.",
        "The applicant has no other documents, please process.",
        "We forward it unchanged; a decision is not ours to make.",
        "Everything we have is in there, kindly proceed.",
    ),
    (
        "Alle Unterlagen des Bürgers liegen bei, bitte entscheiden Sie.",
        "Mehr können wir am Schalter nicht ergänzen, die Technik ist am Zug.",
        "Die Akte ist von unserer Seite fertig, wir leiten sie weiter.",
        "Weitere Papiere gibt es nicht, wir bitten um Bearbeitung.",
    ),
)
CANNOT = Phrase(
    "[I am afraid|Sorry,|Unfortunately] [this is outside my remit|I have no access to the crane schedule|that is not something I can see]"
    "[.|, ask someone else.|; another desk may help.]",
    (
        "Not my department, the crane times are kept elsewhere.",
        "I would need rights to the berth calendar and do not have them.",
        "No idea, that calendar is closed to me.",
        "Somebody else should look, I cannot open the schedule.",
        "Access denied on my side, try a colleague.",
    ),
    (
        "Lo siento, no tengo acceso al calendario de grúas.",
        "Eso no es de mi competencia, pregunte a otro compañero.",
        "No puedo abrir el plan de muelles desde aquí.",
        "Desconozco los turnos de las grúas, consulte a otra persona.",
    ),
)
WHICH_CRANE = Phrase(
    "[Find out|Please find out|Determine|Tell me] [which crane is free|what crane can be used|which of the cranes is available] "
    "for [the vessel|the ship] at [the east quay|the eastern quay].",
    (
        "We need a crane for the vessel lying in the east, who can name one?",
        "Look up a crane that is not taken for the ship on the eastern side.",
        "Is any crane idle for unloading at the east quay? Check.",
        "The ship in the east waits for a crane, please assign one that is free.",
    ),
    (
        "Averigua qué grúa está libre para el buque del muelle este.",
        "Busca una grúa disponible para el barco en el muelle oriental.",
        "¿Qué grúa puede usarse en el muelle este? Compruébalo.",
    ),
)
PLAN = Phrase(
    "[First|To begin|Step one:] [I should think|let me think|I will reflect] about [how to schedule the shoot|the order of the scenes|the shooting plan]"
    "[, then decide|, after that decide|, and only then decide] [where to start|what comes first|on a beginning].",
    (
        "Before anything else the sequence of scenes needs some thought.",
        "A good shooting plan begins with considering the order, so let us consider it.",
        "Let me reflect once more on which scene could be first.",
        "Thinking about the schedule: one has to settle the order before starting.",
        "It would be wise to ponder the order of scenes before committing.",
    ),
    (
        "Réfléchissons d'abord à l'ordre des scènes avant de commencer.",
        "Il faut penser au plan de tournage, puis choisir par où débuter.",
        "Avant tout, considérons la suite des scènes.",
        "Commençons par réfléchir à la première scène.",
    ),
)
CALLNUMBER = Phrase(
    "[shelf mark|call number|location] of [the 1911 parish map|the parish map of 1911|parish map 1911]",
    (
        "where is the 1911 parish map kept",
        "1911 map of the parish, which shelf",
        "find the parish map, year 1911, in the stacks",
    ),
    ("Signatur der Pfarrkarte 1911", "Standort Pfarrkarte von 1911", "wo liegt die Pfarrkarte 1911"),
)
NOTHING_FOUND = "0 records"


@LOOPS.fault(
    "loop", "counter and building office pass one application back and forth in ever new words", also=("ping_pong",)
)
def permit_desks(s: Stage) -> None:
    for _ in range(s.times(10)):
        s.again()
        with s.key():
            with s.agent("Building office"):
                s.llm(s.phrase(INCOMPLETE), "The file has arrived.")
                s.handoff("Counter", s.phrase(INCOMPLETE), task_id="permit")
            with s.agent("Counter"):
                s.llm(s.phrase(COMPLETE), "The file came back.")
                s.handoff("Building office", s.phrase(COMPLETE), task_id="permit")


@LOOPS.fault("loop", "building office and counter, each handed the whole state, in which only the rounds are counted")
def counted_rounds(s: Stage) -> None:
    said = "The file has arrived."
    for number in range(s.times(10)):
        s.again()
        for desk, phrase in (("Building office", INCOMPLETE), ("Counter", COMPLETE)):
            with s.key(), s.agent(desk, json.dumps({"permit": "B-1911", "n": number, "said": said})):
                said = s.phrase(phrase)
                s.llm(said)
                if desk == "Counter":
                    s.write("n", number, number + 1)


@LOOPS.healthy("clerk and archivist, each handed the whole state, read a file page by page")
def counted_pages(s: Stage) -> None:
    said = "The file has arrived."
    for number in range(s.times(10)):
        for desk in ("Clerk", "Archivist"):
            with s.agent(desk, json.dumps({"permit": "B-1911", "n": number, "said": said})):
                said = s.fact()
                s.llm(said)
                if desk == "Archivist":
                    s.write("n", number, number + 1)


@LOOPS.fault("loop", "three desks send a caller on in a circle", also=("ping_pong",))
def three_desks(s: Stage) -> None:
    desks = ("Harbour master", "Customs", "Pilot office")
    for _ in range(s.times(7)):
        s.again()
        for here, there in zip(desks, (*desks[1:], desks[0]), strict=True):
            with s.key(), s.agent(here):
                s.llm(s.phrase(CANNOT), s.phrase(WHICH_CRANE))
                s.handoff(there, s.phrase(WHICH_CRANE))


@LOOPS.fault("loop", "a librarian searches for one map again and again and finds nothing", also=("duplicate_calls",))
def catalogue_search(s: Stage) -> None:
    with s.agent("Librarian", "Find the parish map"):
        for _ in range(s.times(9)):
            s.again()
            with s.key():
                query = s.phrase(CALLNUMBER)
                s.llm(
                    "I search the catalogue.", "Find the parish map of 1911.", calls=(("catalogue", {"query": query}),)
                )
                s.tool("catalogue", {"query": query}, NOTHING_FOUND)


@LOOPS.fault(
    "loop",
    "a scene is submitted unchanged and refused for the same reason each time",
    also=("ping_pong", "duplicate_calls"),
)
def refused_scene(s: Stage) -> None:
    scene = s.fact() + " " + s.fact()
    for _ in range(s.times(8)):
        s.again()
        with s.key():
            with s.agent("Writer"):
                s.llm(scene, "Hand in the scene.")
                s.tool("submit_scene", {"scene": 12, "text": scene}, "refused: the ending is missing")
            with s.agent("Script editor"):
                s.llm(s.phrase(INCOMPLETE), scene)


@LOOPS.fault(
    "loop",
    "each attempt at a repair has new arguments and fails for the same reason",
    also=("retry_storm", "duplicate_calls"),
)
def same_error_new_arguments(s: Stage) -> None:
    with s.agent("Mechanic", "Get the winch controller going"):
        for _ in range(s.times(9)):
            s.again()
            with s.key():
                s.llm(f"I try with profile {s.thing()}.", "The controller does not start.")
                s.tool(
                    "flash_controller",
                    {"profile": s.thing(), "path": f"/tmp/{s.rng.getrandbits(32):08x}"},
                    error=f"ChecksumMismatch: image /tmp/{s.rng.getrandbits(32):08x}.bin does not match the board",
                )


@LOOPS.fault("loop", "a dispatcher asks one of four colleagues at random, none can answer", also=("ping_pong",))
def random_colleague(s: Stage) -> None:
    for _ in range(s.times(11)):
        s.again()
        colleague = s.rng.choice(("North desk", "South desk", "Night desk", "Berth desk"))
        with s.key():
            with s.agent("Dispatcher"):
                s.llm(s.phrase(WHICH_CRANE), "Still no crane.")
                s.handoff(colleague, s.phrase(WHICH_CRANE))
            with s.agent(colleague):
                s.llm(s.phrase(CANNOT), s.phrase(WHICH_CRANE))
                s.handoff("Dispatcher", s.phrase(CANNOT))


@LOOPS.fault("loop", "an assistant director thinks about thinking and never acts")
def thinks_and_thinks(s: Stage) -> None:
    with s.agent("Assistant director", "Make the shooting plan"):
        for _ in range(s.times(12)):
            s.again()
            with s.key():
                s.llm(s.phrase(PLAN), "Continue.")


@LOOPS.fault(
    "loop",
    "hours of good work, then the same refused submission for the rest of the run",
    also=("ping_pong", "duplicate_calls"),
)
def late_refusals(s: Stage) -> None:
    for _ in range(12):
        with s.agent("Scribe"):
            s.tool("read_page", {"page": s.thing()}, s.fact())
            s.llm(s.fact(), s.fact())
    permit_desks(s)


@LOOPS.fault(
    "loop", "status requests with a new stamp and id each time, nothing ever changes", also=("duplicate_calls",)
)
def stamped_requests(s: Stage) -> None:
    with s.agent("Ward clerk", "Get the lab result"):
        for number in range(s.times(9)):
            s.again()
            with s.key():
                stamp = f"2026-04-{number % 27 + 1:02d}T10:{number % 60:02d}:07Z"
                s.llm(f"Attempt {number + 1}: I request the result.", f"{stamp} still nothing")
                s.tool("lab_request", {"patient": "ward 4", "sent": stamp}, f"rejected at {stamp}: no sample on file")


@LOOPS.healthy("a stack of applications is decided one after the other by the same two desks")
def many_permits(s: Stage) -> None:
    for _ in range(s.times(9)):
        plot = s.thing()
        with s.agent("Counter"):
            s.llm(f"Application for {plot}: {s.fact()}", f"Next in line: {plot}")
            s.handoff("Building office", f"{plot}: {s.fact()}", task_id=plot)
        with s.agent("Building office"):
            s.llm(f"{plot} granted. {s.fact()}", f"Decide on {plot}")
            s.handoff("Counter", f"{plot} is decided", task_id=plot)
    with s.agent("Counter"):
        s.llm(s.fact(), "Close the counter.")


@LOOPS.healthy("volumes are looked up by plain names, each found on the shelf")
def shelf_check(s: Stage) -> None:
    names = [
        "Emma",
        "Ivanhoe",
        "Nana",
        "Walden",
        "Kim",
        "Germinal",
        "Dracula",
        "Middlemarch",
        "Faust",
        "Candide",
        "Utopia",
    ]
    s.rng.shuffle(names)
    with s.agent("Librarian"):
        for name in names:
            s.tool("shelf", {"title": name}, "present")


@LOOPS.healthy("pages of one search are read until the list ends")
def paging(s: Stage) -> None:
    with s.agent("Archivist"):
        for page in range(1, s.times(9)):
            s.tool("archive_list", {"query": "ship logs", "page": page}, [s.fact() for _ in range(3)])
            s.llm(f"Noted: {s.fact()}", "Next page.")


@LOOPS.healthy("a print job is polled every ten seconds until it is done")
def polling_printer(s: Stage) -> None:
    with s.agent("Print clerk"):
        for number in range(s.times(6)):
            s.tool("job_status", {"job": 881}, f"{12 * (number + 1)} of 96 sheets")
            s.wait("printer", seconds=10, reason="timer")
        s.tool("job_status", {"job": 881}, "done")


@LOOPS.healthy("failing checks are mended one by one, the list gets shorter")
def shrinking_list(s: Stage) -> None:
    left = [s.thing() for _ in range(s.times(8))]
    with s.agent("Inspector"):
        while left:
            s.tool("run_checks", {"suite": "brakes"}, f"{len(left)} failing: {', '.join(left)}")
            done = left.pop()
            s.llm(f"I adjust {done}.", f"Mend {done}")
            s.tool("adjust", {"part": done}, "ok")
        s.tool("run_checks", {"suite": "brakes"}, "all passed")


@LOOPS.healthy("a nurse interviews a patient, every question is another one")
def interview(s: Stage) -> None:
    topics = (
        "sleep",
        "appetite",
        "pain in the knee",
        "medication at night",
        "allergies",
        "previous surgery",
        "smoking",
        "work",
    )
    for topic in topics:
        with s.agent("Nurse"):
            s.llm(f"How about {topic}?", "Ask the next question.", visible=True)
        with s.agent("Patient"):
            s.llm(f"As to {topic}: {s.fact()}", f"How about {topic}?")


@LOOPS.healthy("buyer and seller of a ship move towards each other")
def haggling(s: Stage) -> None:
    low, high = 410, 690
    while high - low > 20:
        with s.agent("Buyer"):
            s.llm(f"We offer {low} thousand, given {s.thing()}.", f"They ask {high} thousand.")
        with s.agent("Seller"):
            s.llm(f"Our price is {high} thousand. {s.fact()}", f"They offer {low} thousand.")
        low, high = low + s.rng.randrange(12, 40), high - s.rng.randrange(12, 40)


@LOOPS.healthy("a text gets better from draft to draft, the editor's notes differ")
def drafts(s: Stage) -> None:
    text = s.fact()
    for number in range(1, s.times(5)):
        before, text = text, f"{text} {s.fact()}"
        with s.agent("Writer"):
            s.llm(text, f"Revise: {s.fact()}")
            s.write("scene", before, text, version=number)
        with s.agent("Script editor"):
            s.llm(f"Better. Now {s.fact()}", text)


@LOOPS.healthy("stock of many articles is counted, the answer is mostly the same")
def stock_count(s: Stage) -> None:
    with s.agent("Storekeeper"):
        for _ in range(s.times(14)):
            s.tool("count", {"article": f"A-{s.rng.randrange(10000, 99999)}"}, "in stock")


@LOOPS.healthy("five independent readings of one x-ray, then a vote")
def second_opinions(s: Stage) -> None:
    s.parallel(*(lambda: _opinion(s) for _ in range(5)))
    with s.agent("Chief physician"):
        s.llm(s.fact(), "Weigh the opinions.")


def _opinion(s: Stage) -> None:
    with s.agent(f"Reader {s.thing()}"):
        s.llm(
            f"{s.rng.choice(('no fracture', 'hairline fracture'))}: {s.fact()}",
            "Read the x-ray of the left wrist.",
            temperature=1.0,
        )


@LOOPS.healthy("the guest says goodbye three times, politely")
def long_goodbye(s: Stage) -> None:
    for said in ("Thank you.", "You are welcome.", "Goodbye.", "Goodbye."):
        with s.agent("Host" if said.startswith("You") else "Guest"):
            s.llm(said, "...")
