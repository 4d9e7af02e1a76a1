"""Questions of the Overview and Traces pages, asked of real tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pytest

import tracer.store
from analyzers.frames import Frames
from dashboard.run_reads import bucket_width_s, matching_ids, overview, search
from dashboard.trace_query import parse_query
from tests import drawn
from tracer.store.arrow import ArrowStream

SCHEMA = Path(tracer.store.__file__).with_name("sql") / "0001_spans.sql"


class Memory:
    """The tables in memory, with what drawn runs put there."""

    def __init__(self, frames: Frames) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute(SCHEMA.read_text(encoding="utf-8"))
        for table in ("spans", "traces"):
            self._connection.register("rows", ArrowStream(getattr(frames, table)))
            self._connection.execute(f"INSERT INTO {table} SELECT * FROM rows")

    @contextmanager
    def lease(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._connection.cursor() as cursor:
            yield cursor


@pytest.fixture(scope="module")
def store() -> Memory:
    """Six runs, ten seconds apart: costs known, unknown and mixed; one still running."""
    call = drawn.llm
    return Memory(
        drawn.frames(
            drawn.run("triage", drawn.agent("a", 0, 2, call(0, 1, cost="0.10")), id="r0", at=0),
            drawn.run("triage", drawn.agent("b", 0, 4, call(0, 1, cost="0.30")), id="r1", at=10, outcome="failed"),
            drawn.run("digest", drawn.agent("a", 0, 8, call(0, 1), call(1, 2, cost="0.05")), id="r2", at=20),
            drawn.run("digest", drawn.agent("c", 0, 1, call(0, 1)), id="r3", at=30, outcome="escalated"),
            drawn.run("digest", drawn.agent("c", 0, 1), id="r4", at=50, outcome="unknown"),
            drawn.run("triage", drawn.agent("z", 0, None), id="r5", at=60, outcome="running"),
        )
    )


def _names(rows: pl.DataFrame) -> list[float]:
    return [(start - drawn.ns(0)) / 1e10 for start in rows["start_ns"]]


def test_pages_of_the_list_follow_each_other_and_know_the_total(store: Memory) -> None:
    """Newest first; the last page is short; the total counts all matches, not the page."""
    pages = [search(store, parse_query(""), now_ns=0, limit=4, offset=offset) for offset in (0, 4)]
    assert [_names(page.rows) for page in pages] == [[6, 5, 3, 2], [1, 0]]
    assert [page.total for page in pages] == [6, 6]


def test_a_row_names_the_agents_of_its_run(store: Memory) -> None:
    """The list shows who took part without opening the run."""
    rows = search(store, parse_query("workflow:digest outcome:completed"), now_ns=0).rows
    assert rows["agent_names"].to_list() == [["a"]]


def test_finding_terms_come_in_as_run_ids(store: Memory) -> None:
    """`among` narrows the list, and an empty list of ids matches nothing."""
    ids = matching_ids(store, parse_query("workflow:triage finding:loop"), now_ns=0, newest=2)
    assert len(ids) == 2
    assert search(store, parse_query("finding:loop"), now_ns=0, among=ids[:1]).total == 1
    assert search(store, parse_query("finding:loop"), now_ns=0, among=[]).total == 0


def test_totals_leave_running_and_unknown_out_of_every_rate(store: Memory) -> None:
    """Four runs ended, two of them completed; money is the sum of known prices with its coverage beside it."""
    totals = overview(store).totals
    assert (totals.runs, totals.ended, totals.completed, totals.running) == (6, 4, 2, 1)
    assert totals.completion_rate == pytest.approx(0.5)
    assert totals.cost_usd == pytest.approx(0.45)
    assert totals.priced_share == pytest.approx(3 / 5)


def test_cost_is_unknown_not_zero_without_any_price(store: Memory) -> None:
    """A window whose calls have no price has no cost."""
    totals = overview(store, since_ns=drawn.ns(25)).totals
    assert totals.cost_usd is None
    assert totals.priced_share == 0


def test_trend_has_a_row_for_every_bucket(store: Memory) -> None:
    """Nothing started between 30 s and 50 s: those buckets are there, empty, without rates."""
    trend = overview(store).trend
    steps = trend["start_ns"].diff().drop_nulls().unique().to_list()
    assert steps == [2 * 10**9]
    assert trend["runs"].sum() == 6
    quiet = trend.filter(pl.col("runs") == 0)
    assert quiet.height > 0
    assert quiet["p95_s"].null_count() == quiet.height


def test_an_empty_store_has_no_numbers_but_no_error() -> None:
    """Before the first run everything is zero or unknown."""
    answer = overview(Memory(drawn.frames()))
    assert (answer.totals.runs, answer.totals.cost_usd, answer.totals.completion_rate) == (0, None, None)
    assert answer.trend.is_empty()


@pytest.mark.parametrize(("span_s", "expected"), [(0, 1), (36, 1), (3_600, 120), (86_400, 3_600), (10**12, 31_536_000)])
def test_buckets_have_round_widths(span_s: int, expected: int) -> None:
    """About three dozen buckets, each a length of time people use."""
    assert bucket_width_s(0, span_s * 10**9) == expected
