"""Shared state: pharmacy stock, shift plans, recipes, bank accounts. Not to be tuned on."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage

SHARED = Catalogue()


@SHARED.fault(
    "lost_update", "two pharmacists book stock from one snapshot, without versions and without recorded reads"
)
def stock_booked_twice(s: Stage) -> None:
    stock = {"aspirin": 40, "insulin": 12, "note": s.thing()}
    one, two = {**stock, "aspirin": 35}, {**stock, "insulin": 9}

    def lane(me: str, after: dict[str, object], delay: float) -> None:
        with tracer.agent(me):
            s.llm(s.fact(), seconds=delay)
            with s.key():
                s.note(tracer.state_write("stock", before=stock, after=after).span_id)

    s.parallel(lambda: lane("Pharmacist A", one, 1.0), lambda: lane("Pharmacist B", two, 3.0))


@SHARED.fault("lost_update", "a counter is read by two, and both add to what they had read")
def counter_lost(s: Stage) -> None:
    def lane(me: str, delay: float, version: int, add: int) -> None:
        with s.agent(me):
            s.read("portions", {"left": 20, "sold": 0}, 7)
            s.go(delay)
            with s.key():
                s.write("portions", {"left": 20, "sold": 0}, {"left": 20 - add, "sold": add}, version)

    s.parallel(lambda: lane("Waiter", 1.0, 8, 2), lambda: lane("Counter", 2.5, 9, 5))


@SHARED.fault("lost_update", "a shift plan is replaced by one that was begun before the last change")
def shift_plan(s: Stage) -> None:
    plan = {"early": "Ana", "late": "Ben", "night": "Cem"}
    with_swap, with_leave = {**plan, "late": "Dora"}, {**plan, "night": "Emil"}

    def slow() -> None:
        with s.agent("Ward manager"):
            s.read("shifts", plan, 1)
            s.llm(s.fact(), seconds=20)
            with s.key():
                s.write("shifts", with_swap, with_leave, 3)

    def quick() -> None:
        with s.agent("Deputy"):
            s.go(2)
            s.read("shifts", plan, 1)
            with s.key():
                s.write("shifts", plan, with_swap, 2)

    s.parallel(slow, quick)


@SHARED.healthy("two pharmacists book one after the other, each from the newest stock, without versions")
def stock_in_turn(s: Stage) -> None:
    stock: dict[str, object] = {"aspirin": 40, "insulin": 12}
    for name, key, value in (
        ("Pharmacist A", "aspirin", 35),
        ("Pharmacist B", "insulin", 9),
        ("Pharmacist A", "insulin", 7),
    ):
        before, stock = stock, {**stock, key: value}
        with tracer.agent(name):
            s.go(1)
            tracer.state_write("stock", before=before, after=stock)


@SHARED.healthy("two branches add to one list by a reducer")
def reduced_list(s: Stage) -> None:
    one, two = s.fact(), s.fact()

    def lane(me: str, before: list[str], after: list[str], delay: float) -> None:
        with s.agent(me):
            s.go(delay)
            s.write("findings", before, after, merge="append")

    s.parallel(lambda: lane("Taster", [], [one], 1), lambda: lane("Chemist", [one], [one, two], 2))


@SHARED.healthy("a write is refused because of its version and done again")
def refused_once(s: Stage) -> None:
    base = {"early": "Ana", "late": "Ben"}
    first = {**base, "late": "Dora"}
    final = {**first, "early": "Emil"}

    def quick() -> None:
        with s.agent("Deputy"):
            s.read("shifts", base, 1)
            s.go(0.5)
            s.write("shifts", base, first, 2, expected=1, outcome="ok")

    def slow() -> None:
        with s.agent("Ward manager"):
            s.read("shifts", base, 1)
            s.go(2)
            s.write("shifts", base, {**base, "early": "Emil"}, None, expected=1, outcome="conflict")
            s.read("shifts", first, 2)
            s.write("shifts", first, final, 3, expected=2, outcome="ok")

    s.parallel(quick, slow)


@SHARED.healthy("everybody writes a key of their own into one store")
def own_shelves(s: Stage) -> None:
    def lane(shelf: str) -> None:
        with s.agent(f"Keeper {shelf}"):
            for version in range(1, 4):
                s.write(f"shelf {shelf}", {"n": version - 1}, {"n": version}, version)

    s.parallel(*(lambda shelf=shelf: lane(shelf) for shelf in "abc"))


@SHARED.healthy("a scratch pad is begun anew by each agent")
def scratch_pad(s: Stage) -> None:
    for name in ("Chef", "Baker", "Butcher", "Chef"):
        with s.agent(name):
            s.write("scratch", None, {"owner": name, "note": s.fact()})
            s.llm(s.fact())


@SHARED.fault(
    "stale_read",
    "a price that had been raised before is told to a customer, no versions recorded",
    also=("divergent_views",),
)
def old_price(s: Stage) -> None:
    old, new = {"loaf": 3.2, "roll": 0.6}, {"loaf": 3.9, "roll": 0.8}
    with s.agent("Pricing"):
        s.write("prices", old, new)
    s.go(20)
    with s.agent("Shop"):
        with s.key():
            s.read("prices", old)
        s.llm(s.fact())
        s.tell("customer", "A loaf is 3.20")
        s.tool("print_receipt", {"loaf": 3.2}, "printed")


@SHARED.fault(
    "stale_read",
    "a replica serves version 4 of a limit for a minute after version 6 was written",
    also=("divergent_views",),
)
def old_limit(s: Stage) -> None:
    with s.agent("Risk"):
        for version in (4, 5, 6):
            s.write("limit", {"eur": 1000 * version - 1000}, {"eur": 1000 * version}, version)
    s.go(60)
    with s.agent("Payments"):
        with s.key():
            s.read("limit", {"eur": 4000}, 4)
        s.decide("pay invoice 77", "yes", acted=True)


@SHARED.healthy("a limit is read fresh each time before it is used")
def fresh_limit(s: Stage) -> None:
    for version in (1, 2, 3):
        with s.agent("Risk"):
            s.write("limit", {"eur": 100 * version - 100}, {"eur": 100 * version}, version)
        s.go(5)
        with s.agent("Payments"):
            s.read("limit", {"eur": 100 * version}, version)
            s.decide(f"pay invoice {version}", "yes", acted=True)


@SHARED.fault(
    "write_skew",
    "two tellers each check that the joint balance suffices, and each take from another account",
    also=("stale_read", "divergent_views"),
)
def joint_balance(s: Stage) -> None:
    def lane(me: str, mine: str, delay: float) -> None:
        with s.agent(me):
            s.go(delay)
            with s.key():
                s.read("account giro", 100, 3)
                s.read("account savings", 100, 5)
            s.llm("The two together hold 200, so 150 can go.", seconds=3)
            with s.key():
                s.write(mine, 100, -50, 4 if mine == "account giro" else 6)

    s.parallel(lambda: lane("Teller 1", "account giro", 0.1), lambda: lane("Teller 2", "account savings", 0.5))


@SHARED.healthy("the second teller sees what the first has taken")
def balance_in_turn(s: Stage) -> None:
    with s.agent("Teller 1"):
        s.read("account giro", 100, 3)
        s.read("account savings", 100, 5)
        s.write("account giro", 100, -50, 4)
    with s.agent("Teller 2"):
        s.read("account giro", -50, 4)
        s.read("account savings", 100, 5)
        s.llm("Only 50 is left.")


@SHARED.fault(
    "divergent_views",
    "kitchen and bar decide from different versions of one menu",
    also=("stale_read", "conflicting_decisions"),
)
def two_menus(s: Stage) -> None:
    old, new = {"fish": "cod", "wine": "white"}, {"fish": "lamb", "wine": "red"}
    with s.agent("Owner"):
        s.write("menu", None, old, 1)

    def bar() -> None:
        with s.agent("Bar"):
            s.go(0.5)
            with s.key():
                s.read("menu", old, 1)
            s.llm(s.fact(), seconds=6)
            with s.key():
                s.decide("wine order", "white", acted=True, inputs={"menu": 1})

    def owner() -> None:
        with s.agent("Owner"):
            s.go(2)
            s.write("menu", old, new, 2)

    def kitchen() -> None:
        with s.agent("Kitchen"):
            s.go(4)
            with s.key():
                s.read("menu", new, 2)
                s.decide("meat order", "lamb", acted=True, inputs={"menu": 2})

    s.parallel(bar, owner, kitchen)


@SHARED.healthy("kitchen and bar decide from the same menu")
def one_menu(s: Stage) -> None:
    menu = {"fish": "cod", "wine": "white"}
    with s.agent("Owner"):
        s.write("menu", None, menu, 1)

    def lane(me: str, scope: str, choice: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            s.read("menu", menu, 1)
            s.decide(scope, choice, acted=True, inputs={"menu": 1})

    s.parallel(lambda: lane("Kitchen", "fish order", "cod"), lambda: lane("Bar", "wine order", "white"))


@SHARED.fault(
    "state_growth", "every tasting stays in the shared notebook, forty of them", also=("context_growth", "data_quality")
)
def tasting_notes(s: Stage) -> None:
    notes: dict[str, str] = {}
    for number in range(40):
        before, notes = notes, {**notes, f"tasting {number}": " ".join(s.fact() for _ in range(14))}
        with s.agent("Taster"):
            s.llm(s.fact())
            with s.key():
                s.write("notebook", before, notes)


@SHARED.healthy("a notebook keeps the last five tastings")
def short_notebook(s: Stage) -> None:
    notes: list[str] = []
    for version in range(1, 31):
        before, notes = notes, [*notes, " ".join(s.fact() for _ in range(14))][-5:]
        with s.agent("Taster"):
            s.llm(s.fact())
            s.write("notebook", before, notes, version)
