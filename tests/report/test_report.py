"""The post-mortem as text: policy, numbers, honesty about what is missing."""

from __future__ import annotations

import base64
import inspect
import json
import re
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analyzers.finding import DetectorFailure, Finding, Severity, Skipped
from analyzers.frames import Frames
from dashboard.documents import blocks
from dashboard.report import Case, render_html, render_json, render_markdown
from dashboard.report.blocks_html import render_blocks
from dashboard.report.blocks_markdown import code, plain
from dashboard.report.document import case_json
from dashboard.report.html import case_html
from dashboard.report.markdown import case_markdown
from dashboard.report.moments import find_moments
from dashboard.report.suspects import suspects_document
from dashboard.report.verdict import alarm, numbers, quality, verdict
from tests.drawn import agent, frames, llm, message, run, tool
from tests.figures.scenes import deadlocked, hostile, looping, three_way


class _Elements(HTMLParser):
    """Collects what a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_the_policy_admits_only_this_style_and_this_script() -> None:
    """Both hashes are those of the inlined sources, and no inline style or handler is left to admit."""
    text = render_html(frames(three_way()))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy

    for name, source in (
        ("style-src", re.search(r"<style>(.*?)</style>", text, re.DOTALL)),
        ("script-src", re.search(r'<script type="module">(.*?)</script>', text, re.DOTALL)),
    ):
        assert source
        digest = base64.b64encode(sha256(source[1].encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")
    found = _Elements()
    found.feed(text)
    assert not [n for n, _ in found.attributes if n == "style" or n.startswith("on")]
    assert not [v for n, v in found.attributes if n in ("src", "href") and not (v or "").startswith("#")]


def test_five_lines_say_what_happened() -> None:
    """What ran, how it ended, what was wrong, what it cost, what to change."""
    drawn, findings = looping()

    assert verdict(frames(drawn), findings) == [
        "market_brief ran 4m 22s with 3 agents, 94 LLM calls and 98,700 tokens.",
        "A guard stopped it: budget reached.",
        "researcher and analyst repeat themselves 47 times.",
        "It cost $4.70, of which $4.60 (97.9 %) bought nothing.",
        "What to change: Change this.",
    ]


def test_a_healthy_run_is_not_made_to_look_ill() -> None:
    """No finding, no alarm among the numbers."""
    healthy = frames(run("w", agent("a", 0, 2, llm(0, 1, input_tokens=5, output_tokens=5, cost="0.1"))))

    assert "No detector objects to this run." in verdict(healthy, [])
    assert not any(number.alarm for number in numbers(healthy, []))


def failed(*evidence: str) -> tuple[Frames, list[dict[str, Any]]]:
    """A run that went wrong without an error, and whom its analysis suspects."""
    held = frames(run("w", agent("planner", 0, 1), agent("coder", 1, 2, llm(1, 2)), outcome="failed"))
    span_id = held.spans.filter(pl.col("agent") == "coder")["span_id"][0]
    return held, [{"rank": 1, "agent": "coder", "span_id": span_id, "step": 7, "score": 1.0, "tier": "evidence+judge", "evidence": list(evidence)}]  # fmt: skip


def remark(kind: str, held: Frames, severity: Severity) -> Finding:
    """A finding about the whole run."""
    return Finding(
        kind=kind, severity=severity, confidence=0.9, trace_id=held.run_ids[0], title="A title", explanation="Why.", suggestion="",
        spans=(held.spans["span_id"][0],), start_ns=held.traces["start_ns"][0], end_ns=held.traces["start_ns"][0],
    )  # fmt: skip


def test_a_failed_run_without_findings_has_no_clean_bill() -> None:
    """Whom the evidence points to stands in the five lines; without suspects they say that nothing does."""
    held, suspects = failed("an old value", "an old value", "nobody checked")

    assert verdict(held, [], suspects)[2:] == [
        "No detector objects, but the evidence points first to coder at message 7.",
        "What it cost is not known: no call has a known price.",
        "Look there first: an old value; nobody checked.",
    ]
    one = remark("data_quality", held, "info")
    assert verdict(held, [one], suspects)[2].endswith("coder at message 7. Besides: 1 remark.")
    assert verdict(held, [])[2] == "No detector objects, and nothing in the record says where it went wrong."


@pytest.mark.parametrize(
    ("outcome", "severities", "expected"),
    [
        ("completed", [], None),
        ("completed", ["info"], "info"),
        ("failed", [], "critical"),
        ("failed", ["warning"], "critical"),
        ("interrupted", ["info"], "warning"),
        ("escalated", ["critical", "warning"], "critical"),
        ("unknown", [], None),
    ],
)
def test_a_report_is_as_alarming_as_its_worst_news(
    outcome: str, severities: list[Severity], expected: str | None
) -> None:
    """How the run ended counts as much as what was found."""
    held, _ = failed()
    assert alarm(outcome, [remark("loop", held, severity) for severity in severities]) == expected


def test_suspects_stand_on_the_timeline_and_in_every_form() -> None:
    """The same first suspect in the five lines, among the moments and in the table, which says by what they were ranked."""
    held, suspects = failed("an old value", "an old value")
    case = Case.of(held)
    case.run["suspects"] = suspects

    assert [(one.who, one.text) for one in find_moments(case) if one.glyph == "?"] == [("coder", "the first suspect: an old value")]  # fmt: skip
    [table, note] = suspects_document(case, {suspects[0]["span_id"]: "coder"})
    assert [cell["text"] if isinstance(cell, dict) else cell for cell in table["rows"][0]["cells"]] == ["1", "coder", "message 7", "1.00", "an old value"]  # fmt: skip
    assert note["text"].startswith("Ranked by evidence in this run, order by an LLM judge.")
    for text in (case_html(case), case_markdown(case), case_json(case)):
        assert "points first to coder at message 7" in text


def test_a_record_without_model_calls_has_no_bill() -> None:
    """No zero dollars and no zero tokens where nothing was recorded that could cost."""
    text = render_markdown(frames(run("w", agent("a", 0, 2))))

    assert "$0" not in text
    assert "no model call recorded" in text
    assert "No model call was recorded, so that it has no known cost." in text


def test_unknown_prices_are_said_and_never_zero() -> None:
    """A run with calls that have no price costs "at least"; without any price the cost is not known."""
    some = frames(three_way())
    none = frames(run("w", llm(0, 1, cost=None)))

    assert verdict(some, [])[3] == "It cost at least $0.0360."
    assert verdict(none, [])[3] == "What it cost is not known: no call has a known price."
    assert ("LLM calls without a known price", "1 of 5") in quality(some)
    assert "$0.00" not in render_markdown(none)


def test_running_runs_have_a_duration() -> None:
    """A run without an end lasts until the last thing that happened."""
    drawn, findings = deadlocked()

    assert verdict(frames(drawn), findings)[0].startswith("orders ran 30.00 s")


def test_json_is_the_document_of_analyze() -> None:
    """Findings with data.checked, what was skipped and what crashed; any reader can parse it."""
    drawn, findings = looping()
    skipped = [Skipped(detector="deadlock", reason="no waits")]
    failures = [DetectorFailure(detector="x", error="boom", traceback="...")]
    document = json.loads(render_json(frames(drawn), findings, skipped, failures))

    [trace] = document["traces"]
    assert trace["trace_id"] == drawn.run_id
    assert trace["findings"][0]["data"]["iterations"] == 47
    assert trace["findings"][0]["data"]["checked"][0]["rule"] == "repetitions"
    assert document["skipped"][0]["reason"] == "no waits"
    assert document["failures"][0]["error"] == "boom"


def test_markdown_keeps_recorded_text_as_text() -> None:
    """A Markdown reader that allows HTML finds no HTML, link, image or fence that the report did not write itself."""
    drawn, findings = hostile()
    text = render_markdown(frames(drawn), findings)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [token for block in tokens for token in (block.children or [])]

    assert not {token.type for token in (*tokens, *inner)} & {"html_block", "html_inline", "link_open", "image"}
    assert [token.info for token in tokens if token.type == "fence"] == ["mermaid", "text", "text"]
    assert not [token for token in tokens if token.type == "code_block"]
    assert "\x00" not in text


@pytest.mark.parametrize("text", ["```", "a\n````\n# b", "~~~\n<b>", "`" * 50, ""])
def test_a_fence_holds_whatever_text_it_gets(text: str) -> None:
    """Backticks inside never end the block: one fence, with the text as its content."""
    [token] = MarkdownIt("commonmark").parse("\n".join(code(text)))

    assert token.type == "fence"
    assert token.content == text + "\n"


@example("    four spaces")
@example("1) a list")
@example("- a\n===")
@example("&lt;b&gt; https://a.b <https://a.b> $x$")
@given(st.text(max_size=60))
def test_plain_text_stays_plain(text: str) -> None:
    """Any text is a paragraph of text and breaks: no list, heading, rule, emphasis, code, link or HTML."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(f"{plain(text)}\n")

    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    assert {token.type for block in tokens for token in (block.children or [])} <= {"text", "text_special"}


def test_what_was_not_judged_is_shown() -> None:
    """Skipped questions and crashed detectors stand in every form."""
    fr = frames(three_way())
    skipped, failures = (
        [Skipped(detector="lost_update", reason="no state was recorded")],
        [DetectorFailure(detector="loop", error="KeyError: x", traceback="tb")],
    )

    for form in (render_html, render_markdown, render_json):
        text = form(fr, [], skipped, failures)
        assert "no state was recorded" in text
        assert "KeyError" in text


def test_every_block_has_a_renderer() -> None:
    """A document the dashboard can draw, the report can draw too."""
    made = [
        blocks.heading("h", items=[blocks.chip("c")]), blocks.chips([blocks.chip("c", pick={"span": "s"})]), blocks.facts([blocks.fact("l", None)]),
        blocks.message("role", "text", calls=[blocks.tool_call("t", "{}", result="r")]), blocks.code("x", label="l"), blocks.diff([("+", "a"), ("@", "")]),
        blocks.table([blocks.column("a"), blocks.column("b", right=True)], [blocks.row(["x", blocks.cell("y", "ok")])]),
        blocks.section("s", [blocks.note("n")], open=True), blocks.card([blocks.prose("p")]), blocks.divider("d"),
        blocks.note("n"), blocks.prose("p"), blocks.line("l", note="n"),
    ]  # fmt: skip

    html = render_blocks(made)

    assert 'data-span="s"' in html
    assert html.count("<details") == 1
    drawn = set(re.findall(r'_block\(\s*block="(\w+)"', inspect.getsource(blocks)))
    assert drawn
    assert drawn <= {block["block"] for block in made}


def test_long_texts_are_cut_and_say_so() -> None:
    """A five-megabyte line leaves a note of what is missing."""
    html = render_blocks([blocks.prose("x" * 5_000_000)])

    assert len(html) < 10_000
    assert "4,997,000 more characters" in html


def test_a_report_stays_small_whatever_its_names_are() -> None:
    """A name, a reason or an error of five million characters is cut where it stands, and says by how much."""
    text = "A" * 5_000_000
    bad = run(text, agent(text, 0, 3, llm(0, 1, model=text), tool(text, 1, 2, status="error", error_message=text)), outcome="failed", outcome_reason=text)  # fmt: skip
    told = case_html(Case.of(frames(bad)))
    assert len(told) < 1_000_000
    assert "4998000 more characters" in told
    assert len(case_markdown(Case.of(frames(bad)))) < 200_000


def test_a_long_conversation_opens_with_its_ends() -> None:
    """Of a conversation of 60 turns the middle stands behind one line that counts it; nothing is left out."""
    turns = [message("a", "b", at=second, text=f"turn number {second}.") for second in range(60)]
    html = render_html(frames(run("talk", *turns)))

    opening, rest = html.split('<details class="turns">')
    assert "turn number 3." in opening
    assert re.search(r"<summary>\d+ turns in between, of \d+</summary>", rest)
    assert all(f"turn number {number}." in html for number in range(60))
    assert rest.index("turn number 30.") < rest.index("</details>")
