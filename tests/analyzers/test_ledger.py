"""The ledger closes: every call in one part, the parts sum to the total exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.document import analysis_document
from analyzers.finding import Finding
from analyzers.ledger import PARTS, Ledger, add_up, ledger_document, split
from analyzers.resent import find_resent
from analyzers.run import analyse
from tests.drawn import Drawn, Node, agent, frames, handoff, llm, message, node, run, tool, wait

PAID = {"input_tokens": 100, "output_tokens": 10, "cost": "0.01", "model": "our-own"}


def blame(kind: str, *spans: str) -> Finding:
    return Finding(kind=kind, severity="warning", confidence=1, title="", explanation="", suggestion="", trace_id="", spans=spans)  # fmt: skip


def held(*items: Node, findings: Sequence[Finding] = (), **fields: Any) -> Ledger:
    return split(frames(run("w", *items, **fields)), findings)


def check_closes(ledger: Ledger, drawn: Drawn) -> None:
    """Parts against totals, and totals against the run's own row."""
    parts = ledger.parts
    assert tuple(part.name for part in parts) == PARTS
    assert sum((part.usd for part in parts), Decimal(0)) == ledger.usd
    assert sum(part.input_tokens for part in parts) == ledger.input_tokens
    assert sum(part.output_tokens for part in parts) == ledger.output_tokens
    assert ledger.ns is None or sum(part.ns for part in parts) == ledger.ns
    assert all(part.usd >= 0 and part.input_tokens >= 0 and part.output_tokens >= 0 and part.ns >= 0 for part in parts)
    spans = [span for part in parts for span in part.spans]
    assert len(spans) == len(set(spans)) == ledger.calls == sum(part.calls for part in parts)
    assert ledger.usd == (drawn.summary["cost_usd"] or 0)
    assert ledger.unpriced_calls == drawn.summary["unpriced_calls"]
    assert ledger.input_tokens == drawn.summary["input_tokens"]
    assert ledger.output_tokens == drawn.summary["output_tokens"]


@st.composite
def runs(draw: st.DrawFn) -> tuple[Drawn, list[Finding]]:
    """Calls of any purpose, price and history, some failed or twice recorded, some blamed by findings that overlap."""
    texts = st.sampled_from(["a", "bb", "tell me about it", "summarize this", "x" * 40])
    items: list[Node] = []
    count = draw(st.integers(0, 7))
    for i in range(count):
        start = draw(st.integers(0, 9))
        fields: dict[str, Any] = {
            "id": f"c{i}",
            "purpose": draw(st.sampled_from([None, "work", "route", "judge", "memory", "recover", "a new one"])),
            "agent": draw(st.sampled_from([None, "a", "b"])),
            "input_tokens": draw(st.one_of(st.none(), st.integers(0, 500))),
            "output_tokens": draw(st.one_of(st.none(), st.integers(0, 50))),
            "cached_tokens": draw(st.one_of(st.none(), st.integers(0, 600))),
            "cost": draw(st.one_of(st.none(), st.decimals("0", "3", places=9, allow_nan=False))),
            "model": draw(st.sampled_from([None, "our-own"])),
            "status": draw(st.sampled_from(["ok", "error"])),
            "retry_of": f"c{draw(st.integers(0, count))}" if draw(st.booleans()) else None,
            "duplicate_of": "c0" if i and draw(st.integers(0, 5)) == 0 else None,
        }
        prompt = draw(st.lists(texts, max_size=4))
        items.append(
            llm(start, start + draw(st.integers(0, 4)), prompt=prompt, answer=draw(st.none() | texts), **fields)
        )
    items += [wait("b", 1, 6, agent="a"), tool("t", 0, 8, agent="b"), handoff("a", "b", 2)][: draw(st.integers(0, 3))]
    blamed = [
        blame(kind, *draw(st.lists(st.sampled_from([f"c{i}" for i in range(9)]), min_size=1, max_size=4)))
        for kind in draw(st.lists(st.sampled_from(["loop", "duplicate_calls", "hidden_calls"]), max_size=2))
    ]
    return run("any", *items), blamed


@settings(max_examples=10, deadline=None)
@given(runs())
def test_parts_sum_to_the_total_exactly(case: tuple[Drawn, list[Finding]]) -> None:
    """Whatever was recorded and blamed: money, tokens and time are split without rest, every call counted once."""
    drawn, blamed = case
    check_closes(split(frames(drawn), blamed), drawn)


@pytest.mark.parametrize(
    ("part", "call", "blamed"),
    [
        pytest.param("work", {"purpose": "work"}, None, id="work"),
        pytest.param("coordination", {"purpose": "route"}, None, id="route"),
        pytest.param("coordination", {"purpose": "summarise"}, None, id="summarise"),
        pytest.param("judging", {"purpose": "judge"}, None, id="judge"),
        pytest.param("hidden", {"purpose": "memory"}, None, id="memory"),
        pytest.param("hidden", {"prompt": "x", "answer": "y"}, None, id="of no agent, beside agents that call"),
        pytest.param("retries", {"purpose": "parse_repair", "agent": "a"}, None, id="repair"),
        pytest.param("retries", {"purpose": "work"}, "loop", id="a round of a loop"),
        pytest.param("duplicates", {"purpose": "route"}, "duplicate_calls", id="answered before"),
        pytest.param("work", {"purpose": "work"}, "context_growth", id="blamed for what is no waste of calls"),
        pytest.param("unknown", {"agent": "a"}, None, id="nothing known but tokens"),
        pytest.param("work", {"prompt": "x", "answer": "y", "agent": "a"}, None, id="by its texts"),
    ],
)
def test_a_call_stands_in(part: str, call: dict[str, Any], blamed: str | None) -> None:
    """One call, one part: with its money, tokens and time."""
    ledger = held(
        llm(0, 2, id="it", **PAID, **call),
        llm(2, 3, agent="other", purpose="work", input_tokens=1, output_tokens=1),
        findings=[blame(blamed, "it")] if blamed else [],
    )
    assert ledger[part].spans[:1] == ["it"]
    assert ledger[part].usd == Decimal("0.01")
    assert ledger[part].ns >= 2 * 10**9


def test_a_failed_attempt_is_a_retry_and_the_good_one_is_work() -> None:
    """What was paid for an attempt that had to be repeated is no work."""
    ledger = held(
        llm(0, 1, id="first", status="error", purpose="work", **PAID),
        llm(1, 2, id="again", retry_of="first", purpose="work", **PAID),
    )
    assert (ledger["retries"].spans, ledger["work"].spans) == (["first"], ["again"])


def test_a_repeated_input_counts_once_as_work() -> None:
    """Nobody marked the retry: the call that failed is lost, the same input sent again does the work."""
    asked = {"prompt": "What is due?", "agent": "a", **PAID}
    ledger = held(
        llm(0, 1, id="first", status="error", **asked), llm(1, 2, id="again", answer="Two invoices are.", **asked)
    )
    assert (ledger["retries"].spans, ledger["work"].spans) == (["first"], ["again"])


def conversation() -> Drawn:
    """Two calls with growing history: system and task, then these, the answer and a tool's result."""
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 6 x 7?"}]
    answer, result = {"role": "assistant", "content": "42"}, {"role": "user", "content": "And in words?"}
    return run(
        "chat",
        llm(0, 1, id="one", messages=first, answer="42", purpose="work", input_tokens=100, output_tokens=10, cost="0.0014", model="our-own"),
        llm(1, 2, id="two", messages=[*first, answer, result], answer="forty-two", purpose="work", input_tokens=130, output_tokens=10,
            cost="0.0017", model="our-own"),
    )  # fmt: skip


def test_resent_tokens_are_those_of_the_call_that_sent_them() -> None:
    """The known prefix is the earlier call's input and answer, as the provider counted them."""
    given = frames(conversation())
    resent = find_resent(given.llm_calls, given.contents)
    assert (resent["one"].tokens, resent["two"].tokens, resent["two"].messages) == (0, 110, 3)
    assert resent["two"].exact


def test_resent_context_leaves_work_with_its_money() -> None:
    """110 of 130 input tokens were known; at 4 : 1 they made 110/170 of the second call's price."""
    ledger = split(frames(conversation()))
    assert (ledger["resent"].input_tokens, ledger["work"].input_tokens) == (110, 120)
    assert ledger["resent"].usd == Decimal("0.0011")
    assert ledger["work"].usd == Decimal("0.0020")
    assert ledger.estimated_calls == 1


def test_a_prefix_shared_in_part_is_shared_out_by_length() -> None:
    """The same system prompt, another task: tokens in proportion to the text."""
    given = frames(
        run(
            "w",
            *(llm(n, n + 1, id=f"c{n}", system="s" * 60, prompt="t" * 60 + str(n), input_tokens=90) for n in range(2)),
        )
    )
    resent = find_resent(given.llm_calls, given.contents)["c1"]
    assert 40 <= resent.tokens <= 50
    assert not resent.exact


def test_time_is_that_of_the_critical_path() -> None:
    """A wait is charged to what the peer did; what ran beside it for nothing is not charged."""
    ledger = held(
        agent("boss", 0, 10, wait("worker", 1, 9)),
        agent("worker", 2, 8, llm(2, 8, purpose="work", **PAID)),
        tool("beside", 0, 5),
    )
    seconds = {part.name: part.ns / 1e9 for part in ledger.parts if part.ns}
    assert seconds == {"work": 6, "waiting": 2, "unknown": 2}


def test_a_transcript_has_no_time_to_split() -> None:
    """Without times of its own the run's length is unknown, not zero."""
    document = ledger_document(frames(run("w", message("a", "b", 1, "hi", derived=["start_ns"]))))
    assert document["total"]["ns"] is None
    assert {part["seconds"] for part in document["parts"]} == {None}


def test_document_has_a_ledger_for_every_run() -> None:
    """Exact decimal texts sum to the run's cost in the JSON document; shares sum to one."""
    given = frames(conversation(), run("idle", node("other", "x", 0, 1)))
    entries = analysis_document(given, analyse(given))["traces"]
    by_workflow = {entry["workflow"]: entry["ledger"] for entry in entries}
    chat = by_workflow["chat"]
    assert (
        sum(Decimal(part["usd_exact"]) for part in chat["parts"])
        == Decimal(chat["total"]["usd_exact"])
        == Decimal("0.0031")
    )
    assert sum(part["tokens_share"] for part in chat["parts"]) == pytest.approx(1, abs=1e-3)
    assert by_workflow["idle"]["total"]["calls"] == 0


def test_ledgers_of_several_runs_add_up() -> None:
    """Every part and every total is the sum; one run without times leaves the length unknown; none at all is an empty ledger."""
    one = held(agent("A", 0, 3, llm(0, 2, **PAID), tool("t", 2, 3)))
    other = held(agent("B", 0, 5, llm(0, 4, purpose="route", **PAID), wait("A", 4, 5)))
    together = add_up([one, other])
    assert (together.usd, together.calls, together.ns) == (one.usd + other.usd, 2, (one.ns or 0) + (other.ns or 0))
    for part, first, second in zip(together.parts, one.parts, other.parts, strict=True):
        assert (part.usd, part.tokens, part.ns) == (
            first.usd + second.usd,
            first.tokens + second.tokens,
            first.ns + second.ns,
        )
        assert part.spans == [*first.spans, *second.spans]
    assert add_up([one, replace(other, ns=None)]).ns is None
    assert (add_up([]).usd, add_up([]).ns) == (0, 0)


def test_money_is_unknown_where_no_call_has_a_price() -> None:
    """Null, never $0, in the total, the parts and by agent; one known price is enough to count."""
    for cost, known in ((None, False), ("0.01", True)):
        drawn = run(
            "w",
            agent("a", 0, 4, llm(0, 1, input_tokens=10, output_tokens=1, model="x", cost=cost), llm(1, 2, model="x")),
        )
        document = ledger_document(frames(drawn))
        told = [document["total"], *document["parts"], *document["by_agent"]]
        assert [one["usd"] is not None for one in told] == [known] * len(told)
        assert sum(Decimal(one["usd_exact"]) for one in document["parts"]) == Decimal(document["total"]["usd_exact"])
