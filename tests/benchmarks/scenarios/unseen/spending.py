"""Calls that cost too much, recordings that cannot be trusted, and many runs: couriers, streaming, tax offices. Not to be tuned on."""

from __future__ import annotations

import math
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import tracer
from tests.benchmarks.scenarios.catalogue import Catalogue
from tests.benchmarks.scenarios.phrases import Phrase
from tests.benchmarks.scenarios.stage import Stage
from tests.benchmarks.scenarios.unseen.dialects import genai_agent, genai_chat, oi_agent, oi_llm
from tests.benchmarks.scenarios.words import text

SPENDING = Catalogue()
DAY_S = 86_400.0


@SPENDING.fault("duplicate_calls", "four decorated workers load the same tariff table", also=("loop",))
def tariff_loaded_again(s: Stage) -> None:
    table = text(s.rng, 8)

    @tracer.tool("load_tariffs")
    def load(country: str, year: int) -> str:
        s.note(tracer.current_span().span_id)
        s.go(3)
        return table

    for name in ("Courier", "Customs", "Invoicing", "Returns"):
        with s.agent(name):
            s.llm(s.fact(), s.fact())
            with s.key():
                load("NO", 2026)
            s.llm(s.fact(), s.fact())


@SPENDING.fault(
    "duplicate_calls", "the same long question to a model by three agents, GenAI spans, one answer", also=("loop",)
)
def question_asked_thrice(s: Stage) -> None:
    question, answer = text(s.rng, 5), text(s.rng, 2)
    for name in ("Taxation", "Appeals", "Collection"):
        with genai_agent(s, name):
            genai_chat(s, s.fact(), s.fact())
            with s.key():
                genai_chat(s, question, answer, tokens=(3100, 240), model="gpt-4o")


@SPENDING.healthy("each worker loads the table of another country")
def other_tables(s: Stage) -> None:
    for country in ("NO", "SE", "DK", "FI", "IS"):
        with s.agent("Courier"):
            s.tool("load_tariffs", {"country": country, "year": 2026}, text(s.rng, 3))


@SPENDING.healthy("an account is read again after each booking")
def read_after_booking(s: Stage) -> None:
    with s.agent("Cashier"):
        for amount in (20, 35, 10):
            s.tool("get_balance", {"account": "A-1"}, f"{s.rng.randrange(1000, 9999)} EUR")
            s.tool("book_payment", {"account": "A-1", "amount": amount}, "booked")
        s.tool("get_balance", {"account": "A-1"}, f"{s.rng.randrange(1000, 9999)} EUR")


@SPENDING.fault(
    "retry_storm",
    "a rate-limited address check is hammered without a pause, attempts are not numbered",
    also=("loop", "duplicate_calls"),
)
def address_hammered(s: Stage) -> None:
    with s.agent("Address checker"):
        for _ in range(s.times(12)):
            s.again()
            with s.key():
                s.tool(
                    "validate_address",
                    {"zip": "0150", "street": "Storgata 4"},
                    error="RateLimitError: 429 too many requests",
                    seconds=0.1,
                )


@SPENDING.fault(
    "retry_storm", "client, gateway and worker each try four times", also=("loop", "duplicate_calls", "error_cascade")
)
def layers_retry(s: Stage) -> None:
    client: Any = None
    for a in range(1, 5):
        with s.key(), s.agent("Client", attempt=a, retry_of=client) as outer:
            gateway: Any = None
            for b in range(1, 5):
                with s.agent("Gateway", attempt=b, retry_of=gateway) as inner:
                    last: Any = None
                    for c in range(1, 5):
                        last = s.tool(
                            "send_parcel",
                            {"id": "P-9"},
                            error="ServerError: 503",
                            attempt=c,
                            retry_of=last,
                            seconds=0.1,
                        )
                    inner.fail("503")
                gateway = inner
            outer.fail("503")
        client = outer


@SPENDING.healthy("three tries with growing pauses, the third works")
def third_try(s: Stage) -> None:
    with s.agent("Address checker"):
        last: Any = None
        for number in (1, 2, 3):
            broken = number < 3
            last = s.tool(
                "validate_address", {"zip": "0150"}, None if broken else "valid",
                error="RateLimitError: 429" if broken else None, attempt=number, retry_of=last,
            )  # fmt: skip
            if broken:
                s.wait("address service", seconds=4.0**number, reason="rate_limit")
        s.llm(s.fact())


@SPENDING.healthy("many parcels, a few of which need a second try")
def few_retries(s: Stage) -> None:
    with s.agent("Sender"):
        for number in range(s.times(16)):
            parcel = s.thing()
            if number % 6 == 2:
                failed = s.tool("send_parcel", {"id": parcel}, error="ServerError: 503", attempt=1)
                s.tool("send_parcel", {"id": parcel}, s.fact(), attempt=2, retry_of=failed)
            else:
                s.tool("send_parcel", {"id": parcel}, s.fact())


@SPENDING.fault("context_growth", "the whole protocol is pasted into every prompt as one text")
def protocol_in_prompt(s: Stage) -> None:
    protocol = "You keep the protocol of the hearing.\n"
    with s.agent("Protocol clerk"):
        for _ in range(s.times(20)):
            protocol += text(s.rng, 8) + "\n"
            with s.key():
                s.llm(s.fact(), protocol, tokens=(len(protocol) // 4, 30))


@SPENDING.fault("context_growth", "a chat history is sent whole each time, OpenInference spans")
def history_resent(s: Stage) -> None:
    history: list[tuple[str, str]] = [("system", "You advise on taxes.")]
    with oi_agent(s, "Adviser"):
        for _ in range(s.times(20)):
            history.append(("user", text(s.rng, 7)))
            said = text(s.rng, 3)
            with s.key():
                oi_llm(s, history, said, tokens=(sum(len(t) for _, t in history) // 4, len(said) // 4))
            history.append(("assistant", said))


@SPENDING.healthy("every prompt holds one case and nothing of the others")
def one_case_each(s: Stage) -> None:
    with s.agent("Adviser"):
        for _ in range(s.times(18)):
            case = text(s.rng, 9)
            s.llm(text(s.rng, 2), case, tokens=(len(case) // 4, 60))


@SPENDING.healthy("a history is cut to the last four messages")
def window_of_four(s: Stage) -> None:
    history: list[dict[str, str]] = []
    with s.agent("Adviser"):
        for _ in range(s.times(18)):
            history = [*history, {"role": "user", "content": text(s.rng, 6)}][-4:]
            s.llm(text(s.rng, 2), history, tokens=(sum(len(m["content"]) for m in history) // 4, 60))


@SPENDING.fault(
    "hidden_calls",
    "for each answer a viewer sees, a router, a guard, a memory writer and a judge are called",
    also=("context_growth", "duplicate_calls"),
)
def unseen_helpers(s: Stage) -> None:
    for _ in range(6):
        with s.agent("Viewer support"):
            with s.key():
                s.llm("support", s.fact(), purpose="route")
                s.llm("safe", s.fact(), purpose="guard")
                s.llm(s.fact(), s.fact(), purpose="memory")
                s.llm(s.fact(), s.fact(), purpose="plan")
            s.llm(s.fact(), s.fact(), visible=True)


@SPENDING.healthy("a plan at the start, then an answer for each question")
def plan_then_answers(s: Stage) -> None:
    with s.agent("Viewer support"):
        s.llm(s.fact(), s.fact(), purpose="plan")
        for _ in range(6):
            s.llm(s.fact(), s.fact(), visible=True)


@SPENDING.fault("data_quality", "the spans of a remote process never arrive, its children hang in the air")
def remote_lost(s: Stage) -> None:
    here = trace.get_current_span().get_span_context()
    for _ in range(3):
        gone = SpanContext(here.trace_id, s.rng.getrandbits(63) | 1, is_remote=True, trace_flags=TraceFlags(1))
        with s.key(), s.raw(
            "remote step", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "remote_step"},
            parent=trace.set_span_in_context(NonRecordingSpan(gone)),
        ):  # fmt: skip
            pass


@SPENDING.fault("data_quality", "one agent's model calls come without usage", also=("hidden_calls",))
def agent_without_usage(s: Stage) -> None:
    with s.agent("Captioner"):
        for _ in range(9):
            with s.key(), tracer.llm_call("gpt-4o", messages=[{"role": "user", "content": s.fact()}]) as call:
                s.note(call.span_id)
                s.go(1)
                call.completion(s.fact())


# many runs


def _delivery(s: Stage, *, calls: int = 5, longer: float = 1.0) -> None:
    with s.agent("Route planner", s.fact()):
        for _ in range(calls):
            s.tool("distance", {"to": s.thing()}, s.fact())
            s.llm(s.fact(), s.fact(), model="gpt-4o", tokens=(round(700 * longer * s.rng.lognormvariate(0, 0.3)), 150))


@SPENDING.fault(
    "cost_anomaly",
    "one delivery of thirty-five needs eighteen times the calls",
    runs=35,
    at=lambda n: n * 4100.0,
    also=("context_growth",),
)
def endless_delivery(s: Stage) -> None:
    if s.index == 29:
        with s.key():
            _delivery(s, calls=90)
    else:
        _delivery(s)


@SPENDING.fault(
    "cost_anomaly", "one delivery of fifty carries a manual in each prompt", runs=50, at=lambda n: n * 3300.0
)
def manual_in_prompt(s: Stage) -> None:
    if s.index == 41:
        with s.key():
            _delivery(s, longer=18)
    else:
        _delivery(s)


@SPENDING.healthy("deliveries differ by a factor of five", runs=45, at=lambda n: n * 5200.0)
def mixed_deliveries(s: Stage) -> None:
    _delivery(s, calls=max(2, min(12, round(5 * s.rng.lognormvariate(0, 0.45)))))


def _eight_a_day(number: int) -> float:
    """Eight runs a day for twelve days, then a hundred and ten on one."""
    day, place = divmod(number, 8)
    return day * DAY_S + place * 8_000.0 + 9_000 if number < 96 else 12 * DAY_S + (number - 96) * 700.0


@SPENDING.fault(
    "spend_rate",
    "a hundred and ten assessments on one day instead of eight",
    runs=206,
    at=_eight_a_day,
    also=("run_rate", "duplicate_calls_across_runs"),
)
def assessment_day(s: Stage) -> None:
    if s.index >= 96:
        s.guilty = True
    with s.agent("Assessor"):
        s.tool("records", {"query": s.fact()}, s.fact())
        s.llm(s.fact(), s.fact(), model="gpt-4o", cost_usd=round(0.9 * s.rng.lognormvariate(0, 0.2), 4))


@SPENDING.healthy(
    "six to nine assessments a day for three weeks", runs=150, at=lambda n: n * DAY_S / 7.5 + 4_000 * math.sin(n * 5)
)
def assessment_weeks(s: Stage) -> None:
    with s.agent("Assessor"):
        s.tool("records", {"query": s.fact()}, s.fact())
        s.llm(s.fact(), s.fact(), model="gpt-4o", cost_usd=round(0.9 * s.rng.lognormvariate(0, 0.25), 4))


@SPENDING.fault(
    "run_rate", "a stuck trigger starts a hundred and twenty runs in forty minutes", runs=280,
    at=lambda n: n * 1_100.0 if n < 160 else 160 * 1_100.0 + (n - 160) * 20.0, also=("spend_rate", "duplicate_calls_across_runs"),
)  # fmt: skip
def stuck_trigger(s: Stage) -> None:
    if s.index >= 160:
        s.guilty = True
    with s.agent("Notifier"):
        s.llm(s.fact(), s.fact(), tokens=(260, 50), seconds=40)


@SPENDING.healthy("few runs by night, three an hour by day", runs=140, at=lambda n: n * 1_500.0 + 600 * math.sin(n * 2))
def notifier_days(s: Stage) -> None:
    with s.agent("Notifier"):
        s.llm(s.fact(), s.fact(), tokens=(260, 50), seconds=40)


ASKED = (
    Phrase("[How|In what way] do I [cancel|end] my [subscription|plan]", ("cancel subscription how", "end my plan please, how"), ("Abo kündigen, wie", "wie beende ich mein Abo")),
    Phrase("[Why is|What makes] the [picture|video] [blurry|not sharp]", ("blurry video why", "video not sharp, reason"), ("warum ist das Bild unscharf", "Bild unscharf Grund")),
    Phrase("[Which|What] devices [can I use|are supported]", ("supported devices list", "devices I can use"), ("welche Geräte gehen", "unterstützte Geräte")),
    Phrase("[How|Where] do I [change|reset] my [password|login]", ("password reset how", "reset the login password"), ("Passwort zurücksetzen", "wie setze ich das Passwort zurück")),
)  # fmt: skip


@SPENDING.fault(
    "duplicate_calls_across_runs",
    "a hundred and twenty chats put the same four questions to a paid search",
    runs=120,
    at=lambda n: n * 4_700.0,
)
def same_four_questions(s: Stage) -> None:
    s.guilty = True
    question = ASKED[s.index % 4]
    with s.agent("Viewer support"):
        s.tool("paid_search", {"query": s.phrase(question)}, f"article {s.index % 4}")
        s.llm(f"See article {s.index % 4}", s.phrase(question), model="gpt-4o", cost_usd=0.1, visible=True)


@SPENDING.healthy("a hundred chats, a hundred questions", runs=100, at=lambda n: n * 4_700.0)
def all_questions_differ(s: Stage) -> None:
    with s.agent("Viewer support"):
        question = f"{s.thing()}: {s.fact()}"
        s.tool("paid_search", {"query": question}, s.fact())
        s.llm(s.fact(), question, model="gpt-4o", cost_usd=0.1, visible=True)
