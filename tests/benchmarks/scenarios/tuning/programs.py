"""Small whole programs, healthy and gone wrong: map-reduce with retries, debates, polls, pages, people, planners, flaky tools, retrieval."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage

PROGRAMS = Catalogue()

TOWNS = ("Aalen", "Bergen", "Cadiz", "Dijon", "Espoo", "Faro", "Ghent", "Hasselt", "Ivrea", "Jaca", "Kalmar", "Lund")


def _weather(s: Stage, town: str, failures: int, pause: float) -> None:
    with s.agent("Reader", f"Read the weather report of {town}"):
        for attempt in range(failures):
            s.tool("fetch_report", {"town": town}, error="HTTPError: 503 Service Unavailable", attempt=attempt + 1)
            s.go(pause * 2 ** min(attempt, 5))
        s.tool(
            "fetch_report",
            {"town": town},
            f"{town}: {s.rng.randint(1, 30)} degrees, wind {s.rng.randint(1, 90)} km/h",
            attempt=failures + 1,
        )
        s.llm(
            f"{town}: {s.rng.choice(('calm', 'windy', 'stormy', 'wet'))}, {s.rng.randint(1, 30)} degrees.",
            f"Sum up the report of {town} in one line.",
        )


@PROGRAMS.healthy("weather of twelve towns side by side, two of which are fetched again after a 503")
def map_with_retries(s: Stage) -> None:
    with s.agent("Coordinator", "Weather of the twelve towns"):
        s.llm("Twelve readers, one a town.", "Plan: weather of " + ", ".join(TOWNS), purpose="plan")
        s.parallel(
            *(
                (lambda t=town, n=number: _weather(s, t, 2 if n in (3, 8) else 0, 1.0))
                for number, town in enumerate(TOWNS)
            )
        )
        s.llm("Windy in the north, calm in the south.", "Put the twelve lines together.")


@PROGRAMS.fault("retry_storm", "the same, but one reader hammers a dead service without a pause")
def map_with_storm(s: Stage) -> None:
    with s.agent("Coordinator", "Weather of the twelve towns"):
        s.llm("Twelve readers, one a town.", "Plan: weather of " + ", ".join(TOWNS), purpose="plan")

        def one(town: str, number: int) -> None:
            if number == 5:
                with s.key():
                    _weather(s, town, 11, 0.0)
            else:
                _weather(s, town, 0, 1.0)

        s.parallel(*((lambda t=town, n=number: one(t, n)) for number, town in enumerate(TOWNS)))
        s.llm("Windy in the north, calm in the south.", "Put the twelve lines together.")


POINTS = (
    (
        "Tolls cut traffic by a fifth in Stockholm within a year.",
        "Stockholm had trains to spare; here the buses are full at eight.",
    ),
    (
        "Then half of the income must buy buses, say sixty of them.",
        "Sixty buses need drivers, and forty posts are vacant today.",
    ),
    (
        "Start at two euros and raise it when the posts are filled.",
        "Two euros hurt cleaners who start at five, when no bus goes.",
    ),
    (
        "Exempt trips before six, and holders of the social card.",
        "Exemptions doubled the cost of the cameras in Milan.",
    ),
    (
        "Milan billed by plate lists; a vignette costs a tenth of that.",
        "A vignette is paid once, so nobody drives less at noon.",
    ),
    ("Sell it by the day, at the kiosk and by telephone.", "By the day I can accept, if children's homes are free."),
    (
        "Agreed for homes and clinics, with a list kept by the city.",
        "Then let us review after eighteen months, with a vote.",
    ),
    ("Eighteen months and a vote: I can carry that.", "So can I. We have a proposal."),
)


@PROGRAMS.healthy("a debate of eight rounds that comes together slowly")
def slow_debate(s: Stage) -> None:
    history: list[dict[str, str]] = [{"role": "user", "content": "Should the city charge a toll?"}]
    for pro, contra in POINTS:
        for who, text in (("Proponent", pro), ("Opponent", contra)):
            with s.agent(who):
                s.llm(text, history, model="gpt-4o")
                history.append({"role": "user", "content": f"{who}: {text}"})
                s.tell("Opponent" if who == "Proponent" else "Proponent", text)
    with s.agent("Moderator"):
        s.llm(
            "Day vignette from two euros, homes and clinics free, review after eighteen months.", history, visible=True
        )


STUCK_PRO = (
    "A toll is needed because traffic is too dense.",
    "The traffic is too dense, hence the toll is needed.",
    "We need the toll: too much traffic.",
    "Too dense a traffic makes a toll needed.",
)
STUCK_CON = (
    "A toll is unfair to people with low wages.",
    "It would be unfair to those with low wages.",
    "People with low wages find a toll unfair.",
    "Unfair to low wages, that toll.",
)


@PROGRAMS.fault(
    "loop", "the same debate, where both say for nine rounds what they said in the first", also=("ping_pong",)
)
def stuck_debate(s: Stage) -> None:
    history: list[dict[str, str]] = [{"role": "user", "content": "Should the city charge a toll?"}]
    for round_ in range(9):
        s.again()
        for who, texts in (("Proponent", STUCK_PRO), ("Opponent", STUCK_CON)):
            with s.key(), s.agent(who):
                text = texts[round_ % 4]
                s.llm(text, history, model="gpt-4o")
                history.append({"role": "user", "content": f"{who}: {text}"})
                s.tell("Opponent" if who == "Proponent" else "Proponent", text)


@PROGRAMS.healthy("a training job is asked for its progress every minute; it gets on unevenly")
def poll_with_progress(s: Stage) -> None:
    with s.agent("Trainer", "Train the model and report"):
        s.tool("start_job", {"config": "small"}, {"job": "j-81"})
        done = 0
        while done < 100:
            s.go(60)
            done = min(100, done + s.rng.choice((0, 0, 1, 4, 9, 12)))
            s.tool("job_status", {"job": "j-81"}, {"state": "running" if done < 100 else "done", "percent": done})
        s.llm("The job is done.", "Report the job.", visible=True)


@PROGRAMS.healthy("an agent looks at a build every half minute and says each time that it waits")
def poll_with_model(s: Stage) -> None:
    with s.agent("Releaser", "Ship when the build is green"):
        for percent in (3, 9, 16, 22, 40, 41, 55, 73, 88, 97):
            s.llm(
                "The build is not finished, I will look again in half a minute.",
                "Go on.",
                calls=(("build_status", {"id": "b-7"}),),
            )
            s.tool("build_status", {"id": "b-7"}, f"building, {percent} % of 3,412 objects")
            with tracer.wait("build b-7", reason="timer"):
                s.go(30)
        s.tool("build_status", {"id": "b-7"}, "green")
        s.llm("Shipped.", "The build is green.", visible=True)


@PROGRAMS.fault(
    "loop",
    "the same build has been stuck at 41 % since the fifth look, and no pause is made between looks",
    also=("duplicate_calls",),
)
def poll_stuck(s: Stage) -> None:
    with s.agent("Releaser", "Ship when the build is green"):
        for number, percent in enumerate((3, 9, 16, 22, *[41] * 14)):
            if number >= 4:
                s.again()
            said = s.rng.choice(
                (
                    "The build is not finished, I will look again.",
                    "Still building, looking again.",
                    "Not done yet. Let me check the build.",
                )
            )
            if number >= 5:
                with s.key():
                    s.llm(said, "Go on.", calls=(("build_status", {"id": "b-7"}),))
                    s.tool("build_status", {"id": "b-7"}, f"building, {percent} % of 3,412 objects")
            else:
                s.llm(said, "Go on.", calls=(("build_status", {"id": "b-7"}),))
                s.tool("build_status", {"id": "b-7"}, f"building, {percent} % of 3,412 objects")


@PROGRAMS.healthy("fifteen pages of orders are read by cursor, a sentence after each")
def pages_by_cursor(s: Stage) -> None:
    with s.agent("Auditor", "Find orders above 1,000 euros"):
        cursor = "start"
        for page in range(15):
            nxt = f"c{s.rng.getrandbits(32):08x}"
            orders = [{"order": 5000 + page * 20 + i, "total": s.rng.randint(5, 900)} for i in range(5)]
            s.tool("list_orders", {"cursor": cursor, "limit": 5}, {"orders": orders, "next": nxt})
            s.llm("No order above 1,000 euros on this page. Next page.", f"Look through the page: {orders}")
            cursor = nxt
        s.llm("None of the 75 orders is above 1,000 euros.", "Report.", visible=True)


@PROGRAMS.fault("loop", "the cursor is forgotten: the first page comes again and again", also=("duplicate_calls",))
def pages_without_cursor(s: Stage) -> None:
    orders = [{"order": 5000 + i, "total": s.rng.randint(5, 900)} for i in range(5)]
    with s.agent("Auditor", "Find orders above 1,000 euros"):
        for _ in range(9):
            s.again()
            with s.key():
                s.tool("list_orders", {"cursor": None, "limit": 5}, {"orders": orders, "next": "c0a1"})
                s.llm("No order above 1,000 euros on this page. Next page.", "Look through the page.")


COMMENTS = (
    "Shorter, please.",
    "Name the price in the first line.",
    "The date is wrong, it is the 14th.",
    "Good, but thank them for the visit.",
    "Approved.",
)


@PROGRAMS.healthy("a letter goes to a person five times, who asks for something else each time and then agrees")
def letter_with_person(s: Stage) -> None:
    letter = "Dear Ms Roth, we are glad to offer you the hall for your feast on the 13th at 900 euros, coffee included, and look forward to hearing from you soon."
    drafts = (
        letter,
        "Dear Ms Roth, we offer you the hall on the 13th at 900 euros, coffee included.",
        "Dear Ms Roth, for 900 euros the hall is yours on the 13th, coffee included.",
        "Dear Ms Roth, for 900 euros the hall is yours on the 14th, coffee included.",
        "Dear Ms Roth, thank you for your visit. For 900 euros the hall is yours on the 14th, coffee included.",
    )
    with s.agent("Writer", "Write the offer to Ms Roth"):
        asked = "Write the offer to Ms Roth"
        for draft, comment in zip(drafts, COMMENTS, strict=True):
            s.llm(draft, asked)
            s.escalate("Ana", "May I send this letter?", seconds=900, answer=comment)
            asked = comment
        s.tool("send_mail", {"to": "roth@example.org"}, "sent")


@PROGRAMS.fault(
    "loop", "the writer hands in the same letter whatever is asked for", also=("duplicate_calls", "ping_pong")
)
def letter_never_changes(s: Stage) -> None:
    letter = "Dear Ms Roth, we are glad to offer you the hall for your feast on the 13th at 900 euros, coffee included."
    for _ in range(7):
        s.again()
        with s.key():
            with s.agent("Writer", "Write the offer to Ms Roth"):
                s.llm(letter, "Write the offer to Ms Roth. The date is wrong, it is the 14th.")
                s.handoff("Checker", letter)
            with s.agent("Checker"):
                s.llm("The date is wrong, it is the 14th.", letter)
                s.handoff("Writer", "The date is wrong, it is the 14th.")


STEPS = (
    "list the suppliers",
    "ask three of them for prices",
    "compare the prices",
    "check the delivery times",
    "draft the order",
    "have it signed",
)


@PROGRAMS.healthy("a planner that writes the whole plan anew after every step, most of it as before")
def revised_plan(s: Stage) -> None:
    done: list[str] = []
    with s.agent("Planner", "Buy forty chairs"):
        for number, step in enumerate(STEPS):
            open_ = "; ".join(STEPS[number:])
            s.llm(
                f"Plan: {open_}. Next: {step}.",
                f"Done so far: {'; '.join(done) or 'nothing'}. Revise the plan.",
                purpose="plan",
            )
            s.handoff("Worker", step)
            with s.agent("Worker", step):
                s.tool("office", {"task": step}, f"{step}: done, {s.rng.randint(2, 40)} found")
                s.llm(f"Finished: {step}.", f"Do: {step}")
                s.handoff("Planner", f"Finished: {step}.")
            done.append(step)


@PROGRAMS.fault("loop", "a planner that revises its plan and never has a step done")
def plan_never_begun(s: Stage) -> None:
    plan = "Plan: list the suppliers; ask three of them for prices; compare the prices; draft the order."
    variants = (
        plan,
        plan.replace("list the suppliers", "make a list of suppliers"),
        plan.replace("compare the prices", "compare prices"),
        plan.replace("ask three of them", "ask three suppliers"),
    )
    with s.agent("Planner", "Buy forty chairs"):
        for number in range(9):
            s.again()
            with s.key():
                s.llm(variants[number % 4], "Is the plan complete? Revise it.", purpose="plan")
                s.llm("The plan could be clearer, revise it.", variants[number % 4], purpose="judge")


@PROGRAMS.healthy(
    "twelve addresses are looked up with a service that fails every third time and answers when asked again"
)
def flaky_lookup(s: Stage) -> None:
    with s.agent("Clerk", "Look up the twelve shops"):
        for number, town in enumerate(TOWNS):
            if number % 3 == 1:
                s.tool("geocode", {"address": f"Market 1, {town}"}, error="TimeoutError: no answer within 5 s")
                s.go(2)
            s.tool(
                "geocode",
                {"address": f"Market 1, {town}"},
                {"lat": round(s.rng.uniform(40, 60), 4), "lon": round(s.rng.uniform(0, 20), 4)},
            )
        s.llm("All twelve found.", "Report.", visible=True)


@PROGRAMS.fault(
    "loop",
    "every address fails for want of a key, and the clerk tries address after address",
    also=("retry_storm", "error_cascade"),
)
def locked_lookup(s: Stage) -> None:
    with s.agent("Clerk", "Look up the twelve shops"):
        for town in TOWNS:
            s.again()
            with s.key():
                s.llm(f"Next is {town}.", "Go on.")
                s.tool("geocode", {"address": f"Market 1, {town}"}, error="PermissionError: 403 invalid api key")
        s.ended = "failed"


@PROGRAMS.healthy("eight sellers ask for the same rate; it comes out of a cache", also=("duplicate_calls",))
def cached_rate(s: Stage) -> None:
    for number, town in enumerate(TOWNS[:8]):
        with s.agent(f"Seller {town}", f"Offer for {town}"):
            s.tool(
                "exchange_rate",
                {"pair": "EUR/SEK"},
                {"rate": 11.42, "cached": number > 0},
                seconds=0.4 if number == 0 else 0.001,
            )
            s.llm(
                f"{town}: {s.rng.randint(100, 900)} euros, {s.rng.randint(1000, 9000)} kronor.",
                f"Write the offer for {town}.",
            )


@PROGRAMS.fault("duplicate_calls", "one seller asks the catalogue eight times over for what it was told")
def asked_again(s: Stage) -> None:
    with s.agent("Seller", "Offers for eight towns"):
        for town in TOWNS[:8]:
            with s.key():
                s.tool("catalogue", {"item": "chair", "year": 2026}, {"price": 79, "stock": 412}, seconds=1.5)
            s.llm(f"{town}: forty chairs at {s.rng.randint(60, 79)} euros.", f"Write the offer for {town}.")


@PROGRAMS.healthy("six questions about one handbook; for each, three queries find partly the same passages")
def handbook(s: Stage) -> None:
    passages = [f"Section {n}. {s.fact()}" for n in range(1, 25)]
    questions = (
        "How long is parental leave?",
        "Who signs travel above 500 euros?",
        "May I work from abroad?",
        "How are overtime hours paid?",
        "What is the notice period?",
        "Who repairs my laptop?",
    )
    with s.agent("Librarian", "Answer the six questions"):
        for question in questions:
            for query in (question, question.rstrip("?").lower(), f"rules {question.split()[-1].rstrip('?')}"):
                s.tool("search_handbook", {"query": query, "k": 4}, s.rng.sample(passages, 4))
            s.llm(f"{question} {s.fact()}", question, visible=True)


@PROGRAMS.fault(
    "loop",
    "one question is put to the handbook in other words again and again, the same passages come back",
    also=("duplicate_calls",),
)
def handbook_again(s: Stage) -> None:
    passages = [f"Section {n}. {s.fact()}" for n in (3, 8, 9, 17)]
    queries = (
        "parental leave length",
        "length of parental leave",
        "parental leave how long",
        "how long is parental leave",
        "duration parental leave",
        "parental leave length in weeks",
        "parental leave weeks length",
        "length parental leave",
    )
    with s.agent("Librarian", "How long is parental leave?"):
        for query in queries:
            s.again()
            with s.key():
                s.llm(
                    "The passages do not say. Let me search again.",
                    "How long is parental leave?",
                    calls=(("search_handbook", {"query": query}),),
                )
                s.tool("search_handbook", {"query": query, "k": 4}, passages)
