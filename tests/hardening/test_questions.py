"""Whatever a person types as a question or writes into a file of rules, the answer is an answer or a sentence about the mistake."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.alerts.parsing import default_text, rules_of
from analyzers.alerts.rules import preview
from analyzers.backtest.whole import policy_of
from analyzers.toml_tables import TomlFile
from dashboard.alerting.channels import channels_of
from tests.store.build import span
from tracer.errors import BadInput
from tracer.store import query, reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

pytestmark = pytest.mark.slow

WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "LIMIT",
    "WITH",
    "AS",
    "UNION",
    "ALL",
    "DESCRIBE",
    "SHOW",
    "TABLES",
    "SUMMARIZE",
    "EXPLAIN",
    "ANALYZE",
    "PIVOT",
    "UNPIVOT",
    "ON",
    "USING",
    "QUALIFY",
    "VALUES",
    "RECURSIVE",
    "LATERAL",
    "JOIN",
    "POSITIONAL",
    "ASOF",
    "COPY",
    "TO",
    "ATTACH",
    "DETACH",
    "SET",
    "PRAGMA",
    "CALL",
    "INSERT",
    "INTO",
    "UPDATE",
    "DELETE",
    "DROP",
    "TABLE",
    "CREATE",
    "MACRO",
    "spans",
    "traces",
    "contents",
    "meta",
    "x",
    "store",
    "memory",
    "main",
    "information_schema",
    "duckdb_tables()",
    "read_text('{out}')",
    "range(3)",
    "unnest([1,2])",
    "glob('*')",
    "name",
    "kind",
    "cost_usd",
    "start_ns",
    "attributes",
    "count(*)",
    "sum(cost_usd)",
    "hash(name)",
    "getenv('HOME')",
    "*",
    "(",
    ")",
    ",",
    ";",
    ".",
    "=",
    "<",
    ">",
    "+",
    "-",
    "/",
    "::",
    "[",
    "]",
    "{{",
    "}}",
    "?",
    "$1",
    "--",
    "/*",
    "1",
    "0",
    "-1",
    "1e308",
    "99999999999999999999",
    "NULL",
    "'a'",
    "''",
    '"name"',
    "'{out}'",
    "TRUE",
    "DATE",
    "INTERVAL",
    "DECIMAL",
    "BLOB",
    "CAST",
]
QUERIES = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), max_size=12).map(" ".join)


def test_any_question_is_answered_or_refused_and_changes_nothing(tmp_path: Path) -> None:
    """Words of SQL in any order; whatever was asked before, the next question finds the store as it was, and no file was made."""
    store, out = Store(tmp_path / "traces.duckdb"), tmp_path / "out"
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    writer.close()
    store.fold()
    before = reads.load(store).spans

    @settings(max_examples=250, deadline=None)
    @given(QUERIES)
    def check(text: str) -> None:
        with suppress(BadInput):
            query.sql(store, text.replace("{out}", str(out)), timeout_s=2)
        assert not out.exists()

    check()
    assert reads.load(store).spans.equals(before)
    assert query.sql(store, "SELECT count(*) AS n FROM spans").to_dicts() == [{"n": 1}]


def held(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """(what was read, None) or (None, what was said against it)."""
    try:
        return read(), None
    except BadInput as error:
        return None, error.message


POLICY = """
defaults = true
[guard]
loop = 4
budget_usd = 5
per_day_usd = 200
deadlock = true
[sweep]
loop = [3, 4, 5, 8]
budget_usd = "auto"
tolerated = 0.01
[[rule]]
name = "daily-budget"
measure = "spend_usd"
per = "workflow"
window = "24h"
warning = 50
cooldown = "6h"
[[channel]]
name = "room"
type = "slack"
url = "https://example.com/x"
levels = ["critical"]
[[channel]]
name = "mail"
type = "email"
host = "smtp.example.com"
port = 587
from = "a@example.com"
to = ["b@example.com"]
"""
VALUES = st.one_of(
    st.sampled_from(["true", '""', '"*"', "[]", "[[]]", "{}", "nan", "inf", "-0.0", "1e400", "2026-01-01", '"\\u0000"', "'''\n'''", '["a", 1]']),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(max_size=8).map(repr),
    st.sampled_from(["1h", "0s", "9e9d", "critical", "loop", "auto", "runs", "agent"]).map(lambda word: f'"{word}"'),
)  # fmt: skip


@st.composite
def twisted(draw: st.DrawFn, sample: str) -> str:
    """A good file with lines lost, doubled, moved, given another value, or another key."""
    lines = sample.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[at].partition("=")
        change = draw(st.sampled_from(["lose", "double", "value", "key", "move", "text"]))
        if change == "lose" and len(lines) > 1:
            del lines[at]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "move":
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        elif change == "text":
            lines[at] += draw(st.text(max_size=5))
        elif equals:
            lines[at] = f"{key}= {draw(VALUES)}" if change == "value" else f"{draw(st.text('abcdeinorstu_', min_size=1, max_size=6))} ={lines[at].partition('=')[2]}"  # fmt: skip
    return "\n".join(lines)


@pytest.mark.parametrize("sample", [POLICY, default_text()], ids=["policy", "defaults"])
@pytest.mark.parametrize("read", [rules_of, channels_of, policy_of], ids=["rules", "channels", "policy"])
def test_any_file_of_rules_holds_whole_or_is_refused_with_its_name(sample: str, read: Callable[[TomlFile], Any]) -> None:  # fmt: skip
    """And what holds can be told in words."""

    @settings(max_examples=150, deadline=None)
    @given(twisted(sample))
    def check(text: str) -> None:
        found, said = held(lambda: read(TomlFile(text, "mine.toml")))
        assert said is None or "mine.toml" in said
        if said is None and read is rules_of:
            assert all(preview(rule) for rule in found)

    check()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_no_rules_or_rules(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.toml"
        path.write_bytes(data)
        _, said = held(lambda: rules_of(TomlFile.read(path)))
        assert said is None or "rules.toml" in said
