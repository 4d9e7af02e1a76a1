"""The Compare page: two runs aligned, groups of runs with verdicts, and all of it by address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzers.comparison.groups import Change, change_document
from analyzers.comparison.statistics import Effect
from dashboard.comparing import TwoRuns, two_runs
from dashboard.documents.compare import changes_document, step_document, steps_document, summary
from tests import drawn
from tests.dashboard import stores
from tests.dashboard.opening import Open, said
from tracer.store.database import Store

pytestmark = pytest.mark.slow

SHORT, LONG = stores.looping("short", rounds=3), stores.looping("long", rounds=5, at=600.0)


def texts(value: Any) -> list[str]:
    """Every text anywhere in a document."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list | tuple) else []


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two loops of different length."""
    return stores.write(tmp_path_factory.mktemp("compare") / "t.duckdb", drawn.frames(SHORT, LONG))


@pytest.fixture(scope="module")
def both(store: Store) -> TwoRuns:
    """The two loops, aligned."""
    return two_runs(store, SHORT.run_id, LONG.run_id)


def test_two_runs_by_address_are_aligned(store: Store, open_app: Open) -> None:
    """The longer loop has what the shorter has, and more; a step in the address is shown."""
    app = open_app(store.path, "compare", a=SHORT.run_id[:10], b=LONG.run_id, step="1")
    assert not app.exception
    assert "of the steps are in both runs" in said(app)
    assert "only in A" not in said(app)
    assert "Choose a step" not in said(app)


def test_choosing_runs_writes_them_into_the_address(store: Store, open_app: Open) -> None:
    """Without an address the page offers runs; what is chosen stands in the URL."""
    app = open_app(store.path, "compare")
    assert "Choose two runs" in said(app)
    app.selectbox[0].set_value(SHORT.run_id).run()
    app.selectbox[1].set_value(LONG.run_id).run()
    assert not app.exception
    assert (app.query_params["a"], app.query_params["b"]) == (SHORT.run_id, LONG.run_id)
    assert "of the steps are in both runs" in said(app)


def test_a_run_nobody_knows_is_explained(store: Store, open_app: Open) -> None:
    """A stale link gives a sentence."""
    assert "No trace 'zzzz'" in said(open_app(store.path, "compare", a="zzzz"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ({"by": "Version"}, "None of these runs recorded a version"),
        ({"by": "Model"}, "no two neighbours share a workflow"),
        ({"by": "Day"}, "have the same one"),
        ({"by": "Queries", "qa": "outcome:completed", "qb": "outcome:failed"}, "inconclusive"),
        ({"by": "Queries", "qa": "outcome:completed", "qb": "cost>100"}, "No run meets"),
        ({"by": "Queries", "qa": "finding:loop", "qb": "cost>0"}, "asks for findings"),
        ({"by": "Queries", "qa": "agnt:x", "qb": "cost>0"}, "Did you mean 'agent'"),
    ],
)
def test_groups_of_runs_are_compared_or_it_is_said_why_not(mixed_store: Path, open_app: Open, address: dict[str, str], expected: str) -> None:  # fmt: skip
    """Every way of making groups is an address."""
    app = open_app(mixed_store, "compare", what="Groups of runs", **address)
    assert not app.exception
    assert expected in said(app)


def test_lines_that_are_the_same_fold_and_nothing_else(both: TwoRuns) -> None:
    """With differences only, every step that differs keeps its own line; the rest is counted."""
    steps = both.document["steps"]
    [every], lines = steps_document(steps, first=0, most=10_000, chosen=None, only_differences=False)
    assert lines == len(every["rows"]) == len(steps)
    [folded], fewer = steps_document(steps, first=0, most=10_000, chosen=None, only_differences=True)
    assert fewer == len(folded["rows"])
    shown = {int(row["pick"]["query"]) for row in folded["rows"] if row.get("pick")}
    assert {number for number, step in enumerate(steps) if step["change"] != "same"} <= shown
    counted = sum(int(row["cells"][1]["text"].split()[0]) for row in folded["rows"] if not row.get("pick"))
    assert counted + len(shown) == len(steps)


def test_paging_through_the_steps_leaves_none_out(both: TwoRuns) -> None:
    """Pages of 7 lines are the whole list."""
    steps = both.document["steps"]
    numbers: list[str] = []
    for first in range(0, len(steps), 7):
        [table], _ = steps_document(steps, first=first, most=7, chosen=None, only_differences=False)
        numbers += [row["pick"]["query"] for row in table["rows"]]
    assert numbers == [str(number) for number in range(len(steps))]


def test_a_changed_step_shows_both_texts_and_a_lone_one_its_own(tmp_path: Path, both: TwoRuns) -> None:
    """The diff has the line of A and the line of B; a step of one run has no diff."""
    one, other = (drawn.run("w", drawn.agent("Writer", 0, 4, drawn.llm(1, 3, prompt=f"Write about {what}", answer="Done.")), id=what) for what in ("cats", "dogs"))  # fmt: skip
    store = stores.write(tmp_path / "t.duckdb", drawn.frames(one, other))
    shown = two_runs(store, one.run_id, other.run_id)
    [changed] = [step for step in shown.document["steps"] if "input" in step["differs"] and step["kind"] == "llm"]
    said_of = texts(step_document(shown, changed))
    assert any("cats" in text for text in said_of)
    assert any("dogs" in text for text in said_of)
    lone = next(step for step in both.document["steps"] if step["change"] == "only_b" and step["kind"] == "llm")
    assert any("more context" in text or "send me the data" in text for text in texts(step_document(both, lone)))
    assert summary(both.document).endswith("only in B.")


def test_too_few_runs_are_inconclusive_in_words() -> None:
    """What was not tested shows no number; an effect shows its interval."""
    untested = Change(
        workflow="w",
        metric="cost_usd",
        unit="ratio",
        n_a=2,
        n_b=9,
        a=1.0,
        b=2.0,
        effect=None,
        q=None,
        verdict="inconclusive",
    )
    told = Change(workflow="w", metric="completed", unit="difference", n_a=90, n_b=90, a=0.9, b=0.6, effect=Effect(-0.3, -0.41, -0.18, 0.001), q=0.0004, verdict="changed")  # fmt: skip
    found = texts(changes_document([change_document(untested), change_document(told)]))
    assert "2 runs on the smaller side; 3 are needed" in found
    assert "-30.0 points" in found
    assert "-41.0 points to -18.0 points" in found
    assert "<0.001" in found
