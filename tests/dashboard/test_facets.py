"""Facets of the Traces page: counts agree with what the term they stand for finds; a click adds the term."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import address
from dashboard.facets import Facets, facets
from dashboard.run_reads import search
from dashboard.trace_query import parse_query
from tests import drawn
from tests.dashboard import stores
from tests.dashboard.opening import Open, said
from tracer.store import reads
from tracer.store.database import Store

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("query", ["", "agent:Support", "outcome:failed", "cost>0.003", "cost>100"])
def test_every_count_is_what_its_term_would_find(mixed_store: Path, query: str) -> None:
    """Adding the term of a facet leaves as many runs as the facet said, and the outcomes sum to all matches."""
    store = Store(mixed_store)
    found = facets(store, parse_query(query), now_ns=0, kinds={})
    for facet in found.facets:
        for value, runs in facet.values:
            narrowed = parse_query(f"{query} {address.term(facet.field, value)}")
            assert search(store, narrowed, now_ns=0).total == runs, (facet.field, value)
    by_name = {facet.field: facet for facet in found.facets}
    assert sum(runs for _, runs in by_name["outcome"].values) == found.matches if found.matches else not found.facets


def test_findings_are_counted_per_run_of_the_matches(mixed_store: Path) -> None:
    """Two findings of a kind in a run are one run; runs that do not match do not count."""
    store = Store(mixed_store)
    ids = reads.runs(store, workflow="answer_ticket")["run_id"].to_list()
    other = reads.runs(store, workflow="market_report")["run_id"][0]
    kinds = {ids[0]: ["loop", "loop"], ids[1]: ["loop"], other: ["loop"]}
    found: Facets = facets(store, parse_query("agent:Support"), now_ns=0, kinds=kinds)
    [finding] = [facet for facet in found.facets if facet.field == "finding"]
    assert finding.values == (("loop", 2),)


def test_a_marked_run_shows_its_mark_in_the_list(tmp_path: Path, open_app: Open) -> None:
    """The verdict of a person stands beside the outcome."""
    run = stores.mixed()
    store = stores.write(tmp_path / "t.duckdb", drawn.frames(run, stores.plain(1, at=99.0)))
    reads.mark(store, run.run_id, "failed", "wrong page")
    app = open_app(store.path, "traces")
    assert not app.exception
    outcomes = app.dataframe[0].value["outcome"].to_list()
    assert [("⚑ failed" in outcome) for outcome in outcomes].count(True) == 1
    assert "of 2 runs" in said(app)
