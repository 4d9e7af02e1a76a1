"""One agent instead of several, savings and the verdict: against real runs of the same task, and on drawn ones."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer
from analyzers.document import analysis_document
from analyzers.economics.architecture import Profile, judge, profile_run
from analyzers.economics.claims import Claim, Workspace
from analyzers.economics.dataflow import Reading
from analyzers.economics.patterns import Pattern
from analyzers.economics.savings import find_savings, settle
from analyzers.economics.single_agent import Estimate, estimate_document, estimate_single_agent
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import analyse
from reference_runtime.clock import VirtualClock
from reference_runtime.patterns import PATTERNS
from tests.drawn import Drawn, Node, agent, frames, llm, run, tool
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter
from tracer.testing import recording_to

EPOCH_NS = 1_767_261_600 * 10**9
SEEDS = range(3)
SAME_WORK = ("supervisor", "pipeline", "parallel", "coordinated")
"""patterns that look up the same three subjects as the single agent and write one recommendation; the chat and the handoffs look nothing up"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Every pattern of the reference runtime, several seeds, through the real shim and a real store."""
    path = tmp_path_factory.mktemp("patterns") / "traces.duckdb"
    with recording_to(SegmentWriter(path)):
        for pattern in PATTERNS:
            for seed in SEEDS:
                batch = pattern.build(seed, clock=VirtualClock(EPOCH_NS + seed * 10**11))
                handles = [tracer.instrument(planned.runtime) for planned in batch.runs]
                batch.play()
                for handle in reversed(handles):
                    handle.uninstrument()
    store = Store(path)
    store.fold()
    return Frames.loaded(reads.load(store))


def runs_of(played: Frames, pattern: str) -> list[Frames]:
    names = {source: run_id for run_id, source in played.traces.select("run_id", "source_id").iter_rows()}
    return [played.only(names[f"{pattern}-{seed}"]) for seed in SEEDS]


def paid(runs: list[Frames]) -> tuple[float, int]:
    """(USD, tokens) of the runs together."""
    calls = [one.billed for one in runs]
    return (
        float(sum(sum(c["cost_usd"].to_list(), Decimal(0)) for c in calls)),
        sum(int(c["input_tokens"].sum()) + int(c["output_tokens"].sum()) for c in calls),
    )


@pytest.mark.parametrize("pattern", SAME_WORK)
def test_the_estimate_meets_the_real_single_agent(played: Frames, pattern: str) -> None:
    """Cost and token ratio over one agent: within 20 % of what the runtime's own single agent took for the task."""
    runs, twins = runs_of(played, pattern), runs_of(played, "single")
    estimates = [estimate_single_agent(one) for one in runs]
    usd = sum(float(e.central.usd or 0) for e in estimates if isinstance(e, Estimate))
    tokens = sum(e.central.tokens for e in estimates if isinstance(e, Estimate))
    real_usd, real_tokens = paid(twins)
    own_usd, own_tokens = paid(runs)

    assert own_usd / usd == pytest.approx(own_usd / real_usd, rel=0.2)
    assert own_tokens / tokens == pytest.approx(own_tokens / real_tokens, rel=0.2)
    for estimate in estimates:
        assert isinstance(estimate, Estimate)
        low, central, high = estimate.ratio("usd") or (0, 0, 0)
        assert low <= central <= high


def test_one_agent_is_its_own_estimate(played: Frames) -> None:
    """A run that had one agent already: every ratio is 1."""
    for one in runs_of(played, "single"):
        estimate = estimate_single_agent(one)
        assert isinstance(estimate, Estimate)
        assert estimate.ratio("usd") == pytest.approx((1, 1, 1), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "detected", "verdict"),
    [
        ("supervisor", "supervisor", ("another pattern", "parallel")),
        ("coordinated", "supervisor", ("another pattern", "parallel")),
        ("pipeline", "pipeline", ("keep", None)),
        ("parallel", "parallel", ("keep", None)),
        ("chat", "chat", ("keep", None)),
        ("handoffs", "pipeline", ("keep", None)),
        ("single", "single", ("keep", None)),
    ],
)
def test_patterns_and_verdicts(played: Frames, pattern: str, detected: str, verdict: tuple[str, str | None]) -> None:
    """Supervised look-ups that need nothing from each other belong side by side; the others may stay as they are."""
    profiles = [profile_run(Reading(one)) for one in runs_of(played, pattern)]

    assert {profile.pattern.name for profile in profiles if profile.pattern} == {detected}
    assert judge(profiles)[:2] == verdict


def test_parallel_work_is_seen(played: Frames) -> None:
    """The achieved parallelism of the parallel pattern, and the possible one of its serial twin."""
    beside = [profile_run(Reading(one)) for one in runs_of(played, "parallel")]
    supervised = [profile_run(Reading(one)) for one in runs_of(played, "supervisor")]

    assert all((profile.achieved or 0) > 1.5 for profile in beside)
    assert all(
        (profile.achieved or 0) == pytest.approx(1, abs=0.02) and (profile.possible or 0) > 1.5
        for profile in supervised
    )


CALL: dict[str, Any] = {
    "model": "gpt-4.1-mini",
    "purpose": "work",
    "input_tokens": 1000,
    "output_tokens": 20,
    "cost": "0.0004",
}


def called(**changes: Any) -> dict[str, Any]:
    """The fields of a usual call, some changed."""
    return {**CALL, **changes}


def team(*, turns: int, steering: int, words: int = 30) -> Drawn:
    """A known single agent of `turns` calls with tools, led by a supervisor that says who is next `steering` times per turn."""
    items: list[Node] = []
    history: list[dict[str, Any]] = [
        {"role": "system", "content": "You work."},
        {"role": "user", "content": "Do it all."},
    ]
    at, sent = 0.0, 100
    for number in range(turns):
        for step in range(steering):
            items.append(llm(at, at + 1, agent="Boss", system="You lead.", prompt=f"Who is next in round {number}.{step}?", answer="Worker",
                             **called(purpose="route", input_tokens=200)))  # fmt: skip
            at += 1
        result = " ".join(f"w{number}x{i}" for i in range(words))
        args = {"q": f"question {number}"}
        calls = [{"id": f"c{number}", "name": "search", "arguments": args}]
        items.append(agent("Worker", at, at + 2, llm(at, at + 1, messages=list(history), tool_calls=calls, **called(input_tokens=sent)),
                           tool("search", at + 1, at + 2, args=args, result=result)))  # fmt: skip
        history += [{"role": "assistant", "content": "", "tool_calls": calls}, {"role": "tool", "content": result}]
        at, sent = at + 2, sent + 100
    items.append(
        agent(
            "Worker",
            at,
            at + 1,
            llm(
                at,
                at + 1,
                messages=list(history),
                answer="The whole answer in a few words.",
                **called(input_tokens=sent),
            ),
        )
    )
    return run("team", *items)  # fmt: skip


@pytest.mark.parametrize(("turns", "steering"), [(3, 1), (5, 2), (8, 4)])
def test_injected_coordination_is_found_again(turns: int, steering: int) -> None:
    """A known single-agent run plus routing calls: the ratio of tokens is that of the calls that were put in, within 20 %."""
    given_frames = frames(team(turns=turns, steering=steering))
    own = sum(100 + 100 * n for n in range(turns + 1)) + 20 * (turns + 1)
    expected = (own + steering * turns * 220) / own
    estimate = estimate_single_agent(given_frames)

    assert isinstance(estimate, Estimate)
    assert estimate.central.calls == turns + 1
    assert (estimate.ratio("tokens") or (0, 0, 0))[1] == pytest.approx(expected, rel=0.2)


def test_what_cannot_be_known_is_said() -> None:
    """No messages, no tokens, no calls: a reason, not a number."""
    assert (
        "messages"
        in estimate_document(estimate_single_agent(frames(run("w", agent("a", 0, 1, llm(0, 1, **CALL))))))["skipped"]
    )
    assert (
        "token"
        in estimate_document(estimate_single_agent(frames(run("w", llm(0, 1, prompt="x", answer="y", agent="a")))))[
            "skipped"
        ]
    )
    assert "no LLM call" in estimate_document(estimate_single_agent(frames(run("w", tool("t", 0, 1)))))["skipped"]


def test_a_context_beyond_the_window_is_infeasible() -> None:
    """One agent would read more than its model takes: only compaction is left, and it is the central figure."""
    parts = [
        agent(f"a{n}", n, n + 0.9, llm(n, n + 0.4, prompt=f"Part {n}", tool_calls=[{"id": f"c{n}", "name": f"t{n}", "arguments": {"n": n}}],
                                       **called(model="gpt-3.5-turbo", input_tokens=9000, output_tokens=1000)),
              tool(f"t{n}", n + 0.4, n + 0.5, args={"n": n}, result=f"r{n} " * 4000),
              llm(n + 0.5, n + 0.9, prompt=f"And now {n}", answer=f"done {n} " * 500, **called(model="gpt-3.5-turbo", input_tokens=9000, output_tokens=1000)))
        for n in range(4)
    ]  # fmt: skip
    estimate = estimate_single_agent(frames(run("w", *parts)))
    assert isinstance(estimate, Estimate)
    by_name = {(v.history, v.cache): v for v in estimate.variants}

    assert not by_name["lean", "none"].feasible
    assert by_name["lean", "compaction"].peak_tokens < by_name["lean", "none"].peak_tokens


@cache
def estimated(steering: int) -> Estimate | str:
    """The estimate for a team whose supervisor speaks so many times a turn."""
    return estimate_single_agent(frames(team(turns=3, steering=steering)))


def profile(**fields: Any) -> Profile:
    """A run in which everything speaks for one agent, except what a test changes."""
    usual: dict[str, Any] = {
        "pattern": Pattern(name="supervisor", hub="Boss", order=("Boss", "A", "Boss", "B"), overlap=0.0, why=""),
        "separability": 0.0, "specialisation": {"agents": 3, "tool_overlap": 1.0, "prompt_overlap": 0.5, "model_overlap": 1.0},
        "achieved": 1.0, "possible": 1.0, "coordination_usd": 0.6, "coordination_tokens": 0.6, "coordination_time": 0.5,
        "estimate": estimated(20), "coverage": dict.fromkeys(("agent", "tokens", "price", "messages", "tool_results", "time"), 1.0), "routed": True,
    }  # fmt: skip
    return Profile(**{**usual, **fields})


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, ("single agent", None)),
        ({"achieved": 2.0}, ("keep", None)),
        ({"specialisation": {"tool_overlap": 0.0, "model_overlap": 1.0}}, ("keep", None)),
        ({"achieved": 2.0, "runs": 3}, ("another pattern", "pipeline")),
        ({"separability": 1.0, "possible": 2.0, "coordination_usd": 0.1, "coordination_tokens": 0.1, "estimate": estimated(0)}, ("another pattern", "parallel")),
        ({"estimate": "no tokens"}, ("insufficient evidence", None)),
        ({"pattern": None}, ("insufficient evidence", None)),
        ({"specialisation": {"tool_overlap": None, "model_overlap": 1.0}, "achieved": 1.3, "coordination_usd": 0.1, "coordination_tokens": 0.1}, ("insufficient evidence", None)),
        ({"coverage": {"agent": 1.0, "tokens": 1.0, "messages": 0.1}}, ("insufficient evidence", None)),
    ],
    ids=["all against", "it runs side by side", "other tools", "same order every time", "could run side by side", "no estimate", "no pattern", "roles not known", "no messages"],
)  # fmt: skip
def test_verdict_rules(changed: dict[str, Any], verdict: tuple[str, str | None]) -> None:
    """The rules, one change at a time."""
    fields = {name: value for name, value in changed.items() if name != "runs"}
    held = [profile(**fields) for _ in range(changed.get("runs", 1))]

    assert judge(held)[:2] == verdict


def test_a_fault_is_no_argument_about_the_architecture() -> None:
    """A looping run says nothing beside a sound one; where all runs loop, the loops come first."""
    looping, sound_one = profile(retried=0.9), profile(achieved=2.0, retried=0.1)
    verdict, _, why, _ = judge([looping, looping])

    assert judge([looping, looping, sound_one])[0] == judge([sound_one])[0] == "keep"
    assert verdict == "insufficient evidence"
    assert "90% or more on loops and retries" in why


def test_what_was_spent_again_is_read_off_the_ledger() -> None:
    """Two failed tries of three, at one price: two thirds; without prices the tokens say it."""

    def tries(**call: Any) -> Profile:
        failed = {"status": "error", "error_type": "Unavailable", **call}
        return profile_run(Reading(frames(run("w", agent("a", 0, 9, llm(0, 1, id="t1", **failed), llm(1, 2, id="t2", retry_of="t1", **failed),
                                                             llm(2, 3, retry_of="t2", **call))))))  # fmt: skip

    paid = {"input_tokens": 100, "output_tokens": 10}

    assert tries(cost="0.10", **paid).retried == pytest.approx(2 / 3)
    assert tries(**paid).retried == pytest.approx(2 / 3)


def saved(drawn: Drawn, *findings: Finding) -> dict[str, dict[str, Claim]]:
    """strategy -> span id -> what could have been saved."""
    given_frames = frames(drawn)
    found: dict[str, dict[str, Claim]] = defaultdict(dict)
    for claim in find_savings(Reading(given_frames), findings, Workspace.of(given_frames)):
        found[claim.strategy][claim.span_id] = claim
    return found


def test_a_cache_is_certain_only_for_equal_answers() -> None:
    """Equal input, equal output: certain. Equal input, other output: only the upper number. Other input: nothing."""
    same = [llm(n, n + 1, id=f"same{n}", prompt="What is due?", answer="Two.", **CALL) for n in range(2)]
    other = [llm(n, n + 1, id=f"other{n}", prompt="Tell a joke.", answer=f"Joke {n}.", **CALL) for n in range(2, 4)]
    once = llm(5, 6, id="once", prompt="Something else.", answer="Yes.", **CALL)
    claims = saved(run("w", *same, *other, once))["caching"]

    assert set(claims) == {"same1", "other3"}
    assert (claims["same1"].certain, claims["other3"].certain, claims["other3"].upper) == (
        Decimal("0.0004"),
        0,
        Decimal("0.0004"),
    )


def test_a_guard_saves_the_rounds_after_it_trips() -> None:
    """Ten rounds: nine were waste, six lie behind the third, four behind the fifth."""
    calls = [llm(n, n + 1, id=f"r{n}", prompt=f"Round {n}", answer=f"More {n}", **CALL) for n in range(10)]
    loop = Finding(kind="loop", severity="critical", confidence=1, title="", explanation="", suggestion="", trace_id="w",
                   spans=tuple(f"r{n}" for n in range(10)), data={"iterations": 10, "wasted_spans": [f"r{n}" for n in range(1, 10)]})  # fmt: skip
    claims = saved(run("w", *calls), loop)["budgets"].values()

    assert [sum(getattr(c, level) > 0 for c in claims) for level in ("certain", "likely", "upper")] == [5, 7, 9]


def test_a_branch_that_nobody_read() -> None:
    """Two workers side by side; the answer is made of the words of one."""
    facts = "Northgate kept its promise in eleven of twelve quarters and charged less than last year"
    drawn = run(
        "w",
        agent("read", 0, 2, llm(0, 2, id="read", prompt="Look at the past.", answer=facts, **CALL)),
        agent("unread", 0, 2, llm(0, 2, id="unread", prompt="Look at the weather.", answer="It will rain in the hills from noon on, says the bureau.", **CALL)),
        agent("editor", 2, 3, llm(2, 3, id="answer", prompt=f"Combine: {facts}", answer="Renew the contract.", **CALL)),
    )  # fmt: skip

    assert set(saved(drawn)["branches"]) == {"unread"}


def test_a_cheaper_model_must_have_proven_itself() -> None:
    """Routing on a dear model: likely where the cheap one has routed three times, else only the upper number."""
    dear = llm(
        0,
        1,
        id="dear",
        prompt="Who is next?",
        answer="A",
        **called(model="gpt-4.1", purpose="route", cost="0.00216"),
    )
    cheap = [llm(n, n + 1, prompt=f"Who is next {n}?", answer="A", **called(model="gpt-4.1-nano", purpose="route", cost="0.000108"))
             for n in range(1, 4)]  # fmt: skip
    proven = saved(run("w", dear, *cheap))["model"]["dear"]
    unproven = saved(run("w", dear, cheap[0]))["model"]["dear"]

    assert proven.likely == proven.upper == Decimal("0.00216") - Decimal("0.000108")
    assert (unproven.likely, unproven.upper) == (0, proven.upper)


def test_independent_calls_can_be_sent_together() -> None:
    """Four judgements with one long system prompt: three times the prompt is saved."""
    judge_calls = [
        llm(n, n + 1, id=f"j{n}", agent="Judge", system="You grade answers by these rules. " * 20, prompt=f"Answer number {n}: fine", answer="good",
            **called(purpose="work"))
        for n in range(4)
    ]  # fmt: skip
    claims = saved(run("w", *judge_calls))["batching"]

    assert set(claims) == {"j1", "j2", "j3"}
    assert all(claim.likely > 0 and claim.upper == Decimal("0.0002") for claim in claims.values())


@given(
    st.lists(
        st.builds(
            lambda span, strategy, parts: Claim(span_id=span, strategy=strategy, certain=Decimal(min(parts)), likely=Decimal(sorted(parts)[1]), upper=Decimal(max(parts))),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["budgets", "caching", "model"]),
            st.tuples(*[st.integers(0, 9)] * 3),
        ),
        max_size=8,
    ),
    st.randoms(),
)  # fmt: skip
@settings(max_examples=25)
def test_each_call_is_counted_once(claims: list[Claim], random: Any) -> None:
    """Whatever is claimed, in any order: one claim per call, and it is one of those that were made."""
    kept = settle(claims)
    shuffled = list(claims)
    random.shuffle(shuffled)

    assert len({claim.span_id for claim in kept}) == len(kept) == len({claim.span_id for claim in claims})
    assert all(claim in claims for claim in kept)
    assert [c.upper for c in settle(shuffled)] == [c.upper for c in kept]


def test_document_carries_savings_and_verdict(played: Frames) -> None:
    """Per run: savings within the cost, in rising order; the verdict of its workflow over all its runs."""
    document = analysis_document(played, analyse(played, []))
    assert document["failures"] == []
    for entry in document["traces"]:
        savings, architecture = entry["ledger"]["savings"], entry["architecture"]
        assert (
            0
            <= savings["certain_usd"]
            <= savings["likely_usd"]
            <= savings["upper_usd"]
            <= entry["ledger"]["total"]["usd"]
        )
        assert sum(s["upper_usd"] for s in savings["strategies"]) == pytest.approx(savings["upper_usd"])
        assert architecture["runs"] == len(SEEDS)
        assert architecture["run"]["single_agent"]["assumptions"]
