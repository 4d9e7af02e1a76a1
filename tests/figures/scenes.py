"""Drawn runs that the tests of figures, report and browser share."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from analyzers.finding import Check, Finding
from tests.drawn import (
    Drawn,
    agent,
    decision,
    escalation,
    guard_trip,
    llm,
    message,
    run,
    state_read,
    state_write,
    tool,
    wait,
)

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b onclick=alert(1)>\u202edrow\u202c \x1b[31mred\x00 ](javascript:alert(1)) `x` | end"


def finding(kind: str, drawn: Drawn, spans: list[str], **more: Any) -> Finding:
    """A critical finding of a drawn run."""
    held = [span for span in drawn.spans if span.span_id in spans]
    fields: dict[str, Any] = {
        "severity": "critical", "confidence": 0.97, "title": f"a {kind}", "explanation": "What happened, with numbers.",
        "suggestion": "Change this.", "start_ns": min(s.start_ns for s in held), "end_ns": max(s.end_ns or s.start_ns for s in held), **more,
    }  # fmt: skip
    return Finding(kind=kind, trace_id=drawn.run_id, spans=tuple(spans), **fields)


def three_way() -> Drawn:
    """A supervisor with three workers at once, one failing tool, one call without a price."""
    return run(
        "trip_planner",
        message("user", "supervisor", 0, "Plan 4 days in Lisbon"),
        agent(
            "supervisor", 0, 30,
            llm(0.1, 2, purpose="plan", input_tokens=900, output_tokens=300, cost="0.01"),
            agent("flights", 2.1, 14, llm(2.3, 5, input_tokens=1200, output_tokens=200, cost="0.008"), tool("search", 5.1, 9), llm(9.2, 13.8, cost="0.011", input_tokens=10, output_tokens=1),
                  id="flights", reason="find flights", answer="TP 123"),
            agent("hotels", 2.2, 21, llm(2.4, 6, cost="0.007", input_tokens=10, output_tokens=1), tool("search_hotels", 6.1, 8, status="error", error_type="Timeout", id="failed"),
                  tool("search_hotels", 8.5, 12), tool("search_hotels", 9, 13), id="hotels", reason="find hotels"),
            agent("activities", 2.3, 18, llm(2.5, 9, model="local", cost=None, input_tokens=10, output_tokens=1), tool("maps", 9.1, 17), id="activities", reason="things to do"),
            state_write("plan", 22, version=2, expected=1, value={"days": 4}, cas="ok"),
            decision("itinerary", "option B", 28.5),
        ),
    )  # fmt: skip


def looping(rounds: int = 47) -> tuple[Drawn, list[Finding]]:
    """Researcher and analyst ask each other for context, in other words each time; a budget guard stops them."""
    items = [message("user", "researcher", 0, "Write a brief"), agent("researcher", 0.2, 4, tool("web.search", 2, 3))]
    evidence: list[str] = []
    at = 5.0
    for k in range(rounds):
        for sender, receiver in (("researcher", "analyst"), ("analyst", "researcher")):
            name = f"{sender[0]}{k:03d}"
            items.append(message(sender, receiver, at, f"I need more context, round {k}", id=f"m{name}"))
            items.append(
                agent(
                    receiver,
                    at + 0.1,
                    at + 2,
                    llm(at + 0.2, at + 1.8, input_tokens=1000, output_tokens=50, cost="0.05"),
                    id=name,
                )
            )
            evidence += [f"m{name}", name]
            at += 2.1
    items += [guard_trip("budget", at), escalation("on-call", at + 0.1, end=at + 60, reason="budget reached")]
    drawn = run("market_brief", *items, outcome="stopped_by_guard", outcome_reason="budget reached")
    loop = finding("loop", drawn, evidence, title=f"researcher and analyst repeat themselves {rounds} times", agents=("researcher", "analyst"),
                   data={"iterations": rounds, "period": 2}, wasted_usd=Decimal("4.60"),
                   checked=(Check(rule="repetitions", value=rounds, threshold=5, passed=True),))  # fmt: skip
    return drawn, [loop]


def deadlocked() -> tuple[Drawn, list[Finding]]:
    """Three agents wait for each other and still do."""
    names = ["billing", "inventory", "shipping"]
    drawn = run(
        "orders",
        *(agent(a, k, None, llm(k + 0.1, k + 0.9), wait(names[(k + 1) % 3], 4 + k, None, id=f"w{k}")) for k, a in enumerate(names)),
        agent("audit", 1, 30, wait("timer", 2, 20, reason="timer", id="fine")),
        outcome="running",
    )  # fmt: skip
    return drawn, [
        finding("deadlock", drawn, ["w0", "w1", "w2"], agents=tuple(names), data={"path": [*names, names[0]]})
    ]


def lost() -> tuple[Drawn, list[Finding]]:
    """Promo overwrites pricing's change."""
    base, mine, theirs = {"price": 100, "discount": 0}, {"price": 120, "discount": 0}, {"price": 100, "discount": 15}
    drawn = run(
        "quotes",
        agent("pricing", 1, 6, state_read("quote", 1.5, version=4, value=base), state_write("quote", 5, version=5, expected=4, before=base, value=mine, id="w5")),
        agent("promo", 1.2, 8, state_read("quote", 1.7, version=4, value=base, id="r4"), state_write("quote", 7, version=6, expected=4, before=mine, value=theirs, id="w6")),
    )  # fmt: skip
    return drawn, [finding("lost_update", drawn, ["r4", "w5", "w6"], agents=("pricing", "promo"))]


def hostile() -> tuple[Drawn, list[Finding]]:
    """Every text that can come from outside tries to break out."""
    drawn = run(
        f"flow {HOSTILE}",
        message("user", HOSTILE, 0, HOSTILE),
        agent(HOSTILE, 1, 9, llm(1, 2, prompt=HOSTILE, answer=HOSTILE, model=HOSTILE), tool(HOSTILE, 2, 3, args={HOSTILE: HOSTILE}, result="x" * 5_000_000, status="error",
              error_type=HOSTILE, error_message=HOSTILE), state_write(HOSTILE, 4, version=2, before={HOSTILE: 1}, value={HOSTILE: HOSTILE}),
              decision(HOSTILE, HOSTILE, 5), wait(HOSTILE, 6, 7), reason=HOSTILE, id="bad"),
        escalation(HOSTILE, 9, reason=HOSTILE),
        outcome="failed", outcome_reason=HOSTILE,
    )  # fmt: skip
    return drawn, [finding("loop", drawn, ["bad"], title=HOSTILE, explanation=HOSTILE, suggestion=HOSTILE, agents=(HOSTILE,), data={"iterations": 3},
                           checked=(Check(rule=HOSTILE, value=HOSTILE, threshold=HOSTILE, passed=True),))]  # fmt: skip
