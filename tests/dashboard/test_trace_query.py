"""The query language of the Traces page and of `tracehound traces --filter`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer.store
from analyzers.finding import Finding
from dashboard.trace_query import FIELDS, Term, condition, duration_s, number, parse_query, select_runs
from tests import drawn
from tracer.errors import BadInput, UnknownName

NOW_NS = 1_000_000 * 1_000_000_000
HOUR_NS = 3_600 * 1_000_000_000
SCHEMA = Path(tracer.store.__file__).with_name("sql") / "0001_spans.sql"

RUNS: list[dict[str, Any]] = [
    {"run_id": "aaa1", "workflow": "triage", "outcome": "completed", "cost_usd": 0.25, "errors": 0, "llm_calls": 4,
     "start_ns": NOW_NS - HOUR_NS, "end_ns": NOW_NS - HOUR_NS + 20 * 10**9, "user_id": "u-1"},
    {"run_id": "bbb2", "workflow": "triage_100%", "outcome": "failed", "cost_usd": 2.5, "errors": 3, "llm_calls": 40,
     "start_ns": NOW_NS - 48 * HOUR_NS, "end_ns": NOW_NS - 47 * HOUR_NS, "source_id": "ticket-7"},
    {"run_id": "ccc3", "workflow": None, "outcome": "running", "cost_usd": None, "errors": 0, "llm_calls": 1,
     "start_ns": NOW_NS - 60 * 10**9, "end_ns": None},
]  # fmt: skip
SPANS: list[dict[str, Any]] = [
    {"run_id": "aaa1", "kind": "agent", "agent": "Researcher", "name": "invoke_agent", "input_refs": [1]},
    {"run_id": "aaa1", "kind": "tool", "agent": "Researcher", "name": "execute_tool", "tool_name": "web.search"},
    {"run_id": "bbb2", "kind": "llm", "agent": "Writer", "name": "chat", "model": "gpt-5-mini", "output_refs": [2],
     "error_message": "the upstream timed out"},
    {"run_id": "bbb2", "kind": "handoff", "agent": "Writer", "target_agent": "Critic", "name": "handoff"},
]  # fmt: skip


@pytest.fixture(scope="module")
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """The real tables in memory: two ended runs and one that is running."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(SCHEMA.read_text(encoding="utf-8"))
        zeros = dict.fromkeys(("spans", "agents", "input_tokens", "output_tokens", "unpriced_calls", "escalations"), 0)
        for run in RUNS:
            _insert(connection, "traces", {"trace_id": run["run_id"], **zeros, **run})
        constants = {"trace_id": "t", "start_ns": 0, "status": "ok", "attributes": "{}", "dropped_attributes": 0,
                     "agent_inferred": False, "progress": False, "user_visible": False}  # fmt: skip
        for index, span in enumerate(SPANS):
            _insert(connection, "spans", {"span_id": f"s{index}", **constants, **span})
        live = {"span_id": "live", "run_id": "ccc3", "kind": "agent", "agent": "Planner", "name": "plan", "writer": "w"}
        _insert(connection, "running_spans", {**constants, **live, "status": "running"})
        _insert(connection, "contents", {"content_id": 1, "bytes": 20, "body": "Please find the quarterly figures"})
        _insert(connection, "contents", {"content_id": 2, "bytes": 20, "body": "100% sure: it's done"})
        yield connection


def _insert(connection: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))


def _matches(tables: duckdb.DuckDBPyConnection, text: str) -> str:
    where = condition(parse_query(text), now_ns=NOW_NS)
    sql = f"SELECT t.run_id FROM traces AS t WHERE {where.sql} ORDER BY t.run_id"
    return " ".join(row[0] for row in tables.execute(sql, list(where.parameters)).fetchall())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "aaa1 bbb2 ccc3"),
        ("agent:researcher", "aaa1"),
        ("agent:res*", "aaa1"),
        ("agent:res", ""),
        ("agent:critic", "bbb2"),
        ("agent:planner", "ccc3"),
        ("agent:Researcher,Writer", "aaa1 bbb2"),
        ("-agent:researcher", "bbb2 ccc3"),
        ("workflow:triage", "aaa1"),
        ('workflow:"triage_100%"', "bbb2"),
        ("workflow:triage*", "aaa1 bbb2"),
        ("status:error", "bbb2"),
        ("status:ok", "aaa1"),
        ("status:running", "ccc3"),
        ("outcome:failed,completed", "aaa1 bbb2"),
        ("cost>0.5", "bbb2"),
        ("cost<=$0.25", "aaa1"),
        ("-cost>0.5", "aaa1 ccc3"),
        ("duration>30s", "bbb2"),
        ("duration:20", "aaa1"),
        ("llm_calls>=4 status:ok", "aaa1"),
        ("since:24h", "aaa1 ccc3"),
        ("after:1970-01-12T12:00", "aaa1 ccc3"),
        ("before:1970-01-12T12:00", "bbb2"),
        ("model:gpt-5*", "bbb2"),
        ("tool:web.search", "aaa1"),
        ("kind:handoff", "bbb2"),
        ("run:bbb", "bbb2"),
        ("run:ticket", "bbb2"),
        ("user:u-1", "aaa1"),
        ('"timed out"', "bbb2"),
        ("quarterly", "aaa1"),
        ('"100% sure: it\'s"', "bbb2"),
        ('-"timed out"', "aaa1 ccc3"),
        ("finding:loop", "aaa1 bbb2 ccc3"),
        ('"; DROP TABLE traces; --"', ""),
    ],
)
def test_a_query_selects_the_runs_that_meet_every_term(
    tables: duckdb.DuckDBPyConnection, text: str, expected: str
) -> None:
    """Each term narrows the list; values are bound, so quotes and wildcards in them do no harm."""
    assert _matches(tables, text) == expected


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_of_every_field_runs(tables: duckdb.DuckDBPyConnection, name: str) -> None:
    """What the help shows can be typed as it stands."""
    term = parse_query(FIELDS[name].example).terms[0]
    assert term.field == name
    _matches(tables, FIELDS[name].example)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("agnt:x", UnknownName, "'agent'"),
        ("finding:lop", UnknownName, "'loop'"),
        ("outcome:faild", UnknownName, "'failed'"),
        ("status:err", UnknownName, "'error'"),
        ("cost>cheap", BadInput, "'cheap' is not a number"),
        ("duration>5parsecs", BadInput, "not a length of time"),
        ("after:tomorrow", BadInput, "not a date"),
        ("agent>x", BadInput, "has no order"),
        ('agent:writer "timed', BadInput, "close the quotes"),
        ("agent:,", BadInput, "needs a value"),
        ("cost>", BadInput, "needs a value"),
    ],
)
def test_a_query_that_cannot_be_read_says_what_was_expected(text: str, error: type[BadInput], says: str) -> None:
    """The message names the part at fault, the hint a near name or an example."""
    with pytest.raises(error) as caught:
        parse_query(text, finding_kinds=("loop", "deadlock"))
    assert says in str(caught.value)


def test_terms_keep_operator_values_and_negation() -> None:
    """Quoting joins words and switches lists off; a bare word is a text search; aliases are resolved."""
    assert parse_query('-agent:a,b cost>=1 name:"x y,z" boom').terms == (
        Term(field="agent", operator=":", values=("a", "b"), negated=True),
        Term(field="cost", operator=">=", values=("1",)),
        Term(field="workflow", operator=":", values=("x y,z",)),
        Term(field="text", operator=":", values=("boom",)),
    )


@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        ("finding:loop", {"loop"}, True),
        ("finding:loop", {"deadlock"}, False),
        ("finding:loop,deadlock", {"deadlock"}, True),
        ("-finding:loop", {"deadlock"}, True),
        ("-finding:loop", {"loop", "deadlock"}, False),
        ("finding:any", set(), False),
        ("finding:any", {"loop"}, True),
        ("cost>1", set(), True),
    ],
)
def test_finding_terms_are_answered_from_the_kinds_found(text: str, kinds: set[str], expected: bool) -> None:
    """Findings are computed, so their terms are checked against the kinds of each run."""
    assert parse_query(text).accepts_findings(kinds) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0.5", 0.5), ("$1.20", 1.2), ("12,000", 12_000), ("4k", 4_000), (".5", 0.5)]
)
def test_numbers_are_read_as_people_write_them(text: str, expected: float) -> None:
    """A dollar sign, thousands and k are understood."""
    assert number(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("250ms", 0.25), ("5m", 300), ("2h", 7200), ("7d", 604_800)]
)
def test_durations_are_read_with_their_unit(text: str, expected: float) -> None:
    """A bare number means seconds."""
    assert duration_s(text) == pytest.approx(expected)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.text(max_size=40))
def test_any_text_is_either_a_query_or_bad_input(text: str) -> None:
    """Nothing a person types can raise anything else, and placeholders always match parameters."""
    try:
        where = condition(parse_query(text), now_ns=NOW_NS)
    except BadInput:
        return
    assert where.sql.count("?") == len(where.parameters)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20))
def test_a_quoted_value_comes_back_as_it_was(value: str) -> None:
    """Quoting with backslashes carries any text, quotes and backslashes included."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_query(f'workflow:"{escaped}"').terms[0].values == (value,)


def test_runs_in_memory_are_selected_like_runs_in_a_store() -> None:
    """Frames, findings included, answer the same query; the order of the frame is kept."""
    frames = drawn.frames(
        drawn.run("triage", drawn.agent("Researcher", 0, 5, drawn.llm(1, 2, prompt="quarterly figures")), id="one"),
        drawn.run("triage", drawn.agent("Researcher", 0, 90), id="two"),
        drawn.run("other", drawn.agent("Writer", 0, 5), id="three"),
    )
    one, two, _ = frames.traces["run_id"].to_list()
    loop = Finding(
        kind="loop", severity="critical", confidence=1, title="", explanation="", suggestion="", trace_id=two, spans=("x",)
    )  # fmt: skip

    def chosen(text: str) -> list[str]:
        return select_runs(parse_query(text), frames, [loop])["run_id"].to_list()

    assert chosen("agent:researcher") == [one, two]
    assert chosen("quarterly") == [one]
    assert chosen("finding:loop") == [two]
    assert chosen("-finding:any workflow:triage") == [one]
    assert chosen("duration>1m") == [two]
