"""All questions together: containment, order, waste charged once, the document."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import analyzers.detectors
from analyzers.detectors import DETECTORS, Detector
from analyzers.document import analysis_document
from analyzers.finding import SEVERITIES, Finding, Skipped
from analyzers.frames import Frames
from analyzers.run import analyse
from tests.drawn import Drawn, agent, decision, frames, guard_trip, llm, message, node, run, state_read, state_write

USED = {"input_tokens": 100, "output_tokens": 20, "cost": "0.10"}
REPOSITORY = Path(__file__).parents[2]


def troubled() -> list[Drawn]:
    """Runs with a lost update, a conflict, hidden calls, a tripped guard and gaps in the recording."""
    lost = run(
        "plan",
        agent("a", 0, 10, state_read("k", 1, version=1, value={"x": 1}), state_write("k", 9, version=3, value={"x": 1, "y": 2}, before={"x": 5})),
        agent("b", 0, 10, state_read("k", 2, version=1, value={"x": 1}), llm(3, 4, **USED), state_write("k", 5, version=2, value={"x": 5}, before={"x": 1})),
        id="lost",
    )  # fmt: skip
    clash = run("plan", agent("a", 0, 9, decision("s", "yes", 2)), agent("b", 1, 9, decision("s", "no", 3)), id="clash")
    hidden = run(
        "chat", agent("desk", 0, 9, *(llm(n, n + 0.5, purpose="route", **USED) for n in range(8)), message("desk", "user", 8.9, "hi")),
        guard_trip("budget", 9, limit=1, spent=1.1, unit="usd"), id="hidden", outcome="stopped_by_guard",
    )  # fmt: skip
    gaps = run("plan", agent("a", 0, 9, parent_span_id="gone"), agent("b", 1, None, status="interrupted"), id="gaps")
    return [lost, clash, hidden, gaps]


def test_every_kind_of_trouble_is_told_once() -> None:
    """One analysis tells them all, most severe first, with evidence, checks and advice."""
    analysis = analyse(frames(*troubled()))

    assert not analysis.failures
    assert {f.kind for f in analysis.findings} == {
        "lost_update",
        "conflicting_decisions",
        "hidden_calls",
        "guard_trip",
        "data_quality",
    }
    assert [SEVERITIES.index(f.severity) for f in analysis.findings] == sorted(
        SEVERITIES.index(f.severity) for f in analysis.findings
    )
    for finding in analysis.findings:
        assert finding.spans
        assert finding.checked
        assert finding.suggestion
        assert finding.explanation.endswith((".", "%"))
        assert len({f.id for f in analysis.findings}) == len(analysis.findings)


def shuffled(given: Frames, seed: int) -> Frames:
    """The same rows in another order."""
    return Frames(
        spans=given.spans.sample(fraction=1, shuffle=True, seed=seed),
        traces=given.traces.sample(fraction=1, shuffle=True, seed=seed),
        contents=given.contents,
        events=given.events,
        links=given.links,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_does_not_matter(seed: int) -> None:
    """Same findings, ids and words for rows in any order."""
    given = frames(*troubled())

    assert analyse(shuffled(given, seed)) == analyse(given)


def test_input_is_not_modified() -> None:
    """Frames are read only."""
    given = frames(*troubled())
    before = given.spans.clone(), given.traces.clone()

    analyse(given)

    assert given.spans.equals(before[0])
    assert given.traces.equals(before[1])


def test_other_runs_change_nothing() -> None:
    """An unrelated run adds or removes no finding about another."""
    alone = analyse(frames(*troubled()))
    beside = analyse(frames(*troubled(), run("other", agent("x", 0, 1, llm(0, 1, **USED)), id="extra")))

    assert alone.findings == beside.findings


def test_the_clock_does_not_matter() -> None:
    """The same runs a day later give the same findings, ids and words."""
    given = frames(*troubled())
    day = 86_400 * 10**9
    moved = Frames(
        spans=given.spans.with_columns(pl.col("start_ns", "end_ns") + day),
        traces=given.traces.with_columns(pl.col("start_ns", "end_ns") + day),
        contents=given.contents,
        events=given.events,
        links=given.links,
    )

    assert [(f.id, f.severity, f.title, f.explanation) for f in analyse(moved).findings] == [
        (f.id, f.severity, f.title, f.explanation) for f in analyse(given).findings
    ]


def test_names_of_agents_do_not_matter() -> None:
    """Other names, same findings and evidence."""
    given = frames(*troubled())
    names = pl.col("agent", "target_agent").replace({"a": "Ada", "b": "Ben", "desk": "Front"})
    renamed = Frames(spans=given.spans.with_columns(names), traces=given.traces, contents=given.contents)

    assert [(f.kind, f.severity, f.spans) for f in analyse(renamed).findings] == [
        (f.kind, f.severity, f.spans) for f in analyse(given).findings
    ]


def test_a_crash_is_recorded_and_contained() -> None:
    """The other questions are still answered; the failure says where it happened."""

    def crash(_: Frames) -> list[Finding | Skipped]:
        raise ValueError("boom")

    given = frames(*troubled())
    analysis = analyse(given, [Detector("crash", crash), *DETECTORS])

    assert analysis.findings == analyse(given).findings
    assert [(f.detector, f.error) for f in analysis.failures] == [("crash", "ValueError: boom")]
    assert "in crash" in analysis.failures[0].traceback


def test_empty_frames_have_no_findings() -> None:
    """A store without runs is a legal input of every detector."""
    analysis = analyse(Frames.of([]))

    assert (analysis.findings, analysis.fleet, analysis.skipped, analysis.failures) == ((), (), (), ())


def finding(kind: str, drawn: Drawn, *spans: str, usd: str) -> Finding:
    return Finding(kind=kind, severity="warning", confidence=1, title="", explanation="", suggestion="", trace_id=drawn.run_id,
                   spans=spans, wasted_usd=Decimal(usd), wasted_tokens=120 * len(spans))  # fmt: skip


def test_the_same_waste_is_charged_once() -> None:
    """A call that a loop already charges is taken off the hidden calls, whatever the order of the detectors."""
    drawn = run("w", agent("a", 0, 9, *(llm(n, n + 0.5, id=f"c{n}", **USED) for n in range(4))))
    loop = finding("loop", drawn, "c0", "c1", "c2", usd="0.30")
    hidden = finding("hidden_calls", drawn, "c2", "c3", usd="0.20")
    table = [Detector("hidden_calls", lambda _: [hidden]), Detector("loop", lambda _: [loop])]

    for order in (table, table[::-1]):
        told = {f.kind: f for f in analyse(frames(drawn), order).findings}
        assert told["loop"].wasted_usd == Decimal("0.30")
        assert told["hidden_calls"].wasted_usd == Decimal("0.10")
        assert told["hidden_calls"].wasted_tokens == 120
        assert told["hidden_calls"].data["charged_elsewhere_usd"] == 0.1
        assert told["hidden_calls"].id == hidden.id


def test_a_stopped_run_charges_only_what_no_other_finding_does() -> None:
    """A guard that ended a run for nothing charges all four calls, whichever spans tell of it; the loop keeps its two."""
    drawn = run(
        "w", agent("a", 0, 9, *(llm(n, n + 0.5, id=f"c{n}", **USED) for n in range(4)), guard_trip("g", 5, id="t"))
    )
    loop = finding("loop", drawn, "c0", "c1", usd="0.20")
    trip = replace(finding("guard_trip", drawn, "t", usd="0.40"), wasted_tokens=480)
    table = [Detector("guard_trip", lambda _: [trip]), Detector("loop", lambda _: [loop])]

    told = {f.kind: f for f in analyse(frames(drawn), table).findings}
    assert (told["loop"].wasted_usd, told["loop"].wasted_tokens) == (Decimal("0.20"), 240)
    assert (told["guard_trip"].wasted_usd, told["guard_trip"].wasted_tokens) == (Decimal("0.20"), 240)


def test_the_document_is_plain_json() -> None:
    """Every run with its findings, checks inside data, windows of the fleet; nothing but JSON, no NaN."""
    given = frames(*troubled())
    document = json.loads(json.dumps(analysis_document(given, analyse(given)), allow_nan=False))

    assert set(document) == {"traces", "fleet", "skipped", "failures"}
    assert [t["run_id"] for t in document["traces"]] == given.run_ids
    told = [f for t in document["traces"] for f in t["findings"]]
    assert {"id", "kind", "severity", "confidence", "title", "explanation", "agents", "spans", "steps", "start_ns", "end_ns",
            "wasted_usd", "wasted_tokens", "data", "suggestion"} <= set(told[0])  # fmt: skip
    assert {"rule", "value", "threshold", "passed"} == set(told[0]["data"]["checked"][0])


def test_the_fleet_is_grouped_by_window() -> None:
    """Findings over many runs stand under their workflow and window."""
    wide = Finding(kind="spend_rate", severity="warning", confidence=1, title="", explanation="", suggestion="", trace_id=None, spans=(),
                   data={"workflow": "w", "window_start_ns": 5, "window_end_ns": 9})  # fmt: skip
    given = frames(run("w", agent("a", 0, 1)))
    document = analysis_document(given, analyse(given, [Detector("x", lambda _: [wide], scope="fleet")]))

    (entry,) = document["fleet"]
    assert (entry["workflow"], entry["window_start_ns"], entry["window_end_ns"]) == ("w", 5, 9)
    assert [f["kind"] for f in entry["findings"]] == ["spend_rate"]


def test_table_and_folder_agree() -> None:
    """Every file of detectors has its line in the table and its page in the docs."""
    files = {path.stem for path in Path(analyzers.detectors.__file__).parent.glob("*.py")} - {"__init__"}

    assert {detector.name for detector in DETECTORS} == files
    assert {name for name in files if not (REPOSITORY / "docs" / "findings" / f"{name}.md").is_file()} == set()


def test_running_and_bare_spans_do_no_harm() -> None:
    """Spans with nothing but the required columns are looked at without a crash."""
    bare = run("w", *(node("agent", "", n, None) for n in range(3)), id="bare", outcome="running")
    stripped = frames(bare)
    nameless = Frames(
        spans=stripped.spans.with_columns(workflow=pl.lit(None, pl.String)),
        traces=stripped.traces.with_columns(workflow=pl.lit(None, pl.String)),
    )

    assert analyse(nameless).failures == ()
