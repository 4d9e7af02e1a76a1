"""Loops, bouncing, and repetition that is none: claims, release builds, timetables, subtitles, seed stocks. Not to be tuned on."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage
from tests.benchmarks.scenarios.unseen.dialects import (
    genai_agent,
    genai_chat,
    genai_tool,
    oi_agent,
    oi_llm,
    oi_tool,
)

ROUNDS = Catalogue()

UNCLEAR = Phrase(
    "[The damage report|This report|What I was sent] [does not say|leaves open|is silent about] [who drove|who was driving] "
    "[so|and therefore] [I cannot assess it|no assessment is possible|it cannot be assessed].",
    (
        "Before I can say anything I must know the driver.",
        "Driver missing, assessment on hold.",
        "I am unable to judge this without the name behind the wheel.",
        "The person at the wheel is not mentioned, please clarify.",
        "Assessment needs a driver; there is none on the form.",
    ),
    (
        "Il manque le nom du conducteur, impossible d'évaluer.",
        "Sans conducteur, pas d'expertise possible.",
        "Veuillez préciser qui conduisait.",
    ),
)
FORWARD = Phrase(
    "[I pass on|Here is|Forwarding] [the report as the client wrote it|what the client gave us|the client's report] "
    "[and ask for an assessment|for your assessment|, please assess].",
    (
        "All I have is the form, go ahead with it.",
        "The client told us no more than this, please judge.",
        "Sending the same papers along for a verdict.",
        "Nothing to add from intake, your turn to assess.",
    ),
    (
        "Voici le dossier du client, merci d'évaluer.",
        "Je transmets le rapport tel quel.",
        "Rien à ajouter, à vous d'estimer.",
    ),
)
STILL_CLASHING = Phrase(
    "[Room 12 is still taken|Room 12 remains double-booked|The clash in room 12 is still there] [on Tuesday|Tuesday morning]"
    "[, try another arrangement|, please rearrange|].",
    (
        "Tuesday morning has two classes in room twelve again.",
        "No luck, both classes sit in the same room on Tuesday.",
        "The conflict persists: one room, two classes.",
        "That arrangement puts two groups into twelve as before.",
    ),
    (
        "Martes: el aula doce sigue ocupada dos veces.",
        "El conflicto del aula doce continúa.",
        "Otra vez dos grupos en la misma aula.",
    ),
)
REARRANGE = Phrase(
    "[I move|Let me move|Moving] [the chemistry class|chemistry] [to|into] [room 12|the twelve] [on Tuesday|Tuesday morning].",
    (
        "Chemistry could go into twelve on Tuesday.",
        "How about Tuesday morning, room twelve, for chemistry?",
        "Put chemistry in room twelve, Tuesday.",
    ),
    (
        "Pongo química en el aula doce el martes.",
        "Química va el martes al aula doce.",
        "El martes, aula doce, química.",
    ),
)


@ROUNDS.fault(
    "loop",
    "a claims agent asks for one policy over and over, spans in the GenAI conventions",
    also=("duplicate_calls",),
)
def policy_never_found(s: Stage) -> None:
    with genai_agent(s, "Claims agent"):
        for _ in range(s.times(9)):
            s.again()
            with s.key():
                genai_chat(s, "Settle the claim.", "I need the policy first.")
                genai_tool(s, "policy_lookup", {"holder": "Maria Lindqvist"}, {"found": 0})


@ROUNDS.fault("loop", "assessor and intake send a report back and forth, OpenInference spans", also=("ping_pong",))
def report_without_driver(s: Stage) -> None:
    for _ in range(s.times(9)):
        s.again()
        with s.key():
            with oi_agent(s, "intake"):
                oi_llm(s, [("user", "A claim has arrived.")], s.phrase(FORWARD))
            with oi_agent(s, "assessor"):
                oi_llm(s, [("user", "Assess the claim.")], s.phrase(UNCLEAR))


@ROUNDS.fault(
    "loop", "decorated planner and checker never agree on a timetable, the clash is the same", also=("ping_pong",)
)
def timetable_clash(s: Stage) -> None:
    @tracer.agent("planner")
    def plan(remark: str) -> str:
        return str(s.llm(said := s.phrase(REARRANGE), remark) and said)

    @tracer.agent("checker")
    def check(proposal: str) -> str:
        return str(s.llm(said := s.phrase(STILL_CLASHING), proposal) and said)

    remark = "Make the timetable."
    for _ in range(s.times(9)):
        s.again()
        with s.key():
            remark = check(plan(remark))


@ROUNDS.fault("loop", "two people of a transcript go round in circles", also=("ping_pong",))
def transcript_in_circles(s: Stage) -> None:
    s.say("user", f"Please assess claim {s.thing()}.")
    for _ in range(s.times(9)):
        s.again()
        with s.key():
            s.say("Intake", s.phrase(FORWARD))
            s.say("Assessor", s.phrase(UNCLEAR))


@ROUNDS.fault(
    "loop",
    "a build is started with other flags each time and breaks on the same missing module",
    also=("retry_storm", "duplicate_calls"),
)
def missing_module(s: Stage) -> None:
    with tracer.agent("build engineer"):
        for number in range(s.times(8)):
            s.again()
            with s.key():
                s.llm(f"Perhaps with flag {s.thing()}?", "The build is red.")
                s.tool(
                    "run_build",
                    {"target": "release", "flags": [s.thing(), f"--jobs={number + 2}"]},
                    error=f"ModuleNotFoundError: No module named 'yaml_ext' (build {s.rng.randrange(10**6)})",
                )


@ROUNDS.fault(
    "loop",
    "a critic and a translator exchange one subtitle, the score stays what it was",
    also=("ping_pong", "duplicate_calls"),
)
def same_subtitle(s: Stage) -> None:
    line = "He has crossed the river."
    for version in range(1, s.times(9)):
        s.again()
        with s.key():
            with s.agent("Translator"):
                s.llm(line, "Improve the line.")
                s.write("subtitle", line, line, version)
            with s.agent("Critic"):
                s.llm("Score 4 of 10. Too literal.", line)


@ROUNDS.fault(
    "loop",
    "plan, search, evaluate: three steps with nothing but the number of the round in them",
    also=("duplicate_calls",),
)
def numbered_rounds(s: Stage) -> None:
    with s.agent("Seed researcher", "Find a rust-resistant wheat"):
        for number in range(1, s.times(9)):
            s.again()
            with s.key():
                s.llm(f"Iteration {number}: search the gene bank for rust resistance.", "Next step?", purpose="plan")
                s.tool("gene_bank", {"trait": "rust resistance", "crop": "wheat"}, {"accessions": []})
                s.llm(f"Iteration {number} gave nothing useful, try again.", "Evaluate.")


@ROUNDS.fault("loop", "one of several branches is stuck, the others work", also=("duplicate_calls",))
def stuck_branch(s: Stage) -> None:
    def fine(name: str) -> None:
        with s.agent(name):
            for _ in range(6):
                s.tool("measure_plot", {"plot": s.thing()}, s.fact())
                s.llm(s.fact(), s.fact())

    def stuck() -> None:
        with s.agent("Plot C"):
            for _ in range(s.times(9)):
                s.again()
                with s.key():
                    s.tool("measure_plot", {"plot": "C-7"}, "sensor returns no reading")
                    s.llm("No reading yet, I measure plot C-7 again.", "Go on.")

    s.parallel(lambda: fine("Plot A"), lambda: fine("Plot B"), stuck)


@ROUNDS.fault(
    "loop",
    "a supervisor asks for the same summary from one worker after the other",
    also=("ping_pong", "duplicate_calls", "hidden_calls"),
)
def supervisor_reasks(s: Stage) -> None:
    ask = Phrase(
        "[Give me|Write|I need] [the summary of the audit|the audit summary]",
        ("audit summary, please", "could you sum up the audit", "summarise what the audit found"),
        ("Zusammenfassung der Prüfung bitte", "fasse die Prüfung zusammen", "die Prüfung in Kürze"),
    )
    refuse = Phrase(
        "[I have no access to the audit|The audit is not available to me]",
        ("cannot open the audit files", "audit folder is closed to me", "no rights on the audit"),
        ("kein Zugriff auf die Prüfung", "die Prüfung ist gesperrt", "mir fehlen die Rechte"),
    )
    workers = ("Writer", "Analyst", "Archivist")
    with s.agent("Supervisor"):
        for number in range(s.times(10)):
            s.again()
            worker = workers[number % 3]
            with s.key():
                s.llm(f"Next: {worker}", "Who can sum up?", purpose="route")
                s.tell(worker, s.phrase(ask))
                with s.agent(worker):
                    s.llm(said := s.phrase(refuse), "A request from the supervisor.")
                    s.tell("Supervisor", said)


@ROUNDS.fault("ping_pong", "front office and kitchen return one complaint, no task id is recorded", also=("loop",))
def complaint_returned(s: Stage) -> None:
    for _ in range(s.times(5)):
        s.again()
        with s.key(), tracer.agent("Front office") as here:
            s.note(here.span_id)
            s.go(0.2)
            s.handoff("Kitchen", "This is about the food.")
        with s.key(), tracer.agent("Kitchen") as here:
            s.note(here.span_id)
            s.go(0.2)
            s.handoff("Front office", "This is about the service.")


@ROUNDS.fault(
    "ping_pong", "billing and support transfer a caller by tool calls, GenAI spans", also=("loop", "duplicate_calls")
)
def transferred_caller(s: Stage) -> None:
    for _ in range(s.times(5)):
        s.again()
        with s.key():
            with genai_agent(s, "support"):
                genai_tool(s, "transfer_to_billing", {}, {"assistant": "billing"})
            with genai_agent(s, "billing"):
                genai_tool(s, "transfer_to_support", {}, {"assistant": "support"})


# only looks like it


@ROUNDS.healthy("claim after claim is looked up and settled, GenAI spans")
def claims_in_turn(s: Stage) -> None:
    with genai_agent(s, "Claims agent"):
        for _ in range(s.times(10)):
            claim = s.thing()
            genai_tool(s, "policy_lookup", {"holder": claim}, {"found": 1, "policy": s.thing()})
            genai_chat(s, f"Settle {claim}.", f"{claim} is settled. {s.fact()}")


@ROUNDS.healthy("assessor and intake, a different report each time, OpenInference spans")
def reports_in_turn(s: Stage) -> None:
    for _ in range(s.times(8)):
        claim = s.fact()
        with oi_agent(s, "intake"):
            oi_llm(s, [("user", claim)], f"Assess this: {claim}")
        with oi_agent(s, "assessor"):
            oi_llm(s, [("user", claim)], f"Assessed. {s.fact()}")


@ROUNDS.healthy("planner and checker settle one class after the other")
def timetable_fills(s: Stage) -> None:
    @tracer.agent("planner")
    def plan(name: str) -> str:
        s.llm(
            said := f"{name} goes to room {s.rng.randrange(1, 90)} on {s.rng.choice(('Monday', 'Friday'))}",
            f"Place {name}",
        )
        return said

    @tracer.agent("checker")
    def check(proposal: str) -> str:
        s.llm(said := f"No clash for: {proposal}", proposal)
        return said

    for _ in range(s.times(8)):
        check(plan(s.thing()))


@ROUNDS.healthy("a transcript of an interview, every answer brings something")
def transcript_interview(s: Stage) -> None:
    for topic in ("the harvest", "the storage", "the buyers", "the weather", "the soil", "the machines", "the prices"):
        s.say("Reporter", f"Tell me about {topic}, please.")
        s.say("Farmer", f"As for {topic}: {s.fact()} {s.fact()}")


@ROUNDS.healthy("a build breaks on another thing each time, and gets further")
def build_gets_further(s: Stage) -> None:
    with tracer.agent("build engineer"):
        for missing in ("yaml_ext", "codec_h", "lib_zeta", "font_pack", "schema_v3"):
            s.tool("run_build", {"target": "release"}, error=f"ModuleNotFoundError: No module named '{missing}'")
            s.llm(f"I add {missing} to the image.", f"{missing} is missing")
            s.tool("add_package", {"name": missing}, "added")
        s.tool("run_build", {"target": "release"}, "green")


@ROUNDS.healthy("a critic scores drafts of a subtitle, and the score rises")
def rising_score(s: Stage) -> None:
    line = s.fact()
    for version in range(1, s.times(6)):
        before, line = line, s.fact()
        with s.agent("Translator"):
            s.llm(line, "Improve the line.")
            s.write("subtitle", before, line, version)
        with s.agent("Critic"):
            s.llm(f"Score {version + 2} of 10. {s.fact()}", line)


@ROUNDS.healthy("a gene bank is searched for one trait after the other")
def traits_in_turn(s: Stage) -> None:
    with s.agent("Seed researcher"):
        for trait in ("rust resistance", "short straw", "early ripening", "frost hardiness", "protein", "deep roots"):
            s.llm(f"Now {trait}.", "Next step?", purpose="plan")
            s.tool("gene_bank", {"trait": trait, "crop": "wheat"}, {"accessions": [s.thing(), s.thing()]})


@ROUNDS.healthy("a database export is asked for until it is ready, with pauses")
def export_awaited(s: Stage) -> None:
    with s.agent("Archivist"):
        for _ in range(s.times(7)):
            s.tool("export_status", {"job": "exp-71"}, "running")
            s.wait("export", seconds=20, reason="timer")
        s.tool("export_status", {"job": "exp-71"}, "ready")


@ROUNDS.healthy("branches do the same with shards of their own")
def shards(s: Stage) -> None:
    def lane(number: int) -> None:
        with s.agent(f"Shard {number}"):
            for page in range(5):
                s.tool("read_shard", {"shard": number, "page": page}, s.fact())
                s.llm("Counted.", f"Count shard {number}, page {page}")

    s.parallel(*(lambda number=number: lane(number) for number in range(4)))


@ROUNDS.healthy("a transcript that ends in thanks and goodbyes")
def transcript_goodbyes(s: Stage) -> None:
    s.say("user", s.fact())
    s.say("Clerk", s.fact())
    for _ in range(3):
        s.say("user", "Thank you!")
        s.say("Clerk", "You are welcome.")


@ROUNDS.healthy("complaints, a new one each time, go to the kitchen and come back answered")
def complaints_answered(s: Stage) -> None:
    for _ in range(s.times(5)):
        dish = s.thing()
        with s.agent("Front office"):
            s.llm(f"Guest complains about {dish}", "Take the complaint")
            s.handoff("Kitchen", f"{dish} was cold")
        with s.agent("Kitchen"):
            s.tool("remake", {"dish": dish}, "done")
            s.handoff("Front office", f"{dish} made anew")
    with s.agent("Front office"):
        s.llm(s.fact(), "Close the day.")


@ROUNDS.healthy("a caller is transferred once to billing and once back, with an answer, GenAI spans")
def transferred_once(s: Stage) -> None:
    with genai_agent(s, "support"):
        genai_tool(s, "transfer_to_billing", {}, {"assistant": "billing"})
    with genai_agent(s, "billing"):
        genai_tool(s, "find_invoice", {"caller": s.thing()}, s.fact())
        genai_tool(s, "transfer_to_support", {}, {"assistant": "support"})
    with genai_agent(s, "support"):
        genai_chat(s, s.fact(), s.fact())


@ROUNDS.healthy("a checklist is worked off with one tool that mostly says ok")
def checklist(s: Stage) -> None:
    with s.agent("Inspector"):
        for item in ("brakes", "lights", "horn", "mirrors", "belts", "tyres", "wipers", "doors", "exhaust", "clutch"):
            oi_tool(s, "inspect", {"part": item}, "ok")
