"""Calls that cost too much, and many runs of one workflow: shops, help desks. Detectors may be tuned on these."""

from __future__ import annotations

import math
from typing import Any

from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage
from tests.benchmarks.scenarios.words import text

CALLS = Catalogue()
DAY_S = 86_400.0

OPENING = Phrase(
    "[What are|Show me] the [opening hours|hours of opening] of the Lyon store",
    ("opening hours, Lyon store", "Lyon store: the opening hours", "hours of opening at the Lyon store"),
    ("heures d'ouverture Lyon", "Lyon, heures d'ouverture"),
)


@CALLS.fault("duplicate_calls", "four agents run the same search", also=("loop",))
def same_search(s: Stage) -> None:
    answer = text(s.rng, 4)
    for number in range(4):
        with s.agent(f"Worker {number}"):
            with s.key():
                s.tool("search", {"q": "heat pump prices 2026"}, answer)
            s.llm(s.fact())


@CALLS.fault("duplicate_calls", "one search in several wordings, with the same result", also=("loop",))
def search_reworded(s: Stage) -> None:
    for number in range(3):
        with s.agent(f"Worker {number}"):
            s.llm(s.fact())
            with s.key():
                s.tool("search", {"q": s.phrase(OPENING)}, "9 to 19, closed on Sundays")


@CALLS.healthy("one search for each of six cities")
def six_cities(s: Stage) -> None:
    with s.agent("Worker"):
        for city in ("Lyon", "Lille", "Nantes", "Nice", "Metz", "Brest"):
            s.tool("search", {"q": f"opening hours of the {city} store"}, s.fact())


@CALLS.fault("retry_storm", "a call is retried a dozen times", also=("loop", "duplicate_calls"))
def a_dozen(s: Stage) -> None:
    with s.agent("Fetcher"):
        last: Any = None
        for number in range(1, s.times(12)):
            with s.key():
                last = s.tool("fetch", {"url": "/prices"}, error="Timeout: upstream", attempt=number, retry_of=last)


@CALLS.healthy("two retries, then success")
def two_retries(s: Stage) -> None:
    with s.agent("Fetcher"):
        last = s.tool("fetch", {"url": "/prices"}, error="Timeout: upstream", attempt=1)
        s.wait("upstream", seconds=2, reason="rate_limit")
        s.tool("fetch", {"url": "/prices"}, s.fact(), attempt=2, retry_of=last)


@CALLS.fault("context_growth", "a chat sends its whole history with every call")
def whole_history(s: Stage) -> None:
    history: list[dict[str, str]] = []
    with s.agent("Assistant"):
        for _ in range(s.times(20)):
            history.append({"role": "user", "content": text(s.rng, 5)})
            answer = text(s.rng, 4)
            with s.key():
                s.llm(answer, history, tokens=(sum(len(m["content"]) for m in history) // 4, len(answer) // 4))
            history.append({"role": "assistant", "content": answer})


@CALLS.healthy("a short chat")
def short_chat(s: Stage) -> None:
    history: list[dict[str, str]] = []
    with s.agent("Assistant"):
        for _ in range(4):
            history.append({"role": "user", "content": s.fact()})
            s.llm(s.fact(), history)


@CALLS.fault("hidden_calls", "routing, planning and summarising around every answer", also=("context_growth",))
def behind_the_scenes(s: Stage) -> None:
    for _ in range(5):
        with s.agent("Assistant"):
            with s.key():
                s.llm("search", s.fact(), purpose="route")
                s.llm(s.fact(), s.fact(), purpose="plan")
                s.llm(s.fact(), s.fact(), purpose="summarise")
            s.llm(s.fact(), s.fact(), visible=True)


@CALLS.healthy("one plan for six answers")
def one_plan(s: Stage) -> None:
    with s.agent("Assistant"):
        s.llm(s.fact(), s.fact(), purpose="plan")
        for _ in range(6):
            s.llm(s.fact(), s.fact(), visible=True)


@CALLS.fault("data_quality", "children begin seconds before their parents")
def early_children(s: Stage) -> None:
    with s.agent("Local"):
        here = s.clock.ns
        s.clock.ns -= 3_000_000_000
        with s.key():
            s.tool("remote", {"x": s.thing()}, s.fact())
        s.clock.ns = max(here, s.clock.ns)


def _order(s: Stage, calls: int = 3, dearer: float = 1.0) -> None:
    with s.agent("Shop"):
        for _ in range(calls):
            s.tool("stock", {"article": s.thing()}, s.fact())
            s.llm(s.fact(), s.fact(), model="gpt-4o", tokens=(round(800 * dearer * s.rng.lognormvariate(0, 0.3)), 100))


@CALLS.fault(
    "cost_anomaly",
    "one order of forty costs twelve times as much",
    runs=40,
    at=lambda n: n * 6_000.0,
    also=("context_growth",),
)
def dear_order(s: Stage) -> None:
    if s.index == 31:
        with s.key():
            _order(s, calls=36)
    else:
        _order(s)


@CALLS.healthy("orders of all sizes", runs=40, at=lambda n: n * 6_000.0)
def all_sizes(s: Stage) -> None:
    _order(s, calls=max(1, min(12, round(3 * s.rng.lognormvariate(0, 0.5)))))


def _weekend(number: int) -> float:
    day, place = divmod(number, 3)
    return day * DAY_S + place * 12_000.0 + 9_000 if number < 45 else 15 * DAY_S + (number - 45) * 900.0


@CALLS.fault(
    "spend_rate",
    "eighty chats on one day instead of three",
    runs=125,
    at=_weekend,
    also=("run_rate", "duplicate_calls_across_runs"),
)
def dear_day(s: Stage) -> None:
    s.guilty = s.index >= 45
    with s.agent("Deal desk"):
        s.llm(s.fact(), s.fact(), model="gpt-4o", cost_usd=round(1.5 * s.rng.lognormvariate(0, 0.1), 4))


@CALLS.fault(
    "run_rate",
    "a cron job goes wild: a run every twenty seconds",
    runs=250,
    at=lambda n: n * 1_200.0 if n < 150 else 180_000 + n * 20.0,
    also=("spend_rate", "duplicate_calls_across_runs"),
)
def wild_cron(s: Stage) -> None:
    s.guilty = s.index >= 150
    with s.agent("Job"):
        s.llm(s.fact(), s.fact(), tokens=(300, 50), seconds=45)


@CALLS.healthy("three chats a day, sometimes five", runs=80, at=lambda n: n * DAY_S / 4 + 4_000 * math.sin(n * 5))
def ordinary_days(s: Stage) -> None:
    with s.agent("Deal desk"):
        s.llm(s.fact(), s.fact(), model="gpt-4o", cost_usd=round(1.5 * s.rng.lognormvariate(0, 0.3), 4))


ASKED = (
    Phrase("[How do I|How can I] reset my [password|pass word]", ("password reset how", "reset of my password"), ("réinitialiser mot de passe", "mot de passe oublié réinitialiser")),
    Phrase("[Where is|Where do I find] my [invoice|last invoice]", ("my invoice, where", "find the invoice"), ("où est ma facture", "trouver ma facture")),
    Phrase("[How long|How many days] does the delivery [take|need]", ("delivery time in days", "delivery takes how long"), ("délai de livraison", "livraison en combien de jours")),
    Phrase("[Can I|May I] cancel my [order|subscription]", ("cancel subscription", "subscription, cancel it"), ("annuler abonnement", "annuler mon abonnement")),
)  # fmt: skip


@CALLS.fault("duplicate_calls_across_runs", "ninety chats ask four questions", runs=90, at=lambda n: n * 5_000.0)
def four_questions(s: Stage) -> None:
    s.guilty = True
    which = s.index % 4
    with s.agent("Helper"):
        s.tool("knowledge", {"query": s.phrase(ASKED[which])}, f"article {which}")
        s.llm(f"See article {which}.", s.phrase(ASKED[which]), model="gpt-4o", cost_usd=0.1, visible=True)


@CALLS.healthy("ninety chats ask ninety things", runs=90, at=lambda n: n * 5_000.0)
def ninety_things(s: Stage) -> None:
    with s.agent("Helper"):
        question = f"{s.thing()}: {s.fact()}"
        s.tool("knowledge", {"query": question}, s.fact())
        s.llm(s.fact(), question, model="gpt-4o", cost_usd=0.1, visible=True)
