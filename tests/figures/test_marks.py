"""Findings on figures: their cost, the part of each span, and the lines that tie them together."""

from __future__ import annotations

import re
from decimal import Decimal

from analyzers.critical_path import RunTree, walk
from dashboard.figures.dependency import build_dependencies
from dashboard.figures.dependency_draw import draw_dependencies
from dashboard.figures.findings import finding_mark
from dashboard.figures.roles import holds, roles
from dashboard.figures.sequence import build_sequence, sequence_html
from dashboard.figures.tables import edges_table, steps_table
from tests.drawn import agent, frames, llm, run
from tests.figures.scenes import deadlocked, finding, looping, lost


def test_a_mark_says_what_it_cost() -> None:
    """Money where it is known, else tokens, else the time that was lost."""
    drawn = run("w", agent("a", 0, 90, id="a"))
    assert (
        finding_mark(finding("loop", drawn, ["a"], data={"iterations": 9}, wasted_usd=Decimal("1.5")))
        == "loop ×9 · $1.50"
    )
    assert finding_mark(finding("retry_storm", drawn, ["a"], wasted_tokens=1200)) == "retry storm · 1,200 tokens"
    assert finding_mark(finding("deadlock", drawn, ["a"])) == "deadlock · 1m 30s"
    assert (
        finding_mark(finding("serial_bottleneck", drawn, ["a"], data={"lost_s": 12.0})) == "serial bottleneck · 12.00 s"
    )
    assert finding_mark(finding("lost_update", drawn, ["a"])) == "lost update"


def test_a_deadlock_shows_who_waits_for_whom_what_they_hold_and_who_closed_it() -> None:
    """One arrow a wait, the closing one thicker; the graph says the same on its edges and nodes."""
    drawn, [found] = deadlocked()
    data = {
        "closing": {"span": "w2", "agent": "shipping"},
        "holds": {"billing": ["ledger", "journal"]},
        "cycle": list(found.agents),
    }
    told = finding("deadlock", drawn, ["w0", "w1", "w2"], agents=found.agents, data=data)
    assert roles(told) == {"w2": "closes the circle"}
    assert holds(told) == {"billing": "holds ledger, journal"}
    markup = sequence_html(build_sequence(frames(drawn), [told]))
    assert markup.count('class="sq-awaits"') == 2
    assert markup.count('class="sq-awaits sq-closing"') == 1
    assert "holds ledger, journal" in markup
    graph = draw_dependencies(build_dependencies(frames(drawn), [told]))
    assert len(re.findall(r'class="dg-edge dg-hot[^"]*dg-closing"', graph)) == 1
    assert "closes the circle" in graph


def test_a_lost_update_is_tied_together() -> None:
    """One rail with a dot per step, the parts named, and a dotted arc between the two agents who had no contact."""
    drawn, [found] = lost()
    told = finding(
        "lost_update", drawn, list(found.spans), agents=found.agents, data={"lost_writes": ["w5"], "overwrites": ["w6"]}
    )
    markup = sequence_html(build_sequence(frames(drawn), [told]))
    [rail] = re.findall(r'<g class="sq-rail th-critical" data-finding="[^"]+".*?</g>', markup)
    assert rail.count("<circle") == 3
    assert "this change is lost" in markup
    assert "overwrites it" in markup
    graph = build_dependencies(frames(drawn), [told])
    assert [(clash.a[1], clash.b[1]) for clash in graph.clashes] == [("pricing", "promo")]
    assert draw_dependencies(graph).count('class="dg-clash th-critical"') == 1
    assert edges_table(graph).rows[-1][4] == "clash"


def test_the_critical_path_stands_on_both_diagrams() -> None:
    """The shares of the steps add up to the path where all of it belongs to steps; nodes carry the shares of their agents."""
    drawn, findings = looping(5)
    shown = frames(drawn)
    path = walk(RunTree.of(shown))
    diagram = build_sequence(shown, findings, path)
    assert 0 < sum(step.path_ns for step in diagram.found.steps) <= sum(piece.length_ns for piece in path)
    assert "on the critical path" in sequence_html(diagram)
    graph = build_dependencies(shown, findings, path)
    held = {piece.agent for piece in path if piece.agent}
    assert {key[1] for key, node in graph.nodes.items() if node.path_ns} == held & {key[1] for key in graph.nodes}


def test_the_table_writes_out_what_is_folded() -> None:
    """Every step once, with the exact ns behind the readable time."""
    drawn, findings = looping()
    diagram = build_sequence(frames(drawn), findings)
    table = steps_table(diagram, diagram.rows)
    assert len(table.rows) == len(diagram.found.steps) > len(diagram.rows)
    assert table.rows[1][0] == ["2.00 s", "2000000000"]
    assert all(len(row) == len(table.columns) == len(table.right) for row in table.rows)


def test_unknown_data_is_no_part() -> None:
    """A finding without the expected data has no parts, and hostile words are cut and made visible."""
    drawn = run("w", agent("a", 0, 1, llm(0, 1, id="x")))
    assert roles(finding("deadlock", drawn, ["x"], data={"closing": 7, "holds": "no"})) == {}
    [told] = roles(
        finding(
            "conflicting_decisions", drawn, ["x"], data={"decisions": [{"span": "x", "choice": "<b>\u202e" + "y" * 99}]}
        )
    ).values()
    assert "\u202e" not in told
    assert len(told) < 80
