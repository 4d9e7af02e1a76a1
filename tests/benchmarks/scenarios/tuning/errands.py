"""More whole programs: supervisors with many items, long chats, small labels, votes, mazes, queues, triage, shared lists."""

from __future__ import annotations

from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage

ERRANDS = Catalogue()

ITEMS = ("kettle", "toaster", "lamp", "desk", "chair", "shelf", "rug", "mirror", "clock", "vase", "sofa", "stool")
HOTEL = "You are a travel desk. Answer briefly and only from the tools."


@ERRANDS.healthy("a supervisor sends twelve items to the same worker, one by one", also=("hidden_calls",))
def twelve_items(s: Stage) -> None:
    with s.agent("Supervisor", "Price the twelve items"):
        for item in ITEMS:
            s.llm(f"Appraiser: {item}", "Who is next?", purpose="route")
            s.handoff("Appraiser", f"Please price the {item}.")
            with s.agent("Appraiser", f"Please price the {item}."):
                s.tool("price_list", {"item": item}, {"price": s.rng.randint(5, 300)})
                s.llm(f"The {item} costs {s.rng.randint(5, 300)} euros.", f"Please price the {item}.")
                s.handoff("Supervisor", f"The {item} is priced.")
        s.llm("All twelve are priced.", "Sum up.", visible=True)


@ERRANDS.fault(
    "loop", "the supervisor sends the lamp again and again, though it was priced", also=("ping_pong", "duplicate_calls")
)
def lamp_again(s: Stage) -> None:
    with s.agent("Supervisor", "Price the twelve items"):
        for _ in range(9):
            s.again()
            with s.key():
                s.llm("Appraiser: lamp", "Who is next?", purpose="route")
                s.handoff("Appraiser", "Please price the lamp.")
                with s.agent("Appraiser", "Please price the lamp."):
                    s.tool("price_list", {"item": "lamp"}, {"price": 49})
                    s.llm("The lamp costs 49 euros.", "Please price the lamp.")
                    s.handoff("Supervisor", "The lamp is priced.")


TALK = (
    ("Do you have rooms in May?", "Yes, from the 3rd to the 28th."),
    ("With a balcony?", "Four of them, on the second floor."),
    ("What does one cost?", "140 euros a night."),
    ("Is breakfast in it?", "It is, from seven to ten."),
    ("May I bring a dog?", "Small ones, for 12 euros a night."),
    ("He has 31 kilos.", "Then the garden room would be right."),
    ("Is there a lift to it?", "It is on the ground floor."),
    ("How far is the station?", "Nine minutes on foot."),
    ("And the lake?", "Twenty, or four by bus."),
    ("Does the bus go at night?", "The last one leaves at 23:40."),
    ("Can I hire a bicycle?", "Yes, 15 euros a day."),
    ("Also for my son, he is six?", "We have two small ones."),
    ("Is there a cot?", "On request, free."),
    ("What about vegetarian food?", "Two dishes every evening."),
    ("When is check-in?", "From 15 o'clock."),
    ("Could we come at noon?", "You can leave the luggage here."),
    ("Is there parking?", "Eight places, first come first served."),
    ("With charging?", "Two of them, 11 kW."),
    ("Until when may I cancel?", "Six days before."),
    ("Then please book the garden room from the 9th to the 14th.", "Booked: five nights, 760 euros with the dog."),
)


@ERRANDS.healthy("a guest asks twenty things in one chat")
def hotel_chat(s: Stage) -> None:
    history = [{"role": "system", "content": HOTEL}]
    for question, answer in TALK:
        history.append({"role": "user", "content": question})
        with s.agent("Desk", question):
            s.llm(answer, history, visible=True)
        history.append({"role": "assistant", "content": answer})
        s.go(s.rng.uniform(10, 60))


@ERRANDS.fault("context_growth", "an agent drags every page it read through forty calls")
def dragged_pages(s: Stage) -> None:
    history = [
        {"role": "system", "content": HOTEL},
        {"role": "user", "content": "Find the cheapest garden room in forty hotels."},
    ]
    with s.agent("Scout", "Find the cheapest garden room"):
        for number in range(40):
            with s.key():
                s.llm(f"Hotel {number} is read.", history, model="gpt-4o", tokens=(200 + number * 900, 20))
            history.append({"role": "assistant", "content": f"Hotel {number} is read."})
            history.append(
                {"role": "user", "content": f"Page of hotel {number}: " + " ".join(s.fact() for _ in range(60))}
            )


@ERRANDS.healthy("sixty mails are sorted, most of them are spam")
def mail_labels(s: Stage) -> None:
    with s.agent("Sorter", "Sort the mails"):
        for number in range(60):
            s.llm(
                "spam" if number % 7 else "invoice",
                f"Mail {number}: {s.fact()} Answer with one word: spam, invoice or letter.",
            )


@ERRANDS.healthy("thirty hosts are looked at, all are well")
def all_well(s: Stage) -> None:
    with s.agent("Watchman", "Look at the hosts"):
        for number in range(30):
            s.tool("ping", {"host": f"web-{number:02}"}, "ok")
        s.llm("All thirty answer.", "Report.", visible=True)


@ERRANDS.healthy("seven votes on one question, with the same prompt", also=("duplicate_calls",))
def seven_votes(s: Stage) -> None:
    with s.agent("Panel", "Is the claim covered?"):
        s.parallel(
            *(
                (
                    lambda: s.llm(
                        s.rng.choice(("yes", "yes", "no")), "Is the claim covered? Answer yes or no.", temperature=1.0
                    )
                )
                for _ in range(7)
            )
        )
        s.llm("Covered, by five votes to two.", "Count the votes.", purpose="judge", visible=True)


FAILS = (12, 9, 9, 5, 2, 0)


@ERRANDS.healthy("a coder mends a program until the tests pass, fewer fail each time")
def tests_get_better(s: Stage) -> None:
    names = [f"test_{s.thing().lower()}" for _ in range(12)]
    with s.agent("Coder", "Make the tests pass"):
        for number, failing in enumerate(FAILS):
            s.llm(f"I change {s.thing()} so that {names[failing - 1]} passes.", f"{failing} tests fail.")
            s.tool("edit_file", {"path": f"shop/part{number}.py", "patch": s.fact()}, "ok")
            s.tool(
                "run_tests",
                {"path": "tests"},
                f"{failing} failed, {40 - failing} passed: " + ", ".join(names[:failing]),
            )


@ERRANDS.healthy("an agent walks through a maze, mostly north")
def maze(s: Stage) -> None:
    x = y = 0
    with s.agent("Walker", "Leave the maze"):
        for _ in range(25):
            step = s.rng.choice(("north", "north", "north", "east"))
            x, y = (x, y + 1) if step == "north" else (x + 1, y)
            s.llm(f"Go {step}.", f"You are at {x},{y}. Where do you go?", calls=(("move", {"to": step}),))
            s.tool("move", {"to": step}, {"at": [x, y], "exit": False})
        s.tool("move", {"to": "north"}, {"at": [x, y + 1], "exit": True})


@ERRANDS.healthy("the first model is overloaded twice, the second answers")
def fallback_model(s: Stage) -> None:
    with s.agent("Answerer", "What is due today?"):
        for attempt in (1, 2):
            s.llm(
                None,
                "What is due today?",
                model="gpt-4o",
                error="RateLimitError: 429 overloaded",
                attempt=attempt,
                seconds=0.3,
            )
            s.go(attempt * 2)
        s.llm("Two invoices are due.", "What is due today?", model="claude-sonnet-4-0", visible=True)


@ERRANDS.healthy("three editors of one list, one after the other, each on the version it read")
def editors(s: Stage) -> None:
    items: list[str] = []
    for version, who in enumerate(("Ann", "Bob", "Cem", "Ann", "Bob", "Cem"), 1):
        with s.agent(f"Editor {who}"):
            s.read("list", {"items": list(items)}, version)
            s.llm(f"I add {ITEMS[version]}.", "What is missing?")
            before = list(items)
            items.append(ITEMS[version])
            s.write("list", {"items": before}, {"items": list(items)}, version + 1)


@ERRANDS.fault("lost_update", "two of the editors work side by side and the second writes over the first")
def editors_clash(s: Stage) -> None:
    def editor(who: str, item: str, think: float, version: int) -> None:
        with s.agent(f"Editor {who}"):
            s.read("list", {"items": ["kettle"]}, 1)
            s.llm(f"I add {item}.", "What is missing?", seconds=think)
            with s.key():
                s.write("list", {"items": ["kettle"]}, {"items": ["kettle", item]}, version)

    s.parallel(lambda: editor("Ann", "lamp", 1.0, 2), lambda: editor("Bob", "rug", 4.0, 3))


@ERRANDS.healthy("three agents wait for the printer in turn")
def printer_queue(s: Stage) -> None:
    def job(number: int) -> None:
        with s.agent(f"Typist {number}"):
            s.llm(f"Letter {number} is written.", f"Write letter {number}.")
            if number:
                s.wait(f"Typist {number - 1}", seconds=2.0 * number, reason="lock")
            s.tool("print", {"letter": number}, "printed", seconds=2)

    s.parallel(*((lambda n=number: job(n)) for number in range(3)))


@ERRANDS.fault("deadlock", "two agents each hold what the other waits for", also=("duplicate_calls",))
def printer_deadlock(s: Stage) -> None:
    def job(me: str, other: str, holds: str, wants: str) -> None:
        with s.agent(me):
            s.llm("I need both.", "Print and bind.")
            with s.key():
                s.wait(other, seconds=400, outcome="timed_out", reason="lock", holds=[holds])

    s.parallel(
        lambda: job("Typist", "Binder", "printer", "binder"), lambda: job("Binder", "Typist", "binder", "printer")
    )
    s.ended = "failed"


@ERRANDS.healthy("triage sends ten customers to three desks")
def triage(s: Stage) -> None:
    for number in range(10):
        desk = s.rng.choice(("Billing", "Shipping", "Returns"))
        asked = f"Customer {number}: {s.fact()}"
        with s.agent("Triage", asked):
            s.llm(desk, asked, purpose="route")
            s.handoff(desk, asked)
        with s.agent(desk, asked):
            s.tool("crm", {"customer": number}, s.fact())
            s.llm(s.fact(), asked, visible=True)


@ERRANDS.fault("conflicting_decisions", "two desks answer one customer at the same time, one refunds and one refuses")
def two_answers(s: Stage) -> None:
    with s.agent("Triage", "Customer 4 wants her money back"):
        s.llm("Billing and Returns", "Customer 4 wants her money back", purpose="route")

    def desk(name: str, choice: str) -> None:
        with s.agent(name, "Customer 4 wants her money back"):
            s.llm(f"I {choice}.", "Customer 4 wants her money back")
            with s.key():
                s.decide("refund of customer 4", choice, acted=True)
            s.tool("send_mail", {"customer": 4, "text": choice}, "sent")

    s.parallel(lambda: desk("Billing", "refund"), lambda: desk("Returns", "refuse"))


@ERRANDS.fault("error_cascade", "a price list cannot be read, and everybody after it works without prices")
def no_prices(s: Stage) -> None:
    with s.agent("Fetcher", "Fetch the price list"):
        with s.key():
            s.tool("read_table", {"file": "prices.csv"}, error="FileNotFoundError: prices.csv")
        s.llm("The price list could not be read.", "Report.")
        s.handoff("Quoter", "The price list could not be read.")
    with s.key(), s.agent("Quoter") as quoter:
        s.tool("quote", {"items": 12}, error="ValueError: no prices")
        quoter.fail("ValueError: no prices")
    with s.key(), s.agent("Sender") as sender:
        s.tool("send_offer", {"to": "roth"}, error="ValueError: empty offer")
        sender.fail("ValueError: empty offer")
    s.ended = "failed"
