"""The streaming loop core by itself: what counts as news, each signal, bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.online.loop import Alarm, Event, EventKind, LoopCore, LoopThresholds, replay
from tracer.online.novelty import argument_items, clip, mask_error, read, shared_ends


def said(i: int, text: str, **fields: object) -> Event:
    """One message of agent A."""
    return replace(Event(id=f"e{i}", agent="A", kind="message", name="B", text=text), **fields)  # type: ignore[arg-type]


def levels(alarms: list[Alarm]) -> list[tuple[str, str, int]]:
    return [(a.signal, a.level, a.count) for a in alarms]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Attempt 3 of 10 at 12:04:05 failed", "attempt 4 of 10 at 13:05:06 failed"),
        ("took 3.5 seconds and 812 tokens", "took 12 seconds and 90 tokens"),
        ('{"turn": 12, "city": "Rome"}', '{"turn": 13, "city": "Rome"}'),
        ("run 0c3341d7b8ac11 of 2026-11-22T10:00:00Z", "run 7fe341d7b8ac99 of 2026-11-23T11:30:00Z"),
        ("id='call_660e04da461350'", "id='call_71aa04da46ffff'"),
    ],
)
def test_volatile_parts_are_not_read(text: str, same: str) -> None:
    """Counters, times, durations and machine ids make no difference."""
    assert read(text) == read(same)


@pytest.mark.parametrize(("text", "item"), [("read doc-17 now", "doc-17"), ("order 4711 is late", "4711"), ("see a/b.py", "a/b.py"), ("page 3", "3")])  # fmt: skip
def test_what_names_a_thing_is_an_item(text: str, item: str) -> None:
    """Identifiers, numbers and paths are kept as they are."""
    assert item in read(text).hard


def test_arguments_name_their_items() -> None:
    """JSON, pairs and bare names give items; prose and counters do not."""
    assert argument_items('{"customer": "Anna", "turn": 3}') == {"customer=anna"}
    assert argument_items("customer=Anna, x=3") == {"customer=anna", "x=3"}
    assert argument_items("Anna") == {"=anna"}
    assert argument_items('{"q": "please look for everything we have on this"}') == frozenset()


ROUNDS = (
    "Please clarify the figures of May.",
    "Could you clarify May's figures?",
    "The figures of May need clarifying.",
)


@pytest.mark.parametrize("key", ["round", "n", "updated_at"])
def test_a_counter_in_the_state_is_no_progress(key: str) -> None:
    """A node that is handed the same state with a higher count each time gets nowhere; the state key that counts neither."""

    def rounds(i: int) -> list[Event]:
        state = f'{{"{key}": {1_760_000_000 + i if key == "updated_at" else i}, "items": [], "ask": "{ROUNDS[i % 3]}"}}'
        asked = Event(id=f"a{i}", agent="writer", kind="agent", text=state)
        return [asked, Event(id=f"s{i}", agent="writer", kind="state", name=key, text=str(i + 1))]

    alarms = replay((event for i in range(10) for event in rounds(i)), LoopCore())
    assert {a.level for a in alarms if a.signal == "no_progress"} == {"warning", "critical"}


@pytest.mark.parametrize(
    "state",
    [
        lambda i: (
            f'{{"n": {i}, "page": "{(said := "pqrstuvwxy"[i])}ear {said}ine {said}oor {said}ird {said}eap"}}'
        ),  # new content
        lambda i: (
            f'{{"order": {4711 + i}, "do": "check whether the order is paid"}}'
        ),  # an amount or an id: starts high
        lambda i: f'{{"amount": {i * i + 3}, "do": "check whether the sum is paid"}}',  # not by the same step
    ],
)
def test_numbers_that_name_something_are_progress(state: Callable[[int], str]) -> None:
    """Pages with content of their own, ids and amounts are work."""
    events = (Event(id=f"a{i}", agent="clerk", kind="agent", text=state(i)) for i in range(10))
    assert [a for a in replay(events, LoopCore()) if a.signal == "no_progress"] == []


def test_a_counter_by_itself_is_no_loop() -> None:
    """Whoever only counts visitors goes round in no circle; what a state that counts says is nothing, not "no news"."""
    events = (Event(id=f"s{i}", agent="gate", kind="state", name="visitors", text=str(i)) for i in range(40))
    assert replay(events, LoopCore()) == []


def test_only_one_statement_of_a_kind_is_a_shorter_list() -> None:
    """A long text with a few words less is a list that shrinks; said again it is none."""
    long = "to do: " + " ".join(
        f"{word}ing" for word in ("paint", "mend", "clean", "sweep", "cook", "wash", "iron", "water")
    )
    short = long.replace("sweeping ", "").replace("cooking ", "")
    alarms = replay((said(i, (long, short)[i % 2]) for i in range(20)), LoopCore())
    assert any(a.level == "critical" for a in alarms)


def test_errors_are_masked_by_kind() -> None:
    """Paths, numbers and echoed arguments go; the name of what is missing stays."""
    assert mask_error("no file /a/b1.py line 3") == mask_error("no file /c/d2.py line 99")
    assert mask_error("unknown customer 'Anna'", "name=Anna") == mask_error("unknown customer 'Ben'", "name=Ben")
    assert mask_error("No module named 'numpy'") != mask_error("No module named 'yaml'")


def test_long_texts_are_read_at_both_ends() -> None:
    """Work per event is bounded: about two thousand characters are read, cut between words."""
    text = "start " + "middle " * 5000 + "end"
    assert len(clip(text)) <= 2_001
    assert {"start", "end"} <= set(read(text).sequence)


def test_signals_come_once_a_level() -> None:
    """A verbatim loop warns in round 3 and is critical in round 5; then the core is quiet."""
    core = LoopCore()
    alarms = replay((said(i, "Please send the figures that I asked for.") for i in range(30)), core)

    assert [a for a in levels(alarms) if a[0] == "no_progress"] == [("no_progress", "warning", 3), ("no_progress", "critical", 5)]  # fmt: skip


def test_same_error_counts_whatever_the_arguments_and_a_success_starts_again() -> None:
    """Three equal failures of one tool are an alarm; with a success in between they are not."""

    def call(i: int, error: str | None) -> Event:
        return Event(id=f"e{i}", agent="A", kind="tool", name="run", args=f'{{"file": "v{i}.py"}}', text="" if error else "fine", error=error)  # fmt: skip

    failing = [call(i, f"ImportError in v{i}.py") for i in range(3)]
    broken = [*failing[:2], call(9, None), failing[2]]

    assert levels(replay(failing, LoopCore())) == [("same_error", "warning", 3)]
    assert replay(broken, LoopCore()) == []
    assert replay([replace(e, mechanical=True) for e in failing], LoopCore()) == []


def test_lanes_do_not_mix_and_can_be_forgotten() -> None:
    """The same words in many lanes are many beginnings; a forgotten lane starts afresh."""
    core = LoopCore()
    assert replay((said(i, "Please send the figures again.", lane=f"lane{i}") for i in range(50)), core) == []
    replay((said(i, "Please send the figures again.", lane="x") for i in range(2)), core)
    core.forget("x")
    assert core.feed(said(3, "Please send the figures again.", lane="x")) == []


def test_memory_is_bounded() -> None:
    """Lanes and symbols beyond the limits are forgotten, the oldest first."""
    limits = LoopThresholds(max_lanes=4, max_symbols=8)
    core = LoopCore(thresholds=limits)
    for i in range(500):
        core.feed(said(i, f"text number {i}", lane=f"l{i % 10}", agent=f"a{i % 50}"))

    assert len(core._lanes) == limits.max_lanes
    assert all(len(lane.symbols) <= limits.max_symbols for lane in core._lanes.values())


def asked(i: int, heard: str, answer: str) -> Event:
    """One model call of agent A that was sent `heard`."""
    return Event(id=f"c{i}", agent="A", kind="llm", heard=heard, text=answer)


def test_a_batch_of_new_material_is_no_loop_though_the_answers_are_alike() -> None:
    """Sixty mails are sorted with one word each: what a model was sent from outside is news. The same mail sixty times is none."""
    shelf = [f"{a}{b}ine" for a in "bdfgklmnpr" for b in "aeiouy"]
    batch = [asked(i, f"Sort this mail, answer with one word: {shelf[i]} sends greetings", "spam") for i in range(60)]
    same = [asked(i, f"Sort this mail, answer with one word: {shelf[0]} sends greetings", "spam") for i in range(60)]

    assert replay(batch, LoopCore()) == []
    assert "critical" in {a.level for a in replay(same, LoopCore())}


def test_a_person_who_asks_on_is_no_loop() -> None:
    """A chat in short sentences, each turn an invocation of its own whose task nobody in the run had said."""
    questions = (
        "With a balcony?",
        "Is there a lift?",
        "Until noon?",
        "And the lake?",
        "By bus?",
        "With a dog?",
        "A cot?",
        "Parking?",
    )
    chat: list[Event] = []
    for i, question in enumerate(questions):
        chat += [
            Event(id=f"a{i}", agent="A", kind="agent", text=question, heard=question),
            asked(i, question, "Yes." if i % 2 else "Yes, we have that."),
        ]

    assert replay(chat, LoopCore()) == []
    assert "critical" in {
        a.level for a in replay([asked(i, "And now?", "Yes, we have that.") for i in range(9)], LoopCore())
    }


def test_what_another_agent_said_is_no_news_when_it_is_sent_on() -> None:
    """Two agents that paraphrase each other: each is sent the other's words, and the loop is found as soon as without them."""

    def rounds(heard: bool) -> list[Event]:
        events: list[Event] = []
        before = ""
        for i in range(12):
            said_now = ROUNDS[i % 3] if i % 2 else ROUNDS[(i + 1) % 3]
            events.append(
                Event(id=f"e{i}", agent="AB"[i % 2], kind="llm", text=said_now, heard=before if heard else "")
            )
            before = said_now
        return events

    assert levels(replay(rounds(heard=True), LoopCore())) == levels(replay(rounds(heard=False), LoopCore()))


def test_rounds_that_only_count_in_what_a_model_is_sent_are_no_news() -> None:
    """The state is handed to the model each time, and nothing in it moves but the number of the round."""
    events = [asked(i, f'{{"n": {i}, "todo": "check the figures of May again"}}', ROUNDS[i % 3]) for i in range(12)]

    assert "critical" in {a.level for a in replay(events, LoopCore()) if a.signal == "no_progress"}


def test_a_record_of_known_numbers_put_together_anew_is_another_place() -> None:
    """A walk: each coordinate was seen before, this pair of them was not. Standing still is a loop."""

    def walk(places: list[tuple[int, int]]) -> list[Event]:
        return [
            Event(id=f"m{i}", agent="A", kind="tool", name="move", args='{"to":"east"}', text=f'{{"at":[{x},{y}]}}')
            for i, (x, y) in enumerate(places)
        ]

    north = [(0, y) for y in range(9)]
    assert replay(walk([*north, *((x, 8) for x in range(1, 9))]), LoopCore()) == []
    assert replay(walk([*north, *[(0, 8)] * 8]), LoopCore()) != []


INSTRUCTIONS = "You are the reviewer of this house. " * 60
FORMAT = " Answer in the agreed format, file by file, and say so where nothing is left to do." * 20


def test_long_instructions_before_and_after_do_not_hide_what_is_new() -> None:
    """Both ends of a long message are the same each time, too long for the core to reach the middle; equal middles are still a loop."""
    parts = [f"{a}{b}ine {b}{a}ole {a}{b}uff" for a in "bdfgklm" for b in "aei"]
    news = [said(i, INSTRUCTIONS + part + FORMAT) for i, part in enumerate(parts)]
    same = [said(i, INSTRUCTIONS + parts[0] + FORMAT) for i in range(9)]

    assert replay(news, LoopCore()) == []
    assert "critical" in {a.level for a in replay(same, LoopCore())}


@given(st.text("ab ", max_size=12), st.text("ab ", max_size=12))
def test_shared_ends_are_shared_and_do_not_overlap(text: str, before: str) -> None:
    """Against what they mean: the longest common beginning, then the longest common ending of what is left."""
    head, tail = shared_ends(text, before)
    shortest = min(len(text), len(before))

    assert head == next((i for i in range(shortest) if text[i] != before[i]), shortest)
    left = shortest - head
    assert tail == next((i for i in range(left) if text[-1 - i] != before[-1 - i]), left)


def silent(i: int, kind: EventKind, **fields: object) -> Event:
    """A call of agent A of which nothing was recorded but that it was made."""
    return replace(Event(id=f"s{i}", agent="A", kind=kind, name="look_up" if kind == "tool" else ""), **fields)  # type: ignore[arg-type]


def test_rounds_whose_calls_were_not_recorded_are_not_judged_by_what_lies_between() -> None:
    """Without texts, a decision that is worded alike says nothing about the calls before it; nor does one that failed now and then."""
    rounds = [
        [silent(i, "llm"), silent(i, "tool"), silent(i, "llm"), Event(id=f"d{i}", agent="A", kind="decision", name="plan", text="go on")]
        for i in range(12)
    ]  # fmt: skip
    now_and_then = [silent(i, "tool", error="Timeout" if i % 3 == 1 else None) for i in range(12)]
    every_time = [event for i in range(12) for event in (silent(i, "llm"), silent(i, "tool", error="Timeout"))]

    assert replay((event for one in rounds for event in one), LoopCore()) == []
    assert [a for a in replay(now_and_then, LoopCore()) if a.signal == "no_progress"] == []
    assert "critical" in {a.level for a in replay(every_time, LoopCore())}


def test_short_sentences_that_are_mostly_new_are_no_loop() -> None:
    """Three words a turn never have a quarter of twelve that are new; two thirds of what they have is enough."""
    turns = [
        said(i, f"add {word}, {word[::-1]}")
        for i, word in enumerate(("kettle", "lamp", "mirror", "vase", "stool", "desk", "rug"))
    ]

    assert [a for a in replay(turns, LoopCore()) if a.signal == "no_progress"] == []


def test_a_very_long_state_that_grows_at_its_end_is_no_loop() -> None:
    """Beyond what is kept of a long text the end still counts."""
    long = " ".join(f"{a}{b}{c}ine" for a in "bdfgklmnpr" for b in "aeiouy" for c in "bdfgklmnpr" for _ in range(12))
    events = [
        Event(
            id=f"s{i}",
            agent="A",
            kind="state",
            name="messages",
            text=long + " ".join(f"{w}{i}{w}" for w in "stvwxz"[: 3 + i]),
        )
        for i in range(9)
    ]

    assert len(long) > 40_000
    assert replay(events, LoopCore()) == []
