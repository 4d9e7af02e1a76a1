"""Calls that cost too much: duplicates, retries, growing prompts, hidden calls; and many runs of one workflow. Once unseen, read since."""

from __future__ import annotations

import math
from typing import Any

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage
from tests.benchmarks.scenarios.words import text

CALLS = Catalogue()
DAY_S = 86_400.0

TIDES = Phrase(
    "[What are|Give me|Show] the [tide times|times of the tides] [at|for] Esbjerg on 14 May 2026",
    (
        "tides in Esbjerg on 14 May 2026, please",
        "on 14 May 2026, when are the tides at Esbjerg",
        "Esbjerg tides, 14 May 2026",
    ),
    ("Gezeiten in Esbjerg am 14 May 2026", "Esbjerg 14 May 2026 Gezeiten bitte", "Gezeiten am 14 May 2026 für Esbjerg"),
)


@CALLS.fault("duplicate_calls", "three agents fetch the same expensive chart", also=("loop",))
def chart_three_times(s: Stage) -> None:
    chart = text(s.rng, 6)
    for me in ("Navigator", "Meteorologist", "Captain"):
        with s.agent(me):
            s.llm(s.fact())
            with s.key():
                s.tool("nautical_chart", {"sheet": "INT 1300", "scale": 150000}, chart, seconds=4)
            s.llm(s.fact())


@CALLS.fault(
    "duplicate_calls", "one model question is asked with the same words by two desks and answered alike", also=("loop",)
)
def same_model_question(s: Stage) -> None:
    question = f"Which papers does {s.thing()} need at the border? {s.fact()}"
    answer = s.fact()
    for me in ("Import desk", "Export desk", "Legal desk"):
        with s.agent(me):
            s.tool("open_case", {"desk": me}, s.fact())
            with s.key():
                s.llm(answer, question, temperature=0.0, model="gpt-4o", tokens=(2400, 300))


@CALLS.fault("duplicate_calls", "one lookup in several wordings with the same result", also=("loop",))
def tides_reworded(s: Stage) -> None:
    answer = "03:12 high 1.8 m, 09:31 low 0.2 m, 15:40 high 1.7 m"
    for me in ("Navigator", "Pilot", "Harbour master"):
        with s.agent(me):
            s.llm(s.fact())
            with s.key():
                s.tool("tide_table", {"query": s.phrase(TIDES)}, answer)


@CALLS.healthy("the same table is asked for another day each time")
def other_days(s: Stage) -> None:
    with s.agent("Navigator"):
        for day in range(1, s.times(7)):
            s.tool("tide_table", {"query": f"What are the tide times at Esbjerg on {day} May 2026"}, s.fact())


@CALLS.healthy("a gauge is read again after the lock was filled, and shows something else")
def gauge_changes(s: Stage) -> None:
    with s.agent("Lock keeper"):
        for _ in range(3):
            s.tool("read_gauge", {"lock": 2}, f"{s.rng.randrange(100, 999)} cm")
            s.tool("fill", {"lock": 2, "cm": s.rng.randrange(10, 90)}, "ok")


@CALLS.healthy("third quarter and fourth quarter are different questions")
def quarters(s: Stage) -> None:
    for quarter in ("Q1", "Q2", "Q3", "Q4"):
        with s.agent(f"Analyst {quarter}"):
            s.tool("sales_report", {"query": f"revenue of the northern region in {quarter} 2026"}, s.fact())
            s.llm(s.fact())


@CALLS.fault(
    "retry_storm", "a booking is retried fourteen times against a server that is down", also=("loop", "duplicate_calls")
)
def booking_storm(s: Stage) -> None:
    with s.agent("Booker"):
        s.llm(s.fact())
        first: Any = None
        for number in range(1, s.times(13)):
            s.again()
            with s.key():
                first = s.tool(
                    "book_slot",
                    {"ship": "Aurelia", "berth": 4},
                    error="ConnectionRefused: berth service",
                    attempt=number,
                    retry_of=first,
                )
            s.go(0.5)


@CALLS.fault(
    "retry_storm",
    "three layers retry three times each: twenty-seven calls for one answer",
    also=("loop", "duplicate_calls", "error_cascade"),
)
def nested_retries(s: Stage) -> None:
    with s.agent("Agency"):
        outer: Any = None
        for a in range(1, 4):
            with s.key(), s.agent("Broker", attempt=a, retry_of=outer) as broker:
                middle: Any = None
                for b in range(1, 4):
                    with s.agent("Line agent", attempt=b, retry_of=middle) as line:
                        inner: Any = None
                        for c in range(1, 4):
                            inner = s.tool(
                                "quote", {"cargo": "steel coils"}, error="Timeout: no quote", attempt=c, retry_of=inner
                            )
                        line.fail("no quote")
                    middle = line
                broker.fail("no quote")
            outer = broker


@CALLS.healthy("two retries with growing pauses, then it works")
def polite_retries(s: Stage) -> None:
    with s.agent("Booker"):
        last: Any = None
        for number in (1, 2):
            last = s.tool("book_slot", {"ship": "Aurelia"}, error="Busy: try later", attempt=number, retry_of=last)
            s.wait("berth service", seconds=2.0**number, reason="rate_limit")
        s.tool("book_slot", {"ship": "Aurelia"}, "booked", attempt=3, retry_of=last)
        s.llm(s.fact())


@CALLS.healthy("many different bookings, one in eight fails once")
def few_failures(s: Stage) -> None:
    with s.agent("Booker"):
        for number in range(s.times(20)):
            ship = s.thing()
            if number % 8 == 3:
                failed = s.tool("book_slot", {"ship": ship}, error="Busy: try later", attempt=1)
                s.tool("book_slot", {"ship": ship}, s.fact(), attempt=2, retry_of=failed)
            else:
                s.tool("book_slot", {"ship": ship}, s.fact())


@CALLS.fault("context_growth", "every call of a long voyage carries the whole log so far", needs_text=False)
def log_in_every_prompt(s: Stage) -> None:
    history: list[dict[str, str]] = [{"role": "system", "content": "You keep the log."}]
    with s.agent("Log keeper"):
        for _ in range(s.times(18)):
            history.append({"role": "user", "content": text(s.rng, 6)})
            answer = text(s.rng, 3)
            length = sum(len(m["content"]) for m in history) // 4
            with s.key():
                s.llm(answer, history, tokens=(length, len(answer) // 4))
            history.append({"role": "assistant", "content": answer})


@CALLS.healthy("the log is summarised every four entries")
def log_summarised(s: Stage) -> None:
    history: list[dict[str, str]] = []
    with s.agent("Log keeper"):
        for number in range(s.times(18)):
            history.append({"role": "user", "content": text(s.rng, 6)})
            length = sum(len(m["content"]) for m in history) // 4
            s.llm(text(s.rng, 2), history, tokens=(length, 60))
            if number % 4 == 3:
                history = [{"role": "user", "content": text(s.rng, 2)}]


@CALLS.fault("hidden_calls", "five model calls for one visible sentence", also=("context_growth",))
def five_for_one(s: Stage) -> None:
    for _ in range(6):
        with s.agent("Front desk"):
            with s.key():
                s.llm('{"next": "Concierge"}', "Who answers?", purpose="route")
                s.llm(s.fact(), s.fact(), purpose="plan")
                s.llm(s.fact(), s.fact(), purpose="summarise")
                s.llm("ok", s.fact(), purpose="judge")
            s.llm(s.fact(), s.fact(), visible=True)


@CALLS.healthy("one routing call for several answers")
def one_route(s: Stage) -> None:
    with s.agent("Front desk"):
        s.llm('{"next": "Concierge"}', "Who answers?", purpose="route")
        for _ in range(4):
            s.llm(s.fact(), s.fact(), visible=True)


@CALLS.fault("data_quality", "a remote agent's clock is seconds behind, its children start before it")
def wrong_clock(s: Stage) -> None:
    for _ in range(3):
        with s.agent("Terminal"):
            here = s.clock.ns
            with s.key():
                s.clock.ns = here - 4_000_000_000
                with s.agent("Yard"):
                    s.tool("lift", {"box": s.thing()}, "ok")
            s.clock.ns = max(here, s.clock.ns)


@CALLS.fault("data_quality", "model calls come without token counts", also=("hidden_calls",))
def no_tokens(s: Stage) -> None:
    with s.agent("Terminal"):
        for _ in range(max(6, s.knobs.size)):
            with s.key():
                with tracer.llm_call("gpt-4o-mini", messages=[{"role": "user", "content": s.fact()}]) as span:
                    s.go(1)
                    span.completion(s.fact())
                s.keys.append(span.span_id)


# many runs of one workflow


def _ordinary(s: Stage, dearer: float = 1.0, calls: int = 4) -> None:
    with s.agent("Purser", s.fact()):
        for _ in range(calls):
            s.tool("account", {"cabin": s.thing()}, s.fact())
            s.llm(s.fact(), s.fact(), model="gpt-4o", tokens=(round(900 * dearer * s.rng.lognormvariate(0, 0.25)), 120))


@CALLS.fault(
    "cost_anomaly",
    "one bill of thirty takes fifteen times the model calls",
    runs=30,
    at=lambda n: n * 5000.0,
    also=("context_growth",),
)
def one_long_bill(s: Stage) -> None:
    if s.index == 24:
        with s.key():
            _ordinary(s, calls=60)
    else:
        _ordinary(s)


@CALLS.fault("cost_anomaly", "one bill of forty has prompts twelve times as long", runs=40, at=lambda n: n * 7000.0)
def one_wide_bill(s: Stage) -> None:
    if s.index == 33:
        with s.key():
            _ordinary(s, dearer=14)
    else:
        _ordinary(s)


@CALLS.healthy("bills differ widely by nature", runs=40, at=lambda n: n * 6000.0)
def wide_bills(s: Stage) -> None:
    _ordinary(s, calls=max(1, min(14, round(4 * s.rng.lognormvariate(0, 0.5)))))


@CALLS.healthy("a handful of runs, one of them twice as dear", runs=6, at=lambda n: n * 6000.0)
def handful(s: Stage) -> None:
    _ordinary(s, calls=8 if s.index == 4 else 4)


def _fortnight(number: int) -> float:
    """Four runs a day for a fortnight, then sixty on one day."""
    day, place = divmod(number, 4)
    return day * DAY_S + place * 9_000.0 + 20_000 if number < 56 else 14 * DAY_S + (number - 56) * 1_100.0


@CALLS.fault(
    "spend_rate",
    "sixty quotations on one day instead of four",
    runs=116,
    at=_fortnight,
    also=("run_rate", "duplicate_calls_across_runs"),
)
def busy_day(s: Stage) -> None:
    if s.index >= 56:
        s.guilty = True
    with s.agent("Quoter"):
        s.tool("rates", {"query": s.fact()}, s.fact())
        s.llm(s.fact(), s.fact(), model="gpt-4o", cost_usd=round(1.3 * s.rng.lognormvariate(0, 0.15), 4))


@CALLS.healthy(
    "four to six quotations a day for three weeks", runs=100, at=lambda n: n * DAY_S / 5 + 3_000 * math.sin(n * 7)
)
def steady_weeks(s: Stage) -> None:
    with s.agent("Quoter"):
        s.tool("rates", {"query": s.fact()}, s.fact())
        s.llm(s.fact(), s.fact(), model="gpt-4o", cost_usd=round(1.3 * s.rng.lognormvariate(0, 0.3), 4))


def _burst(number: int) -> float:
    """Four runs an hour for two days, then ninety within one hour."""
    return number * 900.0 if number < 192 else 192 * 900.0 + (number - 192) * 38.0


@CALLS.fault(
    "run_rate",
    "ninety cheap runs within one hour instead of four",
    runs=282,
    at=_burst,
    also=("spend_rate", "duplicate_calls_across_runs"),
)
def runs_pile_up(s: Stage) -> None:
    if s.index >= 192:
        s.guilty = True
    with s.agent("Greeter"):
        s.llm(s.fact(), s.fact(), tokens=(200, 40), seconds=60)


@CALLS.healthy(
    "four runs an hour by day, one by night, for three days", runs=200, at=lambda n: n * 1_300.0 + 500 * math.sin(n * 3)
)
def day_and_night(s: Stage) -> None:
    with s.agent("Greeter"):
        s.llm(s.fact(), s.fact(), tokens=(200, 40), seconds=60)


QUESTIONS = (
    Phrase("[How|In which way] do I [change|alter] the address of my berth contract", ("change address berth contract", "berth contract new address, how"), ("Adresse im Liegeplatzvertrag ändern", "neue Adresse Liegeplatzvertrag")),
    Phrase("[What does|How much is] a [night|single night] at the guest pontoon", ("guest pontoon price for one night", "price guest pontoon night"), ("Preis Gastliegeplatz Nacht", "was kostet eine Nacht Gastliegeplatz")),
    Phrase("[When does|At what time does] the fuel station [open|open on Sunday]", ("fuel station hours", "opening hours of the fuel station"), ("Tankstelle Öffnungszeiten", "wann öffnet die Tankstelle")),
)  # fmt: skip


@CALLS.fault(
    "duplicate_calls_across_runs",
    "a hundred chats ask the same three questions of a paid search",
    runs=100,
    at=lambda n: n * 5_400.0,
)
def same_three_questions(s: Stage) -> None:
    s.guilty = True
    question = QUESTIONS[s.index % 3]
    with s.agent("Marina desk"):
        s.llm("I look it up.", s.phrase(question), model="gpt-4o", cost_usd=0.04)
        s.tool("paid_search", {"query": s.phrase(question)}, f"answer {s.index % 3}")
        s.llm(f"answer {s.index % 3}", s.phrase(question), model="gpt-4o", cost_usd=0.12, visible=True)


@CALLS.healthy("a hundred chats ask a hundred questions", runs=100, at=lambda n: n * 5_400.0)
def hundred_questions(s: Stage) -> None:
    question = f"What about {s.thing()}: {s.fact()}"
    with s.agent("Marina desk"):
        s.llm("I look it up.", question, model="gpt-4o", cost_usd=0.04)
        s.tool("paid_search", {"query": f"{s.thing()} {s.fact()}"}, s.fact())
        s.llm(s.fact(), question, model="gpt-4o", cost_usd=0.12, visible=True)
