"""Shared state: seating plans, rotas, cargo manifests. Once unseen, read since."""

from __future__ import annotations

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage

STATE = Catalogue()


@STATE.fault("lost_update", "two ushers seat guests in one plan, the second one wipes out the first")
def seating(s: Stage) -> None:
    empty = {"row1": "", "row2": "", "row3": s.thing()}
    first, second = {**empty, "row1": s.thing()}, {**empty, "row2": s.thing()}

    def left() -> None:
        with s.agent("Usher left"):
            s.go(0.1)
            s.read("seating", empty, 3)
            s.llm(s.fact(), seconds=1)
            with s.key():
                s.write("seating", empty, first, 4)

    def right() -> None:
        with s.agent("Usher right"):
            s.go(0.3)
            s.read("seating", empty, 3)
            s.llm(s.fact(), seconds=4)
            with s.key():
                s.write("seating", first, second, 5)

    s.parallel(left, right)


@STATE.fault("lost_update", "a rota without versions: the night nurse's entry is gone after the ward sister's")
def rota(s: Stage) -> None:
    before = {"mon": "Ruth", "tue": "", "wed": "", "note": s.fact()}
    night, sister = {**before, "tue": "Nadia"}, {**before, "wed": "Olga"}

    def a() -> None:
        with s.agent("Night nurse"):
            s.go(0.2)
            s.read("rota", before)
            s.go(1)
            with s.key():
                s.write("rota", before, night)

    def b() -> None:
        with s.agent("Ward sister"):
            s.read("rota", before)
            s.llm(s.fact(), seconds=3)
            with s.key():
                s.write("rota", before, sister)

    s.parallel(a, b)


@STATE.healthy("two ushers, each on a key of their own")
def own_keys(s: Stage) -> None:
    def lane(side: str) -> None:
        with s.agent(f"Usher {side}"):
            s.read(f"seats {side}", {}, 1)
            s.go(s.rng.random())
            s.write(f"seats {side}", {}, {"a": s.thing()}, 2)

    s.parallel(lambda: lane("left"), lambda: lane("right"))


@STATE.healthy("two ushers change different rows and the store merges them")
def merged_rows(s: Stage) -> None:
    empty = {"row1": "", "row2": ""}
    first = {**empty, "row1": s.thing()}
    both = {**first, "row2": s.thing()}

    def left() -> None:
        with s.agent("Usher left"):
            s.go(0.1)
            s.read("seating", empty, 3)
            s.go(1)
            s.write("seating", empty, first, 4, changed_paths=["row1"])

    def right() -> None:
        with s.agent("Usher right"):
            s.read("seating", empty, 3)
            s.go(3)
            s.write("seating", first, both, 5, changed_paths=["row2"])

    s.parallel(left, right)


@STATE.healthy("compare-and-set refuses the second usher, who reads again")
def refused_then_right(s: Stage) -> None:
    empty = {"row1": "", "row2": ""}
    first = {**empty, "row1": s.thing()}
    both = {**first, "row2": s.thing()}

    def left() -> None:
        with s.agent("Usher left"):
            s.read("seating", empty, 3)
            s.go(1)
            s.write("seating", empty, first, 4, expected=3, outcome="ok")

    def right() -> None:
        with s.agent("Usher right"):
            s.go(0.2)
            s.read("seating", empty, 3)
            s.go(2)
            s.write("seating", first, {**empty, "row2": both["row2"]}, None, expected=3, outcome="conflict")
            s.read("seating", first, 4)
            s.write("seating", first, both, 5, expected=4, outcome="ok")

    s.parallel(left, right)


@STATE.healthy("both write the very same value")
def same_value(s: Stage) -> None:
    after = {"gate": "closed"}

    def lane(me: str, version: int, delay: float) -> None:
        with s.agent(me):
            s.read("gate", {"gate": "open"}, 1)
            s.go(delay)
            s.write("gate", {"gate": "open"} if version == 2 else after, after, version)

    s.parallel(lambda: lane("Porter", 2, 1), lambda: lane("Guard", 3, 2))


@STATE.healthy("a relay: each reads what the one before wrote")
def relay(s: Stage) -> None:
    value: dict[str, str] = {}
    for version in range(1, s.times(8)):
        before, value = value, {**value, s.thing(): s.fact()}
        with s.agent(f"Runner {version % 3}"):
            s.read("baton", before, version)
            s.llm(s.fact())
            s.write("baton", before, value, version + 1)


@STATE.healthy("two chroniclers append to one list", also=())
def appended(s: Stage) -> None:
    one, two = s.fact(), s.fact()

    def lane(me: str, before: list[str], after: list[str], version: int, delay: float) -> None:
        with s.agent(me):
            s.read("chronicle", [], 1)
            s.go(delay)
            s.write("chronicle", before, after, version, merge="append")

    s.parallel(lambda: lane("Monk", [], [one], 2, 1), lambda: lane("Abbot", [one], [one, two], 3, 2))


@STATE.fault(
    "stale_read",
    "cargo is released on a manifest that had been replaced half a minute earlier",
    also=("divergent_views",),
)
def old_manifest(s: Stage) -> None:
    old, new = {"hold": "grain", "cleared": True}, {"hold": "fireworks", "cleared": False}
    with s.agent("Customs"):
        s.read("manifest", old, 1)
        s.write("manifest", old, new, 2)
    s.go(30)
    with s.agent("Stevedore"):
        with s.key():
            s.read("manifest", old, 1)
        s.llm(s.fact())
        s.decide("release", "yes", acted=True)
        s.tool("open_hatch", {"hold": 1}, "open")


@STATE.healthy("the manifest is read before it is replaced, and nobody needs it later")
def read_in_time(s: Stage) -> None:
    old, new = {"hold": "grain"}, {"hold": "maize"}
    with s.agent("Stevedore"):
        s.read("manifest", old, 1)
        s.tool("open_hatch", {"hold": 1}, "open")
    s.go(5)
    with s.agent("Customs"):
        s.read("manifest", old, 1)
        s.write("manifest", old, new, 2)


@STATE.fault(
    "write_skew",
    "each of two doctors leaves because the other is still on call",
    also=("stale_read", "divergent_views"),
)
def on_call(s: Stage) -> None:
    def lane(me: str, other: str, delay: float) -> None:
        with s.agent(f"Dr {me}"):
            s.go(delay)
            with s.key():
                s.read(f"on_call/{me}", True, 1)
                s.read(f"on_call/{other}", True, 1)
            s.llm(f"{other} is on call, so I may go.", seconds=2)
            with s.key():
                s.write(f"on_call/{me}", True, False, 2)

    s.parallel(lambda: lane("Adeyemi", "Brandt", 0.1), lambda: lane("Brandt", "Adeyemi", 0.4))


@STATE.healthy("the second doctor looks again, sees the other has gone, and stays")
def on_call_in_turn(s: Stage) -> None:
    with s.agent("Dr Adeyemi"):
        s.read("on_call/Brandt", True, 1)
        s.write("on_call/Adeyemi", True, False, 2)
    with s.agent("Dr Brandt"):
        s.read("on_call/Adeyemi", False, 2)
        s.llm("I stay.")


@STATE.fault(
    "divergent_views",
    "pricing and sales decide on different versions of one tariff",
    also=("stale_read", "conflicting_decisions"),
)
def two_tariffs(s: Stage) -> None:
    old, new = {"adult": 12, "child": 6}, {"adult": 15, "child": 7}
    with s.agent("Management"):
        s.write("tariff", None, old, 1)

    def pricing() -> None:
        with s.agent("Ticket office"):
            s.go(4)
            with s.key():
                s.read("tariff", new, 2)
                s.decide("price of the matinee", "15", acted=True, inputs={"tariff": 2})

    def sales() -> None:
        with s.agent("Online sales"):
            s.go(0.5)
            with s.key():
                s.read("tariff", old, 1)
            s.llm(s.fact(), seconds=5)
            with s.key():
                s.decide("advertised price", "12", acted=True, inputs={"tariff": 1})

    def change() -> None:
        with s.agent("Management"):
            s.go(2)
            s.read("tariff", old, 1)
            s.write("tariff", old, new, 2)

    s.parallel(pricing, sales, change)


@STATE.healthy("ticket office and sales decide on the same version")
def one_tariff(s: Stage) -> None:
    tariff = {"adult": 12, "child": 6}
    with s.agent("Management"):
        s.write("tariff", None, tariff, 1)

    def lane(me: str, scope: str) -> None:
        with s.agent(me):
            s.go(s.rng.random())
            s.read("tariff", tariff, 1)
            s.decide(scope, "12", acted=True, inputs={"tariff": 1})

    s.parallel(lambda: lane("Ticket office", "price of the matinee"), lambda: lane("Online sales", "advertised price"))


@STATE.fault(
    "state_growth", "every scene's transcript stays in the shared notes", also=("context_growth", "data_quality")
)
def notes_pile_up(s: Stage) -> None:
    notes: list[str] = []
    with s.agent("Continuity"):
        for version in range(1, 26):
            before, notes = notes, [*notes, " ".join(s.fact() for _ in range(22))]
            s.llm(s.fact())
            with s.key():
                s.write("notes", before, notes, version)


@STATE.healthy("notes are cut back to the last three scenes")
def notes_pruned(s: Stage) -> None:
    notes: list[str] = []
    with s.agent("Continuity"):
        for version in range(1, 26):
            before, notes = notes, [*notes, " ".join(s.fact() for _ in range(22))][-3:]
            s.llm(s.fact())
            s.write("notes", before, notes, version)


@STATE.healthy("a small counter is written often")
def counter(s: Stage) -> None:
    with s.agent("Turnstile"):
        for version in range(1, 30):
            s.write("visitors", version - 1, version, version)
            if version % 10 == 0:
                tracer.progress(f"{version} visitors").record()
