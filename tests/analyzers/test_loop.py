"""Loops: the same steps coming round with nothing new; and everything healthy that also comes round."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from analyzers.detectors.loop import find_loops
from analyzers.events import recorded_events
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.loop_screen import worth_replaying
from analyzers.loops import find_in
from tests.drawn import Drawn, Node, agent, frames, handoff, llm, message, run, state_write, tool, wait
from tracer.online.loop import LoopCore, LoopThresholds, replay

ASKS = (
    "I need more context about the ACME figures before I can analyse them.",
    "Could you provide additional background on the ACME figures?",
    "The information is not enough; please elaborate on the ACME figures.",
    "More detail on the ACME figures is required from your side, can you share it?",
    "Before going on I would need further specifics on the ACME figures.",
    "Please clarify which of the ACME figures matter, I lack the context.",
)
ASKS_BACK = (
    "What exactly do you need? Please specify the context you are missing.",
    "I can help once you tell me which context you need.",
    "Could you clarify your question first? I am missing context too.",
    "Which details are you after? I need more context from you.",
    "Please describe precisely what you require, I cannot proceed without it.",
    "Tell me more about the context, then I can answer.",
)
NAMES = "Anna Bela Carl Dora Egon Fritz Greta Hans Ines Jakob Klara Ludwig Mona Nils Olga Paul".split()  # noqa: SIM905
SYLLABLES = "ba ce di fo gu ha ke li mo nu pa re si to vu za".split()  # noqa: SIM905
WORDS = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]


def of(*runs: Drawn) -> list[Finding]:
    return [f for f in find_loops(frames(*runs)) if isinstance(f, Finding)]


def quarrel(
    rounds: int,
    *,
    seed: int = 1,
    names: tuple[str, str] = ("Researcher", "Analyst"),
    noise: float = 0.3,
    **options: Any,
) -> Drawn:
    """Two agents ask each other for context.

    names[0]  llm,ask|      llm,ask|      llm,ask|
    names[1]         |llm,ask      |llm,ask      |llm,ask
    """
    chance, at = random.Random(seed), 0.0
    items: list[Node] = [message("user", names[0], 0, "Analyse the revenue of ACME in 2024 and write a report.")]
    for _ in range(rounds):
        for me, other, pool in ((names[0], names[1], ASKS), (names[1], names[0], ASKS_BACK)):
            text, at = chance.choice(pool), at + 10
            call = llm(at, at + 4, answer=text, input_tokens=900, output_tokens=100, cost="0.01")
            items.append(agent(me, at, at + 6, call, message(me, other, at + 5, text), task=text))
            if chance.random() < noise:
                items.append(
                    message("Monitor", "log", at + 7, chance.choice(("cache warmed", "metrics flushed to disk")))
                )
    return run(options.pop("workflow", "research"), *items, **options)


def talk(*turns: tuple[str, str, str], **options: Any) -> Drawn:
    """Messages (sender, receiver, text), one a second."""
    return run("talk", *(message(a, b, float(i), text) for i, (a, b, text) in enumerate(turns)), **options)


def calls(*made: tuple[str, Any, Any], gap: float = 0.1, thinks: bool = True, **options: Any) -> Drawn:
    """One agent calling tools (name, arguments, result) with a thought before each; a result "!x" is the error x."""
    items: list[Node] = []
    for i, (name, args, result) in enumerate(made):
        at = i * (gap + 2)
        if thinks:
            items.append(llm(at, at + 1, answer="", cost="0.01", input_tokens=10, output_tokens=1))
        bad = isinstance(result, str) and result.startswith("!")
        failed = {"status": "error", "error_type": "ToolError", "error_message": result[1:]} if bad else {}
        items.append(tool(name, at + 1 + gap, at + 1.05 + gap, args=args, result=None if bad else result, **failed))
    return run("calls", agent("worker", 0, 1000, *items), **options)


POSITIVES: dict[str, tuple[Callable[[], Drawn], dict[str, Any]]] = {
    "paraphrased quarrel, 47 rounds": (lambda: quarrel(47), {"iterations": 47, "period": 2, "path": ["Researcher", "Analyst"]}),
    "verbatim messages": (
        lambda: talk(*[("A", "B", "Please send me the figures you have."), ("B", "A", "Please tell me which figures you want.")] * 8),
        {"iterations": 8, "period": 2, "path": ["A", "B"]},
    ),
    "three agents pass it round": (
        lambda: talk(*[("A", "B", "This is for you to decide, not me."), ("B", "C", "I pass this on for a decision."), ("C", "A", "I think the decision is yours.")] * 6),
        {"iterations": 6, "period": 3, "path": ["A", "B", "C"]},
    ),
    "supervisor asks one worker after the other": (
        lambda: run("s", agent("Boss", 0, 500, *(n for i in range(16) for n in (
            handoff("Boss", f"W{i % 4}", i * 10, text="Please work out the delivery date for the customer."),
            agent(f"W{i % 4}", i * 10 + 1, i * 10 + 5, llm(i * 10 + 2, i * 10 + 4, answer="I cannot work out the delivery date.")))))),
        {"iterations": 16},
    ),
    "same call, same result": (lambda: calls(*[("search", {"q": "acme"}, "no hits")] * 6), {"iterations": 6, "period": 1, "path": ["search"]}),
    "same failure with fresh arguments": (
        lambda: calls(*[("run_code", {"file": f"/srv/v{i}.py"}, f"!ImportError: no module named pandas in /srv/v{i}.py") for i in range(5)]),
        {"iterations": 5, "signals": ["same_error"]},
    ),
    "volatile numbers are no news": (
        lambda: talk(*[("A", "B", f"Attempt {i} at 12:{i:02}:00: the upload has not finished.") for i in range(8)]), {"iterations": 8},
    ),
    "irregular steps inside": (
        lambda: calls(*[c for i in range(8) for c in ([("search", {"q": "acme"}, "no hits")] + [("think", {"about": "acme"}, "hm")] * (i % 3))]),
        {"iterations": 8},
    ),
    "growing message list in the state is no progress": (
        lambda: run("s", *(n for i in range(8) for n in (
            message("A", "B", i * 2, "Please send me the figures you have."),
            state_write("messages", i * 2 + 0.5, agent="A", value=["Please send me the figures you have."] * (i + 1)),
            message("B", "A", i * 2 + 1, "Please tell me which figures you want.")))),
        {"iterations": 8, "period": 2},
    ),
}  # fmt: skip


def fresh(i: int) -> str:
    """A sentence of six words; those of another `i` are others."""
    return " ".join(WORDS[(i * 6 + k) * 37 % len(WORDS)] for k in range(6))


DRAFT = [f"{fresh(i)} {fresh(i + 200)}." for i in range(60)]
NEGATIVES: dict[str, Callable[[], Drawn]] = {
    "map over 40 documents": lambda: calls(*[("read", {"doc": f"doc-{i}"}, "stored") for i in range(40)]),
    "map over 40 documents by messages": lambda: talk(*[t for i in range(40) for t in (("Boss", "Reader", f"Summarise document {i} for the archive."), ("Reader", "Boss", "Summarised and stored in the archive."))]),
    "batch of plain names": lambda: calls(*[("greet", name, "sent") for name in NAMES]),
    "batch of names in messages": lambda: talk(*[t for name in NAMES for t in (("Boss", "Clerk", f"Handle {name.title()}"), ("Clerk", "Boss", "Handled it."))]),
    "pages of results": lambda: calls(*[("list", {"page": i}, {"ids": [i * 10 + k for k in range(3)]}) for i in range(20)]),
    "polling with pauses": lambda: run("p", agent("w", 0, 999, *(n for i in range(40) for n in (tool("status", i * 20, i * 20 + 1, args={"job": 7}, result="pending"), wait([], i * 20 + 1, i * 20 + 20, reason="timer"))))),
    "polling where only time passes": lambda: run("p", agent("w", 0, 999, llm(0, 1, answer="I watch the job."), *(tool("status", i * 20 + 5, i * 20 + 6, args={"job": 7}, result="pending") for i in range(40)))),
    "status that changes": lambda: calls(*[("status", {"job": 7}, {"done": i * 5}) for i in range(12)]),
    "draft and review with progress": lambda: talk(*[t for i in range(10) for t in (("Writer", "Editor", " ".join(DRAFT[: 6 + i])), ("Editor", "Writer", "Good so far, please extend it with another paragraph."))]),
    "text refined in place": lambda: talk(*[t for i in range(10) for t in (("Writer", "Editor", " ".join(DRAFT[k] if k >= i else DRAFT[k + 20] for k in range(10))), ("Editor", "Writer", "Better, please polish it further."))]),
    "retry that succeeds": lambda: calls(("fetch", {"u": "a"}, "!503 busy"), ("fetch", {"u": "a"}, "!503 busy"), ("fetch", {"u": "a"}, "page")),
    "rate limit now and then in a long map": lambda: calls(*[("fetch", {"doc": f"d{i}"}, "!429 slow down" if i % 3 == 0 else "page") for i in range(30)]),
    "explicit progress marks": lambda: run("m", *(n for i in range(10) for n in (message("A", "B", i * 2, "Please do the next part of the plan."), message("B", "A", i * 2 + 1, "The next part of the plan is done.", progress=True)))),
    "a work list that shrinks": lambda: talk(*[t for i in range(10) for t in (("Boss", "Clerk", "Still open: " + " ".join(NAMES[i:])), ("Clerk", "Boss", "Took the first one off the list."))]),
    "two doubles are no loop": lambda: talk(("A", "B", "Please send the figures to me now."), ("B", "A", "Here they are: 17 and 4."), ("A", "B", "Please send the figures to me now.")),
    "closing chatter": lambda: talk(*[("A", "B", "TERMINATE"), ("B", "A", "")] * 10),
    "conversation that moves on": lambda: talk(*[(("A", "B", fresh(i)) if i % 2 else ("B", "A", fresh(i + 100))) for i in range(30)]),
    "parallel fetches that all fail once": lambda: run("f", agent("w", 0, 10, *(tool("fetch", 1, 5, args={"u": i}, status="error", error_type="Timeout", error_message="timed out") for i in range(6)))),
    "nothing recorded to judge by": lambda: run("n", agent("w", 0, 100, *(tool("step", i, i + 0.5) for i in range(30)))),
    "arguments hashed, all different": lambda: run("h", agent("w", 0, 100, *(tool("step", i, i + 0.5, args_hash=f"h{i}") for i in range(30)))),
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIVES)
def test_loop_is_found_once_and_counted_right(name: str) -> None:
    """Every kind of loop is exactly one finding with the right number of rounds."""
    draw, expected = POSITIVES[name]

    (found,) = of(draw())

    assert {key: found.data[key] for key in expected} == expected


@pytest.mark.parametrize("name", NEGATIVES)
def test_healthy_repetition_is_silent(name: str) -> None:
    """Coming round is not a loop where each round brings something."""
    assert of(NEGATIVES[name]()) == []


def test_waste_is_every_call_after_the_first_round() -> None:
    """The first round is work, the other 46 are charged: money, tokens and the calls by id; the alarm came early."""
    (found,) = of(quarrel(47))

    assert found.severity == "critical"
    assert (found.wasted_usd, found.wasted_tokens) == (Decimal("0.92"), 92_000)
    assert len(found.data["wasted_spans"]) == 92
    assert found.data["alarm_round"] <= 7
    assert found.agents == ("Researcher", "Analyst")


def test_unpriced_and_repeated_spans_are_not_money() -> None:
    """Unknown prices give None, and a call recorded twice is counted once."""
    drawn = quarrel(8, noise=0)
    base = frames(drawn)
    unpriced = Frames(
        base.spans.with_columns(pl.lit(None, dtype=base.spans["cost_usd"].dtype).alias("cost_usd")),
        base.traces,
        base.contents,
    )
    twice = base.spans.with_columns(
        pl.when(pl.col("kind") == "llm").then(pl.col("span_id") + "x").otherwise("span_id").alias("span_id"),
        pl.when(pl.col("kind") == "llm").then("span_id").alias("duplicate_of"),
    ).filter(pl.col("kind") == "llm")

    (free,) = find_loops(unpriced)
    (once,) = find_loops(Frames(pl.concat([base.spans, twice]), base.traces, base.contents))

    assert isinstance(free, Finding)
    assert isinstance(once, Finding)
    assert (free.wasted_usd, free.wasted_tokens) == (None, 14_000)
    assert once.wasted_usd == Decimal("0.14")


def test_parallel_branches_keep_their_own_lanes() -> None:
    """A loop in one branch is found although another branch makes progress at the same time.

    A,B   ?-?-?-?-?-?      (agent "desk")
    map   1-2-3-4-5-6      (agent "batch")
    """
    loop = [
        message("A" if i % 2 else "B", "B" if i % 2 else "A", i + 1.0, "Please send the figures that I asked for.")
        for i in range(20)
    ]
    work = [tool("read", i + 1.2, i + 1.6, args={"doc": f"d{i}"}, result=fresh(i)) for i in range(20)]
    drawn = run("two", agent("desk", 0, 30, *loop), agent("batch", 0, 30, *work))

    (found,) = of(drawn)

    assert found.data["iterations"] == 10
    assert set(found.agents) == {"A", "B"}


def test_steps_are_given_for_transcripts() -> None:
    """Messages numbered by their source give steps, and the period counts messages."""
    texts = ["Please unzip the archive in the workspace.", "I list the workspace: archive and notes."]
    drawn = run("t", *(message("Boss" if i % 2 else "Surfer", "", float(i), texts[i % 2], step=i) for i in range(14)))

    (found,) = of(drawn)

    assert (found.steps[0], found.data["period"], found.data["iterations"]) == (0, 2, 7)


def test_checks_follow_the_input() -> None:
    """What was looked at and ruled out changes with the run: a progress mark shows up as a failed check."""
    plain = of(quarrel(12, noise=0))[0]
    marked = run("research", *(n for i in range(12) for n in (
        message("Researcher", "Analyst", i * 2, ASKS[i % 6], progress=i == 9), message("Analyst", "Researcher", i * 2 + 1, ASKS_BACK[i % 6]))))  # fmt: skip
    checks = {c.rule: c.passed for c in of(marked)[0].checked}

    assert {c.rule: c.passed for c in plain.checked}["no explicit progress mark inside"] is True
    assert checks["no explicit progress mark inside"] is False


def test_arrival_names_clock_and_neighbours_change_nothing() -> None:
    """Shuffled rows, other names, a shifted clock and unrelated work give the same finding and id; frames stay untouched."""
    drawn = quarrel(12)
    base = frames(drawn)
    before = base.spans.clone()
    (expected,) = of(drawn)

    shuffled = Frames(base.spans.sample(fraction=1.0, shuffle=True, seed=7), base.traces, base.contents)
    shifted = Frames(
        base.spans.with_columns(pl.col("start_ns") + 10**12, pl.col("end_ns") + 10**12), base.traces, base.contents
    )
    renamed = of(quarrel(12, names=("Zoe", "Bob")))
    extra = run(
        "research",
        agent(
            "Printer",
            10_000,
            10_100,
            *(tool("print", 10_000 + i, 10_000.5 + i, args={"doc": f"p{i}"}, result=fresh(i)) for i in range(8)),
        ),
    )
    joined = Frames(pl.concat([base.spans, frames(extra).spans.filter(pl.col("kind") != "workflow").with_columns(pl.lit(drawn.run_id).alias("run_id"), ("x" + pl.col("span_id")).alias("span_id"))]), base.traces, {**base.contents, **extra.contents})  # fmt: skip

    assert find_loops(shuffled) == [expected]
    assert [f.id for f in find_loops(shifted) if isinstance(f, Finding)] == [expected.id]
    assert [f.id for f in renamed] == [expected.id]
    assert find_loops(joined) == [expected]
    assert of(drawn, calls(("read", {"doc": "a"}, "x"), id="other")) == [expected]
    assert base.spans.equals(before)


def test_live_guard_raises_the_alarms_that_the_analysis_reports() -> None:
    """Fed one by one, the core alarms on just those steps, and in the round the finding names."""
    drawn = quarrel(20)
    base = frames(drawn)
    events = recorded_events(base.spans, base.contents)
    alarms = replay((r.event for r in events), LoopCore())
    (loop,) = find_in(events, LoopThresholds())
    (found,) = of(drawn)

    quarrelling = [a for a in alarms if a.symbol[0] in found.agents]
    assert {a.event_id for a in quarrelling} <= set(found.spans)
    assert next(a.level for a in quarrelling if a.signal == "no_progress") == "warning"
    assert loop.alarm_round == found.data["alarm_round"]
    assert replay((r.event for r in events), LoopCore()) == alarms


@pytest.mark.parametrize(
    ("stale", "fresh", "again", "clerk"), [(4, 1, 8, (3, 24)), (10, 2, 12, (8, 24)), (5, 3, 4, (0, 0))]
)
def test_the_alarm_is_not_told_earlier_than_it_can_be_raised(
    stale: int, fresh: int, again: int, clerk: tuple[int, int]
) -> None:
    """Whatever else had raised an alarm before the rounds that are told: it takes three rounds of a step to tell."""
    said: list[tuple[str, str, str]] = []
    for n in range(stale + fresh + again):
        some = " ".join(WORDS[9 * n : 9 * n + 8])
        news = stale <= n < stale + fresh
        asked = (
            f"Look at DOC-{n} of {some}." if news else "Look at the same files again and tell me what the audit says."
        )
        said.append(("Lead", "Team", asked))
        idle = clerk[0] <= n <= clerk[1]
        said.append(
            ("Clerk", "Lead", "Which audit is meant?") if idle else ("Coder", "Lead", f"Ran {some[::-1]} case-{n}.")
        )
    found = of(talk(*said))

    assert found
    for finding in found:
        assert 3 <= finding.data["alarm_round"] <= finding.data["iterations"]
        assert f"by round {finding.data['alarm_round']} of {finding.data['iterations']}." in finding.explanation


def test_rounds_with_news_make_it_less_sure() -> None:
    """A loop in which every third round brings something is doubted more than one in which none does."""

    def asked(every: int) -> list[Finding]:
        old = "Where is the file with the figures of the north?"
        return of(talk(*(
            ("A", "B", f"Where is {' '.join(WORDS[9 * n : 9 * n + 8])} ITEM-{n}?" if every and n % every == every - 1 else old)
            for n in range(24)
        )))  # fmt: skip

    (plain,), (mixed,) = asked(0), asked(3)

    assert mixed.confidence < 0.9 <= plain.confidence


def test_without_the_loop_the_finding_is_gone() -> None:
    """Two rounds are a conversation; an empty store says nothing."""
    assert of(quarrel(2)) == []
    assert find_loops(frames()) == []


def chat(rounds: int, *, new_items: bool) -> Drawn:
    """Two agents in turns, in nearly the same words; each turn names two documents never seen before, or always the same."""
    items: list[Node] = []
    for n in range(rounds):
        who = ("Scout", "Editor")[n % 2]
        a, b = (2 * n, 2 * n + 1) if new_items else (1, 2)
        items.append(
            agent(who, n, n + 0.9, llm(n, n + 0.8, answer=f"For Iberia the file DOC-{a} gives the audit of DOC-{b}."))
        )
    return run("chat", *items, id=f"chat-{new_items}")


def test_runs_that_plainly_get_further_are_not_replayed() -> None:
    """The screen before the core drops a chat whose turns name new items, keeps the one whose turns do not, and changes no verdict."""
    lively, stuck = chat(40, new_items=True), chat(40, new_items=False)
    given = frames(lively, stuck)
    kept = worth_replaying(given.spans, given.contents, LoopThresholds(), min_errors=3)

    assert kept.to_list() == [stuck.run_id]
    assert [f.trace_id for f in of(lively, stuck)] == [stuck.run_id]
    assert find_in(recorded_events(given.only(lively.run_id).spans, given.contents), LoopThresholds()) == []


def test_a_counter_in_what_agents_are_handed_does_not_screen_a_run_out() -> None:
    """Each round hands the same state with a higher number on: neither the screen nor the core takes the number for news."""
    ask = ("Which year?", "What year?", "Please name the year.")
    turns = [
        agent(
            who,
            2 * n + place,
            2 * n + place + 0.9,
            task=f'{{"n": {n}, "job": "finish the chronicle", "ask": "{ask[n % 3]}"}}',
        )
        for n in range(12)
        for place, who in enumerate(("writer", "checker"))
    ]
    (found,) = of(run("chronicle", *turns))

    assert found.severity == "critical"
    assert set(found.agents) == {"writer", "checker"}


def test_runs_with_branches_side_by_side_are_always_replayed() -> None:
    """What is new in a run need not be new in a lane, so the screen does not judge runs with parallel branches."""
    lively = [
        agent(who, 0, 40, *(llm(n, n + 0.8, answer=f"The file DOC-{n}{who} is read.") for n in range(20)))
        for who in "ab"
    ]
    given = frames(run("side", *lively))

    assert worth_replaying(given.spans, given.contents, LoopThresholds(), min_errors=3).to_list() == given.run_ids


def bare(rounds: int, **told: Any) -> Drawn:
    """Handoffs to and fro for one reason; the calls between them recorded as they come, without texts where `told` is empty."""
    turns = [
        agent(
            who, 3 * n, 3 * n + 2.9, llm(3 * n, 3 * n + 1, **told), handoff(who, other, 3 * n + 2, reason="the figures are not final and need another look")
        )
        for n in range(rounds)
        for who, other in (("Desk", "Audit"), ("Audit", "Desk"))[n % 2 : n % 2 + 1]
    ]  # fmt: skip
    return run("desk", *turns, id=f"bare-{len(told)}")


def test_calls_of_which_nothing_was_recorded_make_a_loop_a_warning_at_most() -> None:
    """What they brought nobody can say; the same rounds with the answers recorded are critical."""
    (unheard,), (heard,) = of(bare(14)), of(bare(14, answer="They are not final."))

    assert (unheard.severity, heard.severity) == ("warning", "critical")
    assert unheard.confidence < heard.confidence
    assert unheard.data["unheard_calls"] > 0
    assert "neither text nor result was recorded" in unheard.explanation
    assert (heard.data["unheard_calls"], "neither text" in heard.explanation) == (0, False)


def test_a_state_that_was_not_kept_and_is_as_large_as_before_may_have_changed() -> None:
    """A lone counter of which only the size is known: 10 to 19 all have two digits. With its values it is a list that gets longer, or not."""
    counted = [agent("Desk", n, n + 0.9, state_write("tally", n + 0.5, value_bytes=2)) for n in range(10)]

    assert of(run("desk", *counted)) == []


def test_hashes_screen_out_what_gets_further_where_texts_were_not_kept() -> None:
    """Arguments never given before are progress whatever the result; the same again and again are kept for the core."""

    def calls(name: str, given: Callable[[int], str]) -> Drawn:
        items = [tool("look", n, n + 0.9, args_hash=given(n), result_hash="same") for n in range(12)]
        return run("scan", agent("Scout", 0, 12, *items), id=name)

    lively, stuck = calls("lively", lambda n: f"hash {n}"), calls("stuck", lambda n: "hash")
    given = frames(lively, stuck)
    kept = worth_replaying(given.spans, given.contents, LoopThresholds(), min_errors=3)

    assert kept.to_list() == [stuck.run_id]
    assert find_in(recorded_events(given.only(lively.run_id).spans, given.contents), LoopThresholds()) == []
    assert find_in(recorded_events(given.only(stuck.run_id).spans, given.contents), LoopThresholds()) != []


def test_goodbyes_end_a_conversation_until_they_never_end() -> None:
    """Thanks said four times are polite; said twelve times they are a loop."""

    def farewell(times: int) -> list[Finding]:
        return of(talk(*(("user", "clerk", "Thank you very much!"), ("clerk", "user", "You are welcome.")) * times))

    assert farewell(4) == []
    assert len(farewell(12)) == 1
