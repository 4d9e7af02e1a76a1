"""Loops, and repetition that is none: support desks, coding agents, market research. Detectors may be tuned on these."""

from __future__ import annotations

from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage

LOOPS = Catalogue()

MORE_CONTEXT = Phrase(
    "[To go further|Before I continue|At this point] [I need|I would need|I still need] [more context|a bit more background] "
    "[on|about] [the analysis|the scope]. [Could you|Please|Can you] [clarify|spell out|explain] [which angle matters|what you expect]?",
    (
        "What exactly should the study cover? I am missing the frame.",
        "I cannot start searching unless the angle is named.",
        "Please tell me what to look for, the brief is too vague.",
        "Give me the question first, then I can gather sources.",
        "It remains unclear to me what you want to have researched.",
        "Kindly narrow it down, otherwise I have nothing to search.",
    ),
    (
        "Il me faut davantage de contexte avant de chercher.",
        "Pourriez-vous préciser l'angle de l'étude ?",
        "Sans cadre clair je ne peux pas commencer.",
        "Merci d'indiquer ce que l'analyse doit couvrir.",
    ),
)
MORE_FACTS = Phrase(
    "I [cannot|can't yet|am not able to] [analyse|assess|judge] this [without|as long as I lack] [facts|sources|figures] from "
    "[the research|your search]. [Please|Kindly] [provide|send over|add] [what is missing|whatever you have] and I go on.",
    (
        "There is nothing to analyse yet, the research has to come first.",
        "Send me sources and I will draw conclusions.",
        "An assessment needs figures, which you have not delivered.",
        "Come back with material, then I can judge.",
        "My part begins when yours is done.",
    ),
    (
        "Je ne peux rien analyser sans données de votre part.",
        "Envoyez d'abord les sources, ensuite je conclurai.",
        "L'évaluation attend vos chiffres.",
        "Il manque les faits issus de la recherche.",
    ),
)
REFUND = Phrase(
    "[Is|Was] the refund for order 7741 [already paid|paid out|transferred] [yet|by now]?",
    ("Has order 7741 been refunded", "What is the state of the refund, order 7741", "refund order 7741 status please"),
    ("Le remboursement de la commande 7741 est-il fait", "Commande 7741, où en est le remboursement"),
)
NOT_ME = Phrase(
    "[I cannot help with|This is not for me:|I have no tool for] [this request|that], [try another colleague|please route it elsewhere].",
    (
        "Wrong specialist, somebody else must take it.",
        "No tools on my side for this.",
        "Outside of what I can do, please reassign.",
    ),
    ("Ce n'est pas de mon ressort.", "Je n'ai pas d'outil pour cela, voyez un autre collègue."),
)


def rounds(s: Stage, times: int) -> None:
    """Researcher and Analyst ask each other for what the other lacks."""
    for _ in range(times):
        s.again()
        with s.key():
            with s.agent("Researcher"):
                s.llm(s.phrase(MORE_CONTEXT), "Your turn.", model="gpt-4o")
                s.handoff("Analyst", s.phrase(MORE_CONTEXT))
            with s.agent("Analyst"):
                s.llm(s.phrase(MORE_FACTS), "Your turn.", model="gpt-4o")
                s.handoff("Researcher", s.phrase(MORE_FACTS))


@LOOPS.fault("loop", "researcher and analyst, forty-seven times", also=("ping_pong",))
def forty_seven(s: Stage) -> None:
    rounds(s, 47)


@LOOPS.fault("loop", "the same, eight times", also=("ping_pong",))
def eight_rounds(s: Stage) -> None:
    rounds(s, s.times(8))


@LOOPS.fault("loop", "planner, coder and tester in a circle of three, nothing is written", also=("ping_pong",))
def circle_of_three(s: Stage) -> None:
    people = ("Planner", "Coder", "Tester")
    for _ in range(s.times(7)):
        s.again()
        for here, there in zip(people, (*people[1:], people[0]), strict=True):
            with s.key(), s.agent(here):
                s.llm(s.phrase(MORE_CONTEXT), "Go on.")
                s.handoff(there, s.phrase(MORE_CONTEXT))


@LOOPS.fault(
    "loop", "one agent asks the order system again and again, the answer is the same", also=("duplicate_calls",)
)
def refund_status(s: Stage) -> None:
    with s.agent("Support", "Where is my money?"):
        for _ in range(s.times(9)):
            s.again()
            with s.key():
                query = s.phrase(REFUND)
                s.llm("Let me check.", "Where is my money?", calls=(("orders", {"q": query}),))
                s.tool("orders", {"q": query}, "refund pending")


@LOOPS.fault("loop", "a supervisor sends one request to four workers in turn or at random", also=("ping_pong",))
def rerouted(s: Stage) -> None:
    for _ in range(s.times(11)):
        s.again()
        worker = s.rng.choice(("Billing", "Shipping", "Returns", "Legal"))
        with s.key():
            with s.agent("Supervisor"):
                s.llm(s.phrase(REFUND), "No answer yet.", purpose="route")
                s.handoff(worker, s.phrase(REFUND))
            with s.agent(worker):
                s.llm(s.phrase(NOT_ME), s.phrase(REFUND))
                s.handoff("Supervisor", s.phrase(NOT_ME))


@LOOPS.fault(
    "loop",
    "a coding agent rewrites one file, the test fails with the same error each time",
    also=("retry_storm", "duplicate_calls"),
)
def same_failing_test(s: Stage) -> None:
    with s.agent("Coder", "Make the tests pass"):
        for _ in range(s.times(8)):
            s.again()
            with s.key():
                s.llm(f"I rename it to {s.thing()}.", "The test fails.")
                s.tool("edit_file", {"path": "app/parser.py", "name": s.thing()}, "written")
                s.tool(
                    "run_tests",
                    {"file": f"/tmp/{s.rng.getrandbits(40):010x}/test_parser.py"},
                    error="ImportError: cannot import name 'parse_all' from 'app.parser'",
                )


@LOOPS.fault("loop", "verbatim: the same tool call with the same arguments eight times", also=("duplicate_calls",))
def same_call(s: Stage) -> None:
    with s.agent("Browser"):
        for _ in range(s.times(8)):
            s.again()
            with s.key():
                s.tool("click", {"selector": "#next"}, "no change")


@LOOPS.fault("loop", "two agents thank each other without end", also=("ping_pong",))
def thanks(s: Stage) -> None:
    words = Phrase(
        "[Thank you|Many thanks|Thanks a lot] for [your help|the good talk|all of this], [it was a pleasure|I enjoyed it|have a fine day].",
        (
            "You are too kind, all the best.",
            "Same to you, and good luck with the project.",
            "Likewise, it was great to work with you.",
            "Take care, until next time.",
        ),
        ("Merci encore et bonne journée.", "Je vous en prie, à bientôt.", "Tout le plaisir est pour moi."),
    )
    for _ in range(s.times(9)):
        s.again()
        for me, you in (("Seller", "Buyer"), ("Buyer", "Seller")):
            with s.key(), s.agent(me):
                s.llm(s.phrase(words), "...")
                s.tell(you, s.phrase(words))


@LOOPS.fault("loop", "a planner lists the same plan over and over", also=("hidden_calls",))
def plan_again(s: Stage) -> None:
    with s.agent("Planner"):
        for _ in range(s.times(10)):
            s.again()
            with s.key():
                s.llm(s.phrase(MORE_CONTEXT) + " " + s.phrase(MORE_FACTS), "Continue.", purpose="plan")


@LOOPS.healthy("researcher and analyst, every answer names a new source")
def converging(s: Stage) -> None:
    for _ in range(s.times(7)):
        with s.agent("Researcher"):
            s.llm(s.fact(), "Your turn.")
            s.handoff("Analyst", s.fact())
        with s.agent("Analyst"):
            s.llm(s.fact(), "Your turn.")
            s.handoff("Researcher", s.fact())
    with s.agent("Researcher"):
        s.llm(s.fact(), "Write it up.", visible=True)


@LOOPS.healthy("documents with ids are classified one after the other")
def map_ids(s: Stage) -> None:
    with s.agent("Classifier"):
        for _ in range(s.times(16)):
            doc = f"doc-{s.rng.randrange(10_000)}"
            s.tool("load", {"id": doc}, s.fact())
            s.llm("category: invoice", f"Classify {doc}")


@LOOPS.healthy("reviewers are asked for people by first name, short answers")
def map_names(s: Stage) -> None:
    names = ["Anna", "Ben", "Chloe", "David", "Elif", "Farid", "Grete", "Hugo", "Ines", "Jan"]
    for name in names:
        with s.agent("Manager"):
            s.handoff("Reviewer", f"Review {name}")
        with s.agent("Reviewer"):
            s.llm(f"{name} meets expectations.", f"Review {name}")


@LOOPS.healthy("tests are mended until they pass")
def test_fix(s: Stage) -> None:
    failing = s.times(7)
    with s.agent("Coder"):
        for left in range(failing, 0, -1):
            s.tool("run_tests", {"suite": "unit"}, f"{left} failed: {', '.join(s.thing() for _ in range(left))}")
            s.llm(f"The cause is {s.thing()}. {s.fact()}", "Mend the next one.")
            s.tool("edit_file", {"path": f"src/{s.thing()}.py"}, "written")
        s.tool("run_tests", {"suite": "unit"}, "all passed")


@LOOPS.healthy("a build is polled every half minute")
def poll_build(s: Stage) -> None:
    with s.agent("Releaser"):
        for _ in range(s.times(9)):
            s.tool("build_status", {"build": 5120}, "running")
            s.wait("build", seconds=30, reason="timer")
        s.tool("build_status", {"build": 5120}, "succeeded")


@LOOPS.healthy("a summary is refined, paragraph by paragraph")
def refine(s: Stage) -> None:
    text = s.fact()
    with s.agent("Editor"):
        for version in range(1, s.times(6)):
            before, text = text, f"{text} {s.fact()}"
            s.llm(text, f"Add this: {s.fact()}")
            s.write("summary", before, text, version)


@LOOPS.healthy("customers are served one after the other by the same steps")
def customers(s: Stage) -> None:
    for _ in range(s.times(10)):
        who = s.thing()
        with s.agent("Router"):
            s.llm("billing", f"{who} writes: {s.fact()}", purpose="route")
            s.handoff("Billing", f"{who}: {s.fact()}", task_id=who)
        with s.agent("Billing", task_id=who):
            s.tool("account", {"customer": who}, s.fact())
            s.llm(f"Dear {who}, {s.fact()}", s.fact(), visible=True)


@LOOPS.healthy("the same question to five models, to compare them")
def compare_models(s: Stage) -> None:
    def lane(name: str) -> None:
        with s.agent(f"Candidate {name}"):
            s.llm(s.fact(), "What is the capital of the old kingdom?", model=name)

    s.parallel(
        *(lambda name=name: lane(name) for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano"))
    )


@LOOPS.healthy("twenty rows are checked, all are valid")
def all_valid(s: Stage) -> None:
    with s.agent("Validator"):
        for row in range(20):
            s.tool("validate", {"row": row}, "valid")


@LOOPS.healthy("invoices are approved by a person, one by one")
def approvals(s: Stage) -> None:
    with s.agent("Clerk"):
        for _ in range(s.times(7)):
            invoice = f"INV-{s.rng.randrange(10_000)}"
            s.tool("open_invoice", {"id": invoice}, s.fact())
            s.escalate("controller", f"Approve {invoice}?", seconds=300, answer="approved")


@LOOPS.healthy("results are read page by page")
def pages(s: Stage) -> None:
    with s.agent("Scraper"):
        for page in range(1, s.times(12)):
            s.tool("search", {"q": "heat pumps", "page": page}, s.fact())
