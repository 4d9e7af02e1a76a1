"""What the panels of the dashboard say, read as blocks: no browser needed."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from analyzers.finding import Check, DetectorFailure, Finding, Skipped
from dashboard.documents import blocks as b
from dashboard.documents.conversation import SHOWN, conversation_document
from dashboard.documents.diffs import json_diff
from dashboard.documents.messages import read_message
from dashboard.documents.run import cost_cell, cost_text, findings_document, header_document
from dashboard.documents.span import span_document
from dashboard.documents.state import state_document
from tests import drawn
from tests.dashboard import stores


def texts(value: Any) -> str:
    """Every text of a document, in order."""
    if isinstance(value, dict):
        return "\n".join(texts(item) for name, item in value.items() if name not in ("block", "copy", "pick", "tone"))
    if isinstance(value, list):
        return "\n".join(texts(item) for item in value)
    return value if isinstance(value, str) else ""


def fact(document: list[b.Block], label: str) -> b.Block:
    """The row of the facts with this label."""
    return next(
        row for block in document if block["block"] == "facts" for row in block["rows"] if row["label"] == label
    )


def finding(run: drawn.Drawn, **fields: Any) -> Finding:
    """A loop over the first two spans of `run`."""
    spans = tuple(span.span_id for span in run.spans[:2])
    given = {
        "kind": "loop", "severity": "critical", "confidence": 0.9, "title": "Round and round", "explanation": "They ask each other.",
        "suggestion": "Stop after three rounds.", "trace_id": run.run_id, "spans": spans, "wasted_usd": Decimal("0.12"),
        "checked": (Check(rule="rounds", value=9, threshold=3, passed=True),), "data": {"iterations": 9},
    }  # fmt: skip
    return Finding(**{**given, **fields})


@pytest.mark.parametrize(
    ("body", "role", "text", "calls"),
    [
        ("just text", "", "just text", ()),
        ('{"role":"user","content":"hi"}', "user", "hi", ()),
        ('{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}', "user", "a\nb", ()),
        ('{"role":"assistant","parts":[{"type":"text","content":"ok"},{"type":"tool_call","name":"f","arguments":{"x":1}}]}', "assistant", "ok", ("f",)),
        ('{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"g","arguments":"{}"}}]}', "assistant", "", ("g",)),
        ('{"content":[{"type":"tool_use","name":"h","input":{}}],"role":"assistant"}', "assistant", "", ("h",)),
        ('{"role":"tool","tool_call_id":"1","content":"42"}', "tool", "42", ()),
        ('{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"42"}]}', "user", "42", ()),
        ('{"a": 1}', "", '{\n  "a": 1\n}', ()),
        ("{broken", "", "{broken", ()),
        ("[1, 2]", "", "[\n  1,\n  2\n]", ()),
        ('{"role": 5, "content": {"deep": [1]}}', "5", '{\n  "deep": [\n    1\n  ]\n}', ()),
        ('{"role":"assistant","tool_calls":"none"}', "assistant", "", ()),
    ],
)  # fmt: skip
def test_message_bodies_of_all_dialects_are_read(body: str, role: str, text: str, calls: tuple[str, ...]) -> None:
    """Role, text and tool requests come out alike; what is no message is shown as it came."""
    message = read_message(body)
    assert (message.role, message.text, tuple(call.name for call in message.calls)) == (role, text, calls)


def test_an_llm_span_shows_tokens_cost_and_prompt() -> None:
    """The panel of an LLM call: tokens split, cost with source, system prompt folded, the answer last."""
    run = drawn.run(
        "w",
        drawn.agent(
            "a", 0, 5,
            drawn.llm(1, 3, id="call", system="Be brief.", prompt="Why?", answer="Because.", input_tokens=900, output_tokens=50,
                      cached_tokens=600, cost="0.003", cost_source="genai-prices", temperature=0.0),
        ),
    )  # fmt: skip
    document = span_document(drawn.frames(run), "call")
    assert fact(document, "Tokens")["value"] == "900 in, 50 out"
    assert fact(document, "Tokens")["hint"] == "600 of the input from cache"
    assert (fact(document, "Cost")["value"], fact(document, "Cost")["hint"]) == ("$0.0030", "price from genai-prices")
    assert fact(document, "Temperature")["value"] == "0"
    assert [block["text"] for block in document if block["block"] == "message"] == ["Why?", "Because."]
    assert any(block.get("label") == "System prompt" for block in document)


def test_a_call_without_price_costs_unknown_never_zero() -> None:
    """A missing price is said in words."""
    document = span_document(drawn.frames(drawn.run("w", drawn.llm(0, 1, id="call"))), "call")
    assert fact(document, "Cost")["value"] == "unknown"
    assert fact(document, "Tokens")["value"] == "—"
    assert "$0" not in texts(document)


def test_a_state_write_shows_what_changed() -> None:
    """The diff has the changed line once as removed and once as added, and says how much is unchanged."""
    frames = drawn.frames(stores.mixed())
    write = frames.spans.filter((frames.spans["name"] == "write draft") & (frames.spans["cas_outcome"] == "ok")).row(
        0, named=True
    )
    rows = next(block for block in span_document(frames, write["span_id"]) if block["block"] == "diff")["rows"]
    assert ["-", '  "parts": [],'] in rows
    assert ["+", '    "one"'] in rows


def test_an_old_link_to_a_span_that_is_gone_says_so() -> None:
    """No exception, a sentence."""
    assert "has no span feed" in texts(span_document(drawn.frames(stores.mixed()), "feed"))


def test_a_running_wait_says_for_whom_and_that_it_never_gives_up() -> None:
    """A span without an end is running, not finished after zero seconds."""
    frames = drawn.frames(stores.abandoned())
    wait = frames.spans.filter(frames.spans["kind"] == "wait").row(0, named=True)
    document = span_document(frames, wait["span_id"])
    assert fact(document, "Took")["value"] == "still running"
    assert fact(document, "Gives up")["value"] == "never"


@pytest.mark.parametrize(
    ("calls", "unpriced", "cost", "cell", "text"),
    [
        (0, 0, None, "—", "no LLM cost"),
        (3, 3, None, "unknown", "cost unknown (no price for 3 calls)"),
        (3, 1, Decimal("0.5"), "≥ $0.5000", "at least $0.5000 (1 of 3 calls without a price)"),
        (3, 0, Decimal("12.5"), "$12.50", "$12.50"),
    ],
)
def test_cost_is_told_with_its_coverage(calls: int, unpriced: int, cost: Decimal | None, cell: str, text: str) -> None:
    """Known, partly known, unknown and no cost at all are four different things."""
    row = {"llm_calls": calls, "unpriced_calls": unpriced, "cost_usd": cost}
    assert (cost_cell(row), cost_text(row)) == (cell, text)


def test_the_header_names_outcome_reason_mark_and_findings() -> None:
    """Finding chips can be picked, the selected one is on."""
    run = stores.looping()
    found = finding(run)
    mark = {"verdict": "failed", "note": "wrong customer", "time_ns": drawn.ns(0)}
    document = header_document(run.summary, [found], mark, selected=found.id)
    said = texts(document)
    assert "timed out" in said
    assert "Deadline of 40 s" in said
    assert "marked failed: wrong customer" in said
    chip = document[-1]["items"][0]
    assert (chip["text"], chip["pick"], chip["on"]) == ("loop ×9", {"finding": found.id}, True)


def test_findings_come_with_checks_spans_refusals_and_crashes() -> None:
    """Everything an analysis said is on the page, also what it could not say."""
    run = stores.looping()
    found = finding(run)
    document = findings_document(
        [found],
        [Skipped(detector="cost_anomaly", reason="only 3 runs")],
        [DetectorFailure(detector="drift", error="KeyError: x", traceback="...")],
        names={found.spans[0]: "● Researcher"},
        selected=None,
    )
    said = texts(document)
    for expected in ("Round and round", "Stop after three rounds.", "rounds", "● Researcher", "only 3 runs", "KeyError: x", "$0.1200 wasted"):  # fmt: skip
        assert expected in said


def test_no_finding_is_said_and_refusals_still_listed() -> None:
    """An empty page would leave open whether anything was looked at."""
    said = texts(findings_document([], [Skipped(detector="loop", reason="no messages")], [], names={}, selected=None))
    assert "Nothing found" in said
    assert "no messages" in said


def test_the_transcript_puts_answers_where_they_were_given_and_says_nothing_twice() -> None:
    """The task stands once, the answer at its time, a handoff that repeats its message without the text."""
    run = drawn.run(
        "w",
        drawn.agent(
            "a", 0, 9,
            drawn.llm(1, 3, prompt="Do it", answer="Done."),
            drawn.message("a", "b", 4, "Over to you"), drawn.handoff("a", "b", 5, text="Over to you"),
            task="Do it", answer="Done.",
        ),
        drawn.agent("b", 2, 8, task="Look", answer="Seen."),
    )  # fmt: skip
    entries = conversation_document(drawn.frames(run))
    assert [(entry["time"], entry["role"], entry["text"]) for entry in entries] == [
        ("+0 s", "a", "Do it"),
        ("+2.00 s", "b", "Look"),
        ("+3.00 s", "a", "Done."),
        ("+4.00 s", "a", "Over to you"),
        ("+5.00 s", "a", ""),
        ("+8.00 s", "b", "Seen."),
    ]


def test_repeated_messages_of_a_loop_all_stand_in_the_transcript() -> None:
    """Only a prompt's history is left out; saying the same again is the point of a loop."""
    entries = conversation_document(drawn.frames(stores.looping(rounds=4)))
    assert (
        sum(entry["text"] == "Please send me the data first." and entry.get("to") == "Researcher" for entry in entries)
        == 4
    )


def test_a_long_transcript_says_what_is_left_out() -> None:
    """Nothing is cut silently."""
    messages = [drawn.message("a", "b", i, f"message {i}") for i in range(SHOWN + 7)]
    document = conversation_document(drawn.frames(drawn.run("w", *messages)))
    assert f"Showing {SHOWN} of {SHOWN + 7} entries" in texts(document[-1])


def test_the_state_view_groups_by_key_and_words_the_check() -> None:
    """A refused write is told from one that went through."""
    said = texts(state_document(drawn.frames(stores.mixed())))
    assert "draft" in said
    assert "refused: version had moved on" in said
    assert "2 writes by Checker, Writer, 1 read" in said


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a":1}', '{"a":1}', [("@", "no change")]),
        ("", '{"a":1}', [("+", "{"), ("+", '  "a": 1'), ("+", "}")]),
        (
            '{"a":1,"b":2}',
            '{"a":1,"b":3}',
            [(" ", "{"), (" ", '  "a": 1,'), ("-", '  "b": 2'), ("+", '  "b": 3'), (" ", "}")],
        ),
    ],
)
def test_json_is_compared_line_by_line(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    """A change shows on the line of its key."""
    assert json_diff(before, after) == expected


def test_a_huge_state_does_not_hang_the_page() -> None:
    """Values of many thousand lines are not compared; their sizes are told."""
    before, after = (json.dumps([{"n": n + shift} for n in range(3_000)]) for shift in (0, 1))
    [(mark, said)] = json_diff(before, after)
    assert mark == "@"
    assert "9,002 lines before" in said


def test_documents_are_plain_json_and_hide_no_control_characters() -> None:
    """Escape sequences, NULs and direction overrides are made visible before they reach the browser."""
    hostile = "a\x1b[31mb\x00c\u202ed"
    run = drawn.run("w", drawn.agent("a", 0, 1, drawn.llm(0, 1, id="call", prompt=hostile, answer="</script><b>")))
    document = span_document(drawn.frames(run), "call")
    dumped = json.dumps(document, ensure_ascii=False)
    shown = "".join(block["text"] for block in document if block["block"] == "message")
    assert not {"\x1b", "\x00", "\u202e"} & set(shown)
    assert "</script><b>" in dumped


def test_tool_calls_stand_with_what_they_returned_and_prompts_against_the_turn_before() -> None:
    """The result comes from the next prompt and leads to the tool's span; inside a prompt it is not told twice; only new lines are new."""
    ask = json.dumps({"role": "user", "content": "How warm is it?"})
    call = json.dumps({"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]})  # fmt: skip
    result = json.dumps({"role": "tool", "tool_call_id": "c1", "content": "7 degrees"})
    run = drawn.run(
        "w",
        drawn.agent(
            "a", 0, 9, drawn.llm(0, 1, id="first"), drawn.tool("weather", 1, 2, id="ran", result="7 degrees"), drawn.llm(3, 4, id="second"),
            drawn.llm(5, 6, id="third"),
        ),
    )  # fmt: skip
    frames = drawn.frames(run)
    texts_by_ref = {-1: ask, -2: call, -3: result, -4: json.dumps({"role": "assistant", "content": "It is cold."})}
    refs = {"first": ([-1], [-2]), "second": ([-1, -2, -3], [-4]), "third": ([-1], [])}
    spans = frames.spans.with_columns(
        input_refs=pl.Series([refs[s][0] if s in refs else [] for s in frames.spans["span_id"]], dtype=pl.List(pl.Int64)),
        output_refs=pl.Series([refs[s][1] if s in refs else [] for s in frames.spans["span_id"]], dtype=pl.List(pl.Int64)),
    )  # fmt: skip
    frames = replace(frames, spans=spans, contents={**frames.contents, **texts_by_ref})

    asked = [block for block in span_document(frames, "first") if block["block"] == "message"]
    [told] = asked[-1]["calls"]
    assert (told["name"], told["result"], told["pick"]) == ("weather", "7 degrees", {"span": "ran"})
    second = span_document(frames, "second")
    said = [block for block in second if block["block"] == "message"]
    assert [block["role"] for block in said] == ["user", "assistant", "assistant"]
    assert said[1]["calls"][0]["result"] == "7 degrees"
    against = next(block for block in second if block.get("label") == "Against the turn before")
    assert against["note"] == "2 new, 1 the same messages"
    assert {"span": "first"} in [chip["pick"] for chip in against["blocks"][0]["items"]]
    marks = [mark for mark, _ in against["blocks"][1]["rows"]]
    assert "+" in marks
    assert "-" not in marks
    third = next(block for block in span_document(frames, "third") if block.get("label") == "Against the turn before")
    assert third["note"] == "2 replaced or gone, 1 the same messages"
    assert (
        json.loads(next(b for b in second if b.get("label") == "Raw messages, as recorded")["blocks"][0]["text"])[
            "role"
        ]
        == "user"
    )


def test_a_task_that_a_message_puts_is_said_once() -> None:
    """A transcript has its question as the run's task and as its first message."""
    run = drawn.run("talk", drawn.message("human", None, 0, "Why?"), drawn.agent("A", 1, 2, drawn.message("A", None, 1, "So.")), inputs=["Why?"], outputs=["So it is."])  # fmt: skip
    texts = [block["text"] for block in conversation_document(drawn.frames(run))]
    assert texts == ["Why?", "So.", "So it is."]
    asked = drawn.run("talk", drawn.message("human", None, 0, "Hello"), inputs=["Why?"])
    assert [block["text"] for block in conversation_document(drawn.frames(asked))] == ["Why?", "Hello"]
