"""Shared state: trip plans, stock. Detectors may be tuned on these."""

from __future__ import annotations

from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.stage import Stage

STATE = Catalogue()


def _race(s: Stage, *, versions: bool, merged: bool, outcome: str = "unchecked") -> None:
    empty = {"flight": None, "hotel": None}
    first = {**empty, "flight": s.thing()}
    second = {**(first if merged else empty), "hotel": s.thing()}

    def lane(me: str, delay: float, before: object, after: object, version: int) -> None:
        with s.agent(me):
            s.read("trip", empty, 1 if versions else None)
            s.llm(s.fact(), seconds=delay)
            with s.key():
                s.write("trip", before, after, version if versions else None, outcome=outcome)

    s.parallel(lambda: lane("Flights", 1, empty, first, 2), lambda: lane("Hotels", 4, first, second, 3))


@STATE.fault("lost_update", "flight and hotel agent write one plan, with versions")
def trip(s: Stage) -> None:
    _race(s, versions=True, merged=False)


@STATE.fault("lost_update", "the same without versions")
def trip_snapshots(s: Stage) -> None:
    empty = {"flight": None, "hotel": None}

    def lane(me: str, delay: float, after: object) -> None:
        with s.agent(me):
            s.read("trip", empty)
            s.llm(s.fact(), seconds=delay)
            with s.key():
                s.write("trip", empty, after)

    s.parallel(
        lambda: lane("Flights", 1, {**empty, "flight": "LX 1"}), lambda: lane("Hotels", 4, {**empty, "hotel": "Astra"})
    )


@STATE.healthy("the same, merged")
def trip_merged(s: Stage) -> None:
    _race(s, versions=True, merged=True)
    s.guilty = False


@STATE.healthy("one after the other")
def trip_in_turn(s: Stage) -> None:
    value: dict[str, str] = {}
    for version in range(1, 6):
        before, value = value, {**value, s.thing(): "booked"}
        with s.agent(f"Agent {version % 2}"):
            s.read("trip", before, version)
            s.write("trip", before, value, version + 1)


@STATE.fault("stale_read", "a discount is decided on an offer that had changed", also=("divergent_views",))
def old_offer(s: Stage) -> None:
    with s.agent("Buyer"):
        s.write("offer", {"price": 9}, {"price": 12}, 2)
    s.go(5)
    with s.agent("Seller"):
        with s.key():
            s.read("offer", {"price": 9}, 1)
        s.decide("discount", "10 %", acted=True)
        s.tool("send_offer", {"price": 8}, "sent")


@STATE.healthy("a value is read, then changed")
def read_then_changed(s: Stage) -> None:
    with s.agent("Seller"):
        s.read("offer", {"price": 9}, 1)
        s.decide("discount", "10 %", acted=True)
    with s.agent("Buyer"):
        s.write("offer", {"price": 9}, {"price": 12}, 2)


@STATE.fault(
    "write_skew",
    "two shifts each hand in their leave because the other is there",
    also=("stale_read", "divergent_views"),
)
def leave(s: Stage) -> None:
    def lane(me: str, other: str) -> None:
        with s.agent(me):
            s.go(0.1 * s.rng.random())
            with s.key():
                s.read(f"shift/{me}", "here", 1)
                s.read(f"shift/{other}", "here", 1)
            s.go(2)
            with s.key():
                s.write(f"shift/{me}", "here", "away", 2)

    s.parallel(lambda: lane("Early", "Late"), lambda: lane("Late", "Early"))


@STATE.healthy("two agents change two keys, each looks at its own only")
def own_shift(s: Stage) -> None:
    def lane(me: str) -> None:
        with s.agent(me):
            s.read(f"shift/{me}", "here", 1)
            s.go(1)
            s.write(f"shift/{me}", "here", "away", 2)

    s.parallel(lambda: lane("Early"), lambda: lane("Late"))


@STATE.fault(
    "divergent_views",
    "stock and sales decide on different versions of one count",
    also=("stale_read", "conflicting_decisions"),
)
def two_counts(s: Stage) -> None:
    with s.agent("Scanner"):
        s.write("count", None, 40, 1)

    def early() -> None:
        with s.agent("Sales"):
            s.go(0.2)
            with s.key():
                s.read("count", 40, 1)
            s.llm(s.fact(), seconds=4)
            with s.key():
                s.decide("promise", "40 pieces", acted=True, inputs={"count": 1})

    def late() -> None:
        with s.agent("Stock"):
            s.go(3)
            with s.key():
                s.read("count", 4, 2)
                s.decide("reorder", "yes", acted=True, inputs={"count": 2})

    def change() -> None:
        with s.agent("Scanner"):
            s.go(2)
            s.write("count", 40, 4, 2)

    s.parallel(early, late, change)


@STATE.fault("state_growth", "a message list grows with every step", also=("context_growth",))
def list_grows(s: Stage) -> None:
    held: list[str] = []
    with s.agent("Logger"):
        for version in range(1, 31):
            before, held = held, [*held, " ".join(s.fact() for _ in range(20))]
            with s.key():
                s.write("messages", before, held, version)


@STATE.healthy("a window of the last five messages")
def window(s: Stage) -> None:
    held: list[str] = []
    with s.agent("Logger"):
        for version in range(1, 31):
            before, held = held, [*held, " ".join(s.fact() for _ in range(20))][-5:]
            s.write("messages", before, held, version)
