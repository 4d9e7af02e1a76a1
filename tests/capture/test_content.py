"""Contents are named once, and a name always stands for what the message was at that moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.capture import content as content_module
from tracer.capture.content import Contents, Name, encode
from tracer.capture.paths import MAX_PATHS, changed_between
from tracer.capture.privacy import MASK, Privacy, is_content, redactor
from tracer.ids import content_id

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab.[", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.[", max_size=2), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls"]), JSON, min_size=1), max_size=5)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.data(), st.booleans())
def test_names_are_those_of_the_messages_as_they_are_now(
    histories: list[list[dict[str, Any]]], data: st.DataObject, later: bool
) -> None:
    """Whatever was seen, re-sent or changed in place between two calls, at any depth: the cache never shows.

    Named later, they are still those of the messages at the time of the call.
    """
    contents, bodies = Contents(later=later), dict[int, str]()
    pool = [message for history in histories for message in history]
    waiting: list[tuple[list[Name], list[int], str]] = []
    for history in [*histories, pool]:
        for message in history:
            if data.draw(st.booleans()):
                key = data.draw(st.sampled_from(sorted(message)))
                if isinstance(message[key], list):
                    message[key].append("more")
                else:
                    message[key] = data.draw(JSON)
        expected = [content_id(encode(message)) for message in history]
        waiting.append((contents.messages(history), expected, json.dumps(history)))
        if later and data.draw(st.booleans()):
            continue
        for names, named_now, then in waiting:
            ids = contents.resolve({"input": names})["input"]
            bodies |= contents.take_unwritten()
            assert ids == named_now
            assert [json.loads(bodies[named]) for named in ids] == json.loads(then)
        waiting.clear()


def test_a_message_that_was_sent_before_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history of n messages costs its new ones only: as the same objects, rebuilt, nested or frozen."""

    @dataclass(frozen=True)
    class Frozen:
        role: str
        content: str
        name: str | None = None

    encoded: list[Any] = []
    for name in ("encode", "_encode_texts"):
        real = getattr(content_module, name)
        monkeypatch.setattr(content_module, name, lambda value, real=real: (encoded.append(value), real(value))[1])
    contents = Contents()
    flat = {"role": "user", "content": "hi"}
    nested = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "arguments": "{}"}]}
    history = [flat, nested, Frozen("user", "yo")]
    first = contents.messages(history)
    assert (len(encoded), contents.messages([*history, dict(flat)])) == (3, [*first, first[0]])
    assert len(encoded) == 3
    nested["tool_calls"][0]["arguments"] = "{1}"  # type: ignore[index]
    assert contents.messages(history)[1] != first[1]
    assert len(encoded) == 4


def test_the_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They start afresh when full, and go on giving the right names."""
    monkeypatch.setattr(content_module, "MAX_ENTRIES", 4)
    contents = Contents()
    messages = [{"role": "user", "content": str(number)} for number in range(50)]
    assert contents.messages(messages) == [content_id(encode(message)) for message in messages]
    assert len(contents._by_object) <= 5


def test_a_frozen_message_has_only_the_fields_that_are_set() -> None:
    """Empty fields of a message class are no content."""

    @dataclass(frozen=True)
    class ChatMessage:
        role: str
        content: str
        name: str | None = None
        tool_calls: tuple[str, ...] = ()

    contents = Contents()
    contents.messages([ChatMessage("user", "hi"), "plain"])
    assert list(contents.take_unwritten().values()) == [
        '{"content":"hi","role":"user"}',
        '{"content":"plain","role":"user"}',
    ]


def test_a_body_is_handed_over_once_and_again_after_a_loss() -> None:
    """`forget` brings back what a failed write took along."""
    contents = Contents()
    named = contents.text("a")
    assert (contents.take_unwritten(), contents.take_unwritten()) == ({named: "a"}, {})
    contents.text("a")
    assert contents.take_unwritten() == {}
    contents.forget()
    contents.text("a")
    assert contents.take_unwritten() == {named: "a"}


@settings(max_examples=40, deadline=None)
@given(JSON, JSON)
def test_changed_paths_tell_equal_values_from_different_ones(before: Any, after: Any) -> None:
    """No path exactly where the two values have one spelling; symmetric; and each path names a place in one of them."""
    paths = changed_between(before, after)
    assert paths == changed_between(after, before)
    same = before == after if isinstance(before, str) and isinstance(after, str) else encode(before) == encode(after)
    assert (paths == []) == same


PATHS = [
    ({"plan": {"steps": [1, 2]}}, {"plan": {"steps": [1, 3]}}, ["plan.steps[1]"]),
    ({"a": 1}, {"a": 1, "b": {"c": 2, "d": []}}, ["b.c", "b.d"]),
    ({"a.b": 1, "": 0}, {"a.b": 2, "": 1}, ['[""]', '["a.b"]']),
    (1, 2, [""]),
    ({"a": 1}, {"a": True}, ["a"]),
    ({"a": 1}, {"a": [1]}, ["a"]),
    ({"a": {}}, {"a": {"b": 1}}, ["a.b"]),
    ("text", "other", [""]),
]


@pytest.mark.parametrize(("before", "after", "paths"), PATHS)
def test_changed_paths_name_the_leaves(before: Any, after: Any, paths: list[str]) -> None:
    """Leaves of what was added, removed or replaced, relative to the value."""
    assert changed_between(before, after) == paths


def test_very_many_changed_paths_are_cut_to_their_first_part() -> None:
    """A replaced megabyte stays readable."""
    assert changed_between({}, {"a": list(range(MAX_PATHS + 1)), "b": 1}) == ["a", "b"]


@pytest.mark.parametrize(
    "redact",
    ["sk-[a-z]+", ["nothing", "sk-[a-z]+"], lambda text: text.replace("sk-abc", MASK)],
    ids=["text", "list", "callable"],
)
def test_redaction_comes_before_naming_and_writing(redact: Any) -> None:
    """The secret is in no body, and equal masked texts have one name."""
    contents = Contents(redact=redactor(redact))
    contents.messages([{"role": "user", "content": "key sk-abc"}])
    assert "sk-abc" not in "".join(contents.take_unwritten().values())


def test_a_redaction_that_fails_masks_everything() -> None:
    """Rather the text is lost than the secret written."""
    masked = redactor(lambda text: str(1 / 0))
    assert masked is not None
    assert masked("secret") == "[redacted: ZeroDivisionError in redact]"


def test_content_attributes_of_every_convention_go_where_content_is_off() -> None:
    """What foreign instrumentors put into attributes is content too; the rest stays."""
    attributes = {
        "llm.input_messages.0.message.content": "x", "gen_ai.input.messages": "x", "gen_ai.prompt.0.content": "x",
        "gen_ai.completion.0.content": "x", "traceloop.entity.input": "x", "input.value": "x", "tracehound.input": "x",
        "gen_ai.request.model": "m",
    }  # fmt: skip
    assert Privacy(False).attributes(attributes) == {"gen_ai.request.model": "m"}
    assert not is_content("gen_ai.usage.input_tokens")
