"""How a loop is told: what comes round, how often, what it brought, how sure that is, and the way out.

The loop itself is found elsewhere (`analyzers/loops.py`), and asked for in `analyzers/detectors/loop.py`.
"""

from __future__ import annotations

from decimal import Decimal
from statistics import median

from analyzers.loop_shapes import Loop
from analyzers.wording import amount, duration, listing, since
from analyzers.wording import usd as money

SURE, FAIRLY = 0.9, 0.7
"""confidences from which on a loop is called sure, or fairly sure"""
UNHEARD_DOUBT = 0.75
"""what is left of the confidence where calls inside the loop were recorded without texts and hashes"""
NEWS_DOUBT = 0.3
"""what is taken off the confidence of a loop all of whose repeats brought something new, and in proportion below"""
PERSON_DOUBT = 0.75
"""likewise where a person takes part: in short sentences another wish looks like the one before"""
PEOPLE = frozenset({"user", "human", "customer", "human_user"})
"""names under which the person takes part in a conversation, lower case"""


def with_a_person(loop: Loop) -> bool:
    """Whether one of those who go round is the person: who may ask again, or for something else in the same words."""
    return any(agent.lower() in PEOPLE for agent in loop.agents)


def confidence(loop: Loop) -> float:
    """How sure the rule is: a full no-progress count is surer than a repeated request; polling, marks and rounds with news lower it."""
    sure = 0.9 if "no_progress" in loop.signals else 0.85 if "same_error" in loop.signals else 0.7
    if len(loop.signals) > 1:
        sure += 0.05
    if loop.critical:
        sure += 0.04
    if loop.polled_rounds:
        sure -= 0.2
    if loop.marks:
        sure -= 0.2
    if loop.novelty:
        sure -= NEWS_DOUBT * (1 - loop.stale_rounds / len(loop.novelty))
    if unheard(loop):
        sure *= UNHEARD_DOUBT
    if with_a_person(loop):
        sure *= PERSON_DOUBT
    return round(max(0.3, min(0.99, sure)), 2)


def unheard(loop: Loop) -> int:
    """Calls of models and tools inside the loop of which neither a text nor a hash is known: what they brought cannot be judged."""
    calls = (r.event for r in loop.events if r.event.kind in ("llm", "tool"))
    return sum(not (e.text or e.args or e.args_hash or e.result_hash or e.error or e.progress) for e in calls)


def described(loop: Loop) -> str:
    if "no_progress" in loop.signals:
        judged = len(loop.novelty)
        if judged == len(loop.rounds) - 1:
            return f"{loop.stale_rounds} of {judged} repeats without anything new"
        # Several symbols or branches of the cycle were judged; their counts do not compare with its rounds.
        return f"{loop.stale_rounds / max(1, judged):.0%} of its repeats without anything new"
    if "same_error" in loop.signals:
        return f"the same error {loop.errors} times"
    return f"one request made {loop.repeats} times"


def cost_text(usd: Decimal | None, tokens: int | None, unpriced: int) -> str:
    if usd is not None:
        return money(usd) + (f" (and {unpriced} calls without a price)" if unpriced else "")
    return f"{tokens:,} tokens" if tokens else ""


def explanation(
    loop: Loop, path: str, what: str, length_ns: int, cost: str, iterations: int, began_ns: int | None
) -> str:
    """`began_ns` is the start of the run, None where it has no clock."""
    agent, kind, name = loop.symbol
    step = _step(agent or "the run", kind, name)
    steps = [r.step for r in loop.events if r.step is not None]
    parts = [
        f"{'The cycle ' if len(loop.path) > 1 else ''}{path} went round {iterations} times ({step} is what comes back), {what}."
    ]
    if began_ns is not None:
        lasted = f"It began {since(loop.events[0].start_ns, began_ns)}, lasted {duration(length_ns)}"
        parts.append(lasted + (f" and spent {cost} after its first round." if cost else "."))
    elif steps:
        parts.append(f"It goes from step {min(steps)} to step {max(steps)}" + (f" and spent {cost}." if cost else "."))
    elif cost:
        parts.append(f"It spent {cost} after its first round.")
    if loop.novelty:
        parts.append(
            f"In the median repeat {median(loop.novelty):.0%} of the words were new; new items in all of them: {sum(loop.new_items) or 'none'}."
        )
    if "reask" in loop.signals:
        parts.append(f"One request was made {loop.repeats} times in nearly the same words.")
    if "same_error" in loop.signals:
        parts.append(f"A tool failed {loop.errors} times in the same way, whatever it was given.")
    parts.append(f"A live guard would have raised the alarm by round {loop.alarm_round} of {len(loop.rounds)}.")
    if loop.polled_rounds:
        parts.append(f"{loop.polled_rounds} repeats waited on purpose, which makes polling possible.")
    if loop.marks:
        parts.append(f"{loop.marks} progress marks were set inside, which speaks against it.")
    if silent := unheard(loop):
        parts.append(
            f"Of {amount(silent, 'call')} inside, neither text nor result was recorded, so what they brought is not known: a warning at most."
        )
    if with_a_person(loop):
        parts.append("A person takes part, who may ask on or insist: less sure, and told one level lower.")
    sure = confidence(loop)
    how = "Sure" if sure >= SURE else "Fairly sure" if sure >= FAIRLY else "Only suspected"
    parts.append(f"{how} ({sure:.0%}): {_why(loop)}.")
    return " ".join(parts)


def _step(agent: str, kind: str, name: str) -> str:
    """The step that comes back: "Researcher's message to Analyst", "researcher's tool search_docs", "writer's turn"."""
    to = f" to {name}" if name and name != "*" else ""
    if kind in ("message", "handoff"):
        return f"{agent}'s {kind}{to}"
    if kind == "agent" and name == "*":
        return f"a call by {agent}"
    if kind == "agent":
        return f"{agent}'s turn" + (f", called by {name}" if name and name != "*" else "")
    what = {"llm": "model call", "state": "write of"}.get(kind, kind)
    return f"{agent}'s {what}" + (f" {name}" if name and name != "*" else "")


def _why(loop: Loop) -> str:
    """What the verdict rests on, in a clause."""
    reasons: list[str] = []
    if "no_progress" in loop.signals:
        reasons.append("words, items, arguments, results and states of each repeat were compared with all before it")
    if "same_error" in loop.signals:
        reasons.append("the errors are the same but for numbers and names in them")
    if "reask" in loop.signals:
        reasons.append("the requests have nearly all their words in common and nothing new lies between them")
    return ", and ".join(reasons)


def suggestion(loop: Loop) -> str:
    if loop.signals == ("same_error",):
        return (
            "Stop after the second equal failure and hand the error to something that can act on it: "
            "another tool, a person, or a clear failure of the run."
        )
    if with_a_person(loop):
        return (
            "Read what the person wanted: after the second refusal say what can be done instead, or hand over to a colleague; "
            "where each question was another one, nothing is wrong."
        )
    limit = "Guard the run with a loop breaker (it stops at 5 rounds without progress)"
    if len(set(loop.agents)) > 1:
        return (
            f"{limit}, and give {listing(loop.agents, 4)} a way out: pass the missing input with the handoff, "
            "let one of them decide with what is there, or escalate to a person."
        )
    return (
        f"{limit}, and show the agent its own earlier calls and results so that it can choose another way or give up."
    )
