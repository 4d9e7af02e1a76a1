"""The sequence diagram: steps, folding, drawing, Mermaid."""

from __future__ import annotations

import re
import time
from xml.etree import ElementTree

import pytest

from dashboard.figures.fold import Fold, fold_steps
from dashboard.figures.sequence import PAGE, build_sequence, caption, draw_sequence, sequence_html
from dashboard.figures.sequence_text import mermaid
from dashboard.figures.steps import Steps, find_steps
from tests.drawn import (
    Drawn,
    agent,
    escalation,
    frames,
    handoff,
    llm,
    message,
    run,
    state_read,
    state_write,
    tool,
    wait,
)
from tests.figures.scenes import HOSTILE, deadlocked, finding, hostile, looping, lost, three_way


def arrows(found: Steps) -> list[tuple[str, str, str]]:
    return [(step.source, step.kind, step.target) for step in found.steps]


STEPS: list[tuple[str, Drawn, list[tuple[str, str, str]]]] = [
    ("a message shows why an agent runs, the run itself is no second arrow",
     run("w", message("user", "a", 0, "hi"), agent("a", 1, 2, llm(1, 2))), [("user", "message", "a")]),
    ("an agent calling an agent is an invocation with an answer",
     run("w", agent("a", 0, 9, agent("b", 1, 5, answer="done"))), [("w", "invoke", "a"), ("a", "invoke", "b"), ("b", "answer", "a")]),
    ("a handoff is drawn once, whether the next agent is nested or not",
     run("w", agent("a", 0, 2, handoff("a", "b", 1)), agent("b", 2, 4)), [("w", "invoke", "a"), ("a", "handoff", "b")]),
    ("a message that names nobody goes to everyone, and is why the next one speaks",
     run("w", agent("a", 0, 1, message("a", None, 0)), agent("b", 1, 2, message("b", "a", 1)), agent("c", 2, 3)),
     [("w", "invoke", "a"), ("a", "message", "everyone"), ("b", "message", "a"), ("w", "invoke", "c")]),
    ("a person and a single agent talk to each other",
     run("w", message("user", None, 0), agent("a", 1, 2, message("a", None, 1))), [("user", "message", "a"), ("a", "message", "user")]),
    ("an agent going on inside itself is no step",
     run("w", agent("a", 0, 9, agent("a", 1, 5))), [("w", "invoke", "a")]),
    ("tools and state are participants of their own",
     run("w", agent("a", 0, 9, tool("t", 1, 2), state_read("k", 3), state_write("k", 4))),
     [("w", "invoke", "a"), ("a", "tool", "tools"), ("state", "read", "a"), ("a", "write", "state")]),
    ("a person answers after a wait",
     run("w", agent("a", 0, 9, escalation("ops", 1, reason="stuck"), wait("ops", 2, 8, reason="human"))),
     [("w", "invoke", "a"), ("a", "escalation", "ops"), ("a", "wait", "a"), ("ops", "answer", "a")]),
    ("an invocation that fails answers with its failure",
     run("w", agent("a", 0, 9, agent("b", 1, 5, status="error", error_type="Boom"))), [("w", "invoke", "a"), ("a", "invoke", "b"), ("b", "answer", "a")]),
    ("a run without a workflow span is asked for by the user",
     run("w", agent("a", 0, 9, task="do it"), root=False), [("user", "invoke", "a"), ("a", "answer", "user")]),
]  # fmt: skip


@pytest.mark.parametrize(("drawn", "expected"), [(d, e) for _, d, e in STEPS], ids=[name for name, _, _ in STEPS])
def test_steps(drawn: Drawn, expected: list[tuple[str, str, str]]) -> None:
    """Spans become the arrows a person would draw."""
    assert arrows(find_steps(frames(drawn))) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("plain text", "plain text"),
        ('{"role": "user", "content": "hello"}', "hello"),
        ('{"role": "user", "parts": [{"type": "text", "content": "hi"}]}', "hi"),
        ('{"role": "assistant", "tool_calls": [{"function": {"name": "search"}}]}', "calls search"),
        ('{"messages": [{"content": "old"}, {"type": "human", "data": {"content": "newest"}}]}', "newest"),
        ('{"rows": 3}', '{"rows": 3}'),
        ('{"data": ' * 20_000, '{"data": {"data":'),
    ],
)  # fmt: skip
def test_labels_are_what_was_said(body: str, words: str) -> None:
    """A message object is unwrapped, a conversation gives its last message, anything else is shown as it came."""
    drawn = run("w", message("a", "b", 0, body))

    assert find_steps(frames(drawn)).steps[0].label.startswith(words)


def test_a_turn_passed_by_a_framework_is_an_arrow_between_agents() -> None:
    """Where the reason of an invocation was worked out as a turn, the arrow comes from the agent before."""
    drawn = run(
        "w", agent("a", 0, 1), agent("b", 1, 2, reason="takes over from a"), agent("a", 2, 3, reason="handed back by b")
    )

    assert arrows(find_steps(frames(drawn))) == [("w", "invoke", "a"), ("a", "handoff", "b"), ("b", "handoff", "a")]


def test_findings_about_the_recording_are_not_drawn() -> None:
    """Missing prices are no event of the run: no tag on any arrow."""
    drawn = three_way()
    about = finding("data_quality", drawn, ["failed"])

    assert "sq-flag" not in draw_sequence(build_sequence(frames(drawn), [about]))


def test_a_found_loop_is_one_frame_with_count_time_and_cost() -> None:
    """47 varied rounds are drawn once, with what they took and cost, and every step is still accounted for."""
    drawn, findings = looping()
    diagram = build_sequence(frames(drawn), findings)

    [fold] = [row for row in diagram.rows if isinstance(row, Fold)]
    assert (fold.times, len(fold.shown), len(fold.folded)) == (47, 2, 94)
    svg = draw_sequence(diagram)
    assert "loop ×47 · 3m 17s · $4.70" in svg
    assert f'data-finding="{findings[0].id}"' in svg


def test_every_step_is_in_exactly_one_row() -> None:
    """Folding hides nothing: rows and folds together hold each step once."""
    for drawn, findings in (looping(), deadlocked(), lost(), (three_way(), [])):
        diagram = build_sequence(frames(drawn), findings)
        held = [k for row in diagram.rows for k in (row.folded if isinstance(row, Fold) else (row,))]
        assert sorted(held) == list(range(len(diagram.found.steps)))


def test_what_others_do_meanwhile_stays_outside_the_loop() -> None:
    """A third agent's steps between the rounds are drawn, not swallowed."""
    drawn, findings = looping(5)
    bystander = run("w", message("clock", "archive", 0), id="aside")["clock -> archive"]
    bystander.trace_id, bystander.run_id = drawn.spans[0].trace_id, drawn.run_id
    bystander.parent_span_id, bystander.start_ns, bystander.end_ns = (
        None,
        drawn["mr002"].start_ns + 1,
        drawn["mr002"].start_ns + 1,
    )
    drawn.spans.append(bystander)

    diagram = build_sequence(frames(drawn), findings)

    loose = [diagram.found.steps[row] for row in diagram.rows if not isinstance(row, Fold)]
    assert ("clock", "archive") in {(step.source, step.target) for step in loose}


@pytest.mark.parametrize(
    ("repeats", "folds"),
    [
        ("ab" * 3, [(3, 2)]),
        ("ab" * 2, []),
        ("aaaa", [(4, 1)]),
        ("xababaabab", []),
        ("abcabcabcabc", [(4, 3)]),
        ("aabaabaab", [(3, 3)]),
        ("xyxyxyzzz", [(3, 2), (3, 1)]),
    ],
)
def test_exact_repeats_fold(repeats: str, folds: list[tuple[int, int]]) -> None:
    """Three or more consecutive repeats of a block of up to twelve steps become one frame."""
    drawn = run("w", *(message("one", name, k) for k, name in enumerate(repeats)), id=repeats)

    rows = fold_steps(find_steps(frames(drawn)))

    assert [(row.times, len(row.shown)) for row in rows if isinstance(row, Fold)] == folds


def test_waits_are_bars_and_those_of_a_deadlock_are_marked() -> None:
    """A hatched bar a wait, with whom for; the three that block each other stand out."""
    drawn, findings = deadlocked()
    svg = draw_sequence(build_sequence(frames(drawn), findings))

    assert len(re.findall(r'class="sq-bar sq-hot"', svg)) == 3
    assert len(re.findall(r'class="sq-bar"', svg)) == 1
    assert "waits for inventory" in svg


def test_long_runs_are_paged_and_say_so() -> None:
    """Rows beyond the page are not drawn, and the caption says which are."""
    names = ["a", "b", "c", "d", "e"]
    drawn = run(
        "w", *(message(names[k % 5], names[(k * k + 1) % 5 - (k % 5 == (k * k + 1) % 5)], k) for k in range(1300))
    )
    diagram = build_sequence(frames(drawn), fold=False)

    assert diagram.pages == 3
    assert caption(diagram, 1).endswith("showing rows 501–1,000 of 1,300")
    assert draw_sequence(diagram, page=2).count('class="sq-step') == 1300 - 2 * PAGE


def test_pieces_for_paper_are_as_high_as_a_sheet() -> None:
    """Drawn to the width of the sheet, a piece fits on it, and only the last one leaves much of it empty."""
    diagram = build_sequence(frames(run("w", *(message("a", "b", i, f"word {i}") for i in range(200)))), fold=False)
    sizes = [(float(w), float(h)) for w, h in re.findall(r'class="sq-piece">.*?</svg></div><svg[^>]*? width="([\d.]+)" height="([\d.]+)"', sequence_html(diagram))]  # fmt: skip
    drawn = [height * min(1.0, 695 / width) for width, height in sizes]

    assert len(drawn) > 2
    assert max(drawn) <= 950
    assert min(drawn[:-1]) >= 800


def test_two_figures_on_a_page_share_no_id() -> None:
    """Ids carry the figure's prefix, and no piece repeats one."""
    diagram = build_sequence(frames(deadlocked()[0]))
    ids = [re.findall(r'\bid="([^"]+)"', sequence_html(diagram, prefix=prefix)) for prefix in ("one", "two")]

    assert ids[0]
    assert len(set(ids[0] + ids[1])) == len(ids[0] + ids[1])


def test_hostile_text_stays_text() -> None:
    """The drawing is well-formed XML and has no element or attribute that came from a recording."""
    drawn, findings = hostile()
    svg = draw_sequence(build_sequence(frames(drawn), findings))
    tree = ElementTree.fromstring(svg)

    tags = {element.tag.split("}")[-1] for element in tree.iter()}
    assert tags <= {"svg", "g", "path", "text", "rect", "title", "defs", "pattern", "circle"}
    assert not any(name.startswith("on") for element in tree.iter() for name in element.attrib)
    assert len(svg) < 200_000


def test_mermaid_is_one_statement_a_line() -> None:
    """Whatever was recorded, each line is a statement that Mermaid knows, and special characters are entity codes."""
    drawn, findings = hostile()
    text = mermaid(build_sequence(frames(drawn), findings))

    known = re.compile(
        r"sequenceDiagram|    (actor|participant) p\d+ as \S.*|\s+p\d+(->>|-->>)p\d+: .+|\s+Note over p\d+: .+|    loop \d+ times.*|    end"
    )
    assert all(known.fullmatch(line) for line in text.splitlines())
    assert "<" not in text.replace("->>", "").replace("-->>", "")
    assert "```" not in text
    assert HOSTILE not in text


def test_folding_three_thousand_steps_is_quick() -> None:
    """Adversarial near-repeats of every period do not make folding quadratic."""
    drawn = run("w", *(message("x", "abcdefghijkl"[(k * 7 + k // 13) % 12], k) for k in range(3000)))
    found = find_steps(frames(drawn))

    began = time.perf_counter()
    fold_steps(found)

    assert time.perf_counter() - began < 1.0
