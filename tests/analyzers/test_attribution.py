"""Attribution: what speaks against a step, comparison with good runs, and the answer that the evidence does not suffice."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.attribution import Attribution, attribute
from analyzers.attribution.needs import needs_of
from analyzers.attribution.spectrum import Shown, score, tail
from analyzers.attribution.steps import COLUMNS, steps_of
from analyzers.document import analysis_document
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import analyse
from tests.drawn import Drawn, Node, agent, frames, llm, message, run, tool
from tracer.importers import import_file
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

QUESTION = "Which museum in Lisbon lent the oldest astrolabe for the exhibition of navigation instruments in 1998?"


def attributed(*runs: Drawn, findings: tuple[Finding, ...] = ()) -> dict[str, Attribution]:
    return attribute({one.run_id: frames(one) for one in runs}, findings)


def talk(*said: tuple[str, str], outcome: str = "failed", question: str = QUESTION, **fields: Any) -> Drawn:
    """A transcript: one message a step."""
    items = [message(who, "", n, text, step=n, id=f"m{n}") for n, (who, text) in enumerate(said)]
    return run("chat", *items, outcome=outcome, inputs=[question], **fields)


def suspects(drawn: Drawn, *others: Drawn, findings: tuple[Finding, ...] = ()) -> list[tuple[str | None, int | None]]:
    """(agent, step), best first."""
    return [(s.agent, s.step) for s in attributed(drawn, *others, findings=findings)[drawn.run_id].suspects]


ERROR = "exitcode: 1 (execution failed)\nTraceback (most recent call last):\nKeyError: 'x'"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(
            [("manager", QUESTION), ("planner", "Let us look it up."), ("coder", "print(data['x'])"), ("shell", ERROR),
             ("shell", "exitcode: 0\nfine"), ("planner", "We have no result.")],
            ("coder", 2), id="the author of what failed, not the machine that ran it",
        ),
        pytest.param(
            [("manager", "# Task description\nWrite a poem about trains and the sea, nothing else matters today."),
             ("poet", "Rails along the shore, salt on the glass."), ("critic", "Very nice indeed.")],
            ("manager", 0), id="a task that was passed on without what was asked",
        ),
        pytest.param(
            [("manager", QUESTION), ("guide", "Let us assume that it was the Maritime Museum, founded 1863, with 4521 pieces."),
             ("critic", "I agree."), ("guide", "**Maritime Museum**")],
            ("guide", 1), id="who assumed the answer first",
        ),
        pytest.param(
            [("manager", QUESTION), ("planner", "I will search for it."), ("reader", "I have reviewed the catalogue of the exhibition."),
             ("critic", "I have checked it as well."), ("planner", "Then we are done with this.")],
            ("reader", 2), id="a look-up that nobody made",
        ),
        pytest.param(
            [("manager", QUESTION), ("planner", "Let us go on."), ("coder", "print(search('astrolabe'))"),
             ("shell", "exitcode: 0 (execution succeeded)\nCode output: []\n"), ("planner", "Then we cannot tell.")],
            ("coder", 2), id="a search that came back with nothing",
        ),
        pytest.param(
            [("manager", QUESTION), ("browser", "Page one of the shop."), ("manager", "go on"), ("browser", "Page two of the shop."),
             ("manager", '{"is_progress_being_made": {"reason": "same shop", "answer": false}}'), ("browser", "Page three.")],
            ("browser", 3), id="the run's own monitor says so",
        ),
        pytest.param(
            [("manager", QUESTION), ("planner", "Let us ask around."), ("guide", 'They say it is the "Maritime Museum" of old.'),
             ("critic", "Plausible."), ("planner", 'So the museum is "Maritime Museum".')],
            ("guide", 2), id="who first said the answer that stands in quotes",
        ),
    ],
)  # fmt: skip
def test_first_suspect(said: list[tuple[str, str]], expected: tuple[str, int]) -> None:
    """Agent and step of the first suspect, with the evidence in words."""
    drawn = talk(*said)
    answer = attributed(drawn)[drawn.run_id]
    assert (answer.suspects[0].agent, answer.suspects[0].step) == expected
    assert answer.suspects[0].tier == "evidence"
    assert answer.suspects[0].evidence
    assert [s.rank for s in answer.suspects] == list(range(1, len(answer.suspects) + 1))


@pytest.mark.parametrize("outcome", ["completed", "running", "unknown", "failed", "timed_out", "stopped_by_guard"])
def test_only_runs_that_went_wrong_have_suspects(outcome: str) -> None:
    """A good run is not attributed, whatever is in it; nor one that nobody judged."""
    drawn = talk(("a", QUESTION), ("coder", "go"), ("shell", ERROR), outcome=outcome)
    assert (drawn.run_id in attributed(drawn)) == (outcome in ("failed", "timed_out", "stopped_by_guard"))


@pytest.mark.parametrize("answered", [True, False])
def test_a_claim_counts_only_where_nothing_answered(answered: bool) -> None:
    """A model that says it looked something up, after a tool that found it: nothing speaks against it."""
    items: list[Node] = [tool("search", 0, 1, result="The Maritime Museum lent it.")] if answered else []
    drawn = run(
        "w", agent("reader", 0, 4, *items, llm(2, 3, answer="I have found the lender.", id="say")), outcome="failed"
    )
    named = [s.span_id for s in attributed(drawn)[drawn.run_id].suspects]
    assert named == ([] if answered else ["say"])


def test_insufficient_evidence_is_an_answer() -> None:
    """Nothing telling, nothing to compare with: no suspect, and every tier says why."""
    drawn = talk(("a", QUESTION), ("b", "I will look into that."), ("c", "Thank you."))
    answer = attributed(drawn)[drawn.run_id]
    assert answer.suspects == ()
    assert [reason.split(":")[0] for reason in answer.reasons] == ["evidence", "differential", "spectrum"]
    document = analysis_document(frames(drawn), analyse(frames(drawn)))
    assert document["traces"][0]["suspects"] == []
    assert [s["detector"] for s in document["skipped"] if s["trace_id"] == drawn.run_id] == ["suspects"]


def calls(*names: str, args: Any = 1, outcome: str = "failed", **fields: Any) -> Drawn:
    """An agent that calls tools one after the other."""
    items: list[Node] = [tool(name, n, n + 1, args={"a": args}, id=f"t{n}") for n, name in enumerate(names)]
    return run("book", agent("clerk", 0, len(names) + 1, *items), outcome=outcome, **fields)


def test_first_divergence_from_the_nearest_good_run() -> None:
    """The call that good runs do not make, found by comparing with the most similar one."""
    bad = calls("find", "look", "cancel", "pay", id="bad")
    good = [calls("find", "look", "pay", outcome="completed", id="g1"), calls("chat", outcome="completed", id="g2")]
    first = attributed(bad, *good)[bad.run_id].suspects[0]
    assert first.span_id == "t2"
    assert first.tier == "differential"
    assert any("calls cancel" in text and "first divergence" in first.evidence for text in first.evidence)


def test_the_same_calls_with_other_arguments() -> None:
    """A run that only differs in what it passed is told by that."""
    bad = calls("find", "pay", args=2, id="bad")
    answer = attributed(bad, calls("find", "pay", outcome="completed", id="good"))[bad.run_id]
    assert "calls find with other arguments" in answer.suspects[0].evidence[0]


def test_a_good_run_of_the_same_task_is_preferred() -> None:
    """An imported id says which task; a more similar run of another task does not count."""
    bad = calls("find", "look", "pay", id="bad", source_id="7/0")
    other = calls("find", "look", "pay", args=9, outcome="completed", id="o", source_id="8/0")
    same = calls("find", "look", "refund", outcome="completed", id="s", source_id="7/1")
    (first, *_) = attributed(bad, other, same)[bad.run_id].suspects
    assert first.span_id == "t2"
    assert "same task" in first.evidence[0]


def test_runs_that_share_nothing_are_not_compared() -> None:
    """A good run that did something else altogether says nothing, and that is said."""
    bad = calls("find", "look", "pay", id="bad")
    answer = attributed(bad, run("book", agent("x", 0, 2, tool("sing", 0, 1)), outcome="completed", id="g"))[bad.run_id]
    assert answer.suspects == ()
    assert any("shares only 0%" in reason for reason in answer.reasons)


def test_what_failed_runs_do_and_good_ones_do_not() -> None:
    """Four failed runs call `guess`, six good ones never do: the spectrum names the call, with its p value."""
    bad = [calls("find", "guess", "pay", id=f"b{n}") for n in range(4)]
    good = [calls("find", "pay", outcome="completed", id=f"g{n}") for n in range(6)]
    for one in bad:
        first = attributed(*bad, *good)[one.run_id].suspects[0]
        assert first.span_id == "t1"
        assert "spectrum" in first.tier
        assert any("tool: guess: in 4 of 4 failed and 0 of 6 good runs" in text for text in first.evidence)


def test_too_few_runs_make_no_spectrum() -> None:
    """Two failed runs are no statistics."""
    bad = [calls("find", "guess", id=f"b{n}") for n in range(2)]
    answer = attributed(*bad, *(calls("find", outcome="completed", id=f"g{n}") for n in range(6)))[bad[0].run_id]
    assert any(reason.startswith("spectrum: 2 failed and 6 good runs") for reason in answer.reasons)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_tail_is_the_share_of_all_relabellings(failed: int, good: int, data: st.DataObject) -> None:
    """Oracle: every way to say which runs failed, counted."""
    with_it = data.draw(st.integers(0, failed + good))
    seen = data.draw(st.integers(0, min(failed, with_it)))
    ways = [sum(one < with_it for one in chosen) for chosen in combinations(range(failed + good), failed)]
    assert tail([(failed, good, with_it)], seen) == pytest.approx(sum(count >= seen for count in ways) / len(ways))


def test_a_failure_nobody_made_good_comes_first() -> None:
    """Spans of a live run: the call that failed for good, not the one whose retry went well."""
    drawn = run(
        "live",
        agent("a", 0, 3, tool("flaky", 0, 1, status="error", error_type="Timeout"), tool("flaky", 1, 2, result="ok")),
        agent("b", 3, 6, tool("fetch", 3, 4, status="error", error_type="NotFound", id="lost"), llm(4, 5, answer="No data.")),
        outcome="failed",
    )  # fmt: skip
    first = attributed(drawn)[drawn.run_id].suspects[0]
    assert (first.agent, first.span_id, first.step) == ("b", "lost", None)
    assert "the failure was never made good" in first.evidence


def test_a_structural_finding_makes_its_first_span_a_suspect() -> None:
    """Where a detector saw the state lost, attribution points there, with the finding as evidence."""
    drawn = run(
        "w", agent("a", 0, 2, llm(0, 1, answer="x", id="one"), llm(1, 2, answer="y", id="two")), outcome="failed"
    )
    found = Finding(kind="lost_update", severity="critical", confidence=0.9, title="plan lost", explanation="", suggestion="",
                    trace_id=drawn.run_id, spans=("two",))  # fmt: skip
    first = attributed(drawn, findings=(found,))[drawn.run_id].suspects[0]
    assert first.span_id == "two"
    assert "lost_update: plan lost" in first.evidence


@pytest.mark.slow
@pytest.mark.parametrize(("blamed", "step"), [("coder", 2), ("planner", 1), ("manager", 0)])
def test_imported_verdicts_are_not_read_as_answers(blamed: str, step: int, tmp_path: Path) -> None:
    """A record that says who is to blame gives the same suspects whoever it says, and the same as one that does not say."""
    history = [
        ("manager", QUESTION),
        ("planner", "Let us look it up."),
        ("coder", "print(data['x'])"),
        ("shell", ERROR),
    ]
    record = {
        "id": "r",
        "question": QUESTION,
        "is_correct": False,
        "history": [{"agent": a, "content": t} for a, t in history],
    }
    label = {
        "mistake_agent": blamed,
        "mistake_step": step,
        "mistake_reason": f"{blamed} was wrong at {step}",
        "ground_truth": "Museu",
    }
    labelled = {
        **record,
        **label,
        "history": [{**turn, "is_mistake": n == step} for n, turn in enumerate(record["history"])],
    }
    answers: list[Any] = []
    for name, content in (("plain", record), ("labelled", labelled)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(content))
        store = Store(tmp_path / name / "t.duckdb")
        writer = SegmentWriter(store.path)
        import_file(tmp_path / f"{name}.jsonl", writer, "auto")
        writer.close()
        store.fold()
        held = Frames.loaded(reads.load(store))
        (root,) = held.spans.filter(held.spans["parent_span_id"].is_null())["attributes"].to_list()
        assert ("source.mistake_agent" in root) == (name == "labelled"), (
            "the label lies in the store, or this test shows nothing"
        )
        (answer,) = attribute({run_id: held.only(run_id) for run_id in held.run_ids}).values()
        answers.append([(s.agent, s.step, s.score, s.evidence) for s in answer.suspects])
    assert answers[0] == answers[1]
    assert answers[0][0][:2] == ("coder", 2)
    assert "attributes" not in COLUMNS


def test_shuffled_rows_give_the_same_answer() -> None:
    """The order in which spans arrived does not matter."""
    drawn = talk(("m", QUESTION), ("coder", "print(1234)"), ("shell", ERROR), ("b", "So it is **1234**."))
    given = frames(drawn)
    mixed = Frames(
        given.spans.sample(fraction=1, shuffle=True, seed=1), given.traces, given.contents, given.events, given.links
    )
    assert attribute({drawn.run_id: mixed}) == attribute({drawn.run_id: given})
    assert [s.place for s in steps_of(mixed)] == [0, 1, 2, 3]


def test_document_names_the_suspects() -> None:
    """The JSON document has the contract's keys for each suspect of a failed run."""
    drawn = talk(("m", QUESTION), ("coder", "print(1)"), ("shell", ERROR))
    (entry,) = analysis_document(frames(drawn), analyse(frames(drawn)))["traces"]
    assert set(entry["suspects"][0]) >= {"rank", "agent", "span_id", "step", "score", "evidence", "tier"}


@pytest.mark.parametrize(
    ("others", "blamed"), [(["4120"] * 3, True), (["4120", "4121", "4122"], False), (["4120"], False)]
)
def test_a_tool_that_answers_otherwise_than_in_all_good_runs(others: list[str], blamed: bool) -> None:
    """Same call, another result than every good run got: the first suspect; results that vary, or a single good run, say nothing."""

    def looked_up(name: str, result: str, outcome: str) -> Drawn:
        call = tool("register", 1, 2, args={"company": "Halden"}, result=result, id=f"{name}-call")
        return run("look", agent("Clerk", 0, 5, call, llm(3, 4, answer="So it is.")), id=name, outcome=outcome)

    runs = [
        looked_up("bad", "1210", "failed"),
        *(looked_up(f"good{n}", text, "completed") for n, text in enumerate(others)),
    ]
    held = frames(*runs)
    (answer,) = attribute({one: held.only(one) for one in held.run_ids}).values()

    assert (
        bool(answer.suspects)
        and answer.suspects[0].span_id == "bad-call"
        and "all 3 good runs" in answer.suspects[0].evidence[0]
    ) is blamed


def planned(plan: str, name: str, outcome: str = "completed") -> Drawn:
    """A planner that says `plan`, and a worker that does the same whatever it says."""
    items = [
        agent("boss", 0, 2, llm(0, 1, answer=plan, id="plan")),
        agent("clerk", 2, 4, llm(2, 3, answer=f"done {name}")),
    ]
    return run("w", *items, id=name, outcome=outcome, source_id=f"task/{name}")


def test_a_model_that_leaves_the_words_of_all_good_runs() -> None:
    """What every good run of the task says to the letter and this one does not is told; where good runs differ it is not."""
    bad = planned("oak to Pine", "bad", "failed")
    good = [planned("oak to Oak", f"g{n}") for n in range(3)]
    first = attributed(bad, *good)[bad.run_id].suspects[0]
    assert first.span_id == "plan"
    assert "all 3 good runs of the task" in first.evidence[0]
    varied = [planned(f"oak to Oak {n}", f"v{n}") for n in range(3)]
    assert not attributed(bad, *varied)[bad.run_id].suspects


def test_tiers_can_be_asked_one_at_a_time() -> None:
    """Only the named tiers vote."""
    bad, good = calls("find", "cancel", id="bad"), calls("find", outcome="completed", id="good")
    runs = {one.run_id: frames(one) for one in (bad, good)}
    assert not attribute(runs, tiers=["evidence"])[bad.run_id].suspects
    assert attribute(runs, tiers=["differential"])[bad.run_id].suspects


def alone(drawn: Drawn) -> Attribution:
    return attributed(drawn)[drawn.run_id]


def noted(said: str, *, asked: str = "Report on oak.", look: str = "oak", result: Any = None, **fields: Any) -> Drawn:
    """A clerk that looks three things up and says what one is worth; its model calls carry what they were given."""
    asks = ("oak", "pine", "elm")
    items: list[Node] = []
    for n, item in enumerate(asks):
        wanted = look if item == "oak" else item
        items += [
            llm(3 * n, 3 * n + 1, prompt=f"{asked} Then {item}.", answer="", id=f"ask{n}"),
            tool("find", 3 * n + 1, 3 * n + 2, args={"item": wanted}, result={"item": item, "worth": 40 + n}, id=f"look{n}"),
        ]  # fmt: skip
    told = "Worth 40, 41 and 42." if result is None else result
    items.append(llm(9, 10, prompt=told, answer=said, id="say"))
    return run("notes", agent("clerk", 0, 11, *items), outcome="failed", **fields)


@pytest.mark.parametrize(
    ("said", "blamed"),
    [
        ("Together 123.", False),
        ("On average 41.", False),
        ("Oak and elm come to 82, the rest is 41.", False),
        ("Together 519.", True),
    ],
)
def test_a_number_from_nowhere(said: str, blamed: bool) -> None:
    """What stands in nothing the call was given, nor follows from it, speaks against the call; a sum or mean does not."""
    named = {s.span_id: s.evidence for s in alone(noted(said)).suspects}
    told = [text for text in named.get("say", ()) if "nor follows from it" in text]
    assert bool(told) is blamed


@pytest.mark.parametrize(("look", "blamed"), [("oak", False), ("birch", True)])
def test_a_call_for_what_nobody_asked_for(look: str, blamed: bool) -> None:
    """One of three calls with a value that its caller was never given."""
    suspects = alone(noted("Together 123.", look=look)).suspects
    told = [s.span_id for s in suspects if any("was never given" in text for text in s.evidence)]
    assert told == (["look0"] if blamed else [])


@pytest.mark.parametrize(
    ("after", "blamed"), [("It is worth a lot.", True), ("The register could not be read.", False)]
)
def test_an_error_that_is_passed_over(after: str, blamed: bool) -> None:
    """Going on without a word about a failure speaks against the words; saying that it failed does not."""
    failing = tool("find", 0, 1, args={"a": 1}, status="error", error_type="Timeout", id="lost")
    drawn = run("w", agent("a", 0, 3, failing, llm(1, 2, prompt="Timeout", answer=after, id="say")), outcome="failed")
    told = {s.span_id: s.evidence for s in alone(drawn).suspects}
    assert "the failure was never made good" in told["lost"]
    assert any("had not failed" in text for text in told.get("say", ())) is blamed


def test_what_nobody_took_up_counts_less() -> None:
    """Of two answers made up alike, the one that the outcome rests on comes first, though it came later."""
    drawn = run(
        "w",
        agent("gossip", 0, 2, llm(0, 1, prompt="Say hello.", answer="They were 7341.", id="apart")),
        agent("clerk", 2, 4, llm(2, 3, prompt="How many?", answer="It was 5120.", id="source")),
        agent("writer", 4, 6, llm(4, 5, prompt="It was 5120.", answer="The answer is 5120.", id="end")),
        outcome="failed",
    )  # fmt: skip
    first, *rest = alone(drawn).suspects
    assert first.span_id == "source"
    assert "not known to have reached the outcome" in next(s for s in rest if s.span_id == "apart").evidence
    steps = steps_of(frames(drawn))
    needs = needs_of(frames(drawn), steps)
    assert needs is not None
    assert needs.behind([2]) == {1, 2}
    assert first.spread == {"writer": 1.0}
    assert next(s for s in rest if s.span_id == "apart").spread == {}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3),
    st.integers(0, 6),
)
def test_tail_over_tasks_is_the_share_of_all_relabellings_within_them(
    drawn: list[tuple[int, int, int]], seen: int
) -> None:
    """Oracle: every way to say within each task which of its runs failed, counted."""
    strata = [(failed, good, min(with_it, failed + good)) for failed, good, with_it in drawn]
    ways = [0]
    for failed, good, with_it in strata:
        own = [sum(one < with_it for one in chosen) for chosen in combinations(range(failed + good), failed)]
        ways = [before + more for before in ways for more in own]
    assert tail(strata, seen) == pytest.approx(sum(count >= seen for count in ways) / len(ways))


@pytest.mark.parametrize(("hard", "named"), [(True, False), (False, True)])
def test_what_goes_with_a_hard_task_is_no_cause(hard: bool, named: bool) -> None:
    """`guess` in all runs of a task that mostly fails says nothing; in the failed runs of every task it does."""
    shown: list[Shown] = []
    for n in range(24):
        failed, task = n % 6 in (0, 1, 2, 3), n % 6 in (0, 1, 2, 5)
        guesses = task if hard else failed
        shown.append(Shown({("tool", "guess"): 1} if guesses else {("tool", "look"): 1}, failed, f"task {task}"))
    assert bool([one for one in score(shown) if one.feature == ("tool", "guess")]) is named


def test_the_spectrum_sees_an_answer_that_lacks_a_field() -> None:
    """Four failed runs got an answer without `worth` at the same call, six good ones did not; the calls are the same."""

    def looked(name: str, result: Any, outcome: str) -> Drawn:
        calls = [tool("find", 0, 1, args={"a": name}, result=result, id=f"{name}-0"), tool("pay", 1, 2)]
        return run("shop", agent("clerk", 0, 3, *calls), id=name, outcome=outcome)

    bad = [looked(f"b{n}", {"item": n}, "failed") for n in range(4)]
    good = [looked(f"g{n}", {"item": n, "worth": 1}, "completed") for n in range(6)]
    answers = attribute({one.run_id: frames(one) for one in (*bad, *good)}, tiers=["spectrum"])
    firsts = [answers[one.run_id].suspects[0] for one in bad]
    assert [one.span_id for one in firsts] == [f"b{n}-0" for n in range(4)]
    assert any("answers with: find: item: in 4 of 4 failed and 0 of 6 good runs" in text for text in firsts[0].evidence)


def test_a_loop_stands_before_the_guard_that_ended_it() -> None:
    """A stopped run has no answer: nothing is "on the way" to it, and what used the limit up is the first suspect, a supervisor too."""
    said = [("supervisor", "Ask again for order 17."), ("researcher", "I need more about order 17.")] * 3
    items = [message(who, "", n, text, step=n, id=f"m{n}") for n, (who, text) in enumerate(said)]
    stopped = run("chat", *items, outcome="stopped_by_guard", inputs=[QUESTION])

    def found(kind: str, span: str) -> Finding:
        return Finding(kind=kind, severity="critical", confidence=0.95, title=kind, explanation="", suggestion="",
                       trace_id=stopped.run_id, spans=(span,))  # fmt: skip

    best, *_ = attributed(stopped, findings=(found("guard_trip", "m5"), found("loop", "m0")))[stopped.run_id].suspects
    assert (best.agent, best.step) == ("supervisor", 0)
    told = [
        text
        for one in attributed(stopped, findings=(found("loop", "m0"),))[stopped.run_id].suspects
        for text in one.evidence
    ]
    assert not any("final answer" in text or "outcome" in text for text in told)
