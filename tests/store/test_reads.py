"""Questions to the store: names, windows, verdicts, and a person's own queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.build import START_NS, span, span_id, trace_id
from tracer.errors import BadInput, UnknownName
from tracer.ids import content_id
from tracer.semconv import Tracehound
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three runs: trace 1 with two spans, trace 2 with a text, trace 3 imported as "chat-7"."""
    store = Store(tmp_path_factory.mktemp("reads") / "traces.duckdb")
    writer = SegmentWriter(store.path)
    writer.write_spans(
        [
            span(1, trace=1, attributes={Tracehound.KIND: "workflow", Tracehound.WORKFLOW: "one"}),
            span(2, trace=1, parent=1),
            span(100, trace=2, content={"output": [content_id("text")]}),
            span(200, trace=3, attributes={Tracehound.SOURCE_ID: "chat-7"}),
        ],
        contents={content_id("text"): "text"},
    )
    store.fold()
    yield store
    writer.close()


def test_runs_are_listed_newest_first(store: Store) -> None:
    """With bounds, a workflow, and a limit."""
    assert reads.runs(store)["run_id"].to_list() == [trace_id(3), trace_id(2), trace_id(1)]
    assert reads.runs(store, limit=1)["run_id"].to_list() == [trace_id(3)]
    assert reads.runs(store, workflow="one")["run_id"].to_list() == [trace_id(1)]
    middle = reads.runs(store, since_ns=START_NS + 50_000_000, until_ns=START_NS + 200_000_000)
    assert middle["run_id"].to_list() == [trace_id(2)]


def test_a_run_is_loaded_with_what_belongs_to_it(store: Store) -> None:
    """Spans in order, its row, its texts; other runs stay out."""
    one = reads.load(store, [trace_id(1)])
    assert one.spans["span_id"].to_list() == [span_id(1), span_id(2)]
    assert (one.traces["run_id"].to_list(), dict(one.contents)) == ([trace_id(1)], {})
    assert reads.load(store, [trace_id(2)]).contents == {content_id("text"): "text"}
    assert reads.load(store, [trace_id(2)], contents=False).contents == {}
    assert reads.load(store, since_ns=START_NS + 150_000_000).spans["span_id"].to_list() == [span_id(200)]
    everything = reads.load(store)
    assert everything.spans["run_id"].to_list() == [trace_id(1), trace_id(1), trace_id(2), trace_id(3)]


def test_a_run_that_is_not_there_gives_empty_frames(store: Store) -> None:
    """With all their columns, so that questions need no special case."""
    nothing = reads.load(store, ["unknown"])
    assert (nothing.spans.height, nothing.traces.height, nothing.events.height) == (0, 0, 0)
    assert nothing.spans.columns == reads.load(store).spans.columns


def test_texts_are_found_by_their_id(store: Store) -> None:
    """Unknown ids are left out."""
    assert reads.bodies(store, [content_id("text"), 1]) == {content_id("text"): "text"}
    assert reads.bodies(store, []) == {}


@pytest.mark.parametrize(
    ("name", "run"),
    [(trace_id(2), trace_id(2)), ("chat-7", trace_id(3)), ("chat", trace_id(3))],
    ids=["trace id", "source id", "prefix"],
)
def test_a_run_has_several_names(store: Store, name: str, run: str) -> None:
    """Ids, prefixes that fit one run, and the id the source used."""
    assert reads.find_run(store, name) == run


def test_a_name_that_fits_no_run_or_several_is_refused(store: Store) -> None:
    """With near names, or with the runs it fits."""
    with pytest.raises(UnknownName, match="chat-7"):
        reads.find_run(store, "chat-8")
    with pytest.raises(UnknownName):
        reads.find_run(store, "")
    with pytest.raises(BadInput, match="fits 3 traces"):
        reads.find_run(store, "0000")


def test_the_newest_verdict_counts(store: Store) -> None:
    """A verdict needs a run; a later one replaces an earlier one."""
    reads.mark(store, trace_id(1), "failed", "wrong total", time_ns=1)
    reads.mark(store, trace_id(1), "ok", time_ns=2)
    assert reads.marks(store).select("run_id", "verdict", "note").rows() == [(trace_id(1), "ok", None)]
    with pytest.raises(UnknownName):
        reads.mark(store, "nowhere", "ok")


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT count(*) FROM spans", [(4,)]),
        ("WITH t AS (SELECT 1 AS a, 2 AS a) SELECT * FROM t", [(1, 2)]),
        ("SELECT i FROM range(2) r(i)", [(0,), (1,)]),
        ("SELECT cost_usd FROM spans WHERE FALSE", []),
        ("FROM traces SELECT sum(spans)", [(4,)]),
    ],
)
def test_a_persons_query_is_answered(store: Store, query: str, rows: list[tuple[object, ...]]) -> None:
    """Columns of one name are told apart; an empty answer is one."""
    assert reads.sql(store, query).rows() == rows


def test_the_catalog_can_be_asked(store: Store) -> None:
    """DESCRIBE, SHOW and EXPLAIN work."""
    assert "trace_id" in reads.sql(store, "DESCRIBE spans")["column_name"].to_list()
    assert "spans" in reads.sql(store, "SHOW TABLES")["name"].to_list()
    assert reads.sql(store, "EXPLAIN SELECT 1").height > 0


def refused_queries(store: Store, elsewhere: Path) -> list[str]:
    return [
        "DELETE FROM spans",
        "DROP TABLE spans",
        "SELECT 1; DELETE FROM spans",
        "COMMIT; DELETE FROM spans",
        "EXPLAIN ANALYZE DELETE FROM spans",
        "INSERT INTO marks VALUES ('a', 1, 'ok', NULL)",
        "CREATE TABLE x AS SELECT 1",
        f"COPY spans TO '{elsewhere}'",
        f"ATTACH '{elsewhere}' AS other",
        f"SELECT * FROM read_csv('{elsewhere}')",
        f"SELECT * FROM '{elsewhere}'",
        f"SELECT * FROM read_blob('{store.path}')",
        f"SELECT * FROM (SELECT * FROM read_text('{store.path}.wal'))",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM query('DELETE FROM spans')",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access",
        "LOAD httpfs",
        "INSTALL httpfs",
        "USE memory",
        "SELECT * FROM elsewhere",
        "SELECT nonsense FROM spans",
        "this is no SQL",
        "",
    ]


@pytest.mark.slow
def test_a_query_reads_the_store_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """No writing, no files, no network, no Python variables, no settings; each refusal is a sentence."""
    elsewhere = tmp_path / "x.csv"
    elsewhere.write_text("a,b\n1,2\n")
    for query in refused_queries(store, elsewhere):
        with pytest.raises(BadInput):
            reads.sql(store, query)
    assert reads.sql(store, "SELECT count(*) FROM spans").item() == 4
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_a_query_that_takes_too_long_is_stopped(store: Store) -> None:
    """The store is free again afterwards."""
    with pytest.raises(BadInput, match=r"longer than 0\.5 s"):
        reads.sql(
            store,
            "SELECT sum((a.range * b.range) % 7) FROM range(2000000) a, range(2000000) b",
            timeout_s=0.5,
        )
    assert reads.sql(store, "SELECT 1").item() == 1
